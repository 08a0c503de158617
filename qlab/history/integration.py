r"""Riemann sums: an integral through finitely many values.

    ∫_a^b f(t) dt ≈ h Σ_i f(t_i),   h = (b − a)/n

Where t_i sits in its cell decides how fast the error falls: like h (left end), h² (middle, or the mean of both
ends), h⁴ (Simpson). It is the same question as where a quantizer puts its output value in a cell.
Sources: Riemann 1854 (printed 1867), *Ueber die Darstellbarkeit einer Function durch eine trigonometrische Reihe*,
section 4; Simpson 1743; error orders: Atkinson 1989, *An Introduction to Numerical Analysis*, chapter 5.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._check import Floats, check_integer, check_reals

__all__ = ["RULES", "convergence_order", "left_sum", "midpoint_sum", "simpson_sum", "trapezoid_sum"]

Function = Callable[[Floats], Floats]


def _values(f: Function, t: Floats) -> Floats:
    y = check_reals(np.asarray(f(t), dtype=np.float64), "f(t)")
    if y.shape != t.shape:
        raise ValueError(f"f must return one value per point, got shape {y.shape} for {t.shape}")
    return y


def _check(a: float, b: float, n: int) -> None:
    check_integer(n, "n", 1)
    if not (np.isfinite(a) and np.isfinite(b) and a < b):
        raise ValueError(f"a and b must be finite with a < b, got {a} and {b}")


def left_sum(f: Function, a: float, b: float, n: int) -> float:
    """Left ends: h Σ f(a + i·h), i = 0 … n − 1: the error falls like h.

    Parameters
    ----------
    f : function of an array
    a, b : float
        The interval.
    n : int
        How many cells.

    Examples
    --------
    >>> left_sum(lambda t: t, 0.0, 1.0, 4)  # (0 + ¼ + ½ + ¾)/4
    0.375

    Survey-map row: H2.
    """
    _check(a, b, n)
    h = (b - a) / n
    return float(h * _values(f, a + h * np.arange(n)).sum())


def midpoint_sum(f: Function, a: float, b: float, n: int) -> float:
    """Middles: h Σ f(a + (i + ½)h): the error falls like h².

    Examples
    --------
    >>> midpoint_sum(lambda t: t, 0.0, 1.0, 4)
    0.5

    Survey-map row: H2.
    """
    _check(a, b, n)
    h = (b - a) / n
    return float(h * _values(f, a + h * (np.arange(n) + 0.5)).sum())


def trapezoid_sum(f: Function, a: float, b: float, n: int) -> float:
    """Both ends: h (½f(a) + Σ f(a + i·h) + ½f(b)): the error falls like h², twice the midpoint's, of opposite sign.

    Examples
    --------
    >>> trapezoid_sum(lambda t: t**2, 0.0, 1.0, 2)  # (0/2 + ¼ + 1/2)/2
    0.375

    Survey-map row: H2.
    """
    _check(a, b, n)
    h = (b - a) / n
    y = _values(f, a + h * np.arange(n + 1))
    return float(h * (y.sum() - (y[0] + y[-1]) / 2))


def simpson_sum(f: Function, a: float, b: float, n: int) -> float:
    """Parabolas: h/3 (f₀ + 4f₁ + 2f₂ + … + 4f_{n−1} + f_n), n even: the error falls like h⁴.

    It is (2·midpoint + trapezoid)/3 over pairs of cells: their errors of order h² cancel.

    Examples
    --------
    >>> simpson_sum(lambda t: t**3, 0.0, 1.0, 2)  # exact for cubics
    0.25

    Survey-map row: H2.
    """
    _check(a, b, n)
    if n % 2:
        raise ValueError(f"n must be even for Simpson's rule, got {n}")
    h = (b - a) / n
    y = _values(f, a + h * np.arange(n + 1))
    return float(h / 3 * (y[0] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum() + y[-1]))


RULES = {"left": left_sum, "midpoint": midpoint_sum, "trapezoid": trapezoid_sum, "Simpson": simpson_sum}


def convergence_order(
    rule: Callable[[Function, float, float, int], float],
    f: Function,
    a: float,
    b: float,
    exact: float,
    n: int = 64,
) -> float:
    """Measure p in error ∝ h^p by halving h: p = log2 |E(n)/E(2n)|.

    Raises
    ------
    ValueError
        If the error at 2n is zero: the rule is exact there and has no order to measure.

    Examples
    --------
    >>> for name, rule in RULES.items():
    ...     print(name, round(convergence_order(rule, np.exp, 0.0, 1.0, np.e - 1), 1))
    left 1.0
    midpoint 2.0
    trapezoid 2.0
    Simpson 4.0

    Survey-map row: H2.
    """
    coarse, fine = abs(rule(f, a, b, n) - exact), abs(rule(f, a, b, 2 * n) - exact)
    if fine == 0 or coarse == 0:
        raise ValueError(f"f must not be integrated exactly by the rule, got errors {coarse} and {fine}")
    return float(np.log2(coarse / fine))
