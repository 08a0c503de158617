"""What the figures of mixed precision show is what they were given."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.mixed import ground_truth, methods_table, pareto_front
from qlab.plots.mixed import draw_cloud, draw_lost, draw_sums


@pytest.mark.row("M5")
def test_cloud_has_all_and_the_front():
    truth = ground_truth("mlp")
    fig, ax = plt.subplots()
    draw_cloud(ax, truth, {"uniform": [(0, 0, 0), (1, 1, 1)]})
    cloud, front, uniform = ax.lines
    assert len(cloud.get_xdata()) == 125
    at = pareto_front(truth.nbytes, -truth.accuracy)
    np.testing.assert_allclose(front.get_ydata()[:-1], 100 * truth.accuracy[at])
    np.testing.assert_allclose(uniform.get_xdata(), truth.nbytes[[0, truth.index((1, 1, 1))]] / 1000)
    assert uniform.get_label() == "uniform"
    plt.close(fig)


@pytest.mark.row("M5")
def test_lost_are_means_with_their_reach():
    runs = [r for r in methods_table() if r.network == "mlp"]
    fig, ax = plt.subplots()
    draw_lost(ax, runs, ["uniform", "KL"], {2.25: "2¼", 3.0: "3"})
    assert [t.get_text() for t in ax.get_yticklabels()] == ["uniform", "KL"]
    lost = np.mean([100 * r.lost for r in runs if (r.method, r.mean_bits) == ("KL", 2.25)])
    assert ax.lines[0].get_xdata()[1] == pytest.approx(lost)
    with pytest.raises(ValueError, match="none of guess"):
        draw_lost(ax, runs, ["guess"], {3.0: "3"})
    plt.close(fig)


@pytest.mark.row("M3")
def test_sums_are_drawn_as_given():
    fig, ax = plt.subplots()
    draw_sums(ax, [0.1, 1.0], [0.2, 0.9])
    assert ax.lines[0].get_xdata().tolist() == [0.1, 1.0] and ax.get_yscale() == "log"
    plt.close(fig)
