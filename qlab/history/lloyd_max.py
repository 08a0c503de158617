r"""Lloyd–Max: the N output values with the least mean squared error.

    t_i = (y_i + y_{i+1})/2                     (each x goes to its nearest level)
    y_i = E[X | t_{i−1} ≤ X < t_i]              (each level is the mean of its cell)

Lloyd's method I satisfies one line, then the other, again and again: the error never grows, but near the end progress
is slow. Newton's method solves both at once: half the gradient of D is g_i = y_i M₀ − M₁ over cell i, and its
derivative is tridiagonal.
Sources: Lloyd 1957, *Least Squares Quantization in PCM* (printed 1982); Max 1960, *Quantizing for Minimum
Distortion*. For densities with concave logarithm the solution is unique (Fleischer 1964).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solveh_banded
from scipy.optimize import minimize_scalar

from ._check import Floats, check_integer, check_reals
from .high_resolution import companded_levels
from .scalar_quantizer import ScalarQuantizer
from .sources import Law, Source, as_source

__all__ = ["lloyd_max", "nearest_level", "optimal_uniform"]


def nearest_level(levels: ArrayLike) -> ScalarQuantizer:
    """Quantizer that sends each x to the nearest level: thresholds half-way between neighbours.

    Examples
    --------
    >>> nearest_level([0.0, 1.0, 4.0]).thresholds
    array([0.5, 2.5])

    Survey-map row: H7.
    """
    y = check_reals(levels, "levels", ndim=1)
    return ScalarQuantizer((y[1:] + y[:-1]) / 2, y)


def _step(y: Floats, gradient: Floats, m0: Floats, f: Floats, theta: float) -> Floats | None:
    """Step to y − J⁻¹g with J = (1 − θ)·H + θ·diag(M₀): Newton at θ = 0, Lloyd at θ = 1; None if no descent.

    H_ii = M₀_i − ¼(y_{i+1} − y_i) f(t_i) − ¼(y_i − y_{i−1}) f(t_{i−1}),   H_{i,i+1} = −¼(y_{i+1} − y_i) f(t_i)
    """
    side = (1 - theta) * np.diff(y) * f / 4
    diagonal = m0 - np.concatenate([side, [0.0]]) - np.concatenate([[0.0], side])
    try:
        moved = y - solveh_banded(np.vstack([np.concatenate([[0.0], -side]), diagonal]), gradient)
    except np.linalg.LinAlgError:  # not positive definite: far from a minimum
        return None
    return moved if (np.diff(moved) > 0).all() else None


def _descend(source: Source, q: ScalarQuantizer, gradient: Floats, m0: Floats, method: str) -> Floats:
    """The boldest step that does not raise the error; Lloyd's never does."""
    y, D = np.asarray(q.levels), q.distortion(source)
    for theta in (0.0, 1e-4, 1e-3, 0.01, 0.1, 0.5) if method == "newton" else ():
        moved = _step(y, gradient, m0, source.pdf(q.thresholds), theta)
        if moved is not None and nearest_level(moved).distortion(source) <= D + 1e-15 * source.variance:
            return moved
    return y - gradient / m0


def lloyd_max(
    source: Source | Law, levels: int, *, method: str = "newton", tolerance: float = 1e-11, steps: int = 100_000
) -> ScalarQuantizer:
    """Best N-level quantizer of a density.

    Parameters
    ----------
    source : Source or frozen scipy.stats distribution
    levels : int
        N, from 1 to 4096.
    method : {"newton", "lloyd"}
        Lloyd's iteration alone, or Newton's steps wherever they lower the error.
    tolerance : float
        Stop when no level is further from its cell's mean than this, in units of σ.
    steps : int
        Give up after so many.

    Returns
    -------
    ScalarQuantizer

    Raises
    ------
    RuntimeError
        If `steps` were not enough.

    References
    ----------
    Lloyd 1982, method I; Max 1960.

    Examples
    --------
    The four levels of Max's Table I, 2 bits for a Gaussian:

    >>> from qlab.history.sources import gaussian
    >>> best = lloyd_max(gaussian(), 4)
    >>> best.levels.round(4), round(float(best.thresholds[2]), 4)
    (array([-1.5104, -0.4528,  0.4528,  1.5104]), 0.9816)
    >>> print(round(best.distortion(gaussian()), 4))
    0.1175

    Survey-map row: H7.
    """
    source, N = as_source(source), check_integer(levels, "levels", 1, 4096)
    if method not in ("newton", "lloyd"):
        raise ValueError(f'method must be "newton" or "lloyd", got {method!r}')
    sigma, q, error = np.sqrt(source.variance), nearest_level(companded_levels(source, N)), np.inf
    for _ in range(steps):
        m0, m1, _m2 = source.cell_moments(q.edges)
        if (m0 <= 0).any():
            raise RuntimeError(
                f"a cell lost all its probability at N = {N}; does the density have gaps? use fewer levels"
            )
        y = np.asarray(q.levels)
        error = float(np.abs(m1 / m0 - y).max() / sigma)
        if error < tolerance:
            return q
        q = nearest_level(_descend(source, q, y * m0 - m1, m0, method))
    raise RuntimeError(f"lloyd_max did not converge in {steps} steps: the levels still move by {error:.1e} σ")


def optimal_uniform(source: Source | Law, levels: int) -> tuple[float, ScalarQuantizer]:
    """Best equally spaced quantizer, centred on the mean: Max's second table.

    Returns
    -------
    step, quantizer : float and ScalarQuantizer
        Δ, and thresholds and levels Δ apart; the outer cells reach to infinity.

    Examples
    --------
    >>> from qlab.history.sources import gaussian
    >>> step, best = optimal_uniform(gaussian(), 4)
    >>> print(round(step, 4), round(best.distortion(gaussian()), 4))
    0.9957 0.1188

    References
    ----------
    Max 1960, Table II.

    Survey-map row: H7.
    """
    source, N = as_source(source), check_integer(levels, "levels", 2, 2**16)

    def equally_spaced(step: float) -> ScalarQuantizer:
        return nearest_level(source.mean + step * (np.arange(N) - (N - 1) / 2))

    sigma = np.sqrt(source.variance)
    found = minimize_scalar(
        lambda log_step: equally_spaced(np.exp(log_step)).distortion(source),
        bounds=(np.log(0.1 * sigma / N), np.log(10 * sigma / np.sqrt(N))),
        method="bounded",
        options={"xatol": 1e-10},
    )
    step = float(np.exp(found.x))
    return step, equally_spaced(step)
