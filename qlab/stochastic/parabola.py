r"""Gradient descent on one number that lives on a grid: where nearest rounding stops, and where stochastic does not.

    L(w) = a/2·(w − w*)²,       w ← S·Int( (w − ηa(w − w*))/S ),       w/S a whole number

*Nearest* returns w itself as soon as ηa|w − w*| < S/2: descent stops S/(2ηa) away from w*.
*Stochastic*, 0 < ηa ≤ 1: with w* = S(k + u), the two levels around w* are left only towards each other, from k with
probability ηa·u, from k + 1 with probability ηa(1 − u). They balance if w is at k + 1 for a share u of the time:

    P(w = S(k + 1)) = u,  P(w = S·k) = 1 − u :    E[w] = w*,  Var[w] = S²·u(1 − u), whatever η is.

In the long run descent rounds w* stochastically.
Source of the argument: Gupta et al. 2015, section 3 (updates below half a step are lost); Li, De, Xu, Studer, Samet,
Goldstein 2017, *Training quantized nets: a deeper understanding* (analysis of stochastic rounding).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qlab.rounding import Rounding

__all__ = ["descend", "stall_distance", "stationary_moments"]


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")


def descend(
    start: Tensor,
    optimum: float,
    rounding: Rounding | None,
    *,
    curvature: float = 1.0,
    lr: float = 0.1,
    scale: float = 1.0,
    steps: int = 100,
) -> Tensor:
    """Return the path of w, that of start with a first axis of steps + 1.

    Parameters
    ----------
    start : Tensor
        First w, or several that run side by side, on the grid of the scale.
    optimum : float
        w*.
    rounding : Rounding or None
        Int; None keeps w in floating point.
    curvature, lr, scale : float
        a, η and S.
    steps : int

    Raises
    ------
    ValueError
        If curvature, lr, scale or steps is not positive.

    Examples
    --------
    From 16, steps of 1/16 of the distance: the update is 1 at first, and below S/2 when the distance falls under 8.

    >>> from qlab.rounding import Nearest
    >>> descend(torch.tensor(16.0), 0.0, Nearest(), lr=1 / 16, steps=50)[-1]
    tensor(8.)

    Survey-map row: G2.
    """
    _check_positive(curvature=curvature, lr=lr, scale=scale, steps=steps)
    path = [start]
    for _ in range(steps):
        w = path[-1] - lr * curvature * (path[-1] - optimum)
        path.append(w if rounding is None else scale * rounding(w / scale))
    return torch.stack(path)


def stall_distance(curvature: float, lr: float, scale: float) -> float:
    """Return S/(2ηa): closer to the optimum than this, nearest rounding loses every update.

    Examples
    --------
    >>> stall_distance(curvature=1.0, lr=1 / 16, scale=1.0)
    8.0

    Survey-map row: G2.
    """
    _check_positive(curvature=curvature, lr=lr, scale=scale)
    return scale / (2 * lr * curvature)


def stationary_moments(optimum: float, scale: float) -> tuple[float, float]:
    """Return mean and variance of w in the long run under stochastic rounding: those of w* rounded stochastically.

    Holds for 0 < ηa ≤ 1 and exact gradients.

    Examples
    --------
    >>> stationary_moments(optimum=0.25, scale=1.0)
    (0.25, 0.1875)

    Survey-map row: G2.
    """
    _check_positive(scale=scale)
    u = optimum / scale - math.floor(optimum / scale)
    return float(optimum), scale**2 * u * (1 - u)
