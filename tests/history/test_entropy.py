"""Entropy against SciPy; the entropy-coded uniform quantizer against closed forms and sampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qlab.history import (
    SPACE_FILLING_GAP_BITS,
    code_entropy,
    cross_entropy,
    entropy,
    entropy_coded_uniform,
    entropy_coded_uniform_samples,
    gaussian,
    kl_divergence,
    laplace,
    pmf,
    shannon_lower_bound,
    uniform,
)

pytestmark = pytest.mark.row("H5")
counts = st.lists(st.integers(0, 50), min_size=2, max_size=20).filter(any)


@given(counts, st.randoms(use_true_random=False))
def test_entropies_against_scipy(n, random):
    p = np.array(n) / sum(n)
    q = np.array([random.random() + 0.01 for _ in n])
    q /= q.sum()
    assert entropy(p) == pytest.approx(stats.entropy(p, base=2), abs=1e-12)
    assert kl_divergence(p, q) == pytest.approx(stats.entropy(p, q, base=2), abs=1e-12)
    assert cross_entropy(p, q) >= entropy(p) - 1e-12
    assert 0 <= entropy(p) <= np.log2(len(n)) + 1e-12


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=100))
def test_pmf_counts(codes):
    symbols, p = pmf(codes)
    assert symbols.tolist() == sorted(set(codes))
    assert (p * len(codes)).tolist() == pytest.approx([codes.count(s) for s in symbols])
    assert code_entropy(codes) == pytest.approx(entropy(p))


def test_what_q_forbids_costs_infinitely_much():
    assert cross_entropy([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert kl_divergence([1.0, 0.0], [1.0, 0.0]) == 0.0


def test_laplace_codes_are_geometric():
    """P(0) = 1 − ρ, P(±k) = (1 − ρ²)... with ρ = exp(−Δ/2b): H in closed form."""
    step = 0.8
    b = 1 / np.sqrt(2)
    r = np.exp(-step / b)
    p0 = 1 - np.exp(-step / (2 * b))
    n, tail = np.arange(1, 200), (1 - p0) * (1 - r) / 2
    p = np.concatenate([[p0], np.repeat(tail * r ** (n - 1), 2)])
    assert entropy_coded_uniform(laplace(), step).rate == pytest.approx(-np.sum(p * np.log2(p)), abs=1e-9)


def test_uniform_source_needs_no_theory():
    half = np.sqrt(3)
    point = entropy_coded_uniform(uniform(), half / 4, offset=half / 8)
    assert point.rate == pytest.approx(3.0)
    assert point.distortion == pytest.approx((half / 4) ** 2 / 12)


@pytest.mark.parametrize("source", [gaussian(), laplace(), gaussian(3.0)])
def test_high_rate_gap_is_a_quarter_bit(source):
    step = 0.01 * np.sqrt(source.variance)
    point = entropy_coded_uniform(source, step)
    assert point.distortion == pytest.approx(step**2 / 12, rel=1e-4)
    assert point.rate == pytest.approx(source.differential_entropy - np.log2(step), abs=1e-4)
    gap = point.rate - shannon_lower_bound(source, point.distortion)
    assert gap == pytest.approx(0.2546, abs=2e-4)
    assert pytest.approx(0.25461, abs=5e-6) == SPACE_FILLING_GAP_BITS


@pytest.mark.parametrize("source", [gaussian(), laplace(), uniform()])
@pytest.mark.parametrize("step", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_theory_against_samples(source, step, offset):
    theory = entropy_coded_uniform(source, step, offset=offset)
    measured = entropy_coded_uniform_samples(source.sample(200_000, seed=0), step, offset=offset)
    assert measured.rate == pytest.approx(theory.rate, abs=0.01)
    assert measured.distortion == pytest.approx(theory.distortion, rel=0.02)


def test_sending_the_mean_back_helps_at_equal_rate():
    middle, mean = (entropy_coded_uniform(laplace(), 2.0, output=o) for o in ("middle", "mean"))
    assert mean.rate == middle.rate
    assert mean.distortion < 0.95 * middle.distortion


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: entropy([0.5, 0.6]), ValueError, "sum to 1"),
        (lambda: entropy([1.5, -0.5]), ValueError, "negative"),
        (lambda: entropy([]), ValueError, "empty"),
        (lambda: pmf([]), ValueError, "empty"),
        (lambda: pmf([0.5]), TypeError, "integers"),
        (lambda: pmf(np.array([2**63], dtype=np.uint64)), ValueError, "64 bits"),
        (lambda: cross_entropy([1.0], [0.5, 0.5]), ValueError, "same length"),
        (lambda: entropy_coded_uniform(gaussian(), 0.0), ValueError, "step"),
        (lambda: entropy_coded_uniform(gaussian(), 1e-8), ValueError, "step must be larger"),
        (lambda: entropy_coded_uniform(gaussian(), 1.0, output="best"), ValueError, "middle"),
        (lambda: entropy_coded_uniform_samples([1.0], 1e-30), ValueError, "step must be larger"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
