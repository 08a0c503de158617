"""Weights as sums of signs, W ≈ Σ αᵢbᵢ, in a recipe: any way to find the signs becomes a quantizer of networks.

Source: Gholami et al. 2021, section III F.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from qlab.granularity import Granularity, PerChannel
from qlab.grids import Symmetric
from qlab.network import Trainable
from qlab.nonuniform.binary_codes import BinaryCodes
from qlab.nonuniform.multi_bit import alternating
from qlab.quantizer import Params, Quantizer
from qlab.validate import check_bits

__all__ = ["SumOfSigns"]


@dataclass(frozen=True)
class SumOfSigns(Trainable):
    """The weight's quantizer that a way to find signs stands for; the signs are found once and stay.

    Parameters
    ----------
    bases : int
        K, 1 to 8: as many bits per weight.
    find : function of (tensor, bases, granularity)
        `alternating`, `greedy` or `shifted_signs`.
    granularity : Granularity
        Which weights share coefficients α.

    Raises
    ------
    TypeError
        For activations: their signs would have to be found anew for each input (`LQ` does that).

    Examples
    --------
    >>> import torch
    >>> w = torch.tensor([[1.0, -2.0, 4.0, 5.0]])
    >>> SumOfSigns(1).module(None, w)(w)  # mean|w| times the signs
    tensor([[ 3., -3.,  3.,  3.]])

    Survey-map row: Q10.
    """

    bases: int = 3
    find: Callable[[Tensor, int, Granularity], BinaryCodes] = alternating
    granularity: Granularity = field(default_factory=lambda: PerChannel(0))
    quantizer: Quantizer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_bits(self.bases, 1, 8, name="bases")
        object.__setattr__(self, "quantizer", Quantizer(Symmetric(8), self.granularity))

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds the signs found for the weight x."""
        if x is None:
            raise TypeError("SumOfSigns is for weights; for activations take LQ")
        return _Signs(self.find(x, self.bases, self.granularity))


class _Signs(nn.Module):
    alphas: Tensor
    codes: Tensor

    def __init__(self, found: BinaryCodes) -> None:
        super().__init__()
        self.granularity, self.shape, self.dtype = found.granularity, found.shape, found.dtype
        self.register_buffer("alphas", found.alphas)
        self.register_buffer("codes", found.codes)

    def stored(self, w: Tensor) -> BinaryCodes:
        """Return the signs and their coefficients."""
        return BinaryCodes(self.alphas, self.codes, self.granularity, self.shape, self.dtype)

    def forward(self, w: Tensor) -> Tensor:
        """Return Σ αᵢbᵢ, whatever w is."""
        return self.stored(w).dequantize()
