r"""Quant-Noise: in each forward pass of training a random part of the weights is quantized, the rest stay as they are.

    r̃ = m·Q(r) + (1 − m)·r,     m = 1 with probability p, for each weight and each pass anew
    backward: what Q's estimator gives where m = 1, the exact gradient where m = 0

p = 1 is ordinary quantization-aware training, p = 0 training in floating point. Evaluation quantizes everything.
Source: Fan, Stock, Graham, Grave, Gribonval, Jégou, Joulin 2021, *Training with quantization noise for extreme model
compression*, section 4 (its equation for fixed-point quantization; there also for blocks of product quantization).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from qlab.network import Trainable, WeightQuantizer
from qlab.quantizer import Params, QuantizedTensor, Quantizer

__all__ = ["QuantNoise"]


@dataclass(frozen=True)
class QuantNoise(Trainable):
    """A quantizer of weights, learned or not, that acts on a random part of them while training.

    Parameters
    ----------
    inner : Quantizer or Trainable
        Q; with a plain `Quantizer` S and Z stay as calibrated.
    rate : float
        p, 0 to 1.
    seed : int
        Of the choice.

    Raises
    ------
    ValueError
        If rate is not in 0 … 1.

    References
    ----------
    Fan et al. 2021, section 4.

    Survey-map row: G3.
    """

    inner: Quantizer | Trainable
    rate: float = 0.5
    seed: int = 0
    quantizer: Quantizer = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must be from 0 to 1, got {self.rate}")
        core = self.inner if isinstance(self.inner, Quantizer) else self.inner.quantizer
        object.__setattr__(self, "quantizer", core)

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds Q's and the state of the choice."""
        if x is None:
            raise TypeError("QuantNoise is for weights; activations are quantized as a whole")
        inner = WeightQuantizer(self.inner, params) if isinstance(self.inner, Quantizer) else None
        return _Noise(inner or self.inner.module(params, x), self.rate, self.seed)  # type: ignore[union-attr]


class _Noise(nn.Module):
    calls: Tensor

    def __init__(self, inner: nn.Module, rate: float, seed: int) -> None:
        super().__init__()
        self.inner, self.rate, self.seed = inner, rate, seed
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))  # each call chooses anew

    def forward(self, w: Tensor) -> Tensor:
        quantized = self.inner(w)
        if not self.training:
            return quantized
        generator = torch.Generator(w.device).manual_seed(self.seed * 1_000_003 + int(self.calls))
        self.calls += 1
        chosen = torch.rand(w.shape, generator=generator, device=w.device) < self.rate
        return torch.where(chosen, quantized, w)

    def stored(self, w: Tensor) -> QuantizedTensor:
        """Return the integer form of w."""
        return self.inner.stored(w)  # type: ignore[operator]
