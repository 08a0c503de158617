"""Figures of quantized students: the bar is the mean, the colour says whether the seeds agree."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from qlab.plots import PALETTE
from qlab.plots.distilled import draw_gains, draw_probabilities


@pytest.mark.row("D1")
def test_the_bar_is_the_mean_and_grey_where_seeds_disagree():
    figure, ax = plt.subplots()
    draw_gains(ax, {"up": [1.0, 2.0, 3.0], "unsure": [-1.0, 2.0], "down": [-1.0, -2.0]})
    widths = [p.get_width() for p in ax.patches]
    colors = [to_hex(p.get_facecolor()) for p in ax.patches]
    plt.close(figure)
    assert widths == pytest.approx([2.0, 0.5, -1.5])
    assert colors == [to_hex(PALETTE[c]) for c in ("blue", "grey", "vermilion")]


@pytest.mark.row("D1")
def test_every_network_has_a_bar_for_every_class():
    figure, ax = plt.subplots()
    draw_probabilities(ax, {"a": [0.2, 0.8], "b": [0.5, 0.5]}, ["x", "y"])
    widths = [p.get_width() for p in ax.patches]
    plt.close(figure)
    assert widths == pytest.approx([0.2, 0.8, 0.5, 0.5])
