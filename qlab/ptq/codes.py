"""Weights with codes of their own: what rounding methods hand back.

Source: Gholami et al. 2021, section III G 2.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from qlab.grids import Asymmetric, Symmetric
from qlab.network import quantizable_layers, stored_weight
from qlab.quantizer import Params, QuantizedTensor, Quantizer

__all__ = ["FixedWeight", "quantized_layers", "with_codes", "with_stored"]


class FixedWeight(nn.Module):
    """The parametrization W ↦ r̃ of given codes, whatever W is.

    Survey-map rows: T8, T10, Z2.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor

    def __init__(self, stored: QuantizedTensor, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.dtype = stored.dtype
        self.register_buffer("codes", stored.codes.clone())
        self.register_buffer("scale", stored.params.scale.clone())
        self.register_buffer("zero_point", stored.params.zero_point.clone())

    @property
    def params(self) -> Params:
        """S and Z."""
        return Params(self.scale, self.zero_point)

    def stored(self, weight: Tensor) -> QuantizedTensor:
        """Return the integer form."""
        return QuantizedTensor(self.codes, self.params, self.quantizer.grid, self.quantizer.granularity, self.dtype)

    def forward(self, weight: Tensor) -> Tensor:
        """Return r̃ = S·level(Q + Z)."""
        return self.stored(weight).dequantize()


def quantized_layers(model: nn.Module) -> dict[str, Any]:
    """Return the layers with quantized weights by name, in order.

    Raises
    ------
    ValueError
        If there are none.

    Survey-map row: T8.
    """
    layers = {name: layer for name, layer in quantizable_layers(model).items() if stored_weight(layer) is not None}
    if not layers:
        raise ValueError("quantized must be a network from qlab.quantize with a weight quantizer; no weight of it is")
    return layers


def with_codes(quantized: nn.Module, codes: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of a quantized network with other codes for some weights; scales and zero points stay.

    Parameters
    ----------
    quantized : nn.Module
        From `qlab.quantize`; left as it is.
    codes : mapping of layer name to Tensor of integers, in the shape of the weight

    Raises
    ------
    ValueError
        If a layer has no quantized weight, a shape differs, or a code does not fit the grid.

    Survey-map rows: T8, T10, Z2.
    """
    result = copy.deepcopy(quantized)
    for name, new in codes.items():
        put_codes(result.get_submodule(name), new, name)
    return result


def put_codes(layer: Any, new: Tensor, name: str) -> None:
    """Give a layer other codes, in place: for passes, which work on a copy of their own. See `with_codes`."""
    old = stored_weight(layer)
    if old is None:
        raise ValueError(f"codes: layer {name!r} has no quantized weight")
    low, high = old.grid.code_range
    if new.shape != old.codes.shape or int(new.min()) < low or int(new.max()) > high:
        raise ValueError(
            f"codes[{name!r}] must be of shape {tuple(old.codes.shape)} from {low} to {high}, "
            f"got {tuple(new.shape)} from {int(new.min())} to {int(new.max())}"
        )
    put_stored(layer, QuantizedTensor(new.to(old.codes.dtype), old.params, old.grid, old.granularity, old.dtype))


def with_stored(quantized: nn.Module, stored: Mapping[str, QuantizedTensor]) -> nn.Module:
    """Return a copy of a quantized network with other integer forms, scales included, for some weights.

    Parameters
    ----------
    quantized : nn.Module
        From `qlab.quantize`; left as it is.
    stored : mapping of layer name to QuantizedTensor

    Survey-map rows: T8, T9, T10.
    """
    result = copy.deepcopy(quantized)
    for name, new in stored.items():
        put_stored(result.get_submodule(name), new)
    return result


def put_stored(layer: Any, new: QuantizedTensor) -> None:
    """Give a layer another integer form, in place: for passes, which work on a copy of their own. See `with_stored`."""
    chain = layer.parametrizations.weight
    chain[len(chain) - 1] = FixedWeight(new, _reader(chain[-1].quantizer, new))


def _reader(quantizer: Quantizer, stored: QuantizedTensor) -> Quantizer:
    return quantizer.with_(grid=stored.grid, granularity=stored.granularity)


def spread_params(stored: QuantizedTensor) -> tuple[Tensor, Tensor]:
    """Return S and Z of every single weight, in the shape of the weight."""
    g, shape = stored.granularity, tuple(stored.shape)
    n = g.rows(stored.codes).shape[1]
    S, Z = (g.unrows(p[:, None].expand(-1, n).contiguous(), shape) for p in stored.params)
    return S, Z


def uniform_weight(layer: Any, name: str) -> QuantizedTensor:
    """Return the layer's integer form, and refuse grids on which "one code up" is not "one step up"."""
    stored = stored_weight(layer)
    if stored is None or not isinstance(stored.grid, (Asymmetric, Symmetric)):
        grid = None if stored is None else stored.grid
        raise TypeError(f"layer {name!r} must have a uniform grid (Symmetric or Asymmetric), got {grid!r}")
    return stored
