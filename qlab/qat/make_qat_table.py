"""Make the table of quantization-aware training again: ``python -m qlab.qat.make_qat_table`` (about 20 minutes).

Every method, number of bits and seed is trained as in `comparison.run_qat`. The CSV is rewritten after each run, under
a temporary name, then renamed; what it holds already is not run again. Each line notes commit, PyTorch and machine.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from qlab.hardware import machine
from qlab.qat.comparison import METHODS, PLACE, VARIANTS, run_qat

SEEDS = range(3)
NOTES = ("commit", "torch", "machine")
Job = tuple[str, str, int, int, int]


def jobs() -> Iterator[Job]:
    """Yield (network, method, bits, epochs, seed) of every run of the table."""
    yield from (("convnet", "STE", bits, 0, 0) for bits in (2, 3, 4))
    for method in [*METHODS, *VARIANTS]:
        yield from (("convnet", method, 2, 2, seed) for seed in SEEDS)
    yield from (("convnet", "fp32", 32, 2, seed) for seed in SEEDS)
    for bits in (4, 3):
        for method in METHODS:
            yield from (("convnet", method, bits, 2, seed) for seed in SEEDS)


def commit() -> str:
    """Return the commit that the table is made with, or "unknown" outside a repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Write under a temporary name, then rename."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, path)


def fill(path: Path, jobs: Iterable[Any], run: Callable[..., Any]) -> None:
    """Run what the table at `path` does not hold yet, and write it after each run.

    Parameters
    ----------
    path : Path
    jobs : iterable of tuple
        Arguments of `run`; they are the first columns, too.
    run : function of a job's parts
        Returns a named tuple with a field ``seconds``: a row.
    """
    rows: list[dict[str, str]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    done = [list(row.values()) for row in rows]
    note = dict(zip(NOTES, (commit(), torch.__version__.split("+")[0], machine()), strict=True))
    torch.set_num_threads(1)
    for job in tqdm([j for j in jobs if not any(values[: len(j)] == [*map(str, j)] for values in done)]):
        found = run(*job)
        values = found._replace(seconds=round(found.seconds, 2))._asdict()
        rows.append({f: str(v) for f, v in values.items()} | note)
        write(path, rows)


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    fill(path, jobs(), run_qat)


if __name__ == "__main__":
    main()
