"""Make the table of distilled students again: ``python -m qlab.qat.make_distilled_table`` (about 9 minutes).

As `make_qat_table`: the CSV is rewritten after each run, and what it holds is not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.qat.distilled import DISTILLED_WAYS, PLACE, run_distilled

SEEDS = range(3)
Job = tuple[str, int, int, int, int]


def jobs() -> Iterator[Job]:
    """Yield (way, weight bits, input bits, pictures, seed) of every run of the table."""
    both = ("labels", "wide teacher")
    widths = ((2, 2), (32, 32), (2, 4), (4, 4))
    for pictures, bits in ((600, widths), (100, widths[:2]), (6000, widths[:2])):
        for weight_bits, input_bits in bits:
            for way in both:
                yield from ((way, weight_bits, input_bits, pictures, seed) for seed in SEEDS)
    for way in DISTILLED_WAYS[2:]:
        yield from ((way, 2, 2, 600, seed) for seed in SEEDS)
    yield from (("teacher alone", 2, 2, 6000, seed) for seed in SEEDS)


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_distilled)


if __name__ == "__main__":
    main()
