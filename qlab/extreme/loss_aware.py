"""Loss-aware binarization (LAB): the signs and the scale that hurt the loss least, not the weights.

    min over α, b of  Σ_i d_i·(α·b_i − w_i)²:       b = sign(w),    α = Σ d_i|w_i| / Σ d_i
    d_i = √v_i + ε,    v ← ρ·v + (1 − ρ)·(∂L/∂w̃)²    Adam's second moment: a diagonal stand-in for the Hessian

With all d equal it is BWN's α = mean|w|. Weights on which the loss depends much count more.
Source: Hou, Yao, Kwok 2017, *Loss-aware binarization of deep networks*, section 3, proposition 3.1 and corollary 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qlab.extreme.levels import Few, FewLevels
from qlab.extreme.signs import sign
from qlab.gradients import instead

__all__ = ["LossAware", "loss_aware_scale"]


def loss_aware_scale(rows: Tensor, curvature: Tensor) -> Tensor:
    """Return α = Σ d|w| / Σ d of every row.

    Parameters
    ----------
    rows, curvature : Tensor, shape (rows, n)
        w, and d > 0.

    Examples
    --------
    >>> loss_aware_scale(torch.tensor([[1.0, -3.0]]), torch.tensor([[3.0, 1.0]]))  # (3·1 + 1·3)/4
    tensor([1.5000])

    References
    ----------
    Hou et al. 2017, equation 9.

    Survey-map row: E5.
    """
    if rows.shape != curvature.shape or not bool((curvature > 0).all()):
        raise ValueError(f"curvature must be positive, of the shape {tuple(rows.shape)} of rows")
    return (curvature * rows.abs()).sum(1) / curvature.sum(1)


class _LossAware(FewLevels):
    second_moment: Tensor
    seen: Tensor

    def __init__(self, choice: LossAware, w: Tensor) -> None:
        super().__init__(choice, w)
        self.register_buffer("second_moment", torch.zeros_like(w.detach()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @property
    def curvature(self) -> Tensor:
        """Hold d, with Adam's correction of a moment that started at 0; all equal before the first gradient."""
        if not self.seen:
            return torch.ones_like(self.second_moment)
        return (self.second_moment / (1 - self.choice.decay ** int(self.seen))).sqrt() + 1e-8

    def _see(self, grad: Tensor) -> Tensor:
        d = self.curvature
        if self.training:
            self.second_moment.mul_(self.choice.decay).add_((1 - self.choice.decay) * grad.detach().square())
            self.seen += 1
            d = self.curvature
        return grad * (d.mean() / d) if self.choice.precondition else grad

    def coded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return sign(rows), loss_aware_scale(rows, self.rows(self.curvature))

    def forward(self, w: Tensor) -> Tensor:
        level, alpha = self.coded(self.rows(w.detach()))
        y = instead(w, self.unrows(alpha[:, None] * level, w))
        if y.requires_grad:
            y.register_hook(self._see)
        return y


@dataclass(frozen=True)
class LossAware(Few):
    """Weights of −α and +α for the α that costs the loss least; the curvature is gathered while training.

    Parameters
    ----------
    decay : float
        ρ of the moving average, in (0, 1).
    precondition : bool
        Divide the gradient by d (keeping its mean size), as the paper's Newton step does. False leaves the direction of
        plain gradient descent, so that only α is aware of the loss.

    Raises
    ------
    ValueError
        If decay is out of range.

    References
    ----------
    Hou et al. 2017, algorithm 1.

    Survey-map row: E5.
    """

    decay: float = 0.99
    precondition: bool = False
    equation = _LossAware

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ValueError(f"decay must lie in (0, 1), got {self.decay}")
