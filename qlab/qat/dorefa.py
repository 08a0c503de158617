"""DoReFa-Net: weights and activations of k bits in fixed ranges, gradients straight through.

    quantize_k(x) = Int((2^k − 1)·x)/(2^k − 1),                       x in [0, 1]
    weights:      r̃ = 2·quantize_k( tanh(w)/(2·max|tanh(w)|) + ½ ) − 1        (1 bit: E|w|·sign(w))
    activations:  r̃ = quantize_k( clip(a, 0, 1) )                             (±1 where data are negative: ours)

Nothing is learned but the weights: BatchNorm must undo the change of scale, so a layer without one loses its size.
Source: Zhou et al. 2016, *DoReFa-Net*, equations 5, 7–9 and 11.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from qlab.grids import Asymmetric, Codebook, Symmetric
from qlab.network import Trainable
from qlab.qat.estimators import through
from qlab.qat.learned import LearnedQuantizer, starting_params
from qlab.quantizer import Params, QuantizedTensor, Quantizer
from qlab.validate import check_bits

__all__ = ["DoReFaActivation", "DoReFaWeight"]


def quantize_k(x: Tensor, bits: int) -> Tensor:
    """Return Int((2^k − 1)·x)/(2^k − 1) for x in [0, 1], gradients straight through.

    Examples
    --------
    >>> quantize_k(torch.tensor([0.0, 0.3, 1.0]), 2)
    tensor([0.0000, 0.3333, 1.0000])

    Survey-map row: T2.
    """
    n = 2**bits - 1
    return through(n * x) / n


@dataclass(frozen=True)
class DoReFaWeight(Trainable):
    """DoReFa's weights: squeezed by tanh, then 2^k equally spaced levels from −1 to 1 (no zero among them).

    Parameters
    ----------
    bits : int
        1 to 16.

    References
    ----------
    Zhou et al. 2016, section 2.3.

    Survey-map row: T2.
    """

    bits: int = 4
    quantizer: Quantizer = field(default_factory=lambda: Quantizer(Symmetric(8)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits))

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module; it has no parameters."""
        if x is None:
            raise TypeError("DoReFaWeight is for weights; for activations use DoReFaActivation")
        return _Weight(self.bits)


class _Weight(LearnedQuantizer):
    def __init__(self, bits: int) -> None:
        n = 2**bits - 1
        super().__init__(Quantizer(Codebook(tuple((2 * i - n) / n for i in range(n + 1)))))
        self.bits = bits

    def _squeezed(self, w: Tensor) -> Tensor:
        t = torch.tanh(w)
        return t / (2 * t.abs().max().clamp(min=1e-12)) + 0.5

    def forward(self, w: Tensor) -> Tensor:
        if self.bits == 1:
            return w.abs().mean().detach() * through(w, torch.where(w >= 0, 1.0, -1.0))
        return 2 * quantize_k(self._squeezed(w), self.bits) - 1

    def stored(self, x: Tensor) -> QuantizedTensor:
        w = x.detach()
        size = w.abs().mean() if self.bits == 1 else torch.ones(())
        place = (w >= 0).float() if self.bits == 1 else torch.round((2**self.bits - 1) * self._squeezed(w))
        params = Params(size[None].to(w.dtype), torch.zeros(1, dtype=torch.int32))
        codes = place.to(torch.uint8 if self.bits <= 8 else torch.int32)
        return QuantizedTensor(codes, params, self.quantizer.grid, self.quantizer.granularity, w.dtype)


@dataclass(frozen=True)
class DoReFaActivation(Trainable):
    """DoReFa's activations: clipped to [0, 1], 2^k levels.

    Parameters
    ----------
    bits : int
        1 to 16 (2 to 16 where data are negative).

    References
    ----------
    Zhou et al. 2016, section 2.4.

    Survey-map row: T2.
    """

    bits: int = 4
    quantizer: Quantizer = field(default_factory=lambda: Quantizer(Asymmetric(8)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits))

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module; it has no parameters. The calibrated range only tells whether data are negative."""
        if x is not None:
            raise TypeError("DoReFaActivation is for activations; for weights use DoReFaWeight")
        p = starting_params(params, "DoReFaActivation")
        return _Activation(Symmetric(self.bits, signed=bool((p.zero_point < 0).any())))


class _Activation(LearnedQuantizer):
    def __init__(self, grid: Symmetric) -> None:
        super().__init__(Quantizer(grid))

    @property
    def params(self) -> Params:
        return Params(torch.tensor([1 / self.quantizer.grid.code_range[1]]), torch.zeros(1, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        q_min, q_max = self.quantizer.grid.code_range
        return through(q_max * x.clamp(q_min / q_max, 1)) / q_max
