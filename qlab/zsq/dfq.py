"""DFQ, data-free quantization: the whole chain from a trained network to a quantized one without a single picture.

    fold BatchNorm → ReLU6 to ReLU → equalize → absorb biases → quantize, ranges from β ± 6γ → correct biases

Source: Nagel et al. 2019, *Data-free quantization through weight equalization and bias correction*, figure 4.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from qlab.network import Recipe, quantizable_layers, quantize
from qlab.ptq.bias_correction import correct_bias_from_statistics
from qlab.ptq.capped import relu6_to_capped
from qlab.ptq.equalization import absorb_bias, equalize, relu6_to_relu
from qlab.ptq.fold import fold_batchnorm
from qlab.ptq.graph import linked_pairs
from qlab.zsq.ranges import input_ranges

__all__ = ["DataFree", "dfq", "prepare"]


class DataFree(NamedTuple):
    """The quantized network, and the floating-point network that it was made from.

    Survey-map row: Z1.
    """

    quantized: nn.Module
    original: nn.Module


def prepare(model: nn.Module, absorb: bool = True, capped: bool = False) -> nn.Module:
    """Return `model` folded, equalized, with large biases absorbed: nearly the same function.

    Parameters
    ----------
    model : nn.Module
        In eval mode, with its BatchNorms; left as it is.
    absorb : bool
        Take the step of bias absorption.
    capped : bool
        False: ReLU6 becomes ReLU, as in the paper. True: it becomes a ReLU with a ceiling per channel, for networks
        that rely on the 6 (EfficientNet-Lite0 does).

    Survey-map row: Z1.
    """
    model = (relu6_to_capped if capped else relu6_to_relu)(fold_batchnorm(model))
    if not linked_pairs(model):
        return model
    model = equalize(model)
    return absorb_bias(model) if absorb else model


def dfq(
    model: nn.Module,
    recipe: Recipe,
    pixels: tuple[float, float],
    absorb: bool = True,
    correct: bool = True,
    capped: bool = False,
) -> DataFree:
    """Quantize without data.

    Parameters
    ----------
    model : nn.Module
        In eval mode, with its BatchNorms; left as it is.
    recipe : qlab.network.Recipe
        Quantizers with one scale per tensor are what DFQ is for.
    pixels : (float, float)
        Range of the network's input.
    absorb, correct : bool
        Take the steps of bias absorption and bias correction.
    capped : bool
        Keep ReLU6's ceiling, one per channel (see `prepare`).

    Raises
    ------
    ValueError
        If activations are to be static and no BatchNorm tells a layer's input range.

    References
    ----------
    Nagel et al. 2019, section 4.

    Survey-map row: Z1.
    """
    original = prepare(model, absorb, capped)
    static = {
        name
        for name in quantizable_layers(original)
        if (r := recipe.for_layer(name)) is not None and r.activation is not None and not r.dynamic
    }
    ranges = {name: clip for name, clip in input_ranges(original, pixels).items() if name in static}
    if missing := static - ranges.keys():
        raise ValueError(
            f"model: BatchNorm says nothing of the input of {', '.join(sorted(missing))}; "
            "leave these activations in floating point or choose dynamic=True"
        )
    quantized = quantize(original, recipe, ranges=ranges)
    return DataFree(correct_bias_from_statistics(quantized, original) if correct else quantized, original)
