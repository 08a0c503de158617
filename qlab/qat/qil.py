"""QIL: the interval that is quantized is learned, pruning below it and clipping above it.

    x̂ = 0                           |x| < c − d
    x̂ = sign(x)                     |x| > c + d
    x̂ = sign(x)·(a·|x| + b)^γ       between,     a = 1/(2d),  b = −c/(2d) + ½
    r̃ = Int(q·x̂)/q,                 q = 2^(b−1) − 1 for weights, 2^b − 1 for activations (γ = 1)

Like DoReFa's, the result lies in [−1, 1]: BatchNorm must undo the change of scale.
Source: Jung et al. 2019, *Learning to quantize deep networks by optimizing quantization intervals with task loss*,
equations 1–6.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from qlab.grids import Asymmetric, Symmetric
from qlab.network import Trainable
from qlab.qat.estimators import slowed, through
from qlab.qat.learned import LearnedQuantizer, starting_params
from qlab.quantizer import Params, QuantizedTensor, Quantizer
from qlab.validate import check_bits

__all__ = ["QIL"]


@dataclass(frozen=True)
class QIL(Trainable):
    """Learned interval: centre c, half-width d, and for weights the curve γ.

    Parameters
    ----------
    bits : int
        2 to 16.
    learn_gamma : bool
        Learn γ (only for weights, as the paper does); it starts at 1.
    rate : float
        Learning rate of c, d and γ relative to that of the weights: their gradients are multiplied by it. Every weight
        of the layer adds to them, as to LSQ's step, and with 1 they can run away.

    References
    ----------
    Jung et al. 2019, section 3.

    Survey-map row: T2.
    """

    bits: int = 4
    learn_gamma: bool = True
    quantizer: Quantizer = field(default_factory=lambda: Quantizer(Asymmetric(8)))
    rate: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits, 2))
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds c, d and γ; the interval starts as [0, max|x|]."""
        p = starting_params(params, "QIL")
        low, high = (float((p.scale * (q + p.zero_point)).abs().max()) for q in self.quantizer.grid.code_range)
        signed = x is not None or bool((p.zero_point < 0).any())
        return _LearnedInterval(self, max(low, high), Symmetric(self.bits, signed=signed), x is not None)


class _LearnedInterval(LearnedQuantizer):
    def __init__(self, qil: QIL, top: float, grid: Symmetric, weight: bool) -> None:
        super().__init__(Quantizer(grid))
        self.rate = qil.rate
        self.center = nn.Parameter(torch.tensor([top / 2]))
        self.width = nn.Parameter(torch.tensor([top / 2]))
        self.gamma = nn.Parameter(torch.ones(1), requires_grad=qil.learn_gamma and weight)

    def transform(self, x: Tensor) -> Tensor:
        """Return x̂ in [−1, 1]."""
        c, width, gamma = (slowed(p, self.rate) for p in (self.center, self.width, self.gamma))
        d = width.clamp(min=1e-8)
        ramp = ((x.abs() - (c - d)) / (2 * d)).clamp(0, 1)  # a·|x| + b, pruned and clipped
        # the curve's slope at 0 is infinite for γ < 1: start it a little above
        x_hat = torch.where(ramp > 0, ramp.clamp(min=1e-6) ** gamma, 0.0)
        if self.quantizer.grid.code_range[0] < 0:
            return torch.sign(x) * x_hat
        return torch.where(x > 0, x_hat, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        q = self.quantizer.grid.code_range[1]
        return through(q * self.transform(x)) / q

    @property
    def params(self) -> Params:
        S = torch.tensor([1 / self.quantizer.grid.code_range[1]], device=self.center.device)
        return Params(S, torch.zeros(1, dtype=torch.int32, device=S.device))

    def stored(self, x: Tensor) -> QuantizedTensor:
        with torch.no_grad():
            return self.quantizer.quantize(self.transform(x), self.params)
