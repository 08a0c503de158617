#!/usr/bin/env bash
# Make or complete the environment .venv from constraints.txt. Safe to run again, and after an interruption.
set -u
cd "$(dirname "$0")/.."
VENV=.venv
STAMP=$VENV/.qlab-complete
LOG=$VENV/install.log
NEED_GB=4
TORCH=$(grep -E '^torch==' constraints.txt)

say() { printf '%s\n' "$*" >&2; }
fail() { say "make env: $*"; exit 1; }

# The environment is what these files say, at this place: the stamp holds both.
fingerprint() { { cat pyproject.toml constraints.txt tools/env.sh; pwd -P; } | cksum; }
works() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ -f "$STAMP" ] && works $VENV/bin/python && [ "$(cat "$STAMP")" = "$(fingerprint)" ]; then exit 0; fi

free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
if [ ! -d $VENV/bin ] && [ "$free_kb" -lt $((NEED_GB * 1024 * 1024)) ]; then
    fail "the disk has $((free_kb / 1024)) MB free here, the environment needs about $NEED_GB GB. Nothing was started."
fi

if ! works $VENV/bin/python; then
    python=""
    # 3.11 first: the pins were taken on it.
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        if works "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        found=$("${PYTHON:-python3}" --version 2>&1) || found="${PYTHON:-python3} does not run"
        fail "Python 3.11 or newer is needed; found: ${found%%$'\n'*}. Install it (Debian: apt-get install python3 python3-venv)," \
             "or name one: make env PYTHON=/path/to/python3.12"
    fi
    say "Environment: $("$python" --version) in $VENV"
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        fail "$python has no venv module. Debian and Ubuntu: apt-get install python3-venv"
    fi
    "$python" -m venv --clear $VENV || fail "could not make $VENV"
fi

# An interrupted pip leaves packages without RECORD, which it would take for installed: forget those.
for info in $VENV/lib/python3*/site-packages/*.dist-info; do
    if [ -d "$info" ] && [ ! -s "$info/RECORD" ]; then rm -rf "$info"; fi
done
rm -rf $VENV/lib/python3*/site-packages/~*

rm -f "$STAMP"
: > $LOG
pip_install() {
    say "Environment: installing $1"
    shift
    if ! $VENV/bin/python -m pip install --disable-pip-version-check --no-input "$@" >> $LOG 2>&1; then
        say "----- the last lines of $LOG -----"
        tail -n 15 $LOG >&2
        if grep -q "No space left" $LOG; then fail "the disk is full: about $NEED_GB GB are needed. Then run the same command again."; fi
        fail "installation stopped; run the same command again to continue where it left off."
    fi
}
# torch by its exact pin and first: an unpinned one brings several GB of CUDA.
pip_install "PyTorch (1 of 2, about 200 MB)" "$TORCH"
pip_install "everything else (2 of 2)" -c constraints.txt -e ".[test]"
fingerprint > "$STAMP"
say "Environment: complete"
