"""Do two executions of the book give the same numbers? Compare them, output by output and number by number.

    python tools/reproduce.py                      every notebook once more, against the build in _build
    python tools/reproduce.py --seconds 60         as many as fit, others each day
    python tools/reproduce.py book/basics/uniform.ipynb
    python tools/reproduce.py --caches ONE OTHER   two caches that exist, such as those of two builds from cold

What may differ: the outputs of cells tagged `timing` (times, and what is computed from them), what goes to stderr (bars
of progress), names that pandas draws for its tables, and addresses. Everything else that differs is printed, and the
exit code says so.
"""

import argparse
import hashlib
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import zip_longest
from pathlib import Path

import nbformat
from execute import ROOT, execute, notebooks
from jupyter_cache import get_cache
from nbformat import NotebookNode

BUILD = ROOT / "_build/.jupyter_cache"
NUMBER = re.compile(r"[-−+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?")
PASSING = re.compile(r"\b0x[0-9a-f]+|\bT_[0-9a-f]{5}(?=_|\b)")  # addresses, pandas' names
SHOWN = 3  # differing numbers of one output


def contents(output: NotebookNode) -> Iterator[tuple[str, str]]:
    """Give the kinds and texts of an output that two executions should share."""
    if output.output_type == "stream":
        if output.name == "stdout":
            yield "printed", output.text
        return
    for kind, content in output.get("data", {}).items():
        if "widget" not in kind:
            name = output.metadata.get("scrapbook", {}).get("name")
            yield f"glue {name}" if name else kind, content if isinstance(content, str) else str(content)


def difference(one: str, other: str) -> str:
    """Say in a few words how two texts differ, number by number; nothing if they do not."""
    one, other = (PASSING.sub("…", text) for text in (one, other))
    if one == other:
        return ""
    if NUMBER.split(one) != NUMBER.split(other):
        place = next(i for i, (a, b) in enumerate(zip_longest(one, other)) if a != b)
        first = max(0, place - 20)
        return f"text differs: {one[first : place + 30]!r}, {other[first : place + 30]!r}"
    pairs = [(a, b) for a, b in zip(NUMBER.findall(one), NUMBER.findall(other), strict=True) if a != b]
    return f"{len(pairs)} numbers differ: " + "; ".join(f"{a}, {b}" for a, b in pairs[:SHOWN])


def pictures(kind: str, text: str) -> str:
    """Put a fingerprint in the place of each picture, for nobody wants to read those."""
    if kind.startswith("image/") and kind != "image/svg+xml":
        return "picture " + _print(text)
    return re.sub(r"base64,[\w+/=]+", lambda found: "picture " + _print(found[0]), text)


def _print(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:8].translate(str.maketrans("0123456789", "ghijklmnop"))


def differences(source: NotebookNode, one: NotebookNode, other: NotebookNode) -> list[tuple[str, str, bool]]:
    """List what differs: the cell's id, how, and whether the cell is one of timings.

    Parameters
    ----------
    source : NotebookNode
        As committed: with the cells' ids and tags.
    one, other : NotebookNode
        Executed; their code cells are those of the source.
    """
    cells = [[cell for cell in nb.cells if cell.cell_type == "code"] for nb in (source, one, other)]
    found = []
    for written, *executed in zip(*cells, strict=True):
        timing = "timing" in written.metadata.get("tags", [])
        shown = [[pair for output in cell.outputs for pair in contents(output)] for cell in executed]
        kinds = [[kind for kind, _ in outputs] for outputs in shown]
        if kinds[0] != kinds[1]:
            found.append((written.id, f"outputs differ in kind: {kinds[0]}, {kinds[1]}", timing))
            continue
        for (kind, a), (_, b) in zip(*shown, strict=True):
            if how := difference(pictures(kind, a), pictures(kind, b)):
                found.append((written.id, f"{kind}: {how}", timing))
    return found


def sample(paths: list[Path], seconds: float, took: dict[Path, float], day: int) -> list[Path]:
    """Choose notebooks that together take at most so many seconds; the day says with which the choice begins."""
    chosen, left = [], seconds
    start = day * 7 % len(paths)  # seven on each day, so that a month sees all
    for path in paths[start:] + paths[:start]:
        if took.get(path, seconds) <= left:
            chosen.append(path)
            left -= took[path]
    return chosen


def records(cache: Path, paths: Iterable[Path]) -> dict[Path, tuple[NotebookNode, float]]:
    """Find the notebooks in a cache, executed, with the seconds that it took."""
    store, found = get_cache(str(cache)), {}
    for path in paths:
        try:
            record = store.match_cache_notebook(nbformat.read(path, as_version=4))
        except KeyError:
            continue
        found[path] = (store.get_cache_bundle(record.pk).nb, record.data.get("execution_seconds") or 0.0)
    return found


def report(paths: list[Path], one: Path, other: Path) -> bool:
    """Compare two caches, print what differs, and say whether anything does that must not, or was not executed."""
    first, second = records(one, paths), records(other, paths)
    bad = 0
    for path in paths:
        name = path.relative_to(ROOT)
        if missing := [str(c) for c, found in ((one, first), (other, second)) if path not in found]:
            print(f"{name}: not executed in {', '.join(missing)}")
            bad += 1
            continue
        found = differences(nbformat.read(path, as_version=4), first[path][0], second[path][0])
        wrong = [(cell, how) for cell, how, timing in found if not timing]
        bad += bool(wrong)
        times = len({cell for cell, _, timing in found if timing})
        print(
            f"{name!s:<46}{'DIFFERS' if wrong else 'the same'}" + (f", {times} cells of timings aside" if times else "")
        )
        for cell, how in wrong:
            print(f"    cell {cell}: {how}")
    print(f"{len(paths)} notebooks compared, {bad} not the same")
    return bool(bad)


def main() -> int:
    """Execute again what is asked for, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, help="only as many notebooks as take so long, one after the other")
    parser.add_argument("--caches", nargs=2, type=Path, help="compare these, and execute nothing")
    chosen = parser.parse_args()
    paths = [path.resolve() for path in chosen.notebook] or notebooks()
    if chosen.caches:
        return report(paths, *chosen.caches)
    BUILD.mkdir(parents=True, exist_ok=True)
    done = records(BUILD, paths)
    if missing := [path for path in paths if path not in done]:
        execute(missing, BUILD)
    if chosen.seconds:
        took = {path: seconds for path, (_, seconds) in records(BUILD, paths).items()}
        paths = sample(paths, chosen.seconds, took, date.today().toordinal())
    with tempfile.TemporaryDirectory() as again:
        execute(paths, Path(again))
        return report(paths, BUILD, Path(again))


if __name__ == "__main__":
    sys.exit(main())
