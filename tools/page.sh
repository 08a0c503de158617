#!/usr/bin/env bash
# One page of the book, quickly: tools/page.sh book/basics/uniform  ->  _build/page/uniform/_build/html/book/basics/uniform.html
set -eu
cd "$(dirname "$0")/.."
. tools/common.sh
page=${1%.*}
[ -n "$page" ] || { echo "which page? make page P=book/basics/uniform"; exit 2; }
prepare_book
out=_build/page/$(basename "$page") # a folder each: pages may be built side by side
mkdir -p "$out"
printf 'format: jb-book\nroot: book/intro\nchapters:\n  - file: book/notation\n  - file: book/bibliography\n  - file: %s\n' "$page" > "$out/_toc.yml"
# No -W: links to pages that are not built here may fail.
.venv/bin/jupyter-book build . --config _config.yml --toc "$out/_toc.yml" --path-output "$out" -q --keep-going || true
echo "Open $out/_build/html/$page.html"
