"""Shannon's function: closed forms against Blahut–Arimoto, a convex solver, and the bounds around them."""

import numpy as np
import pytest
from scipy import optimize, stats

from qlab.history import (
    SPACE_FILLING_GAP_BITS,
    SPACE_FILLING_GAP_DB,
    RatePoint,
    bernoulli_rate,
    blahut_arimoto,
    gaussian,
    gaussian_distortion,
    gaussian_rate,
    laplace,
    laplace_absolute_rate,
    shannon_lower_bound,
    source_rate_distortion,
    uniform,
)

pytestmark = pytest.mark.row("H8")
HAMMING = np.array([[0.0, 1.0], [1.0, 0.0]])


def test_gaussian_both_ways():
    for R in (0.0, 0.5, 3.0):
        assert gaussian_rate(gaussian_distortion(R, 2.5), 2.5) == pytest.approx(R)
    assert gaussian_rate(5.0, 2.5) == 0.0
    assert 10 * np.log10(gaussian_distortion(1) / gaussian_distortion(2)) == pytest.approx(6.0206, abs=1e-4)
    assert RatePoint(2.0, 0.25).gap_bits() == pytest.approx(1.0)


def test_the_gap_in_bits_and_decibels():
    assert pytest.approx(0.5 * np.log2(np.pi * np.e / 6)) == SPACE_FILLING_GAP_BITS
    assert pytest.approx(1.5329, abs=5e-5) == SPACE_FILLING_GAP_DB
    assert pytest.approx(20 * np.log10(2) * SPACE_FILLING_GAP_BITS) == SPACE_FILLING_GAP_DB


@pytest.mark.parametrize("p", [0.5, 0.3, 0.05])
@pytest.mark.parametrize("slope", [1.0, 2.0, 4.0, 8.0])
def test_blahut_arimoto_on_a_coin(p, slope):
    found = blahut_arimoto([p, 1 - p], HAMMING, slope, tolerance=1e-9)
    D = found.point.distortion
    assert found.point.rate == pytest.approx(bernoulli_rate(min(D, 0.5), p), abs=1e-6)
    if min(p, 1 - p) > 1 / (1 + np.exp(slope)):  # the slope of h(p) − h(D) is ln((1 − D)/D)
        assert pytest.approx(1 / (1 + np.exp(slope)), abs=1e-5) == D


def test_blahut_arimoto_on_a_die_with_hamming_distortion():
    """m equal symbols: R(D) = log2 m − h(D) − D log2(m − 1)."""
    m, beta = 6, 2.0
    found = blahut_arimoto(np.full(m, 1 / m), 1 - np.eye(m), beta)
    D = (m - 1) / (m - 1 + np.exp(beta))
    R = np.log2(m) + D * np.log2(D) + (1 - D) * np.log2(1 - D) - D * np.log2(m - 1)
    assert (found.point.distortion, found.point.rate) == pytest.approx((D, R), abs=1e-6)


def test_blahut_arimoto_against_a_general_optimizer():
    rng = np.random.default_rng(0)
    p, d, beta = rng.dirichlet(np.ones(4)), rng.random((4, 3)), 5.0

    def objective(logits):  # I + βD over all channels, in nats
        w = np.exp(logits.reshape(4, 3))
        w /= w.sum(axis=1, keepdims=True)
        joint = p[:, None] * w
        return np.sum(joint * np.log(w / joint.sum(axis=0))) + beta * np.sum(joint * d)

    peer = min(optimize.minimize(objective, rng.standard_normal(12)).fun for _ in range(3))
    point = blahut_arimoto(p, d, beta, tolerance=1e-9).point
    assert peer - 1e-3 < point.rate * np.log(2) + beta * point.distortion < peer + 1e-9


@pytest.mark.parametrize("D", [0.8, 0.5, 0.25, 1 / 16])
def test_gaussian_curve_from_numbers(D):
    point = source_rate_distortion(gaussian(), 1 / (2 * D)).point
    assert point.distortion == pytest.approx(D, rel=0.01)
    assert 0 < point.gap_bits() < 2e-3


def test_laplace_lies_between_its_bound_and_the_gaussian():
    for slope in (0.7, 1.0, 2.0, 8.0):
        point = source_rate_distortion(laplace(), slope).point
        assert shannon_lower_bound(laplace(), point.distortion) - 1e-3 < point.rate
        assert point.gap_bits() < 0
    assert point.rate - shannon_lower_bound(laplace(), point.distortion) < 0.02  # tight at small D


def test_laplace_with_absolute_error_has_a_closed_form():
    x = np.linspace(-9, 9, 361)
    p = np.diff(stats.laplace(scale=np.sqrt(0.5)).cdf(np.linspace(-9.025, 9.025, 362)))
    found = blahut_arimoto(p / p.sum(), np.abs(x[:, None] - x), slope=4.0, tolerance=1e-5, steps=3000)
    D = found.point.distortion  # the closed form has slope 1/D
    assert pytest.approx(0.25, abs=0.005) == D
    assert found.point.rate == pytest.approx(laplace_absolute_rate(D), abs=0.01)


def test_shannons_bound_is_exact_for_the_gaussian_only():
    assert shannon_lower_bound(gaussian(2.0), 0.3) == pytest.approx(gaussian_rate(0.3, 4.0))
    assert shannon_lower_bound(uniform(), 0.3) < gaussian_rate(0.3)


def test_the_promised_excess_is_kept():
    rough = blahut_arimoto([0.3, 0.7], HAMMING, 2.0, tolerance=1e-2)
    fine = blahut_arimoto([0.3, 0.7], HAMMING, 2.0, tolerance=1e-12)

    def lagrangian(b):
        return b.point.rate + 2.0 / np.log(2) * b.point.distortion

    assert rough.steps < fine.steps
    assert 0 <= lagrangian(rough) - lagrangian(fine) <= rough.excess <= 1e-2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_rate(0.0), "distortion must be a finite number above 0"),
        (lambda: gaussian_distortion(-1.0), "rate"),
        (lambda: bernoulli_rate(0.1, 1.0), "between 0 and 1"),
        (lambda: blahut_arimoto([0.5, 0.6], HAMMING, 1.0), "sum to 1"),
        (lambda: blahut_arimoto([0.5, 0.5], -HAMMING, 1.0), "non-negative"),
        (lambda: blahut_arimoto([1.0], HAMMING, 1.0), "one row per symbol"),
        (lambda: blahut_arimoto([0.5, 0.5], HAMMING, 0.0), "slope"),
        (lambda: source_rate_distortion(gaussian(), 1.0, points=2), "points"),
        (lambda: shannon_lower_bound(gaussian(), np.inf), "distortion"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
