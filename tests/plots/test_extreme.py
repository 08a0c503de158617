"""The figures of binary and ternary networks show what the equations say."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

from qlab.extreme import approx_sign, hard_tanh
from qlab.plots.extreme import draw_bases, draw_levels, draw_soft_signs

mpl.use("agg")


@pytest.mark.row("E3")
def test_levels_stand_where_the_weights_go():
    fig, ax = plt.subplots()
    error = draw_levels(ax, torch.tensor([-1.0, 0.2, 1.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0, 1.0]), bins=4)
    assert error == pytest.approx(0.04 / 3.04)
    assert [t.get_text() for t in ax.texts] == ["25%", "25%", "50%"]
    assert [t.get_position()[0] for t in ax.texts] == [-1, 0, 1]
    plt.close(fig)


@pytest.mark.row("E5")
def test_slopes_are_the_derivatives_and_bases_are_counted_from_one():
    fig, (left, right) = plt.subplots(1, 2)
    draw_soft_signs(left, right, {"hard tanh": hard_tanh, "Bi-Real": approx_sign})
    assert max(right.get_lines()[1].get_ydata()) == pytest.approx(2, abs=0.01)
    assert [line.get_label() for line in left.get_lines()] == ["sign", "hard tanh", "Bi-Real"]
    draw_bases(right, {"greedy": [0.4, 0.1]})
    assert right.get_lines()[-1].get_xdata().tolist() == [1, 2]
    plt.close(fig)
