"""Make the table of BatchNorm and oscillations again: ``python -m qlab.qat.make_batchnorm_table`` (about 5 minutes).

As `make_qat_table`: the CSV is rewritten after each run, and what it holds is not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.qat.batchnorm_comparison import PLACE, TREATMENTS, run_batchnorm
from qlab.qat.make_qat_table import SEEDS, Job

SEPARABLE = ("plain", "dampened", "weights frozen")


def jobs() -> Iterator[Job]:
    """Yield (network, method, bits, epochs, seed) of every run of the table."""
    yield from ((network, "plain", bits, 0, 0) for network in ("convnet", "separable") for bits in (2, 3, 4))
    for network, methods in (("convnet", TREATMENTS), ("separable", SEPARABLE)):
        for method in methods:
            yield from ((network, method, 2, 1, seed) for seed in SEEDS)


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_batchnorm)


if __name__ == "__main__":
    main()
