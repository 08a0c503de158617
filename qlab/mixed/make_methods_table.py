"""Make the table of all methods again: ``python -m qlab.mixed.make_methods_table`` (about 10 minutes of one core).

Three seeds under five budgets on the MLP and the ConvNet. The CSV is rewritten after each run, under a temporary name,
then renamed; what it holds already is not run again. Each line notes commit, PyTorch and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.mixed.comparison import BUDGETS, METHODS, PLACE, run_method

SEEDS = range(3)
FIXED = ("uniform", "weight noise", "oracle")
Job = tuple[str, str, float, int]


def jobs() -> Iterator[Job]:
    """Yield (network, method, mean bits, seed) of every run of the table."""
    for network in ("mlp", "convnet"):
        for method in METHODS:
            if (network, method) == ("mlp", "KL, distilled"):
                continue  # no BatchNorm to distil from
            for seed in SEEDS if method not in FIXED else (0,):
                yield from ((network, method, bits, seed) for bits in BUDGETS)


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_method)


if __name__ == "__main__":
    main()
