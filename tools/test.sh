#!/usr/bin/env bash
# make test: everything that must hold. Each step runs even if an earlier one failed; the exit code tells of any failure.
set -u
cd "$(dirname "$0")/.."
tools/env.sh || exit 1
. tools/common.sh
export OMP_NUM_THREADS=2 # a notebook on its own may use both cores

# The browser that reads the book. Without it the browser tests fail, and say how to install it.
if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing chromium with apt-get (the tests look at the book in it)"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/tmp/qlab-apt.log 2>&1 \
            || tail -n 5 /tmp/qlab-apt.log
    else
        echo "chromium is missing and this account cannot install it: sudo apt-get install chromium"
    fi
fi

failed=0
table=""
step() { # step NAME COMMAND...
    local name=$1 start=$SECONDS result=ok
    shift
    printf '\n== %s\n' "$name"
    "$@" || { result=FAILED; failed=1; }
    table+=$(printf '%-42s %5d s  %s' "$name" $((SECONDS - start)) "$result")$'\n'
}

step "style (ruff)" .venv/bin/ruff check .
step "format (ruff)" .venv/bin/ruff format --check .
step "types (mypy)" .venv/bin/mypy
# agg: no window. Not for notebooks, whose figures it would swallow: the browser shall see the book that readers see.
step "unit, property and peer tests" env MPLBACKEND=agg .venv/bin/python -m pytest qlab tests -m "not browser" -n 2 --dist loadfile -q \
    --ignore tests/benchmarks --durations 10
if [ -d tests/benchmarks ]; then
    step "benchmarks (ratios, one process)" .venv/bin/python -m pytest tests/benchmarks -q
fi
step "labs with their solutions (nbval)" .venv/bin/python -m pytest --nbval-lax -p no:randomly -n 2 --dist loadfile -q \
    --durations 10 labs/source
step "all chapters executed, the book built" tools/book.sh clean
step "the book again, nothing changed" bash -o pipefail -c "tools/book.sh | tail -n 1" # promised: under a minute
step "some chapters once more: the same numbers" .venv/bin/python tools/reproduce.py --seconds 100
step "the book in a browser" .venv/bin/python -m pytest tests/book -m browser -n 2 -q

printf '\n== where the time went\n%s' "$table"
[ $failed = 0 ] && echo "All steps passed." || echo "Some steps FAILED: look above."
exit $failed
