#!/usr/bin/env bash
# Build the book into _build/html. Warnings are errors. `tools/book.sh clean` forgets every earlier build first.
set -eu
cd "$(dirname "$0")/.."
. tools/common.sh
start=$SECONDS
[ "${1:-}" = clean ] && rm -rf _build

prepare_book
# Executed notebooks are cached by their own text; when the library changes, their outputs are stale too.
library=$(find qlab -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 cat | cksum)
if [ "$(cat _build/.library 2>/dev/null)" != "$library" ]; then
    rm -rf _build/.jupyter_cache _build/.doctrees
    mkdir -p _build
    printf '%s\n' "$library" > _build/.library # now: an interrupted build goes on with the notebooks it has
fi

# Two notebooks at a time; those that fail are run again by the build, which then fails.
.venv/bin/python tools/execute.py 2> >(grep -v "Kernel is running over TCP" >&2) || true

.venv/bin/jupyter-book build . --config _config.yml --toc book/_toc.yml -W --keep-going -n -q \
    2> >(grep -v "Kernel is running over TCP" >&2)
took=$((SECONDS - start))
echo "The book is built, in $((took / 60)) min $((took % 60)) s. Open _build/html/index.html in a browser."
