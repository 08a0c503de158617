"""Make the table of binary and ternary networks again: ``python -m qlab.extreme.make_extreme_table`` (about 8 minutes).

Every network, method and seed is trained as in `comparison.run_extreme`. The CSV is rewritten after each run, under a
temporary name, then renamed; what it holds already is not run again. Each line notes commit, PyTorch and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.extreme.comparison import METHODS, NETWORKS, PLACE, run_extreme
from qlab.hardware.record import complete

SEEDS = range(3)
EPOCHS = 2
Job = tuple[str, str, int, int]


def jobs() -> Iterator[Job]:
    """Yield (network, method, epochs, seed) of every run of the table; the first is short, to be repeated elsewhere."""
    yield "convnet", "BWN", 1, 0
    for seed in SEEDS:
        for name, method in METHODS.items():
            binary = method.activation is not None or name == "fp32, hard tanh"
            yield "hard tanh" if binary else "convnet", name, EPOCHS, seed
        for network in list(NETWORKS)[2:]:
            yield network, "Bi-Real's sign", EPOCHS, seed


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_extreme)


if __name__ == "__main__":
    main()
