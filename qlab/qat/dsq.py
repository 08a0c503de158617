r"""DSQ: a staircase whose steps are curves, and sharpen while training.

    φ(f) = tanh(k·f)/tanh(k/2),  f ∈ [−½, ½] the place in the step,    k = ln(2/α − 1)
    t = r/S,  i = ⌊t⌋,  soft(t) = i + (φ(t − i − ½) + 1)/2,   hard(t) = i + [t − i ≥ ½]
    r̃ = S·clip(hard(t)),  its gradient that of S·clip(soft(t));    α, S learned

α = 1 − tanh(k/2) is how far the tanh is from its limit where a step ends: α → 0 is the staircase itself, α → 1 the
straight line, whose gradient is that of the straight-through estimator.
Source: Gong et al. 2019, *Differentiable soft quantization*, equations 4–9 (there in units of x, here of the step).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.grids import Symmetric
from qlab.network import Trainable
from qlab.qat.estimators import through
from qlab.qat.learned import LearnedScale, starting_params
from qlab.quantizer import Params, Quantizer

__all__ = ["DSQ", "soft_staircase"]


def soft_staircase(t: Tensor, alpha: Tensor) -> Tensor:
    """Return i + (φ(t − i − ½) + 1)/2 with i = ⌊t⌋: a smooth curve through every whole number.

    Parameters
    ----------
    t : Tensor
        r/S.
    alpha : Tensor
        0 < α < 1.

    Examples
    --------
    >>> t = torch.tensor([0.0, 0.25, 0.5])
    >>> soft_staircase(t, torch.tensor(0.999)), soft_staircase(t, torch.tensor(1e-6))
    (tensor([0.0000, 0.2500, 0.5000]), tensor([0.0000, 0.0007, 0.5000]))

    Survey-map row: T3.
    """
    k = torch.log(2 / alpha - 1)
    i = torch.floor(t.detach())
    phi = torch.tanh(k * (t - i - 0.5)) / torch.tanh(k / 2)
    return i + (phi + 1) / 2


@dataclass(frozen=True)
class DSQ(Trainable):
    """Differentiable soft quantization, for weights and activations.

    Parameters
    ----------
    quantizer : Quantizer
        Uniform grid, granularity, and the calibration from which S starts.
    alpha : float
        First α, in (0, 1).

    Raises
    ------
    ValueError
        If alpha is not between 0 and 1.

    References
    ----------
    Gong et al. 2019, section 3.

    Survey-map row: T3.
    """

    quantizer: Quantizer = field(default_factory=lambda: Quantizer(Symmetric(4), calibration=MSE()))
    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {self.alpha}")

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds S and α."""
        return _SoftSteps(self, starting_params(params, "DSQ"), activation=x is None)


class _SoftSteps(LearnedScale):
    def __init__(self, dsq: Any, params: Params, activation: bool) -> None:
        super().__init__(dsq.quantizer, params, activation, "DSQ")
        # α = σ(a): gradient steps cannot leave (0, 1)
        self.a = nn.Parameter(torch.logit(torch.tensor(float(dsq.alpha))))

    def forward(self, x: Tensor) -> Tensor:
        S = self.positive(self.slow(self.scale, x))
        Z = self.zero_point[:, None]
        t = torch.minimum(torch.maximum(self.rows(x) / S, self.q_min + Z), self.q_max + Z)
        soft = soft_staircase(t, torch.sigmoid(self.a).clamp(1e-4, 0.9999))
        return self.unrows(S * through(soft, torch.round(t)), x)
