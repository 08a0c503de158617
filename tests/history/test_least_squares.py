"""Least squares against NumPy's SVD solver, brute force, and the geometry of projections."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qlab.history import normal_equations, optimal_scale, refine_scale

pytestmark = pytest.mark.row("H1")
finite = st.floats(-100, 100)


@pytest.mark.parametrize("shape", [(3, 1), (10, 3), (200, 8)])
def test_normal_equations_against_lstsq(shape):
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    np.testing.assert_allclose(normal_equations(A, y), np.linalg.lstsq(A, y)[0], atol=1e-12)


def test_residual_is_orthogonal_to_the_columns():
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    np.testing.assert_allclose(A.T @ (y - A @ normal_equations(A, y)), 0, atol=1e-12)


@given(arrays(float, 8, elements=finite), arrays(np.int64, 8, elements=st.integers(-7, 7)))
def test_scale_is_the_one_column_case(x, q):
    if not q.any():
        q[0] = 1
    s = optimal_scale(x, q)
    assert s == pytest.approx(normal_equations(q[:, None].astype(float), x)[0], abs=1e-9)
    for other in (s - 0.01, s + 0.01, 0.0):
        assert np.sum((x - s * q) ** 2) <= np.sum((x - other * q) ** 2) + 1e-9


@given(arrays(float, (4, 5), elements=finite), st.integers(2, 6))
def test_refinement_never_grows_the_error(x, bits):
    fit = refine_scale(x, bits)
    assert all(b <= a * (1 + 1e-12) + 1e-12 for a, b in zip(fit.errors, fit.errors[1:], strict=False))
    assert np.abs(fit.codes).max() <= 2 ** (bits - 1) - 1
    assert np.mean((x - fit.dequantize()) ** 2) == pytest.approx(fit.errors[-1], abs=1e-12)


def test_refinement_stops_at_a_fixed_point_near_the_best_of_a_fine_search():
    x = np.random.default_rng(2).standard_normal(2000)
    for bits in (3, 4):
        fit, high = refine_scale(x, bits), 2 ** (bits - 1) - 1
        assert fit.scale == pytest.approx(optimal_scale(x, fit.codes), rel=1e-12)
        scales = np.linspace(0.05, 2, 4000)
        best = min(np.mean((x - s * np.clip(np.rint(x / s), -high, high)) ** 2) for s in scales)
        assert best * 0.999 < fit.errors[-1] < 1.02 * best
        assert fit.errors[-1] < 0.9 * fit.errors[0]


def test_all_zero_has_a_scale_and_no_error():
    fit = refine_scale(np.zeros(3), 4)
    assert (fit.scale, fit.codes.tolist(), fit.errors) == (1.0, [0, 0, 0], (0.0,))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: normal_equations([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0]), ValueError, "independent columns, got rank 1"),
        (lambda: normal_equations([[1.0]], [1.0, 2.0]), ValueError, "as many rows, got 1 and 2"),
        (lambda: normal_equations([1.0], [1.0]), ValueError, "A must have 2 axes"),
        (lambda: optimal_scale([1.0], [0]), ValueError, "not zero"),
        (lambda: optimal_scale([1.0], [1, 2]), ValueError, "same shape"),
        (lambda: optimal_scale(np.array([1]), [1]), TypeError, "real numbers"),
        (lambda: refine_scale([1.0], 1), ValueError, "bits must be an integer from 2 to 16, got 1"),
        (lambda: refine_scale([1.0], 4.0), TypeError, "bits must be an integer"),
        (lambda: refine_scale([np.inf], 4), ValueError, "finite"),
        (lambda: refine_scale([], 4), ValueError, "empty"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
