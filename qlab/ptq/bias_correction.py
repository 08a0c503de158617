"""Bias correction: quantized weights have errors ε = W̃ − W of their own mean, and these shift every output.

    E[ỹ] − E[y] = (W + ε)E[x̂] − W E[x] + …,      b ← b − (E[ỹ] − E[y])

Empirical: E from a few batches. Analytic: E[x] from BatchNorm's statistics, with no data at all (`input_statistics`).
Sources: Nagel et al. 2019 (DFQ), section 4.2; Banner et al. 2019, section 4 (both note that the error has a mean).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from qlab.ptq.codes import quantized_layers
from qlab.ptq.graph import input_statistics
from qlab.ptq.moments import grouped, layer_moments

__all__ = ["correct_bias", "correct_bias_from_statistics", "output_shift"]


def output_shift(weight: Tensor, rounded: Tensor, mean: Tensor, original_mean: Tensor, groups: int = 1) -> Tensor:
    """Return E[ỹ] − E[y] = W̃μ̂ − Wμ, shape (outputs,).

    Parameters
    ----------
    weight, rounded : Tensor
        W and W̃, in a layer's own shape.
    mean, original_mean : Tensor, shape (groups, d)
        Mean of the layer's patches in the quantized and in the original network.

    References
    ----------
    Nagel et al. 2019, equation 17.

    Survey-map row: T5.
    """
    W, R = grouped(weight.double(), groups), grouped(rounded.double(), groups)
    return ((R * mean[:, None]).sum(-1) - (W * original_mean[:, None]).sum(-1)).flatten()


@torch.no_grad()
def correct_bias(quantized: nn.Module, original: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Return a copy of `quantized` whose layers have the mean outputs of the original network.

    Layers are corrected in order, each with the earlier ones corrected already.

    Parameters
    ----------
    quantized : nn.Module
        From `qlab.quantize`; left as it is.
    original : nn.Module
        The network that it was made from, in floating point.
    batches : iterable of Tensor
        Inputs, streamed once per layer: a list, or anything that can be iterated again.

    Raises
    ------
    ValueError
        If no weight is quantized, or batches run out.

    References
    ----------
    Nagel et al. 2019, section 4.2.2 (empirical bias correction).

    Survey-map row: T5.
    """
    result = copy.deepcopy(quantized)
    for name, layer in quantized_layers(result).items():
        m = layer_moments(result, original, name, batches)
        before: Any = original.get_submodule(name)
        shift = output_shift(before.weight, layer.weight, m.mean, m.original_mean, getattr(layer, "groups", 1))
        _subtract(layer, shift)
    return result


@torch.no_grad()
def correct_bias_from_statistics(quantized: nn.Module, original: nn.Module) -> nn.Module:
    """Return a copy of `quantized` with biases corrected without any data: b ← b − (W̃ − W)E[x], E[x] by BatchNorm.

    Layers of whose input BatchNorm says nothing stay as they are.

    Parameters
    ----------
    quantized, original : nn.Module
        As `correct_bias`; the original with its `Folded` statistics.

    References
    ----------
    Nagel et al. 2019, section 4.2.1 (analytic bias correction).

    Survey-map rows: T5, Z1.
    """
    result = copy.deepcopy(quantized)
    known = input_statistics(original)
    for name, layer in quantized_layers(result).items():
        if name not in known:
            continue
        before: Any = original.get_submodule(name)
        groups = getattr(layer, "groups", 1)
        per_channel = known[name].mean.double()
        kernel = before.weight[0, 0].numel()
        mean = per_channel.repeat_interleave(kernel).reshape(groups, -1)
        _subtract(layer, output_shift(before.weight, layer.weight, mean, mean, groups))
    return result


def _subtract(layer: Any, shift: Tensor) -> None:
    old = torch.zeros_like(shift) if layer.bias is None else layer.bias.detach()
    layer.bias = nn.Parameter((old - shift).to(layer.weight.dtype))
