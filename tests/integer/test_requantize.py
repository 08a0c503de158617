"""Requantization against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlab.integer.requantize import (
    INT32_MAX,
    LONGEST_SHIFT,
    Requantize,
    check_bound,
    dyadic,
    frozen,
    requantize_by,
)

pytestmark = pytest.mark.row("A2")

ratios = st.fractions(min_value=Fraction(1, 1 << 25), max_value=4).filter(lambda f: f > 0)
int32 = st.integers(-INT32_MAX - 1, INT32_MAX)


@given(ratios, st.integers(4, 31))
def test_dyadic_is_the_nearest_with_so_many_bits(ratio, bits):
    d = dyadic(ratio, bits)
    assert 1 << (bits - 1) <= d.m < 1 << bits and 1 <= d.n <= LONGEST_SHIFT
    assert abs(d.value / ratio - 1) <= Fraction(1, 1 << bits)
    for other in (d.m - 1, d.m + 1):
        assert abs(d.value - ratio) <= abs(Fraction(other, 1 << d.n) - ratio)


def test_dyadic_at_the_edges():
    assert dyadic(1, 31).value == 1 and dyadic(Fraction(1, 2), 8).value == Fraction(1, 2)
    # Just below a power of two, rounding would give one bit too many.
    d = dyadic(Fraction(2**40 - 1, 2**40), 8)
    assert (d.m, d.n) == (128, 7)
    assert (dyadic(Fraction(4) - Fraction(1, 1000), 3).m, dyadic(Fraction(4) - Fraction(1, 1000), 3).n) == (7, 1)
    tiny = dyadic(Fraction(1, 2**50), 31)
    assert tiny.n == LONGEST_SHIFT and tiny.value == Fraction(1, 2**50)
    for bad in (0, -1, 2**30):
        with pytest.raises(ValueError, match="positive and below"):
            dyadic(bad)
    with pytest.raises(ValueError, match="bits"):
        dyadic(1, 32)


@given(st.lists(int32, min_size=1, max_size=20), ratios, st.integers(-300, 300))
def test_requantize_is_the_floor_of_the_exact_fraction(values, ratio, z):
    q = requantize_by([ratio], z, -INT32_MAX - 1, INT32_MAX)
    result = q(np.array([values], np.int64).T)[:, 0]
    d = dyadic(ratio)
    for v, got in zip(values, result, strict=True):
        exact = (v * d.value + Fraction(1, 2)).__floor__() - z
        assert got == min(max(exact, -INT32_MAX - 1), INT32_MAX)
        # Against the real factor: off by one at most, and only where M·v is nearer to a tie than M's own rounding.
        real = v * ratio
        ideal = min(max((real + Fraction(1, 2)).__floor__() - z, -INT32_MAX - 1), INT32_MAX)
        if got != ideal:
            distance = abs(real - (real - Fraction(1, 2)).__round__() - Fraction(1, 2))
            assert abs(int(got) - ideal) == 1
            assert distance <= abs(real) / 2**31


@given(st.integers(0, INT32_MAX), st.integers(1, LONGEST_SHIFT), int32)
def test_no_product_overflows(m, n, v):
    q = Requantize(np.array([m]), np.array([n]), 0, -INT32_MAX - 1, INT32_MAX)
    exact = (v * m + (1 << (n - 1))) >> n
    assert int(q(np.array([[v]]))[0, 0]) == min(max(exact, -INT32_MAX - 1), INT32_MAX)


def test_ties_go_up():
    halve = Requantize(np.array([1]), np.array([1]), 0, -100, 100)
    np.testing.assert_array_equal(halve(np.array([[-3, -1, 1, 3]])), [[-1, 0, 1, 2]])
    assert halve(np.array([[1]])).dtype == np.int32


def test_channels_have_their_own_multipliers():
    q = requantize_by([Fraction(1), Fraction(1, 2)], 0, 0, 255)
    out = q(np.full((1, 2, 3, 3), 10, np.int32))
    assert (out[0, 0] == 10).all() and (out[0, 1] == 5).all() and out.dtype == np.uint8


def test_what_cannot_be_is_refused():
    one = np.array([1])
    with pytest.raises(ValueError, match="as many"):
        Requantize(one, np.array([1, 2]), 0, 0, 255)
    with pytest.raises(ValueError, match="shift"):
        Requantize(one, np.array([63]), 0, 0, 255)
    with pytest.raises(ValueError, match="interval"):
        Requantize(one, one, 0, 5, 4)
    with pytest.raises(TypeError, match="integers"):
        Requantize(np.array([0.5]), one, 0, 0, 255)
    with pytest.raises(OverflowError, match="int32"):
        Requantize(np.array([1 << 31]), one, 0, 0, 255)
    with pytest.raises(OverflowError, match="may reach"):
        check_bound(INT32_MAX + 1, "sum")
    assert not frozen([1], np.int8).flags.writeable
    with pytest.raises(OverflowError, match="fit"):
        frozen([128], np.int8)
