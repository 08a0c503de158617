"""What `import qlab` adds to `import torch`: two fresh interpreters in turns, median of the differences."""

import subprocess
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.slow
TURNS = 7
PROMISED = 0.5  # seconds


def seconds(code: str) -> float:
    """Return what an interpreter takes from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def test_import_adds_little_to_torch(table, benchmark):
    """Differences of neighbours in time: a machine that drifts drifts for both, and the median forgets outliers."""

    def run():
        seconds("import torch, qlab")  # compiles and reads the files
        pairs = []
        for turn in range(TURNS):
            order = ("import torch", "import torch, qlab")[:: 1 if turn % 2 == 0 else -1]
            took = {code: seconds(code) for code in order}
            pairs.append((took["import torch"], took["import torch, qlab"]))
        return np.array(pairs)

    torch_alone, both = benchmark.pedantic(run, rounds=1).T
    low, median, high = np.quantile(both - torch_alone, [0.25, 0.5, 0.75])
    table(f"import torch {np.median(torch_alone):.2f} s; qlab adds {median:.2f} ({low:.2f} to {high:.2f}) s")
    table(f"  {'':>16}   target: below {PROMISED} s")
    assert median < PROMISED
