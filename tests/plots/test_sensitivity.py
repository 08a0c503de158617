"""Bars of the right height at the right place, kinds told apart by hatching."""

import matplotlib.pyplot as plt
import pytest

from qlab.history.networks import Sensitivity
from qlab.plots.sensitivity import draw_sensitivity


def layer(name, divergence):
    return Sensitivity(name, 10, 20.0, 20.0, 0.1, 0.0, divergence)


@pytest.mark.row("H12")
def test_bars_are_the_divergences():
    fig, ax = plt.subplots()
    draw_sensitivity(ax, [layer("a", 0.5), layer("b", 0.01), layer("c", 0.1)], ["other", "depthwise", "other"], "t")
    bars = {round(p.get_x() + p.get_width() / 2): p for p in ax.patches}
    assert [bars[i].get_height() for i in range(3)] == [0.5, 0.01, 0.1]
    assert bars[0].get_hatch() != bars[1].get_hatch()
    assert bars[0].get_hatch() == bars[2].get_hatch()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    assert ax.get_yscale() == "log"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["other", "depthwise"]
    plt.close(fig)


@pytest.mark.row("H12")
def test_one_kind_needs_no_legend_and_bad_input_is_refused():
    fig, ax = plt.subplots()
    draw_sensitivity(ax, [layer("a", 0.5), layer("b", 0.0)])
    assert ax.get_legend() is None
    assert len(ax.patches) == 2
    with pytest.raises(ValueError, match="at least one"):
        draw_sensitivity(ax, [])
    with pytest.raises(ValueError, match="as many as layers"):
        draw_sensitivity(ax, [layer("a", 0.5)], ["x", "y"])
    plt.close(fig)
