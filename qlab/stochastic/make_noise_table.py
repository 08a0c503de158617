"""Make the table of noise rates again: ``python -m qlab.stochastic.make_noise_table`` (about 6 minutes).

The CSV is rewritten after each run, under a temporary name, then renamed; what it holds already is not run again. Each
line notes commit, PyTorch and machine.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm.auto import tqdm

from qlab.hardware import machine
from qlab.stochastic.noise_table import GRIDS, METHODS, PLACE, NoiseRun, run_noise

SEEDS = range(3)
FIELDS = [*NoiseRun._fields, "commit", "torch", "machine"]


def jobs() -> Iterator[tuple[int, str, int]]:
    """Yield (bits, method, seed) of every run of the table."""
    for seed in SEEDS:
        for bits in sorted(GRIDS, reverse=True):
            yield from ((bits, method, seed) for method in (METHODS if bits == 1 else METHODS[:-2]))


def commit() -> str:
    """Return the commit that the table is made with, or "unknown" outside a repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    rows: list[dict[str, str]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    done = {tuple(row[f] for f in NoiseRun._fields[:3]) for row in rows}
    note = {"commit": commit(), "torch": torch.__version__.split("+")[0], "machine": machine()}
    torch.set_num_threads(1)
    for job in tqdm([j for j in jobs() if tuple(map(str, j)) not in done]):
        run = run_noise(*job)
        rows.append({f: str(v) for f, v in run._replace(seconds=round(run.seconds, 2))._asdict().items()} | note)
        text = io.StringIO()
        writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(text.getvalue(), encoding="utf-8")
        os.replace(temporary, path)


if __name__ == "__main__":
    main()
