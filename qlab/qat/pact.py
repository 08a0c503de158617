"""PACT: the clipping level of an activation is learned.

    y = clip(x, 0, α),   r̃ = S·Int(y/S),   S = α/(2^b − 1)
    ∂r̃/∂α = 1 where x ≥ α, 0 below;   loss + λ·α²  keeps α from growing

Where data are negative too (a network's input, a linear bottleneck) we clip at ±α; the paper has only ReLU outputs.
Source: Choi et al. 2018, *PACT: parameterized clipping activation for quantized neural networks*, equations 1–3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from qlab.calibration import MinMax
from qlab.grids import Asymmetric, Symmetric
from qlab.network import Trainable
from qlab.qat.estimators import through
from qlab.qat.learned import LearnedQuantizer, starting_params
from qlab.quantizer import Params, Quantizer
from qlab.validate import check_bits

__all__ = ["PACT", "pact_penalty"]


@dataclass(frozen=True)
class PACT(Trainable):
    """Learned clipping level α, for activations.

    Parameters
    ----------
    bits : int
        2 to 16.
    quantizer : Quantizer
        Only its calibration is used: it gives the first α.

    References
    ----------
    Choi et al. 2018, section 3.

    Survey-map row: T2.
    """

    bits: int = 4
    quantizer: Quantizer = field(default_factory=lambda: Quantizer(Asymmetric(8), calibration=MinMax()))

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits, 2))

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds α."""
        p = starting_params(params, "PACT")
        if x is not None or p.scale.numel() != 1:
            raise TypeError("PACT is for activations, one α per layer: use it as Recipe(activation=PACT(...))")
        low, high = (float(p.scale * (q + p.zero_point)) for q in self.quantizer.grid.code_range)
        return _LearnedClip(self, max(high, -low), signed=low < 0)


class _LearnedClip(LearnedQuantizer):
    def __init__(self, pact: PACT, alpha: float, signed: bool) -> None:
        super().__init__(Quantizer(Symmetric(pact.bits, signed=signed)))
        self.alpha = nn.Parameter(torch.tensor([alpha]))

    @property
    def params(self) -> Params:
        S = self.alpha.detach().clamp(min=1e-8) / self.quantizer.grid.code_range[1]
        return Params(S, torch.zeros(1, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        q_min, q_max = self.quantizer.grid.code_range
        alpha = self.alpha.clamp(min=1e-8)
        y = torch.minimum(torch.maximum(x, alpha * (q_min / q_max)), alpha)  # clip(x, 0, α), or ±α
        S = (alpha / q_max).detach()
        return through(y, S * torch.round(y / S))


def pact_penalty(model: nn.Module, weight: float = 1e-3) -> Tensor:
    """Return λ·Σα² over the PACT activations of a network, to be added to its loss.

    References
    ----------
    Choi et al. 2018, section 3 (L2 regularization of α).

    Survey-map row: T2.
    """
    alphas: list[Tensor] = [m.alpha for m in model.modules() if isinstance(m, _LearnedClip)]
    return weight * torch.cat(alphas).square().sum() if alphas else torch.zeros(())
