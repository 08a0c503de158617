"""LQ-Nets: the levels are the 2^K sums of a basis, and the basis is learned while the network trains.

    Q(x) = vᵀe,  e ∈ {−1, 1}^K (weights) or {0, 1}^K (activations)       the nearest of the 2^K levels
    QEM:  B from v (nearest level),  v* = (BBᵀ)⁻¹Bx                      once in every forward pass of training
    v ← 0.9·v + 0.1·v*                                                   moving average
    backward: straight through (activations: clipped at the top level)

One basis for each filter, one for each layer's activations. Because levels are sums of signs, products remain sums of
±x, as with any binary code; the basis (1, 2, 4, …)·S is the uniform grid.
Source: Zhang et al. 2018, *LQ-Nets*, section 3 and algorithm 1; details from the authors' code (microsoft/LQ-Nets).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.network import Trainable
from qlab.nonuniform.binary_codes import SIGNS, BinaryCodes, best_alphas, best_codes
from qlab.qat.estimators import through
from qlab.qat.learned import LearnedQuantizer, starting_params
from qlab.quantizer import Params, Quantizer
from qlab.validate import check_bits

__all__ = ["LQ"]


@dataclass(frozen=True)
class LQ(Trainable):
    """A learned basis of K vectors, for weights and for activations without negative values.

    Parameters
    ----------
    bits : int
        K, 1 to 8.
    momentum : float
        Weight of the past in the moving average of v, in [0, 1).
    quantizer : Quantizer
        Its granularity says which elements share a basis; for activations, its range is what v starts from.

    Raises
    ------
    ValueError
        For activations that take negative values.

    References
    ----------
    Zhang et al. 2018.

    Survey-map rows: Q9, Q10.
    """

    bits: int = 2
    momentum: float = 0.9
    quantizer: Quantizer = field(default_factory=lambda: Quantizer(Symmetric(8), PerChannel(0)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits, 1, 8))
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds v: fitted to the weight, or spread evenly over an activation's range."""
        powers = 2.0 ** torch.arange(self.bits)
        if x is not None:
            rows = self.quantizer.granularity.rows(x.detach()).double()
            size = 0.6745 * rows.square().mean(1, keepdim=True).sqrt() / 2 ** (self.bits - 1)
            v = size * powers
            for _ in range(20):  # the paper trains from the start; a trained weight deserves a fitted basis
                v = best_alphas(rows, best_codes(rows, v))
            return _Basis(self, v.to(x.dtype), SIGNS)
        p = starting_params(params, "LQ")
        if bool((p.zero_point < 0).any()):
            raise ValueError("LQ's digits for activations are 0 and 1: it must have data without negative values")
        top = p.scale * self.quantizer.grid.code_range[1]
        return _Basis(self, top[:, None] * powers / (2**self.bits - 1), (0.0, 1.0))


class _Basis(LearnedQuantizer):
    basis: Tensor

    def __init__(self, lq: LQ, basis: Tensor, digits: tuple[float, float]) -> None:
        super().__init__(lq.quantizer)
        self.momentum, self.digits = lq.momentum, digits
        self.register_buffer("basis", basis)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest sums; while training, move the basis by one step of QEM."""
        rows = self.rows(x)
        codes = best_codes(rows.detach(), self.basis, self.digits)
        nearest = torch.einsum("rk,rkn->rn", self.basis, codes.to(self.basis.dtype))
        if self.digits != SIGNS:
            rows = torch.minimum(rows, self.basis.clamp(min=0).sum(1, keepdim=True))
        y = self.unrows(through(rows, nearest), x)
        if self.training:
            target = best_alphas(self.rows(x.detach()), codes).to(self.basis.dtype)
            self.basis = self.momentum * self.basis + (1 - self.momentum) * target
        return y

    def stored(self, x: Tensor) -> Any:
        """Return the signs and the basis."""
        codes = best_codes(self.rows(x.detach()), self.basis, self.digits)
        return BinaryCodes(self.basis, codes, self.quantizer.granularity, tuple(x.shape), x.dtype)
