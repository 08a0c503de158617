r"""Least squares, and the first quantity that it gives to quantization: the best scale.

    AᵀA θ = Aᵀy          (normal equations)
    s* = argmin_s ‖x − s·q‖² = ⟨x, q⟩ / ⟨q, q⟩

The second line is the first one with a single column, A = q: once the codes q are chosen, the scale that
loses least is a regression of x on q.
Sources: Legendre 1805, *Nouvelles méthodes pour la détermination des orbites des comètes*, appendix; Gauss 1809,
*Theoria motus*, book II, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._check import Floats, Ints, check_integer, check_reals

__all__ = ["ScaleFit", "normal_equations", "optimal_scale", "refine_scale"]


def normal_equations(A: ArrayLike, y: ArrayLike) -> Floats:
    """θ = (AᵀA)⁻¹ Aᵀy: the θ for which ‖y − Aθ‖² is smallest.

    Parameters
    ----------
    A : array (n, p)
        One row per observation, one column per unknown.
    y : array (n,)
        The observations.

    Returns
    -------
    array (p,)
        The unknowns.

    Raises
    ------
    ValueError
        If the columns of A are linearly dependent: then no single θ is best.

    References
    ----------
    Legendre 1805; Gauss 1809.

    Examples
    --------
    The line through (0, 1), (1, 3), (2, 5) is 1 + 2t:

    >>> normal_equations([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 3.0, 5.0]).round(12)
    array([1., 2.])

    Survey-map row: H1.
    """
    A, y = check_reals(A, "A", ndim=2), check_reals(y, "y", ndim=1)
    if len(A) != len(y):
        raise ValueError(f"A and y must have as many rows, got {len(A)} and {len(y)}")
    rank = int(np.linalg.matrix_rank(A))
    if rank < A.shape[1]:
        raise ValueError(f"A must have {A.shape[1]} linearly independent columns, got rank {rank}")
    return np.linalg.solve(A.T @ A, A.T @ y)


def _real_codes(q: ArrayLike) -> Floats:
    """Codes are integers, or whole numbers stored as reals."""
    return check_reals(np.asarray(q, dtype=np.float64), "q")


def optimal_scale(x: ArrayLike, q: ArrayLike) -> float:
    """s* = ⟨x, q⟩/⟨q, q⟩: the scale for which s·q lies nearest to x.

    Parameters
    ----------
    x : array of reals
        What is quantized.
    q : array of the same shape
        Its codes.

    Returns
    -------
    float
        The scale, in the unit of x per step. At s* the error x − s*q is orthogonal to q.

    Raises
    ------
    ValueError
        If the shapes differ or all codes are zero.

    Examples
    --------
    >>> optimal_scale([0.9, 2.2, -0.5], [1, 2, 0])  # (0.9 + 4.4)/5
    1.06

    Survey-map row: H1.
    """
    x, q = check_reals(x), _real_codes(q)
    if x.shape != q.shape:
        raise ValueError(f"x and q must have the same shape, got {x.shape} and {q.shape}")
    energy = np.vdot(q, q)
    if energy == 0:
        raise ValueError("q must hold at least one code that is not zero: every scale gives the same error")
    return float(np.vdot(x, q) / energy)


@dataclass(frozen=True, eq=False)
class ScaleFit:
    """A scale, its codes, and the mean squared error after every half-step that led to them.

    Survey-map row: H1.
    """

    scale: float
    codes: Ints
    errors: tuple[float, ...]

    def dequantize(self) -> Floats:
        """s·q."""
        return self.scale * self.codes


def refine_scale(x: ArrayLike, bits: int, steps: int = 100) -> ScaleFit:
    """Alternate between codes and scale: q ← clip(round(x/s)), s ← ⟨x, q⟩/⟨q, q⟩.

    Each half-step is optimal while the other side is held, so the error never grows; it stops when the
    codes no longer change. This is Lloyd's algorithm for a uniform symmetric grid, and like it finds a
    local optimum.

    Parameters
    ----------
    x : array of reals, any shape
    bits : int
        From 2 to 16; the codes run from −(2^(b−1) − 1) to 2^(b−1) − 1.
    steps : int
        The most pairs of half-steps to take.

    Examples
    --------
    With codes −1, 0, 1 the largest value gives s = 3 and a mean squared error of 0.69; refining gives s = 2.3:

    >>> fit = refine_scale([0.4, 0.8, 1.6, 3.0], bits=2)
    >>> fit.codes, round(fit.scale, 3), round(fit.errors[0], 3), round(fit.errors[-1], 3)
    (array([0, 0, 1, 1]), 2.3, 0.69, 0.445)

    Survey-map row: H1.
    """
    x, high = check_reals(x), 2 ** (check_integer(bits, "bits", 2, 16) - 1) - 1
    check_integer(steps, "steps", 1)
    scale = float(np.abs(x).max() / high)
    if scale == 0:
        return ScaleFit(1.0, np.zeros(x.shape, dtype=np.int64), (0.0,))

    def error(q: Floats, s: float) -> float:
        return float(np.mean((x - s * q) ** 2))

    q = np.clip(np.rint(x / scale), -high, high)
    errors = [error(q, scale)]
    for _ in range(steps):
        scale = optimal_scale(x, q)
        errors.append(error(q, scale))
        last, q = q, np.clip(np.rint(x / scale), -high, high)
        errors.append(error(q, scale))
        if np.array_equal(q, last):
            break
    return ScaleFit(scale, q.astype(np.int64), tuple(errors))
