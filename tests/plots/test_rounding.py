"""Pictures of rounding say what the numbers say."""

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.history import RULES
from qlab.plots import rounding


@pytest.mark.row("H3")
@pytest.mark.parametrize("step", [0.5, 2.0, 4.0])
def test_bars_of_a_rounded_bell_hold_all_the_mass_and_lie_on_the_blurred_density(step):
    fig = rounding.rounded_bell(step)
    ax = fig.axes[0]
    bars = [(p.get_x() + p.get_width() / 2, p.get_height()) for p in ax.patches]
    assert sum(height * step for _, height in bars) == pytest.approx(1, abs=1e-5)
    blurred = next(line for line in ax.lines if line.get_label() == "x + uniform noise")
    for x, height in bars:
        if abs(x) < 5:
            assert np.interp(x, *blurred.get_data()) == pytest.approx(height, abs=2e-4)
    assert f"expects {1 + step**2 / 12:.3f}" in ax.get_title()
    plt.close(fig)


@pytest.mark.row("H2")
@pytest.mark.parametrize("rule", list(RULES))
def test_the_filled_area_is_the_sum_of_the_rule(rule):
    fig, ax = plt.subplots()
    rounding.draw_rule(ax, rule, np.exp, 0.0, 1.0, 4)
    area = 0.0
    for filled in ax.collections:
        x, y = filled.get_paths()[0].vertices.T
        area += abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    assert area == pytest.approx(RULES[rule](np.exp, 0.0, 1.0, 4), rel=1e-4)
    with pytest.raises(ValueError, match="rule must be one of left"):
        rounding.draw_rule(ax, "Boole", np.exp, 0.0, 1.0, 4)
    plt.close(fig)


@pytest.mark.row("H2")
def test_rules_stand_side_by_side_and_errors_of_zero_are_left_out():
    fig = rounding.rectangles(["left", "Simpson"], np.exp, 0.0, 1.0, 2)
    assert [ax.get_title() for ax in fig.axes] == ["left", "Simpson"]
    plt.close(fig)
    fig, ax = plt.subplots()
    rounding.orders(ax, np.array([1.0, 0.5, 0.25]), {"left": np.array([-0.1, 0.05, 0.0])})
    assert ax.lines[0].get_ydata().tolist() == [0.1, 0.05]
    plt.close(fig)


@pytest.mark.row("H3")
def test_every_network_and_density_is_drawn():
    curve = (np.array([0.1, 1.0]), np.array([1.0, 0.9]))
    fig = rounding.noise_model({"net": ([0.5, 3.0], [1.0, 0.7])}, {"Gaussian": curve, "Laplace": curve})
    assert [text.get_text() for text in fig.axes[0].get_legend().get_texts()] == ["Gaussian", "Laplace", "net"]
    plt.close(fig)
