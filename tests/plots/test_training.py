"""Figures of quantized training: shares add up, every seed has a dot, a divergence is written."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from qlab.plots.training import draw_magnitudes, draw_runs


@pytest.mark.row("F4")
def test_shares_are_of_all_numbers_zeros_included():
    figure, ax = plt.subplots()
    draw_magnitudes(ax, {"x": torch.tensor([0.0, 0.3, 0.3, 2.5])}, {"fp": (2.0**-9, 448.0)})
    values, edges = ax.patches[0].get_data()[:2]
    plt.close(figure)
    assert values.sum() == pytest.approx(75)
    assert values[np.searchsorted(edges, -2, side="right") - 1] == pytest.approx(50)
    assert "fp" in [t.get_text() for t in ax.texts]


@pytest.mark.row("F4")
def test_every_seed_has_a_dot_and_a_divergence_is_written():
    figure, ax = plt.subplots()
    draw_runs(ax, {"a": [70.0, 72.0], "b": [float("nan"), 50.0], "c": [float("nan")] * 2}, 75.0)
    dots = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "o"]
    texts = [t.get_text() for t in ax.texts]
    plt.close(figure)
    assert dots == [[70.0, 72.0], [50.0]] and texts == ["1 of 2 diverged", "2 of 2 diverged"]
