"""Figures of post-training quantization: every channel and every method is drawn where it belongs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from qlab.plots.ptq import draw_accuracies, draw_link, draw_shifts


@pytest.mark.row("T5")
def test_channels_keep_the_order_of_the_first_entry():
    figure, ax = plt.subplots()
    draw_shifts(ax, {"before": torch.tensor([0.3, -0.2, 0.1]), "after": torch.tensor([1.0, 2.0, 3.0])})
    drawn = [line.get_ydata().tolist() for line in ax.lines[:2]]
    plt.close(figure)
    assert np.allclose(drawn, [[-0.2, 0.1, 0.3], [2.0, 3.0, 1.0]])


@pytest.mark.row("T7")
def test_ranges_are_shares_of_their_own_layer():
    figure, ax = plt.subplots()
    draw_link(ax, torch.tensor([4.0, 1.0]), torch.tensor([1.0, 2.0]), "t")
    drawn = [line.get_ydata().tolist() for line in ax.lines]
    plt.close(figure)
    assert np.allclose(drawn, [[0.25, 1.0], [1.0, 0.5]])
    assert ax.get_yscale() == "log"


@pytest.mark.row("T6")
def test_every_method_has_its_row_from_the_top():
    figure, ax = plt.subplots()
    draw_accuracies(ax, {"a": [10.0, 20.0], "b": [30.0, 40.0]}, ["first", "second"])
    drawn = [line.get_xdata().tolist() for line in ax.lines]
    labels = [t.get_text() for t in ax.get_yticklabels()]
    bottom, top = ax.get_ylim()
    plt.close(figure)
    assert drawn == [[10.0, 20.0], [30.0, 40.0]]
    assert labels == ["first", "second"] and bottom > top
