"""The figures show the data that they were given."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.hardware import Roofline
from qlab.neighbours import SPACE, all_candidates, candidate_bytes, search, tabular
from qlab.plots import use_style
from qlab.plots.search import draw_candidates, draw_roofline, draw_trials

mpl.use("agg")


@pytest.fixture
def ax():
    use_style()
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.fixture(scope="module")
def costs():
    return {c: candidate_bytes(c) for c in all_candidates()}


@pytest.mark.row("B5")
def test_candidates_and_their_front(ax, costs):
    front = draw_candidates(ax, costs, tabular, "bits")
    *groups, stairs = ax.get_lines()
    assert [line.get_label() for line in groups] == [str(b) for b in SPACE["bits"]]
    assert sum(len(line.get_xdata()) for line in groups) == 450
    assert list(stairs.get_xdata())[:-1] == [costs[c] for c in front]
    assert list(stairs.get_ydata()) == sorted(stairs.get_ydata())
    with pytest.raises(ValueError, match="must be a field"):
        draw_candidates(ax, costs, tabular, "colour")


@pytest.mark.row("B5")
def test_trials(ax, costs):
    result = search(budget=2048, trials=20, sampler="random", seed=0)
    draw_trials(ax, result, 12, costs)
    lines = {line.get_label(): line for line in ax.get_lines()}
    trained, over = lines["trained"], lines["over budget: not trained"]
    assert len(trained.get_xdata()) + len(over.get_xdata()) == 12
    assert max(trained.get_xdata()) <= 2048 < min(over.get_xdata())
    assert lines["best so far"].get_ydata()[0] == pytest.approx(100 * result.curve()[11])


@pytest.mark.row("B6")
def test_roofline(ax):
    roof = Roofline(100.0, ((2**15, 80.0), (2**27, 10.0)))
    draw_roofline(ax, roof, {"cache": 2**15, "memory": 2**27}, 0.1, 100)
    near, far = ax.get_lines()
    x, y = near.get_data()
    assert y == pytest.approx(np.minimum(100, 80 * np.asarray(x)))
    assert far.get_ydata()[0] == pytest.approx(1.0)
    assert far.get_ydata()[-1] == 100
