"""Sheppard's corrections against exact sums, sampling, and the place where they break."""

import numpy as np
import pytest
from scipy import stats

from qlab.history import (
    Moments,
    central_moments,
    rounded_gaussian_moments,
    rounded_gaussian_variance,
    sheppard_correction,
)

pytestmark = pytest.mark.row("H3")


def test_central_moments_against_scipy():
    x = np.random.default_rng(0).gamma(2.0, size=500)
    m = central_moments(x)
    assert (m.mu2, m.mu3, m.mu4) == pytest.approx(tuple(stats.moment(x, k) for k in (2, 3, 4)))


@pytest.mark.parametrize("step", [0.1, 0.5, 1.0, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_sum_over_the_grid_equals_characteristic_function(sigma, step):
    exact = rounded_gaussian_moments(sigma, step)
    assert exact.mu2 == pytest.approx(rounded_gaussian_variance(sigma, step), rel=1e-10, abs=1e-10)


def test_exact_moments_against_sampling():
    x = 0.3 + 1.0 * np.random.default_rng(1).standard_normal(400_000)
    got, exact = central_moments(1.5 * np.rint(x / 1.5)), rounded_gaussian_moments(1.0, 1.5, mean=0.3)
    assert got.mean == pytest.approx(exact.mean, abs=0.01)
    assert (got.mu2, got.mu4) == pytest.approx((exact.mu2, exact.mu4), rel=0.02)


@pytest.mark.parametrize("mean", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("step", [0.25, 0.5, 0.8])
def test_correction_is_right_while_the_step_is_small(step, mean):
    m = sheppard_correction(rounded_gaussian_moments(1.0, step, mean), step)
    assert (m.mean, m.mu2, m.mu3, m.mu4) == pytest.approx((mean, 1.0, 0.0, 3.0), abs=1e-9)
    raw = rounded_gaussian_moments(1.0, step, mean)
    assert raw.mu2 - 1 == pytest.approx(step**2 / 12, rel=1e-6)


def test_it_breaks_near_two_sigma_as_the_first_neglected_term_says():
    errors = []
    for step in (1.0, 1.5, 2.0, 2.5):
        corrected = sheppard_correction(rounded_gaussian_moments(1.0, step), step).mu2
        first = -(4 + step**2 / np.pi**2) * np.exp(-2 * np.pi**2 / step**2)
        assert corrected - 1 == pytest.approx(first, rel=1e-3)
        errors.append(abs(corrected - 1) / (step**2 / 12))  # against the size of the correction itself
    assert errors[0] < 1e-6
    assert 0.05 < errors[2] < 0.2
    assert errors[3] > 0.3


def test_uniform_density_correction_of_fourth_moment_is_exact_noise_algebra():
    """Adding U(−Δ/2, Δ/2) gives μ₄ + 6μ₂Δ²/12 + Δ⁴/80; the correction must undo that."""
    mu2, mu4, d = 0.7, 2.3, 0.9
    noisy = Moments(0.0, mu2 + d**2 / 12, 0.0, mu4 + mu2 * d**2 / 2 + d**4 / 80)
    got = sheppard_correction(noisy, d)
    assert (got.mu2, got.mu4) == pytest.approx((mu2, mu4), rel=1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sheppard_correction(Moments(0.0, 1.0, 0.0, 3.0), 0.0), "step must be a finite number above 0"),
        (lambda: rounded_gaussian_moments(-1.0, 1.0), "sigma"),
        (lambda: central_moments([]), "empty"),
        (lambda: central_moments([np.nan]), "finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
