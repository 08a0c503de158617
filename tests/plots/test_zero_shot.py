"""Figures of zero-shot quantization: every picture, every channel and every seed is drawn where it belongs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from qlab.plots.zero_shot import draw_channel_ranges, draw_ladder, draw_statistics, picture_rows
from qlab.zsq import Match


@pytest.mark.row("Z3", "Z4")
def test_every_picture_is_drawn_on_the_scale_of_its_row():
    rows = {"a": torch.rand(3, 1, 4, 4), "b": 10 * torch.rand(3, 1, 4, 4)}
    figure = picture_rows(rows, ["x", "y", "z"])
    images = [ax.images[0] for ax in figure.axes]
    drawn = [np.asarray(image.get_array()) for image in images]
    limits = [image.get_clim() for image in images]
    labels = [ax.get_xlabel() for ax in figure.axes[3:]]
    plt.close(figure)
    assert np.allclose(drawn[4], rows["b"][1, 0].numpy())
    assert limits[0] == limits[2] == (float(rows["a"].min()), float(rows["a"].max()))
    assert labels == ["x", "y", "z"]
    with pytest.raises(ValueError, match="same number"):
        picture_rows({"a": torch.rand(3, 1, 4, 4), "b": torch.rand(2, 1, 4, 4)})


@pytest.mark.row("Z3")
def test_statistics_stand_at_remembered_and_found():
    match = Match("bn", torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor([0.5, 0.6]), torch.ones(2))
    figure, axes = plt.subplots(1, 2)
    draw_statistics(axes, {"noise": [match, match]})
    left, right = axes[0].lines[0].get_data(), axes[1].lines[0].get_data()
    plt.close(figure)
    assert np.allclose(left[0], [0.5, 0.6, 0.5, 0.6]) and np.allclose(left[1], [1, 2, 1, 2])
    assert np.allclose(right[1], [3, 4, 3, 4])


@pytest.mark.row("Z1")
def test_ranges_are_shares_of_the_widest_channel():
    figure, ax = plt.subplots()
    draw_channel_ranges(ax, {"before": torch.tensor([1.0, 4.0, 2.0])}, 127)
    heights = ax.lines[0].get_ydata()
    plt.close(figure)
    assert np.allclose(heights, [127, 63.5, 31.75])


@pytest.mark.row("Z4")
def test_bars_of_the_ladder_are_means():
    figure, ax = plt.subplots()
    draw_ladder(ax, {"noise": (5000, 7000), "noise, tuned": (8000,)}, 90.0)
    bars = [patch.get_width() for patch in ax.patches]
    names = [t.get_text() for t in ax.get_yticklabels()]
    plt.close(figure)
    assert bars == [60, 80] and names == ["noise", "noise, tuned"]
