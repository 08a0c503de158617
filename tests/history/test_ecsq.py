"""Entropy-constrained quantizers against brute force, a general optimizer, closed forms, neighbours on the plane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from qlab.history import (
    ScalarQuantizer,
    ecsq,
    ecsq_samples,
    entropy_coded_uniform,
    gaussian,
    laplace,
    lloyd_max,
    lower_envelope,
    source_rate_distortion,
    uniform,
)

pytestmark = pytest.mark.row("H5", "H8")


@given(st.lists(st.tuples(st.integers(-60, 60), st.floats(0, 20)), min_size=1, max_size=8, unique_by=lambda t: t[0]))
def test_lower_envelope_against_brute_force(pairs):
    y, cost = np.array(sorted(pairs), dtype=float).T
    kept, t = lower_envelope(y, cost)
    assert (np.diff(t) > 0).all()
    x = np.linspace(-80, 80, 1601)
    value = (x[:, None] - y) ** 2 + cost
    chosen = np.array(kept)[np.searchsorted(t, x)]
    np.testing.assert_allclose(value[np.arange(x.size), chosen], value.min(axis=1), atol=1e-8)


@pytest.mark.parametrize("source", [gaussian(), laplace(), uniform(), gaussian(5.0)])
@pytest.mark.parametrize("relative", [0.6, 0.1, 0.01])
def test_objective_falls_and_report_is_true(source, relative):
    lam = relative * source.variance
    found = ecsq(source, lam)
    assert all(b <= a * (1 + 1e-12) for a, b in zip(found.objective, found.objective[1:], strict=False))
    assert found.point.distortion == pytest.approx(found.quantizer.distortion(source), rel=1e-6)
    assert found.point.rate == pytest.approx(found.quantizer.rate(source), abs=1e-6)
    assert found.objective[-1] == pytest.approx(found.point.distortion + lam * found.point.rate)


def test_three_levels_of_the_gaussian_by_hand():
    """Thresholds ±t: p = Q(t), outer mean φ(t)/p, D = 1 − 2φ²/p, H in closed form; the best t by a scalar search."""
    lam = 0.45

    def point(t):
        p, phi = special.ndtr(-t), stats.norm.pdf(t)
        return 1 - 2 * phi**2 / p, stats.entropy([p, 1 - 2 * p, p], base=2)

    best = optimize.minimize_scalar(lambda t: point(t)[0] + lam * point(t)[1], bounds=(0.5, 3), method="bounded")
    found = ecsq(gaussian(), lam)
    # farther levels add a hair: the outermost cells hold less than 10⁻⁴ of the mass
    assert found.objective[-1] == pytest.approx(best.fun, rel=1e-4)
    assert found.objective[-1] <= best.fun
    assert np.abs(found.quantizer.thresholds[np.abs(found.quantizer.thresholds) < 2]) == pytest.approx(best.x, abs=2e-3)


def test_against_a_general_optimizer():
    """Nelder–Mead over the thresholds of seven levels, centroids as outputs."""
    lam, source = 0.2, gaussian()

    def objective(t):
        t = np.sort(t)
        if np.diff(t).min() < 1e-6:
            return np.inf
        m0, m1, m2 = source.cell_moments(np.concatenate([[-np.inf], t, [np.inf]]))
        if m0.min() < 1e-12:
            return np.inf
        return np.sum(m2 - m1**2 / m0) + lam * stats.entropy(m0, base=2)

    start = [-3.2, -1.9, -0.7, 0.7, 1.9, 3.2]
    peer = optimize.minimize(
        objective, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10, "maxfev": 2000}
    ).fun
    best = ecsq(source, lam).objective[-1]
    assert best <= peer + 1e-9
    assert best > 0.9995 * peer


def test_no_random_start_does_better():
    rng, lam, found = np.random.default_rng(0), 0.3, ecsq(gaussian(), 0.3).objective[-1]
    for _ in range(20):
        t = np.sort(rng.normal(size=rng.integers(1, 9)) * 2)
        m0, m1, m2 = gaussian().cell_moments(np.concatenate([[-np.inf], t, [np.inf]]))
        assert np.sum(m2 - m1**2 / m0) + lam * stats.entropy(m0, base=2) >= found


@pytest.mark.parametrize("source", [gaussian(), laplace()])
def test_its_place_on_the_plane(source):
    for lam in (0.3, 0.1, 0.03):
        point = ecsq(source, lam).point
        shannon = source_rate_distortion(source, np.log(2) / lam / 1).point  # dD/dR = −λ on both curves
        assert shannon.distortion + lam * shannon.rate < point.distortion + lam * point.rate
        for step in np.sqrt(6 * lam / np.log(2)) * np.array([0.7, 1.0, 1.4]):
            rival = entropy_coded_uniform(source, step, output="mean")
            assert point.distortion + lam * point.rate <= rival.distortion + lam * rival.rate + 1e-9
        fixed = lloyd_max(source, 4)
        assert point.distortion + lam * point.rate < fixed.distortion(source) + lam * fixed.rate(source)


def test_high_rate_gap():
    assert ecsq(gaussian(), 0.002).point.gap_bits() == pytest.approx(0.2546, abs=2e-4)


def test_dear_bits_leave_one_level_and_none():
    found = ecsq(gaussian(), 5.0)
    assert (found.point.rate, found.point.distortion) == pytest.approx((0.0, 1.0))
    assert found.quantizer.levels.tolist() == pytest.approx([0.0], abs=1e-12)


def test_samples_agree_with_the_density_and_with_themselves():
    x = laplace().sample(200_000, seed=0) + 7.0
    found, theory = ecsq_samples(x, 0.1), ecsq(laplace(), 0.1)
    assert found.objective[-1] == pytest.approx(theory.objective[-1], rel=0.01)
    q = found.quantizer
    assert np.mean((x - q(x)) ** 2) == pytest.approx(found.point.distortion, rel=1e-9)
    assert stats.entropy(np.bincount(q.encode(x)), base=2) == pytest.approx(found.point.rate, abs=1e-9)


def test_a_constant_costs_nothing():
    found = ecsq_samples(np.full(5, 3.0), 0.1)
    assert isinstance(found.quantizer, ScalarQuantizer)
    assert found.quantizer(np.full(2, 3.0)).tolist() == [3.0, 3.0]
    assert (found.point.rate, found.point.distortion) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ecsq(gaussian(), 0.0), ValueError, "lam must be a finite number above 0"),
        (lambda: ecsq(gaussian(), 1e-12), ValueError, "lam must be larger"),
        (lambda: ecsq(gaussian(), 0.1, steps=0), ValueError, "steps"),
        (lambda: ecsq_samples(np.array([1, 2]), 0.1), TypeError, "real numbers"),
        (lambda: ecsq_samples([], 0.1), ValueError, "empty"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
