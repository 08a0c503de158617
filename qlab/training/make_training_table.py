"""Make the table of quantized training again: ``python -m qlab.training.make_training_table`` (about 10 minutes).

The CSV is rewritten after each run, and what it holds is not run again. Each line notes commit, PyTorch and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.training.runs import ACCUMULATORS, PLACE, REMOVED, run_training

SEEDS = range(3)
EPOCHS = 4
Job = tuple[str, str, str, int, int]


def jobs() -> Iterator[Job]:
    """Yield (network, recipe, without, epochs, seed) of every run of the table."""
    plan = [("fp32", "nothing"), ("int8", "nothing"), ("fp8", "nothing"), ("int4", "nothing")]
    plan += [("int8", w) for w in REMOVED[1:] if w not in ("gradient format", "gradient scale")]
    plan += [("fp8", w) for w in REMOVED[1:] if w != "gradient rounding"]
    plan += [("int4", w) for w in ("master", "master, stochastic", "gradient rounding", "everything")]
    for recipe, without in plan:
        yield from (("convnet", recipe, without, EPOCHS, seed) for seed in SEEDS)
    for recipe, without in [("fp32", "nothing"), ("fp8", "nothing"), *(("fp8", a) for a in ACCUMULATORS)]:
        yield from (("mlp", recipe, without, 2, seed) for seed in SEEDS)


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_training)


if __name__ == "__main__":
    main()
