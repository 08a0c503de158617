#!/usr/bin/env bash
# One page of the book, quickly: tools/page.sh book/basics/uniform  ->  _build/page/_build/html/book/basics/uniform.html
set -eu
cd "$(dirname "$0")/.."
. tools/common.sh
page=${1%.*}
[ -n "$page" ] || { echo "which page? make page P=book/basics/uniform"; exit 2; }
prepare_book
mkdir -p _build/page
printf 'format: jb-book\nroot: book/intro\nchapters:\n  - file: book/notation\n  - file: book/bibliography\n  - file: %s\n' "$page" > _build/page/_toc.yml
# No -W: links to pages that are not built here may fail.
.venv/bin/jupyter-book build . --config _config.yml --toc _build/page/_toc.yml --path-output _build/page -q --keep-going || true
echo "Open _build/page/_build/html/$page.html"
