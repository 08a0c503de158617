"""Post-training methods side by side: one scale per tensor, the same calibration pictures, the same test pictures.

The table of the chapter comes from here: `python -m qlab.ptq.make_comparison_table` writes `comparison_table.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

from qlab.calibration import ACIQ, MSE, Calibration, MinMax
from qlab.granularity import Granularity, PerChannel, PerTensor
from qlab.grids import Asymmetric, Symmetric
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.ptq.bias_correction import correct_bias, correct_bias_from_statistics
from qlab.ptq.equalization import absorb_bias, equalize, relu6_to_relu
from qlab.ptq.ocs import split_outliers
from qlab.quantizer import Quantizer

__all__ = ["METHODS", "SETTINGS", "Setting", "plain", "recipe"]

Setting = tuple[int, int]
"""Bits of the weights, bits of the activations."""

SETTINGS: tuple[Setting, ...] = ((8, 8), (4, 8), (4, 4))


def recipe(model: nn.Module, bits: Setting, rule: Calibration, granularity: Granularity | None = None) -> Recipe:
    """Return the recipe of the comparison: symmetric weights, asymmetric activations, pictures at 8 bits.

    Parameters
    ----------
    model : nn.Module
        Whose first layer reads the pictures.
    bits : (int, int)
        Of weights and activations.
    rule : Calibration
        Of both.
    granularity : Granularity, optional
        Of the weights; one scale per tensor by default.

    Survey-map rows: T5, T6, T7.
    """
    first = next(iter(quantizable_layers(model)))
    weight = Quantizer(Symmetric(bits[0]), granularity or PerTensor(), rule)
    activation = Quantizer(Asymmetric(bits[1]), calibration=rule)
    return Recipe(weight, activation, layers={first: Recipe(weight, Quantizer(Asymmetric(8)))})


def plain(model: nn.Module, bits: Setting, batches: list[Tensor], rule: Calibration | None = None) -> nn.Module:
    """Return `model` rounded to nearest, from min to max unless another rule is given.

    Survey-map row: T6.
    """
    return quantize(model, recipe(model, bits, rule or MinMax()), batches)


Method = Callable[[nn.Module, Setting, list[Tensor]], nn.Module]


def _per_channel(model: nn.Module, bits: Setting, batches: list[Tensor]) -> nn.Module:
    return quantize(model, recipe(model, bits, MinMax(), PerChannel(0)), batches)


def _split(model: nn.Module, bits: Setting, batches: list[Tensor]) -> nn.Module:
    split = split_outliers(model, Quantizer(Symmetric(bits[0])), 0.05)
    return plain(split, bits, batches)


def _equal(model: nn.Module) -> nn.Module:
    return equalize(relu6_to_relu(model))


def _together(model: nn.Module, bits: Setting, batches: list[Tensor]) -> nn.Module:
    ready = absorb_bias(_equal(model))
    return correct_bias(plain(ready, bits, batches, MSE()), ready, batches)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "min/max": plain,
        "OMSE": lambda m, bits, x: plain(m, bits, x, MSE()),
        "ACIQ": lambda m, bits, x: plain(m, bits, x, ACIQ()),
        "splitting": _split,
        "bias, analytic": lambda m, bits, x: correct_bias_from_statistics(plain(m, bits, x), m),
        "bias, empirical": lambda m, bits, x: correct_bias(plain(m, bits, x), m, x),
        "equalized": lambda m, bits, x: plain(_equal(m), bits, x),
        "all together": _together,
        "per channel": _per_channel,
    }
)
"""By name: a function of a network with folded BatchNorms, bits and calibration pictures. ACIQ fits a Laplace density;
splitting adds 5 % of channels; "all together" equalizes, absorbs biases, clips by OMSE and corrects biases empirically.
"Per channel" is the yardstick: min/max with a scale for every output channel."""
