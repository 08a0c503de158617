"""Execute the book's notebooks, two at a time, into the cache that the book is built from; print what each took.

A notebook whose code is in the cache already is not run again, except for those that read the other notebooks: their
own code does not tell when they are stale. One that fails is told with its traceback, and the exit code says so.
`python tools/execute.py [--jobs N] [--cache DIR] [NOTEBOOK ...]`.
"""

import argparse
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parent.parent
JOBS = min(2, os.cpu_count() or 1)
TIMEOUT = 120  # seconds for a cell, as in _config.yml
READERS = tuple(ROOT / f"book/{name}.ipynb" for name in ("coverage", "teaching/syllabus", "teaching/instructors"))
"""They read the plan, the chapters, the labs or the tests, and take seconds."""


def notebooks() -> list[Path]:
    """List the notebooks of the table of contents that are to be executed: not the students' labs."""
    toc = (ROOT / "book/_toc.yml").read_text(encoding="utf-8")
    names = [name for name in re.findall(r"file: (\S+)", toc) if not name.startswith("labs/")]
    return [path for name in names if (path := ROOT / f"{name}.ipynb").exists()]


def run(path: Path) -> tuple[Path, nbformat.NotebookNode, float, str]:
    """Execute one notebook in its folder, with one thread: two run side by side, and sums come out the same."""
    os.environ |= dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
    notebook = nbformat.read(path, as_version=4)
    result = single_nb_execution(notebook, cwd=str(path.parent), allow_errors=False, timeout=TIMEOUT)
    return path, notebook, result.time, result.exc_string or ""


def execute(paths: list[Path], where: Path, jobs: int = JOBS) -> int:
    """Execute what a cache does not hold, print what each notebook took, and return how many failed."""
    where.mkdir(parents=True, exist_ok=True)
    cache = get_cache(str(where))
    todo, took, failed = [], {}, []
    for path in paths:
        record = None
        with suppress(KeyError):
            record = cache.match_cache_notebook(nbformat.read(path, as_version=4))
        if record is not None and path in READERS:
            cache.remove_cache(record.pk)
            path.touch()  # or Sphinx would keep the page of last time
            record = None
        if record is None:
            todo.append(path)
        else:
            took[path] = (record.data.get("execution_seconds") or 0.0, "from the cache")
    with ProcessPoolExecutor(jobs) as pool:
        for done in tqdm(as_completed([pool.submit(run, path) for path in todo]), "notebooks", len(todo)):
            path, notebook, seconds, trouble = done.result()
            took[path] = (seconds, "FAILED" if trouble else "")
            if trouble:
                failed.append(path)
                print(f"\n== {path.relative_to(ROOT)}\n{trouble}", file=sys.stderr)
                continue
            bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    for path, (seconds, note) in sorted(took.items(), key=lambda item: -item[1][0]):
        print(f"{path.relative_to(ROOT)!s:<46}{seconds:6.1f} s  {note}")
    whole = sum(seconds for seconds, _ in took.values())
    print(f"{len(took)} notebooks, {whole:.0f} s in all; {len(todo)} executed now, {len(failed)} failed")
    return len(failed)


def main() -> int:
    """Execute what the book's cache does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", nargs="*", type=Path)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--cache", type=Path, default=ROOT / "_build/.jupyter_cache")
    chosen = parser.parse_args()
    paths = [path.resolve() for path in chosen.notebook] or notebooks()
    return bool(execute(paths, chosen.cache, chosen.jobs))


if __name__ == "__main__":
    sys.exit(main())
