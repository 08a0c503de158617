"""The figures of cost models show the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.hardware.cost import LayerCost
from qlab.hardware.cost_models import Job
from qlab.hardware.layer_times import Timed
from qlab.hardware.scores import Score
from qlab.plots.cost_models import draw_assignments, draw_equal_macs, draw_prediction, draw_scores

pytestmark = pytest.mark.row("C7")


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_predictions_are_scaled_and_kept_within_the_limits(ax):
    predicted, measured = [1, 2, 4, 1e-9], [10e-6, 20e-6, 40e-6, 5e-6]  # the scale is 10 µs, whatever the outlier
    draw_prediction(ax, predicted, measured, ["dense", "linear", "dense", "linear"], limits=(1, 100))
    dense, linear = (line for line in ax.lines if line.get_label() in ("dense", "linear"))
    assert dense.get_xdata() == pytest.approx([10, 40]) and dense.get_ydata() == pytest.approx([10, 40])
    assert linear.get_xdata() == pytest.approx([20, 1]) and linear.get_ydata() == pytest.approx([20, 5])
    assert dense.get_marker() != linear.get_marker()


def test_scores_stand_in_the_row_of_their_model():
    fig, (order, error) = plt.subplots(1, 2)
    good, bad = Score(0.9, 0.8, 1.1, 2.0), Score(0.1, -0.2, 3.0, 9.0)
    draw_scores(order, error, {"layers": {"MACs": bad, "fit": good}, "networks": {"fit": bad}})
    assert [t.get_text() for t in order.get_yticklabels()] == ["MACs", "fit"]
    layers, networks = (line for line in order.lines if line.get_label() in ("layers", "networks"))
    assert list(layers.get_xdata()) == [-0.2, 0.8] and list(networks.get_xdata()) == [-0.2]
    assert np.round(layers.get_ydata()).tolist() == [0, 1] and np.round(networks.get_ydata()).tolist() == [1]
    assert order.get_xlim()[0] < -0.2 and list(error.lines[0].get_xdata()) == [3.0, 1.1]
    plt.close(fig)


def test_times_and_bytes_are_multiples_of_the_first(ax):
    jobs = [Job(LayerCost(name, "1×1", n, 100, 10, 10)) for name, n in (("a", 20), ("b", 60))]
    draw_equal_macs(ax, {"group": [Timed(jobs[0], 1e-6, 2e-6, 3e-6), Timed(jobs[1], 5e-6, 6e-6, 8e-6)]})
    assert [bar.get_x() + bar.get_width() for bar in ax.patches] == pytest.approx([1, 3])
    diamonds = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert diamonds == pytest.approx([1, 2])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_assignments_are_shares_of_the_last(ax):
    draw_assignments(ax, [1, 2, 4], [3, 1, 2])
    points = ax.lines[1]
    assert points.get_xdata().tolist() == [0.25, 0.5, 1] and points.get_ydata().tolist() == [1.5, 0.5, 1]
    assert ax.texts[0].get_text() == "ρ = -0.50" and ax.get_ylim()[1] > 1.5
