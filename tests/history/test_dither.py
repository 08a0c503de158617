"""Dither: exact conditional errors against closed forms and sampling; Schuchman's condition decides."""

import numpy as np
import pytest
from scipy import stats

from qlab.history import Dither, conditional_error, dithered_quantize, schuchman

pytestmark = pytest.mark.row("H10")
X = np.linspace(-3.1, 2.9, 61)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("step", [0.5, 1.0, 2.0])
def test_subtractive_error_forgets_the_signal(order, step):
    found = conditional_error(X, step, Dither(order))
    np.testing.assert_allclose(found.mean, 0, atol=1e-12)
    np.testing.assert_allclose(found.variance, step**2 / 12, atol=1e-12)


def test_non_subtractive_uniform_frees_the_mean_only():
    f = X - np.floor(X)
    found = conditional_error(X, 1.0, Dither(1), subtractive=False)
    np.testing.assert_allclose(found.mean, 0, atol=1e-12)
    np.testing.assert_allclose(found.variance, f * (1 - f), atol=1e-12)  # as for stochastic rounding


def test_non_subtractive_triangular_frees_the_variance_too():
    found = conditional_error(X, 0.5, Dither(2), subtractive=False)
    np.testing.assert_allclose(found.mean, 0, atol=1e-12)
    np.testing.assert_allclose(found.variance, 0.25 / 4, atol=1e-12)


def test_no_dither_is_plain_rounding():
    for subtractive in (True, False):
        found = conditional_error(X, 1.0, Dither(0), subtractive=subtractive)
        np.testing.assert_allclose(found.mean, np.rint(X) - X)
        np.testing.assert_array_equal(found.variance, 0)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("width", [0.5, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("subtractive", [True, False])
def test_exact_integral_against_sampling(order, width, subtractive):
    rng, dither, x = np.random.default_rng(0), Dither(order, width), np.array([-0.63, 0.0, 0.21, 1.5])
    e = dithered_quantize(np.tile(x, (100_000, 1)), 1.0, dither, rng, subtractive=subtractive) - x
    found = conditional_error(x, 1.0, dither, subtractive=subtractive)
    np.testing.assert_allclose(e.mean(axis=0), found.mean, atol=0.012)
    np.testing.assert_allclose(e.var(axis=0), found.variance, atol=0.02)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("width", [0.5, 1.0, 1.5, 2.0])
def test_schuchmans_condition_is_the_one_that_matters(order, width):
    """It holds exactly where the subtractive error's variance is the same for every x."""
    dither = Dither(order, width)
    found = conditional_error(X, 1.0, dither)
    constant = bool(np.ptp(found.variance) < 1e-9 and np.abs(found.mean).max() < 1e-9)
    assert schuchman(dither) == constant == (order > 0 and width == int(width))


def test_subtractive_error_is_uniform_and_independent():
    rng = np.random.default_rng(1)
    x = 3 * np.sin(np.arange(50_000) / 50)
    e = dithered_quantize(x, 1.0, Dither(1), rng) - x
    assert stats.kstest(e, stats.uniform(-0.5, 1).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(e, x)[0, 1]) < 0.02
    assert abs(np.corrcoef(e**2, x**2)[0, 1]) < 0.02
    plain = dithered_quantize(0.3 * np.sin(np.arange(50_000) / 50), 1.0, Dither(0), rng)
    assert (plain == 0).all()  # a quiet tone is simply gone


def test_moments_and_characteristic_function_of_the_dither():
    for order in (1, 2):
        w = Dither(order, 1.3).sample(200_000, 0.5, np.random.default_rng(2))
        assert w.var() == pytest.approx(Dither(order, 1.3).variance(0.5), rel=0.02)
        for f in (0.3, 0.9):
            empirical = np.mean(np.cos(2 * np.pi * f * w / 0.5))
            assert Dither(order, 1.3).characteristic(f) == pytest.approx(empirical, abs=0.01)


def test_seeds_repeat():
    a, b = (dithered_quantize(X, 0.3, Dither(2), np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Dither(3), ValueError, "order must be an integer from 0 to 2, got 3"),
        (lambda: Dither(1, 0.0), ValueError, "width"),
        (lambda: dithered_quantize([0.1], 0.0, Dither(1), np.random.default_rng(0)), ValueError, "step"),
        (lambda: conditional_error([np.nan], 1.0, Dither(1)), ValueError, "finite"),
        (lambda: conditional_error(np.array([1]), 1.0, Dither(1)), TypeError, "real numbers"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
