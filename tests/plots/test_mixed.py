"""What the figures of mixed precision show is what they were given."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.mixed import ground_truth, methods_table, pareto_front
from qlab.plots.mixed import budget_stop, draw_cloud, draw_lost, draw_sums


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


@pytest.mark.row("M5")
@pytest.mark.parametrize("bits", [2.25, 3.0, 4.0])
def test_a_stop_of_the_budget_shows_the_best_and_what_was_chosen(bits):
    truth = ground_truth("mlp")
    limit = truth.space.budget(bits)
    figure, words = budget_stop(truth, limit, {"least": (0, 0, 0)})
    left, right = figure.axes
    best = next(line for line in left.lines if line.get_label() == "best")
    fits = [(a, n) for a, n in zip(truth.accuracy, truth.nbytes, strict=True) if n <= limit]
    assert best.get_ydata()[0] == pytest.approx(100 * max(fits)[0])
    front = pareto_front(truth.nbytes, -truth.accuracy)
    assert best.get_xdata()[0] * 1000 in truth.nbytes[front]  # it walks on the front
    shown = [text.get_text() for text in right.texts]
    assert shown[3:] == ["2", "2", "2"]
    lost = 100 * (max(fits)[0] - truth.accuracy[0])
    assert "-".join(shown[:3]) in words and f"least 2-2-2, {lost:.1f} below" in words
    plt.close(figure)


@pytest.mark.row("M5")
def test_a_stop_refuses_what_does_not_fit():
    truth = ground_truth("mlp")
    with pytest.raises(ValueError, match="but all takes 8-8-8"):
        budget_stop(truth, truth.space.budget(3.0), {"all": (4, 4, 4)})
