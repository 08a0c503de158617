"""The figure of latencies shows medians, quartiles and what is not resolved."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.hardware.latency import LatencyTable
from qlab.plots.latency import draw_latency


@pytest.mark.row("W1")
def test_medians_and_quartiles_are_where_they_belong_and_noise_is_hollow():
    turns = np.array([[[1.0, 2, 3], [2, 4, 6]], [[5.0, 4, 6], [5, 5, 5]]])
    table = LatencyTable(("a", "b"), (4, 8), turns, 1, 1, "avx2", "here")
    fig, ax = plt.subplots()
    draw_latency(ax, table, (4,), names=("conv", "fc"))
    first, second = (line for line in ax.lines if line.get_marker() == "o")
    assert first.get_ydata().tolist() == [0.5] and second.get_ydata().tolist() == [1.0]
    assert second.get_markerfacecolor() == "white" != first.get_markerfacecolor()
    assert ax.lines[2].get_ydata().tolist() == [0.9, 1.1]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["conv", "fc"]
    plt.close(fig)
