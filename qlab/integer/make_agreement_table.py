"""Make the table of agreement again: ``python -m qlab.integer.make_agreement_table`` (about 6 minutes).

Every network of the zoo in every way, on all 10,000 test pictures. The CSV is rewritten after each run, under a
temporary name, then renamed; what it holds already is not run again. Each line notes commit, PyTorch and machine: what
comes out for "qdq, fused, int8" depends on the processor.

Survey-map row: F1.
"""

from __future__ import annotations

from pathlib import Path

from qlab.hardware.record import complete
from qlab.integer.agreement import PLACE, WAYS, agreement
from qlab.zoo import names


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, [(network, way) for network in names() for way in WAYS], agreement)


if __name__ == "__main__":
    main()
