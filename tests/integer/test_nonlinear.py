"""I-BERT's functions against the real ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from qlab.integer.nonlinear import ERF, EXP, Exponential, Gelu, LayerNorm, Polynomial, Softmax, isqrt

pytestmark = pytest.mark.row("A3")

FINE = 2.0**-12
GRIDS = [FINE, 2.0**-8, 0.01]


@given(
    st.integers(-(10**6), 10**6),
    st.floats(1e-4, 0.5),
    st.floats(-2, 2).filter(lambda a: abs(a) > 0.1),
    st.floats(-3, 3),
    st.floats(-3, 3),
)
def test_polynomial_is_off_by_its_two_floors(q, scale, a, b, c):
    p = Polynomial.at(scale, a, b, c)
    x, s = q * scale, scale
    # ⌊b/S⌋ moves b by less than S, ⌊c/(aS²)⌋ moves c by less than |a|S²: the rest is exact.
    allowed = abs(a) * (2 * abs(x + b) * s + s * s) + abs(a) * s * s
    assert abs(int(p(np.array(q))) * p.scale - (a * (x + b) ** 2 + c)) <= allowed * (1 + 1e-6) + 1e-9


def test_the_largest_errors_of_the_polynomials():
    p = np.linspace(-math.log(2), 0, 100_001)
    a, b, c = EXP
    assert np.abs(a * (p + b) ** 2 + c - np.exp(p)).max() == pytest.approx(2.13e-3, abs=1e-5)
    x = np.linspace(-6, 6, 100_001)
    a, b, c = ERF
    t = x / math.sqrt(2)
    approximate = x / 2 * (1 + np.sign(t) * (a * (np.minimum(np.abs(t), -b) + b) ** 2 + c))
    assert np.abs(approximate - x / 2 * (1 + erf(t))).max() == pytest.approx(1.8e-2, abs=1e-3)


@pytest.mark.parametrize("scale", GRIDS)
def test_exponential(scale):
    exp = Exponential.at(scale)
    q = -np.arange(int(20 / scale))
    error = np.abs(exp(q) * exp.scale - np.exp(q * scale)).max()
    # The polynomial's 1.9e-3, and the floors of b, c and ln 2: each moves the argument by up to a step.
    assert error < 2e-3 + 2 * scale
    assert exp(np.array([0])).dtype == np.int64
    if scale == FINE:
        assert error < 2.3e-3


def test_exponential_far_out_is_zero_and_refuses_positive_numbers():
    exp = Exponential.at(0.01)
    assert exp(np.array([-(2**31) + 1]))[0] == 0
    with pytest.raises(ValueError, match="positive"):
        exp(np.array([1]))
    for bad in (0.0, 1.0, 1e-6, math.nan):
        with pytest.raises(ValueError, match="scale"):
            Exponential.at(bad)


@pytest.mark.parametrize("scale", GRIDS)
def test_softmax(scale):
    softmax = Softmax.at(scale, bits=15)
    rng = np.random.default_rng(0)
    q = rng.integers(-int(5 / scale), int(5 / scale), (500, 10))
    real = torch.softmax(torch.from_numpy(q * scale), -1).numpy()
    got = softmax(q) * softmax.scale
    assert np.abs(got - real).max() < 2.5e-3 + 2 * scale
    assert np.abs(got.sum(-1) - 1).max() <= 10 * softmax.scale / 2
    assert (softmax(q + 12345) == softmax(q)).all()  # only differences count
    assert (softmax(q).argmax(-1) == q.argmax(-1)).all()


@pytest.mark.parametrize("scale", GRIDS)
def test_gelu(scale):
    gelu = Gelu.at(scale)
    q = np.arange(-int(6 / scale), int(6 / scale))
    x = q * scale
    error = np.abs(gelu(q) * gelu.scale - x / 2 * (1 + erf(x / math.sqrt(2)))).max()
    assert error < 1.8e-2 + 3 * scale
    # erf is odd, so GELU(x) − GELU(−x) = x up to the floor of 1.
    assert np.abs((gelu(q) - gelu(-q)) * gelu.scale - x).max() <= np.abs(x).max() * abs(gelu.erf.scale)


def test_gelu_refuses_scales_without_room():
    for bad in (-1.0, 1e-7, 1.0):
        with pytest.raises(ValueError, match="scale"):
            Gelu.at(bad)


@given(st.integers(0, 2**62))
def test_isqrt_is_exact(n):
    assert int(isqrt(np.array([n]))[0]) == math.isqrt(n)


def test_isqrt_around_squares():
    k = np.arange(1, 46341, 7)
    np.testing.assert_array_equal(isqrt(k * k), k)
    np.testing.assert_array_equal(isqrt(k * k - 1), k - 1)
    assert isqrt(np.array([0]))[0] == 0
    with pytest.raises(ValueError, match="negative"):
        isqrt(np.array([-1]))
    with pytest.raises(TypeError, match="integers"):
        isqrt(np.array([2.0]))


def test_layer_norm():
    rng = np.random.default_rng(1)
    gamma, beta = rng.normal(1, 0.3, 64), rng.normal(0, 0.5, 64)
    q = rng.normal(rng.normal(0, 30, (200, 1)), rng.uniform(3, 60, (200, 1)), (200, 64)).round().astype(np.int32)
    norm = LayerNorm.at(gamma, beta)
    step = np.abs(gamma).max() / 127
    weight, x = torch.from_numpy(np.rint(gamma / step) * step), torch.from_numpy(q).double()
    real = torch.nn.functional.layer_norm(x, (64,), weight, torch.from_numpy(beta), eps=0).numpy()
    # σ is cut to a whole 16th: at σ ≥ 3 that is 2 % at most, so that x̂ of up to 5 is off by 0.1 at most.
    got = norm(q) * norm.scale
    assert np.abs(got - real).max() < 0.1
    assert np.abs(got - real).mean() < 0.01
    np.testing.assert_array_equal(norm(q + 1000), norm(q))  # a common offset is the mean's
    constant = norm(np.full((1, 64), 7))
    np.testing.assert_array_equal(constant[0], norm.beta)


def test_layer_norm_refuses_sums_beyond_int64():
    norm = LayerNorm.at(np.ones(4), np.zeros(4))
    with pytest.raises(OverflowError, match="sum of squares"):
        norm(np.full((1, 4), 2**30))
    with pytest.raises(ValueError, match="fraction"):
        LayerNorm.at(np.ones(4), np.zeros(4), fraction=0)


@pytest.mark.parametrize(
    "function", [Exponential.at(0.01), Softmax.at(0.01), Gelu.at(0.01), LayerNorm.at(np.ones(3), np.zeros(3))]
)
def test_real_numbers_are_refused(function):
    with pytest.raises(TypeError, match="integers"):
        function(np.array([-1.0, -2.0, -3.0]))
    with pytest.raises(ValueError, match="empty"):
        function(np.zeros((0, 3), np.int32))


def test_a_polynomial_by_hand():
    """S = 1/8: ⌊−1.769·8⌋ = −15 and ⌊−64/0.2888⌋ = −222."""
    p = Polynomial.at(0.125, *ERF)
    assert (p.q_b, p.q_c, int(p(np.array(3)))) == (-15, -222, 144 - 222)
