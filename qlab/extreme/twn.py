"""Ternary weight networks (TWN): −α, 0, +α, and a threshold in closed form.

    t_i = sign(w_i) for |w_i| > Δ, else 0;      α = mean of |w_i| over |w_i| > Δ
    exact:   Δ* maximizes ( Σ_{|w_i| > Δ} |w_i| )² / #{|w_i| > Δ}
    formula: Δ ≈ 0.7·mean|w|

‖w − αt‖² = ‖w‖² − (wᵀt)²/tᵀt at the best α: keep the k largest weights, for the k that makes (sum of them)²/k largest.
For a uniform density the formula is 2/3·mean|w|, exactly; for a Gaussian, 0.77·mean|w|.
Source: Li, Zhang, Liu 2016, *Ternary weight networks*, section 2, equations 4–6.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qlab.extreme.levels import TERNARY, Few, FewLevels
from qlab.extreme.signs import sign
from qlab.gradients import instead

__all__ = ["TWN", "exact_threshold", "ternary", "twn_threshold"]


def twn_threshold(rows: Tensor) -> Tensor:
    """Return Δ ≈ 0.7·mean|w| of each row.

    Parameters
    ----------
    rows : Tensor, shape (rows, n)

    Returns
    -------
    Tensor, shape (rows,)

    References
    ----------
    Li et al. 2016, equation 6.

    Survey-map row: E3.
    """
    return 0.7 * rows.abs().mean(1)


def exact_threshold(rows: Tensor) -> Tensor:
    """Return the Δ of each row that has the least squared error, by sorting.

    It lies half-way between the smallest weight that is kept and the largest that is not.

    Parameters
    ----------
    rows : Tensor, shape (rows, n)

    Returns
    -------
    Tensor, shape (rows,)

    References
    ----------
    Li et al. 2016, equation 5.

    Examples
    --------
    >>> exact_threshold(torch.tensor([[0.1, -0.9, 1.0, 0.2]]))  # keep two: 1.9²/2 is more than 1.0²/1 or 2.1²/3
    tensor([0.5500])

    Survey-map row: E3.
    """
    size = rows.abs().sort(1, descending=True).values
    kept = torch.arange(1, size.shape[1] + 1, device=rows.device)
    best = (size.double().cumsum(1).square() / kept).argmax(1, keepdim=True)
    following = torch.cat([size, torch.zeros_like(size[:, :1])], 1).gather(1, best + 1)
    return ((size.gather(1, best) + following) / 2)[:, 0]


def ternary(rows: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Return t, shape (rows, n), of −1, 0, 1, and α, shape (rows,), for given thresholds.

    Examples
    --------
    >>> ternary(torch.tensor([[0.1, -0.9, 1.0, 0.2]]), torch.tensor([0.55]))
    (tensor([[ 0., -1.,  1.,  0.]]), tensor([0.9500]))

    References
    ----------
    Li et al. 2016, equations 3 and 4.

    Survey-map row: E3.
    """
    large = rows.abs() > threshold[:, None]
    t = torch.where(large, sign(rows), 0)
    alpha = (rows * t).sum(1) / large.sum(1).clamp(min=1)
    return t, torch.where(alpha > 0, alpha, 1)  # a row of zeros: any size is right, and 0 is no scale


class _TWN(FewLevels):
    grid = TERNARY

    def coded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return ternary(rows, exact_threshold(rows) if self.choice.exact else twn_threshold(rows))

    def forward(self, w: Tensor) -> Tensor:
        rows = self.rows(w)
        t, alpha = self.coded(rows.detach())
        return instead(w, self.unrows(alpha[:, None] * t, w))


@dataclass(frozen=True)
class TWN(Few):
    """Weights of −α, 0 and +α: by default one α for each filter. Gradients go straight through.

    Parameters
    ----------
    exact : bool
        True finds Δ by sorting; False takes the formula.

    References
    ----------
    Li et al. 2016.

    Survey-map row: E3.
    """

    exact: bool = False
    equation = _TWN
