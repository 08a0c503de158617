"""Make the table of quantization-aware training again: ``python -m qlab.qat.make_qat_table`` (about 20 minutes).

Every method, number of bits and seed is trained as in `comparison.run_qat`. The CSV is rewritten after each run, under
a temporary name, then renamed; what it holds already is not run again. Each line notes commit, PyTorch and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.qat.comparison import METHODS, PLACE, VARIANTS, run_qat

SEEDS = range(3)
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


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_qat)


if __name__ == "__main__":
    main()
