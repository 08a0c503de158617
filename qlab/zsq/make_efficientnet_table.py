"""Make the table of EfficientNet-Lite0 again: ``python -m qlab.zsq.make_efficientnet_table`` (about 15 minutes).

As `qlab.qat.make_qat_table`: the CSV is rewritten after each run, and what it holds is not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.zsq.efficientnet_comparison import METHODS, PLACE, run

ROUNDING = ("SQuant", "GPTQ", "AdaRound", "AdaQuant", "BRECQ")
TUNED = ("no data: GDFQ", "no data: ZAQ", "no data: DeepInversion")
DATA_FREE = tuple(name for name in METHODS if name.startswith("no data") and name not in TUNED)
AT_EIGHT_BITS = ("min/max", "OMSE", "bias, analytic", "SQuant", *DATA_FREE)
AT_SIX_BITS = ("min/max", "OMSE", "equalized, ceilings", "bias, analytic", "bias, empirical", "all together", *ROUNDING)
AT_FOUR_BITS = ("min/max", "SQuant", "GPTQ", "AdaRound")


def jobs() -> Iterator[tuple[str, int, str]]:
    """Yield (method, bits of the weights, granularity) of every row: rounding matters below 8 bits."""
    yield from ((method, 8, "tensor") for method in METHODS if method not in (*ROUNDING, *TUNED))
    yield from ((method, 8, "channel") for method in AT_EIGHT_BITS)
    yield from ((method, 6, "channel") for method in (*AT_SIX_BITS, "no data: SQuant"))
    yield from ((method, 4, "channel") for method in AT_FOUR_BITS)
    yield from ((m, b, g) for b, g in ((8, "tensor"), (8, "channel"), (6, "channel")) for m in TUNED)


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run)


if __name__ == "__main__":
    main()
