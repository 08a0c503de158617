"""Make the table of orders of compression again: ``python -m qlab.neighbours.make_coupled_table`` (about 2 minutes).

The CSV is rewritten after each run, and what it holds is not run again. Each line notes commit, PyTorch and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from qlab.hardware.record import complete
from qlab.neighbours.coupled import ORDERS, PLACE, run_coupled

SEEDS = range(2)
SIZES = ((2, 0.9, 0), (2, 0.9, 1))
Job = tuple[str, int, float, int, int]


def jobs() -> Iterator[Job]:
    """Yield (order, bits, sparsity, taught, seed) of every run of the table."""
    for bits, sparsity, taught in SIZES:
        yield from ((order, bits, sparsity, taught, seed) for order, seed in product(ORDERS, SEEDS))


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_coupled)


if __name__ == "__main__":
    main()
