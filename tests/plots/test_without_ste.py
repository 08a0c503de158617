"""The figures of training without the straight-through estimator show what the methods compute."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.plots.without_ste import draw_level_probabilities, draw_prox, draw_sine_penalty, draw_soft_staircase

mpl.use("agg")
pytestmark = pytest.mark.row("T3")


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def curve(ax, number):
    line = ax.get_lines()[number]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_a_blunt_staircase_is_the_clip_and_a_sharp_one_the_staircase(ax):
    draw_soft_staircase(ax, 0.999)
    t, soft = curve(ax, 1)
    assert np.allclose(soft, t.clip(-1, 1), atol=1e-3)
    draw_soft_staircase(ax, 1e-9)
    t, soft = curve(ax, 3)
    away = np.abs(np.abs(t) - 0.5) > 0.1
    assert np.allclose(soft[away], t.clip(-1, 1).round()[away], atol=0.02)


def test_probabilities_add_up_and_the_nearest_level_is_likeliest(ax):
    draw_level_probabilities(ax, 0.1)
    t, _ = curve(ax, 0)
    p = np.stack([curve(ax, k)[1] for k in range(3)])
    assert np.allclose(p.sum(0), 1)
    away = np.abs(np.abs(t) - 0.5) > 0.01
    assert (p.argmax(0)[away] - 1 == t.clip(-1, 1).round()[away]).all()


def test_the_proximal_map_moves_by_its_strength_and_stops_at_the_level(ax):
    draw_prox(ax, 0.2)
    t, after = curve(ax, 1)
    assert np.abs(after - t).max() <= 0.2 + 1e-6
    assert np.allclose(after[np.abs(t) < 0.19], 0)


def test_the_penalty_has_valleys_beyond_the_grid_too(ax):
    draw_sine_penalty(ax, 0.5)
    t, value = curve(ax, 0)
    assert value.max() == pytest.approx(0.5, abs=1e-3)
    assert value[np.abs(np.abs(t) - 2) < 0.01].max() < 0.01
