"""Make the table of trainings on a grid again: ``python -m qlab.stochastic.make_grid_table`` (about 3 minutes).

The CSV is rewritten after each run, under a temporary name, then renamed; what it holds already is not run again. Each
line notes commit, PyTorch and machine.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm.auto import tqdm

from qlab.hardware import machine
from qlab.stochastic.grid_runs import PLACE, GridRun, run_on_grid
from qlab.stochastic.make_noise_table import commit

BITS = ("3", "4", "6", "8", "10", "12")
SEEDS = range(3)
FIELDS = [*GridRun._fields, "commit", "torch", "machine"]
Job = tuple[str, str, str, float, int, int]


def jobs() -> Iterator[Job]:
    """Yield what `run_on_grid` is asked for, run by run."""
    for seed in SEEDS:
        yield ("fresh", "32", "fp32", 0.05, 3, seed)
        for bits in BITS:  # how many bits does each need?
            yield from (("fresh", bits, method, 0.05, 3, seed) for method in ("nearest", "stochastic", "master"))
        for lr, epochs in ((0.02, 2), (0.005, 8)):  # the same path, in few large steps and in many small ones
            yield ("trained", "32", "fp32", lr, epochs, seed)
            yield from (("trained", "3", method, lr, epochs, seed) for method in ("stochastic", "master"))
        yield ("fresh", "32", "fp32", 0.01, 3, seed)
        yield from (("fresh", "bf16", method, 0.01, 3, seed) for method in ("nearest", "stochastic"))
        yield ("fresh", "32", "fp32", 0.1, 15, seed)  # longer
        yield from (("fresh", bits, "stochastic", 0.1, 15, seed) for bits in ("3", "4"))


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    rows: list[dict[str, str]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    done = {tuple(row[f] for f in GridRun._fields[:6]) for row in rows}
    note = {"commit": commit(), "torch": torch.__version__.split("+")[0], "machine": machine()}
    torch.set_num_threads(1)
    for job in tqdm([j for j in jobs() if tuple(map(str, j)) not in done]):
        run = run_on_grid(*job)
        run = run._replace(lost=round(run.lost, 5), seconds=round(run.seconds, 2))
        rows.append({f: str(v) for f, v in run._asdict().items()} | note)
        text = io.StringIO()
        writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(text.getvalue(), encoding="utf-8")
        os.replace(temporary, path)


if __name__ == "__main__":
    main()
