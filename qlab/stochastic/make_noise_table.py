"""Make the table of noise rates again: ``python -m qlab.stochastic.make_noise_table`` (about 6 minutes).

The CSV is rewritten after each run, under a temporary name, then renamed; what it holds already is not run again. Each
line notes commit, PyTorch and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.stochastic.noise_table import GRIDS, METHODS, PLACE, run_noise

SEEDS = range(3)


def jobs() -> Iterator[tuple[int, str, int]]:
    """Yield (bits, method, seed) of every run of the table."""
    for seed in SEEDS:
        for bits in sorted(GRIDS, reverse=True):
            yield from ((bits, method, seed) for method in (METHODS if bits == 1 else METHODS[:-2]))


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_noise)


if __name__ == "__main__":
    main()
