"""Make the table of trainings on a grid again: ``python -m qlab.stochastic.make_grid_table`` (about 3 minutes).

The CSV is rewritten after each run, under a temporary name, then renamed; what it holds already is not run again. Each
line notes commit, PyTorch and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.stochastic.grid_runs import PLACE, run_on_grid

BITS = ("3", "4", "6", "8", "10", "12")
SEEDS = range(3)
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
    complete(path, jobs(), run_on_grid)


if __name__ == "__main__":
    main()
