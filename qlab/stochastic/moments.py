r"""Mean and variance of stochastic rounding.

    r/S = k + f,  0 ≤ f < 1:      r̃ = S(k + 1) with probability f,  S·k with probability 1 − f
    E[r̃] = r,                     Var[r̃] = S²·f(1 − f) ≤ S²/4
    E[Σ xᵢ r̃ᵢ] = Σ xᵢ rᵢ,         Var[Σ xᵢ r̃ᵢ] = S²·Σ xᵢ² fᵢ(1 − fᵢ)

Source: Gupta, Agrawal, Gopalakrishnan, Narayanan 2015, *Deep Learning with Limited Numerical Precision*, section 3;
Gholami et al. 2021, section III H.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qlab.rounding import Rounding

__all__ = ["dot_variance", "sum_error", "variance"]


def _check_scale(scale: float) -> float:
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale must be positive and finite, got {scale}")
    return float(scale)


def variance(r: Tensor, scale: float) -> Tensor:
    """Return Var[r̃] = S²·f(1 − f) of each element, f the fraction of r/S.

    Parameters
    ----------
    r : Tensor
    scale : float
        S, in the unit of r.

    Raises
    ------
    ValueError
        If scale is not positive and finite.

    Examples
    --------
    >>> variance(torch.tensor([0.0, 0.5, 1.0]), 2.0)
    tensor([0.0000, 0.7500, 1.0000])

    References
    ----------
    Gupta et al. 2015, section 3.

    Survey-map row: G1.
    """
    t = r / _check_scale(scale)
    f = t - torch.floor(t)
    return scale**2 * f * (1 - f)


def dot_variance(x: Tensor, r: Tensor, scale: float) -> Tensor:
    """Return Var[Σ xᵢ r̃ᵢ] over the last axis, where each rᵢ is rounded with randomness of its own.

    Parameters
    ----------
    x, r : Tensor
        Of shapes that broadcast; only r is rounded.
    scale : float
        S.

    Examples
    --------
    >>> dot_variance(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5]), 1.0)
    tensor(1.2500)

    Survey-map row: G1.
    """
    return (x.square() * variance(r, scale)).sum(-1)


def sum_error(r: Tensor, scale: float, rounding: Rounding) -> Tensor:
    """Return Σᵢ≤ₙ (r̃ᵢ − rᵢ) for n = 1, 2, … along the last axis: like √n if there is no bias, like n if there is.

    Parameters
    ----------
    r : Tensor
    scale : float
        S.
    rounding : Rounding

    Examples
    --------
    >>> from qlab.rounding import Nearest
    >>> sum_error(torch.full((3,), 0.25), 1.0, Nearest())
    tensor([-0.2500, -0.5000, -0.7500])

    Survey-map row: G1.
    """
    return (_check_scale(scale) * rounding(r / scale) - r).cumsum(-1)
