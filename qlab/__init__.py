"""qlab: neural-network quantization, from its history to zero-shot, in code that can be read.

A quantizer is a composition of independent choices (grid, granularity, calibration, rounding, gradient):

>>> import torch
>>> from qlab import Quantizer, Symmetric, PerChannel, MSE
>>> w = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
>>> q = Quantizer(Symmetric(4), PerChannel(0), MSE())
>>> q(w).nbytes, w.numel() * 4
(96, 512)
"""

from qlab import calibration, gradients, granularity, grids, packing, rounding
from qlab.calibration import (
    ACIQ,
    MSE,
    Calibration,
    Entropy,
    Fixed,
    MinMax,
    MovingAverage,
    Percentile,
    Range,
    Unscaled,
)
from qlab.gradients import ClippedStraightThrough, Gradient, StraightThrough, TrueGradient
from qlab.granularity import Granularity, PerBlock, PerChannel, PerGroup, PerTensor
from qlab.grids import Asymmetric, Codebook, FloatingPoint, Grid, Symmetric
from qlab.network import Recipe, format_report, quantize, report
from qlab.packing import pack, unpack
from qlab.powers_of_two import AdditivePowersOfTwo, PowersOfTwo
from qlab.quantizer import (
    Params,
    QuantizedTensor,
    Quantizer,
    from_torch_zero_point,
    to_torch_zero_point,
)
from qlab.rounding import Floor, HalfAway, Nearest, Rounding, Stochastic, TowardZero

__version__ = "0.1.0"

__all__ = [
    "ACIQ",
    "MSE",
    "AdditivePowersOfTwo",
    "Asymmetric",
    "Calibration",
    "ClippedStraightThrough",
    "Codebook",
    "Entropy",
    "Fixed",
    "FloatingPoint",
    "Floor",
    "Gradient",
    "Granularity",
    "Grid",
    "HalfAway",
    "MinMax",
    "MovingAverage",
    "Nearest",
    "Params",
    "PerBlock",
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "Percentile",
    "PowersOfTwo",
    "QuantizedTensor",
    "Quantizer",
    "Range",
    "Recipe",
    "Rounding",
    "Stochastic",
    "StraightThrough",
    "Symmetric",
    "TowardZero",
    "TrueGradient",
    "Unscaled",
    "calibration",
    "format_report",
    "from_torch_zero_point",
    "gradients",
    "granularity",
    "grids",
    "pack",
    "packing",
    "quantize",
    "report",
    "rounding",
    "to_torch_zero_point",
    "unpack",
]
