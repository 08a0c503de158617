"""Make the table of compressed networks again: ``python -m qlab.vector.make_vector_table`` (about 8 minutes).

Every network, method, setting and seed is run as in `comparison.run_vector`. The CSV is rewritten after each run, under
a temporary name, then renamed; what it holds already is not run again. Each line notes commit, PyTorch and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlab.hardware.record import complete
from qlab.vector.comparison import PLACE, run_vector

EPOCHS = 2
NETWORKS = {"mlp": (8, 3), "convnet": (9, 2)}
"""By name: numbers in a large block (a 3×3 kernel in the ConvNet), and seeds."""
Job = tuple[str, str, str, int, int]


def jobs() -> Iterator[Job]:
    """Yield (network, method, setting, epochs of tuning, seed) of every run of the table."""
    for network, (d, seeds) in NETWORKS.items():
        for b in (2, 3, 4):
            yield network, "uniform", f"b={b}", 0, 0
        for b in (1, 2, 3, 4):
            yield network, "k-means", f"b={b}", 0, 0
        for p in (0.5, 0.7, 0.8, 0.9):
            yield network, "Deep Compression", f"p={p} b=4", 0, 0
        for seed in range(seeds):
            for size, k in ((d, 16), (d, 64), (4, 16), (4, 64), (4, 256)):
                for method in ("PQ", "PQ, activations"):
                    yield network, method, f"d={size} k={k}", 0, seed
            for stages in (1, 2, 3):
                for method in ("RVQ", "additive")[: min(stages, 2)]:
                    yield network, method, f"d={d} k=16 T={stages}", 0, seed
        for seed in range(seeds):
            for b in (2, 3, 4):
                yield network, "uniform", f"b={b}", EPOCHS, seed
            for b in (1, 2, 3):
                yield network, "k-means", f"b={b}", EPOCHS, seed
            for size, k in ((d, 16), (d, 64), (4, 16), (4, 64)):
                yield network, "PQ", f"d={size} k={k}", EPOCHS, seed
            for size, k in ((d, 64), (4, 16)):
                yield network, "PQ, activations", f"d={size} k={k}", EPOCHS, seed
            yield network, "RVQ", f"d={d} k=16 T=2", EPOCHS, seed
            for p, b in ((0.7, 4), (0.8, 4), (0.8, 3), (0.9, 4), (0.9, 3)):
                yield network, "Deep Compression", f"p={p} b={b}", EPOCHS, seed


def main(path: Path = PLACE) -> None:
    """Run what is missing."""
    complete(path, jobs(), run_vector)


if __name__ == "__main__":
    main()
