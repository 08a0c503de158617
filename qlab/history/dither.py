r"""Dither: noise added before the quantizer, so that the error forgets the signal.

    non-subtractive:  y = Q(x + w),        error e = y − x
    subtractive:      y = Q(x + w) − w,    error e = y − x

    w is the sum of n independent U(−Δ/2, Δ/2);   its characteristic function is sinc(fΔ)ⁿ

Schuchman's condition: subtracted dither makes e uniform and independent of x exactly when E[exp(2πi k w/Δ)] = 0 for
k = ±1, ±2, … Without subtraction n = 1 frees the mean of e from x, n = 2 (triangular) also its variance, at the price
of more noise: Δ²/4 in all instead of Δ²/12. With Δ-wide dither, rounding is stochastic rounding.
Sources: Roberts 1962, *Picture Coding Using Pseudo-Random Noise*; Schuchman 1964, *Dither Signals and Their Effect on
Quantization Noise*; Gray and Stockham 1993, *Dithered Quantizers*; Lipshitz, Wannamaker and Vanderkooy 1992.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._check import Floats, check_integer, check_positive, check_reals

__all__ = ["Dither", "DitheredError", "conditional_error", "dithered_quantize", "schuchman"]


@dataclass(frozen=True)
class Dither:
    """Sum of `order` independent uniform variables, each `width` steps wide.

    Parameters
    ----------
    order : int
        0: no dither, 1: uniform (rectangular), 2: triangular.
    width : float
        In steps; 1 fits the grid, anything else leaves a trace of the signal.

    Examples
    --------
    >>> Dither(2).variance(step=1.0)  # two times 1/12
    0.16666666666666666

    Survey-map row: H10.
    """

    order: int
    width: float = 1.0

    def __post_init__(self) -> None:
        check_integer(self.order, "order", 0, 2)
        check_positive(self.width, "width")

    def sample(self, shape: int | tuple[int, ...], step: float, rng: np.random.Generator) -> Floats:
        """Draws of w, in the unit of the step."""
        draws = [rng.uniform(-0.5, 0.5, shape) for _ in range(self.order)]
        return check_positive(step, "step") * self.width * sum(draws, np.zeros(shape))

    def variance(self, step: float) -> float:
        """Order times (width·Δ)²/12."""
        return self.order * (self.width * check_positive(step, "step")) ** 2 / 12

    def characteristic(self, cycles: ArrayLike) -> Floats:
        """E[exp(2πi f w)] = sinc(f·width)^order, f in cycles per step."""
        return np.sinc(np.asarray(cycles, dtype=np.float64) * self.width) ** self.order

    def density(self, w: Floats) -> Floats:
        """Density of w, both in steps (order 1 or 2)."""
        u = np.abs(w) / self.width
        return (np.where(u <= 0.5, 1.0, 0.0) if self.order == 1 else np.maximum(0.0, 1 - u)) / self.width


def schuchman(dither: Dither, harmonics: int = 50) -> bool:
    """Whether the characteristic function of w vanishes at every whole number of cycles per step.

    Examples
    --------
    >>> schuchman(Dither(1)), schuchman(Dither(2)), schuchman(Dither(1, width=0.5)), schuchman(Dither(0))
    (True, True, False, False)

    References
    ----------
    Schuchman 1964.

    Survey-map row: H10.
    """
    k = np.arange(1, check_integer(harmonics, "harmonics", 1) + 1)
    return bool(np.abs(dither.characteristic(k)).max() < 1e-12)


def dithered_quantize(
    x: ArrayLike, step: float, dither: Dither, rng: np.random.Generator, *, subtractive: bool = True
) -> Floats:
    """Q(x + w), with w taken off again if `subtractive`; Q rounds to multiples of Δ.

    Parameters
    ----------
    x : array of reals
    step : float
        Δ.
    dither : Dither
    rng : numpy.random.Generator
        Sender and receiver share it when the dither is to be subtracted.

    Examples
    --------
    A constant below half a step vanishes without dither; with it, the average tells its value.

    >>> rng = np.random.default_rng(0)
    >>> x = np.full(100_000, 0.3)
    >>> for order in (0, 1):
    ...     print(round(dithered_quantize(x, 1.0, Dither(order), rng, subtractive=False).mean(), 2))
    0.0
    0.3

    References
    ----------
    Roberts 1962.

    Survey-map row: H10.
    """
    x, d = check_reals(x), check_positive(step, "step")
    w = dither.sample(x.shape, d, rng)
    y = d * np.rint((x + w) / d)
    return y - w if subtractive else y


@dataclass(frozen=True, eq=False)
class DitheredError:
    """E[e | x] and Var[e | x] for each x.

    Survey-map row: H10.
    """

    mean: Floats
    variance: Floats


def conditional_error(x: ArrayLike, step: float, dither: Dither, *, subtractive: bool = True) -> DitheredError:
    """Mean and variance of the error for a given signal value, exactly: the integral over w, cut where Q jumps.

    Parameters
    ----------
    x : array of reals
    step : float
        Δ.

    Returns
    -------
    DitheredError
        In the unit of x, and its square.

    Examples
    --------
    Non-subtractive, f = 0.3 of a step above a grid value: uniform dither leaves variance f(1 − f)Δ², triangular Δ²/4.

    >>> for order in (1, 2):
    ...     found = conditional_error([0.3], 1.0, Dither(order), subtractive=False)
    ...     print(found.mean.round(6) + 0.0, found.variance.round(6))
    [0.] [0.21]
    [0.] [0.25]

    Survey-map row: H10.
    """
    t, d = check_reals(x) / check_positive(step, "step"), float(step)

    def error(x: Floats, w: Floats) -> Floats:
        return np.rint(x + w) - x - (w if subtractive else 0.0)

    if dither.order == 0:
        e = error(t, np.zeros_like(t))
        return DitheredError(d * e, np.zeros_like(e))
    nodes, weights = np.polynomial.legendre.leggauss(3)  # exact: between cuts the integrand is a cubic in w
    reach = dither.order * dither.width / 2
    jumps = np.arange(-np.ceil(reach) - 1, np.ceil(reach) + 1) + 0.5 - (t - np.rint(t))[..., None]
    fixed = np.broadcast_to(np.array([-reach, 0.0, reach]), (*t.shape, 3))
    cuts = np.sort(np.concatenate([np.clip(jumps, -reach, reach), fixed], axis=-1), axis=-1)
    a, b = cuts[..., :-1, None], cuts[..., 1:, None]
    w = (a + b) / 2 + (b - a) / 2 * nodes
    mass = (b - a) / 2 * weights * dither.density(w)
    e = error(t[..., None, None], w)
    mean = (mass * e).sum(axis=(-2, -1))
    variance = (mass * e**2).sum(axis=(-2, -1)) - mean**2
    return DitheredError(d * mean, d**2 * variance)
