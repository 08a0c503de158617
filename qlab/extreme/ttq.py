"""Trained ternary quantization (TTQ): the sizes of the positive and of the negative level are learned.

    w_t = +W_p for w > Δ,  0,  −W_n for w < −Δ;         Δ = t·max|w|
    ∂L/∂W_p = Σ_{w > Δ} ∂L/∂w_t,      ∂L/∂W_n = −Σ_{w < −Δ} ∂L/∂w_t
    ∂L/∂w   = ∂L/∂w_t times W_p (w > Δ), 1 (between), W_n (w < −Δ)

(The paper leaves out the minus before the second sum; it follows from −W_n.)
Source: Zhu, Han, Mao, Dally 2017, *Trained ternary quantization*, section 3, equations 6–9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qlab.extreme.levels import Few, FewLevels
from qlab.extreme.twn import ternary
from qlab.granularity import PerTensor
from qlab.grids import Codebook
from qlab.qat.estimators import slowed
from qlab.quantizer import Params, QuantizedTensor

__all__ = ["TTQ"]


class _Scaled(torch.autograd.Function):
    """W_p·(w > Δ) − W_n·(w < −Δ) going forward; equations 7 and 8 coming back."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, positive: Tensor, negative: Tensor, threshold: Tensor) -> Tensor:
        up, down = w > threshold, w < -threshold
        ctx.save_for_backward(up, down, positive, negative)
        return positive * up - negative * down

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        up, down, positive, negative = ctx.saved_tensors
        g = grads[0]
        return g * (positive * up + negative * down + ~(up | down)), (g * up).sum(), -(g * down).sum(), None


class _TTQ(FewLevels):
    def __init__(self, choice: TTQ, w: Tensor) -> None:
        super().__init__(choice, w)
        _, alpha = ternary(w.detach().flatten()[None], self.threshold(w.detach())[None])
        self.positive, self.negative = nn.Parameter(alpha[0].clone()), nn.Parameter(alpha[0].clone())

    def threshold(self, w: Tensor) -> Tensor:
        """Return Δ."""
        return self.choice.fraction * w.abs().max()

    def forward(self, w: Tensor) -> Tensor:
        g = w.numel() ** -0.5 if self.choice.gradient_scale else 1.0
        y: Tensor = _Scaled.apply(w, slowed(self.positive, g), slowed(self.negative, g), self.threshold(w.detach()))
        return y

    @torch.no_grad()
    def stored(self, x: Tensor) -> QuantizedTensor:
        """Return two bits a weight, and a table of three levels."""
        values = self(x)
        tiny = torch.finfo(x.dtype).tiny
        levels = sorted({-float(self.negative), 0.0, float(self.positive)})
        table = Codebook(tuple(levels) if len(levels) > 1 else (0.0, tiny))
        codes = torch.searchsorted(torch.tensor(table.levels, dtype=x.dtype), values.contiguous())
        params = Params(torch.ones(1, dtype=x.dtype), torch.zeros(1, dtype=torch.int32))
        return QuantizedTensor(codes.to(torch.uint8), params, table, PerTensor(), x.dtype)


@dataclass(frozen=True)
class TTQ(Few):
    """Weights of −W_n, 0 and +W_p: both are parameters, one pair for each layer.

    Parameters
    ----------
    fraction : float
        t: the threshold as a part of the largest |w|, in [0, 1). The paper takes 0.05.
    gradient_scale : bool
        Multiply the gradients of W_p and W_n, to which a whole layer of n weights adds up, by 1/√n, as LSQ does with
        its step. Not in the paper.

    Raises
    ------
    ValueError
        If the fraction is out of range.

    References
    ----------
    Zhu et al. 2017, section 3.1.

    Survey-map row: E3.
    """

    fraction: float = 0.05
    gradient_scale: bool = False
    equation = _TTQ

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 1:
            raise ValueError(f"fraction must lie in [0, 1), got {self.fraction}")
