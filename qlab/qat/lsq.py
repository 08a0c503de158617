"""LSQ and LSQ+: the step size is learned like a weight.

    r̃ = S·Int( clip(r/S, Q_N, Q_P) )
    ∂r̃/∂S = Int(r/S) − r/S  inside,   Q_N or Q_P outside          (follows from the straight-through estimator)
    ∂L/∂S is multiplied by g = 1/√(N·Q_P),  N values that share S

LSQ+ learns the offset as well: r̃ = S·Int( clip((r − β)/S, q_min, q_max) ) + β.

Sources: Esser et al. 2020, *Learned step size quantization*, equations 1–3 and section 2.2; Bhalgat et al. 2020,
*LSQ+: improving low-bit quantization through learnable offsets and better initialization*, equations 5–7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.grids import Asymmetric, Symmetric
from qlab.network import Trainable
from qlab.qat.estimators import through
from qlab.qat.learned import LearnedScale, starting_params
from qlab.quantizer import Params, Quantizer

__all__ = ["LSQ", "LSQPlus", "staircase"]


def _weights() -> Quantizer:
    return Quantizer(Symmetric(4), calibration=MSE())


def _activations() -> Quantizer:
    return Quantizer(Asymmetric(4), calibration=MSE())


def staircase(r: Tensor, S: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return S·Int(clip(r/S, low, high)) as the equation says it; `_Staircase` is the same with fewer passes.

    Parameters
    ----------
    r : Tensor, shape (rows, n)
    S, low, high : Tensor, shape (rows, 1)
        The step, and the range of q + Z.

    Survey-map row: T2.
    """
    return S * through(torch.minimum(torch.maximum(r / S, low), high))


class _Staircase(torch.autograd.Function):
    """`staircase` with the gradient written out: ∂r̃/∂r = [inside], ∂r̃/∂S = Int(t) − t·[inside], t = r/S."""

    @staticmethod
    def forward(ctx: Any, r: Tensor, S: Tensor, low: Tensor, high: Tensor) -> Tensor:
        t = r / S
        q = torch.clamp(t, low, high).round_()
        ctx.save_for_backward(t, q, low, high, S)
        return q * S

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        (up,) = upstream
        t, q, low, high, S = ctx.saved_tensors
        inside = ((t >= low) & (t <= high)).to(up.dtype)
        by_step = torch.addcmul(q, t, inside, value=-1).mul_(up).sum(1, keepdim=True)
        return inside.mul_(up), by_step.to(S.dtype), None, None


@dataclass(frozen=True)
class LSQ(Trainable):
    """Learned step size, for weights and for activations; Z keeps its calibrated value.

    Parameters
    ----------
    quantizer : Quantizer
        Uniform grid, granularity, and the calibration from which S starts. (The paper starts from 2·E|r|/√Q_P.)
    gradient_scale : bool
        Multiply S's gradient by g; without it S moves too fast, the more so the larger the layer.

    References
    ----------
    Esser et al. 2020, sections 2.1–2.2.

    Examples
    --------
    >>> lsq = LSQ(Quantizer(Symmetric(3)), gradient_scale=False)
    >>> step = lsq.module(Params(torch.tensor([1.0]), torch.tensor([0], dtype=torch.int32)), torch.zeros(2))
    >>> step(torch.tensor([0.4, 9.0])).sum().backward()
    >>> step.scale.grad  # (Int(0.4) − 0.4) + Q_P
    tensor([2.6000])

    Survey-map row: T2.
    """

    quantizer: Quantizer = field(default_factory=_weights)
    gradient_scale: bool = True

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds S."""
        return _LearnedStep(self, starting_params(params, "LSQ"), activation=x is None)


class _LearnedStep(LearnedScale):
    def __init__(self, lsq: Any, params: Params, activation: bool) -> None:
        super().__init__(lsq.quantizer, params, activation, type(lsq).__name__)
        self.gradient_scale = lsq.gradient_scale

    def slow(self, parameter: Tensor, x: Tensor) -> Tensor:
        return super().slow(parameter, x) if self.gradient_scale else parameter[:, None]

    def forward(self, x: Tensor) -> Tensor:
        S = self.positive(self.slow(self.scale, x))
        r, Z = self.rows(x), self.zero_point[:, None].to(S.dtype)
        return self.unrows(_Staircase.apply(r, S, self.q_min + Z, self.q_max + Z), x)


@dataclass(frozen=True)
class LSQPlus(LSQ):
    """Learned step and learned offset, for activations that take negative values (swish, hard-swish, linear).

    Parameters
    ----------
    quantizer : Quantizer
        With an `Asymmetric` grid.
    gradient_scale : bool

    References
    ----------
    Bhalgat et al. 2020, section 3.

    Survey-map row: T2.
    """

    quantizer: Quantizer = field(default_factory=_activations)

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds S and β."""
        if not isinstance(self.quantizer.grid, Asymmetric):
            raise TypeError(f"LSQPlus needs a grid with a zero point: Asymmetric, got {self.quantizer.grid!r}")
        return _LearnedStepAndOffset(self, starting_params(params, "LSQPlus"), activation=x is None)


class _LearnedStepAndOffset(_LearnedStep):
    def __init__(self, lsq: Any, params: Params, activation: bool) -> None:
        super().__init__(lsq, params, activation)
        self.offset = nn.Parameter(params.scale * params.zero_point)  # β = S·Z

    @property
    def params(self) -> Params:
        """S, and the whole number Z nearest to β/S: integer codes need one, and β lies within S/2 of S·Z."""
        S = self.positive(self.scale).detach()
        return Params(S, torch.round(self.offset.detach() / S).to(torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        S, beta = self.positive(self.slow(self.scale, x)), self.slow(self.offset, x)
        t = ((self.rows(x) - beta) / S).clamp(self.q_min, self.q_max)
        return self.unrows(S * through(t) + beta, x)
