"""The walk over the rate–distortion plane lands where closed forms say."""

import re

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.history.rate_distortion import RatePoint, gaussian_rate
from qlab.plots.plane import step_stop

BOUND = [RatePoint(gaussian_rate(d), d) for d in np.geomspace(1e-3, 0.99, 200)]


@pytest.mark.row("H5", "H8")
@pytest.mark.parametrize("step", [0.25, 0.5, 1.0])
def test_a_stop_lies_where_rounding_a_gaussian_puts_it(step):
    """The codes' entropy is that of the bell and uniform noise (Sheppard), its error Δ²/12."""
    x = np.random.default_rng(0).standard_normal(400_000)
    figure, words = step_stop(x, BOUND, (0.25, 0.5, 1.0), step)
    left, right = figure.axes
    rate, snr = (float(c[0]) for c in right.lines[-1].get_data())
    assert snr == pytest.approx(-10 * np.log10(step**2 / 12), abs=0.05)
    expected = 0.5 * np.log2(2 * np.pi * np.e * (1 + step**2 / 12)) - np.log2(step)
    assert rate == pytest.approx(expected, abs=0.01)
    gap = re.search(r"([\d.]+) bits above R", right.get_title())[1]
    assert float(gap) == pytest.approx(expected - gaussian_rate(step**2 / 12), abs=0.02)
    assert f"{gap} fewer" in words
    edges = [line.get_xdata()[0] for line in left.lines[:-1]]
    np.testing.assert_allclose(np.diff(edges), step)
    plt.close(figure)


@pytest.mark.row("H8")
def test_a_stop_beyond_the_bound_is_refused():
    with pytest.raises(ValueError, match="as far as R"):
        step_stop(np.random.default_rng(0).standard_normal(1000), BOUND, (0.01,), 0.01)
