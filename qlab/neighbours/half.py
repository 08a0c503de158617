"""Half precision: 16-bit floating point, and the trick that lets fp16 train.

    format   exponent  fraction  smallest subnormal  smallest normal   largest    ε
    fp16     5         10        2⁻²⁴ ≈ 6.0e−8       2⁻¹⁴ ≈ 6.1e−5     65504      2⁻¹⁰
    bf16     8         7         2⁻¹³³               2⁻¹²⁶             3.4e38     2⁻⁷

Gradients below 2⁻²⁵ round to zero in fp16. Loss scaling multiplies the loss, hence every gradient, by s before the
backward pass and divides after it, in fp32:

    g = (1/s)·fp32( fp16( ∂(s·L)/∂w ) )

bf16 has the range of fp32 and needs none; it pays with three bits of fraction. Without fp32 master weights an update u
is lost, round(w + u) = w, as soon as |u| < (ε/2)·2^⌊log2 |w|⌋.

Sources: Micikevicius et al. 2018, *Mixed precision training*, sections 3.1–3.2; Kalamkar et al. 2019, *A study of
BFLOAT16 for deep learning training*; Gholami et al. 2021, section I.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.calibration import Unscaled
from qlab.grids import BF16, FP16, FloatingPoint
from qlab.network import quantizable_layers
from qlab.quantizer import Quantizer

__all__ = [
    "FORMATS",
    "HalfFormat",
    "LossScale",
    "emulate_half",
    "gradients",
    "half_step",
    "lost_updates",
    "signal_gradients",
    "underflow",
]


@dataclass(frozen=True)
class HalfFormat:
    """A 16-bit floating-point format: the grid of the core, and PyTorch's own type.

    Attributes
    ----------
    grid : FloatingPoint
    dtype : torch.dtype

    Examples
    --------
    >>> FORMATS["fp16"].smallest == 2**-24, FORMATS["fp16"].largest
    (True, 65504.0)

    Survey-map row: B11.
    """

    grid: FloatingPoint
    dtype: torch.dtype

    @property
    def smallest(self) -> float:
        """The smallest positive number."""
        return float(self.grid.level(torch.tensor(1)))

    @property
    def smallest_normal(self) -> float:
        """The smallest number with all its bits of fraction."""
        return torch.finfo(self.dtype).tiny

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return self.grid.unit_range[1]

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number."""
        return 2.0**-self.grid.mantissa_bits

    @property
    def quantizer(self) -> Quantizer:
        """The format as a quantizer: nearest value, S = 1. It saturates where the hardware overflows to infinity."""
        return Quantizer(self.grid, calibration=Unscaled())

    def round(self, x: Tensor) -> Tensor:
        """Return `x` rounded to the format, in its own dtype; past the largest number it is infinite."""
        return x.to(self.dtype).to(x.dtype)


FORMATS: Mapping[str, HalfFormat] = {
    "fp16": HalfFormat(FP16, torch.float16),
    "bf16": HalfFormat(BF16, torch.bfloat16),
}


def _format(name: str) -> HalfFormat:
    if name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


def underflow(x: Tensor, format: str = "fp16", scale: float = 1.0) -> float:
    """Return the share of the numbers other than zero that `scale`·x loses to zero in the format.

    Examples
    --------
    >>> g = torch.tensor([0.0, 1e-9, 1e-8, 1e-3])
    >>> underflow(g), underflow(g, scale=1024.0)
    (0.6666666865348816, 0.0)

    Survey-map row: B11.
    """
    x = x.detach()[x.detach() != 0]
    if not len(x):
        return 0.0
    return float((_format(format).round(x.float() * scale) == 0).float().mean())


def lost_updates(weight: Tensor, update: Tensor, format: str = "bf16") -> float:
    """Return the share of the updates other than zero that change nothing: round(w + u) = w, w kept in the format.

    Examples
    --------
    >>> w = torch.tensor([1.0, 1.0, 1.0])
    >>> lost_updates(w, torch.tensor([0.0, 2**-9, 2**-7]))  # half of the spacing of bf16 at 1 is 2⁻⁸
    0.5

    Survey-map row: B11.
    """
    if weight.shape != update.shape:
        raise ValueError(f"weight and update must have the same shape, got {weight.shape} and {update.shape}")
    chosen = _format(format)
    kept = chosen.round(weight.detach().float())
    moved = update.detach().float() != 0
    if not moved.any():
        return 0.0
    return float((chosen.round(kept + update.detach())[moved] == kept[moved]).double().mean())


class _Both(torch.autograd.Function):
    """x rounded to the format going forward, its gradient rounded coming back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, format: HalfFormat) -> Tensor:
        ctx.format = format
        return format.round(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.format.round(grads[0]), None


class _Rounded(nn.Module):
    def __init__(self, format: HalfFormat) -> None:
        super().__init__()
        self.format = format

    def forward(self, weight: Tensor) -> Tensor:
        return _Both.apply(weight, self.format)


def emulate_half(model: nn.Module, format: str = "fp16") -> nn.Module:
    """Return a copy of `model` that computes as 16-bit hardware does, with fp32 sums and fp32 master weights.

    The weights, the inputs and the outputs of every linear and convolutional layer, and the gradients of all three, are
    rounded to the format; BatchNorm and the loss stay in fp32, as in mixed-precision training.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    format : {"fp16", "bf16"}

    References
    ----------
    Micikevicius et al. 2018, section 3.1 and figure 1.

    Survey-map row: B11.
    """
    chosen = _format(format)
    model = copy.deepcopy(model)
    for layer in quantizable_layers(model).values():
        nn.utils.parametrize.register_parametrization(layer, "weight", _Rounded(chosen))
        layer.register_forward_pre_hook(lambda layer, args: (_Both.apply(args[0], chosen), *args[1:]))
        layer.register_forward_hook(lambda layer, args, output: _Both.apply(output, chosen))
    return model


def gradients(model: nn.Module, x: Tensor, y: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
    """Return ∂L/∂w of every parameter for the mean cross-entropy, by a backward pass through scale·L.

    Parameters
    ----------
    model : nn.Module
        Perhaps from `emulate_half`; its own .grad fields are left alone.
    x : Tensor, shape (N, …)
    y : Tensor of int64, shape (N,)
    scale : float
        s; divided out again in fp32.

    Survey-map row: B11.
    """
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(scale * F.cross_entropy(model(x), y), parameters)
    return {name: g / scale for name, g in zip(names, found, strict=True)}


def signal_gradients(model: nn.Module, x: Tensor, y: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
    """Return ∂(scale·L)/∂a for the output a of every linear and convolutional layer: where fp16 underflows first.

    Parameters
    ----------
    model, x, y, scale
        As `gradients`; here the scale stays in.

    Survey-map row: B11.
    """
    model = copy.deepcopy(model)
    outputs: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, args: Any, output: Tensor) -> None:
            outputs[name] = output

        return hook

    for name, layer in quantizable_layers(model).items():
        layer.register_forward_hook(watch(name))
    loss = scale * F.cross_entropy(model(x), y)
    return dict(zip(outputs, torch.autograd.grad(loss, list(outputs.values())), strict=True))


@dataclass(frozen=True)
class LossScale:
    """A loss scale; `after` returns the next one.

    Static if `growth` and `backoff` are 1. Dynamic: every overflow halves it, and every `interval` steps without one
    double it, so that it stays just below where gradients overflow.

    Parameters
    ----------
    scale : float
    growth, backoff : float
        Factors, ≥ 1 and in 0 … 1.
    interval : int
    good : int
        Steps since the last change.

    References
    ----------
    Micikevicius et al. 2018, section 3.2.

    Examples
    --------
    >>> s = LossScale(1024.0, interval=2)
    >>> s.after(finite=False).scale, s.after(True).after(True).scale
    (512.0, 2048.0)

    Survey-map row: B11.
    """

    scale: float = 2.0**16
    growth: float = 2.0
    backoff: float = 0.5
    interval: int = 2000
    good: int = 0

    def __post_init__(self) -> None:
        if not (self.scale > 0 and math.isfinite(self.scale) and self.growth >= 1 and 0 < self.backoff <= 1):
            raise ValueError(f"scale must be positive and finite, growth ≥ 1, 0 < backoff ≤ 1, got {self}")
        if self.interval < 1:
            raise ValueError(f"interval must be at least 1, got {self.interval}")

    @classmethod
    def static(cls, scale: float) -> LossScale:
        """Return a scale that never changes."""
        return cls(scale, growth=1.0, backoff=1.0)

    def after(self, finite: bool) -> LossScale:
        """Return the scale for the next step."""
        if not finite:
            return replace(self, scale=self.scale * self.backoff, good=0)
        if self.good + 1 == self.interval:
            return replace(self, scale=self.scale * self.growth, good=0)
        return replace(self, good=self.good + 1)


def half_step(
    model: nn.Module, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer, scale: LossScale
) -> tuple[float, LossScale]:
    """Take one training step with loss scaling; a step whose gradients are not finite is skipped.

    Parameters
    ----------
    model : nn.Module
        From `emulate_half`: here, as everywhere in PyTorch's training, the optimizer changes its parameters.
    x, y : Tensor
        A batch.
    optimizer : torch.optim.Optimizer
    scale : LossScale

    Returns
    -------
    loss : float
    scale : LossScale
        For the next step.

    Survey-map row: B11.
    """
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    (scale.scale * loss).backward()
    found = [p.grad for p in model.parameters() if p.grad is not None]
    finite = _all_finite(found)
    if finite:
        for g in found:
            g.div_(scale.scale)
        optimizer.step()
    return loss.item(), scale.after(finite)


def _all_finite(tensors: Iterable[Tensor]) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in tensors)
