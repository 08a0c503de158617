"""Ways to round side by side: the same grid and scales, the same calibration pictures, only the codes differ.

Weights are symmetric with one scale per tensor, its range the one of least squared error; the first and the last layer
keep 8 bits, as is the field's habit below 4 bits. Activations stay in floating point.
The tables of the chapters come from here: `python -m qlab.ptq.make_rounding_table` writes `rounding_table.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.granularity import PerTensor
from qlab.grids import Symmetric
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.ptq.adaquant import AdaQuantSettings, adaquant
from qlab.ptq.adaround import AdaRoundSettings, adaround
from qlab.ptq.brecq import BrecqSettings, brecq
from qlab.ptq.gptq import gptq
from qlab.quantizer import Quantizer

__all__ = ["BITS", "METHODS", "STEPS", "nearest"]

BITS = (4, 3, 2)
STEPS = 150

Method = Callable[[nn.Module, nn.Module, list[Tensor]], nn.Module]


def nearest(model: nn.Module, bits: int) -> nn.Module:
    """Return `model` with weights rounded to nearest, where all methods start: inner layers at `bits`, the ends at 8.

    Parameters
    ----------
    model : nn.Module
        With BatchNorms folded.
    bits : int

    Survey-map rows: T8, T9, T10.
    """
    names = list(quantizable_layers(model))
    at = {b: Recipe(Quantizer(Symmetric(b), PerTensor(), MSE())) for b in (bits, 8)}
    return quantize(model, Recipe(at[bits].weight, layers={names[0]: at[8], names[-1]: at[8]}))


def _brecq(fisher: bool) -> Method:
    settings = BrecqSettings(AdaRoundSettings(steps=STEPS), fisher=fisher)
    return lambda q, m, x: brecq(q, m, x, settings)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "nearest": lambda q, m, x: q,
        "GPTQ": lambda q, m, x: gptq(q, m, x),
        "AdaRound": lambda q, m, x: adaround(q, m, x, AdaRoundSettings(steps=STEPS)),
        "AdaQuant": lambda q, m, x: adaquant(q, m, x, AdaQuantSettings(steps=STEPS)),
        "BRECQ, no Fisher": _brecq(False),
        "BRECQ": _brecq(True),
    }
)
"""By name: a function of the network rounded to nearest, the original, and calibration pictures. `STEPS` of Adam per
layer (AdaRound, AdaQuant) or block (BRECQ)."""
