"""Riemann sums against SciPy's rules, exactness on polynomials, and error constants in closed form."""

import numpy as np
import pytest
from scipy import integrate

from qlab.history import RULES, convergence_order, left_sum, midpoint_sum, simpson_sum, trapezoid_sum

pytestmark = pytest.mark.row("H2")


@pytest.mark.parametrize("n", [2, 10, 64])
def test_against_scipy(n):
    t = np.linspace(-1.0, 2.0, n + 1)
    assert trapezoid_sum(np.exp, -1.0, 2.0, n) == pytest.approx(integrate.trapezoid(np.exp(t), t), rel=1e-13)
    assert simpson_sum(np.exp, -1.0, 2.0, n) == pytest.approx(integrate.simpson(np.exp(t), x=t), rel=1e-13)


@pytest.mark.parametrize(("name", "degree"), [("left", 0), ("midpoint", 1), ("trapezoid", 1), ("Simpson", 3)])
def test_exact_up_to_its_degree_and_not_beyond(name, degree):
    rule = RULES[name]
    for k in range(degree + 2):
        exact = (3.0 ** (k + 1) - 1) / (k + 1)
        error = abs(rule(lambda t, k=k: t**k, 1.0, 3.0, 4) - exact)
        assert error < 1e-12 if k <= degree else error > 1e-3


@pytest.mark.parametrize(("name", "order"), [("left", 1), ("midpoint", 2), ("trapezoid", 2), ("Simpson", 4)])
@pytest.mark.parametrize(
    ("f", "a", "b", "exact"), [(np.exp, 0.0, 1.0, np.e - 1), (np.cos, 0.3, 1.2, np.sin(1.2) - np.sin(0.3))]
)
def test_measured_orders_are_1_2_2_4(name, order, f, a, b, exact):
    assert convergence_order(RULES[name], f, a, b, exact, n=128) == pytest.approx(order, abs=0.02)


def test_leading_error_terms():
    """Left: −h/2 (f(b) − f(a)); midpoint: −h²/24, trapezoid: h²/12 (same of f'); Simpson: h⁴/180 (same of f''')."""
    h, rise, exact = 1 / 256, np.e - 1, np.e - 1
    for rule, term in (
        (left_sum, -h / 2 * rise),
        (midpoint_sum, -(h**2) / 24 * rise),
        (trapezoid_sum, h**2 / 12 * rise),
        (simpson_sum, h**4 / 180 * rise),
    ):
        assert rule(np.exp, 0.0, 1.0, 256) - exact == pytest.approx(term, rel=0.01)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: simpson_sum(np.exp, 0.0, 1.0, 3), ValueError, "n must be even"),
        (lambda: left_sum(np.exp, 0.0, 1.0, 0), ValueError, "n must be an integer of at least 1, got 0"),
        (lambda: left_sum(np.exp, 1.0, 0.0, 4), ValueError, "a < b"),
        (lambda: left_sum(lambda t: 1.0, 0.0, 1.0, 4), ValueError, "one value per point"),
        (lambda: left_sum(lambda t: np.log(t - 2.0 + 0j).real * np.inf, 0.0, 1.0, 4), ValueError, "finite"),
        (lambda: convergence_order(midpoint_sum, lambda t: t, 0.0, 1.0, 0.5), ValueError, "exactly"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
