"""How good a prediction is: whether it puts things in the right order, and how far it is off.

With R the ranks (equal values share the mean of the places that they take) and s_ij = sign(x_i − x_j):

    ρ = Σ (R_x − R̄)(R_y − R̄) / √( Σ (R_x − R̄)² · Σ (R_y − R̄)² )            Spearman
    τ = Σ_ij s^x_ij · s^y_ij / √( Σ_ij (s^x_ij)² · Σ_ij (s^y_ij)² )          Kendall, the form τ_b for ties

Without ties (1 + τ)/2 is the share of pairs that the prediction orders rightly: what a search needs that compares two
candidates at a time. A prediction p that lacks a unit of time gets one scale s first; then

    s = exp( median log(t/p) ),      f_i = max(r_i, 1/r_i)  with  r_i = t_i/(s·p_i):

half of the measured times t lie within the median of f of their prediction.

Source: Spearman 1904, *The proof and measurement of association between two things*; Kendall 1938, *A new measure of
rank correlation*, and 1945, *The treatment of ties in ranking problems*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Score", "error_factor", "fitted_scale", "kendall", "ranks", "score", "spearman"]


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Return the place of each value, smallest first, from 1; equal values share the mean of their places.

    Parameters
    ----------
    values : array, shape (n,)

    Examples
    --------
    >>> ranks([30, 10, 20, 20]).tolist()
    [4.0, 1.0, 2.5, 2.5]

    Survey-map row: C7.
    """
    x = _finite(values, "values")
    less = (x[:, None] > x).sum(1)  # how many are smaller than this one
    same = (x[:, None] == x).sum(1)  # how many are equal, itself included
    return less + (same + 1) / 2


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's ρ, the correlation of the ranks, from −1 to 1.

    Parameters
    ----------
    x, y : array, shape (n,)

    Raises
    ------
    ValueError
        If they are not of one length, hold NaN or infinity, or one of them is constant: a constant orders nothing.

    Examples
    --------
    >>> spearman([1, 2, 3, 4], [10, 20, 40, 30])
    0.8

    Survey-map row: C7.
    """
    x, y = _pair(x, y)
    rx, ry = ranks(x), ranks(y)
    rx, ry = rx - rx.mean(), ry - ry.mean()
    return float((rx * ry).sum() / np.sqrt((rx**2).sum() * (ry**2).sum()))


def kendall(x: ArrayLike, y: ArrayLike) -> float:
    """Return Kendall's τ_b: pairs in the right order less pairs in the wrong one, as a share, from −1 to 1.

    Parameters
    ----------
    x, y : array, shape (n,)

    Raises
    ------
    ValueError
        If they are not of one length, hold NaN or infinity, or one of them is constant: a constant orders nothing.

    Examples
    --------
    One pair of six is in the wrong order: (5 − 1)/6.

    >>> round(kendall([1, 2, 3, 4], [10, 20, 40, 30]), 4)
    0.6667

    Survey-map row: C7.
    """
    x, y = _pair(x, y)
    sx, sy = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    return float((sx * sy).sum() / np.sqrt((sx**2).sum() * (sy**2).sum()))


@dataclass(frozen=True)
class Score:
    """How well a prediction does.

    Attributes
    ----------
    spearman, kendall : float
        ρ and τ_b of predicted and measured.
    factor : float
        f: half of the measured times are within a factor f of the scaled prediction. 1 is perfect.
    worst : float
        The factor that all of them are within.

    Survey-map row: C7.
    """

    spearman: float
    kendall: float
    factor: float
    worst: float


def fitted_scale(predicted: ArrayLike, measured: ArrayLike) -> float:
    """Return s = exp(median(log(t/p))): as many times lie above s·p as below.

    Of all scales it has the smallest mean |log(t/(s·p))|.

    Parameters
    ----------
    predicted, measured : array, shape (n,)
        Positive.

    Raises
    ------
    ValueError
        If they are not of one length, or not positive and finite.

    Examples
    --------
    >>> round(fitted_scale([1, 2, 4], [10, 30, 40]), 9)
    10.0

    Survey-map row: C7.
    """
    return float(np.exp(np.median(_logs(predicted, measured))))


def error_factor(predicted: ArrayLike, measured: ArrayLike, scale: float | None = None) -> NDArray[np.float64]:
    """Return for each prediction by what factor it is wrong, max(r, 1/r) with r = t/(s·p).

    Parameters
    ----------
    predicted, measured : array, shape (n,)
        Positive.
    scale : float, optional
        s; without it the fitted one.

    Raises
    ------
    ValueError
        If they are not of one length, or not positive and finite; or if the scale is not positive.

    Examples
    --------
    >>> error_factor([1, 2, 4], [10, 30, 40]).round(9).tolist()
    [1.0, 1.5, 1.0]

    Survey-map row: C7.
    """
    s = fitted_scale(predicted, measured) if scale is None else scale
    if not s > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    return np.asarray(np.exp(np.abs(_logs(predicted, measured) - np.log(s))))


def score(predicted: ArrayLike, measured: ArrayLike) -> Score:
    """Return order and error of a prediction, after one fitted scale.

    Parameters
    ----------
    predicted, measured : array, shape (n,)
        Positive.

    Raises
    ------
    ValueError
        If they are not of one length, not positive and finite, or constant.

    Examples
    --------
    >>> score([1, 2, 4], [10, 30, 40])
    Score(spearman=1.0, kendall=1.0, factor=1.0, worst=1.5)

    Survey-map row: C7.
    """
    wrong = error_factor(predicted, measured)
    order = spearman(predicted, measured), kendall(predicted, measured)
    return Score(*order, *(round(float(f), 12) for f in (np.median(wrong), wrong.max())))


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ValueError(f"{name} must be a list of finite numbers, got {values!r:.80}")
    return x


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = _finite(x, "x"), _finite(y, "y")
    if len(a) != len(b):
        raise ValueError(f"x and y must be of one length, got {len(a)} and {len(b)}")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        raise ValueError("x and y must hold at least two different values each: a constant orders nothing")
    return a, b


def _positive(values: ArrayLike, name: str) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not (np.isfinite(x).all() and (x > 0).all()):
        raise ValueError(f"{name} must be a list of positive, finite numbers, got {values!r:.80}")
    return x


def _logs(predicted: ArrayLike, measured: ArrayLike) -> NDArray[np.float64]:
    p, t = _positive(predicted, "predicted"), _positive(measured, "measured")
    if len(p) != len(t):
        raise ValueError(f"predicted and measured must be of one length, got {len(p)} and {len(t)}")
    return np.asarray(np.log(t / p))
