"""Figures of distillation: bars are probabilities, the diagonal is left out, every method is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from qlab.data import load_test
from qlab.plots.distillation import draw_methods, draw_similarity, soft_answers


@pytest.mark.row("B9")
def test_bars_are_softmax():
    logits = torch.tensor([[2.0] + [0.0] * 9, [0.0] * 10])
    figure = soft_answers(load_test()[:2], logits, 2.0)
    bars = [[p.get_width() for p in ax.patches] for ax in figure.axes[2:]]
    plt.close(figure)
    assert np.allclose(bars[0], [np.e / (np.e + 9)] + [1 / (np.e + 9)] * 9)
    assert np.allclose(bars[1], 0.1)


@pytest.mark.row("B9")
def test_diagonal_is_left_out():
    figure, ax = plt.subplots()
    draw_similarity(ax, torch.eye(10) * 0.7 + 0.03, "t")
    texts = [t.get_text() for t in ax.texts]
    plt.close(figure)
    assert texts == ["3"] * 90


@pytest.mark.row("B10")
def test_every_method_is_drawn_with_its_mean():
    figure, ax = plt.subplots()
    draw_methods(ax, {("a", 10): (1, (8000, 9000)), ("a", 20): (1, (7000,)), ("b", 10): (1, (6000,))}, ("a", "b"), 90.0)
    lines = {c.get_label(): c.lines[0].get_data() for c in ax.containers}
    plt.close(figure)
    assert np.allclose(lines["a"][1], [85, 70]) and np.allclose(lines["a"][0], [10, 20])
    assert np.allclose(lines["b"][1], [60])
