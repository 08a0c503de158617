"""Make the table of training without the straight-through estimator: ``python -m qlab.qat.make_without_ste_table``.

About 9 minutes. As `make_qat_table`: the CSV is rewritten after each run, and what it holds is not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.qat.make_qat_table import SEEDS, Job
from qlab.qat.without_ste import PLACE, WAY_VARIANTS, WAYS, run_way


def jobs() -> Iterator[Job]:
    """Yield (network, method, bits, epochs, seed) of every run of the table."""
    yield from (("convnet", "round at the end", bits, 0, 0) for bits in (2, 3))
    for bits, methods in ((2, [*WAYS, *WAY_VARIANTS]), (3, [*WAYS])):
        for method in methods:
            yield from (("convnet", method, bits, 2, seed) for seed in SEEDS)


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_way)


if __name__ == "__main__":
    main()
