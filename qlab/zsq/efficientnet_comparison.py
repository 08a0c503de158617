"""Post-training and zero-shot passes on a network that others made: EfficientNet-Lite0, ImageNet weights (extra real).

There are no labels: what is measured is how near the answers stay to those in float32 on 32 crops of eight photographs,
as the share of equal first answers and as the SQNR of the logits. Eight other photographs calibrate. Weights of the
first and the last layer keep 8 bits, activations have 8 everywhere.
The table comes from here: `python -m qlab.zsq.make_efficientnet_table` writes `efficientnet_table.csv`.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from qlab.calibration import ACIQ, MSE, Calibration, MinMax
from qlab.data import real_photographs
from qlab.granularity import PerChannel, PerTensor
from qlab.grids import Asymmetric, Symmetric
from qlab.network import Recipe, quantizable_layers, quantize, sqnr_db
from qlab.ptq import (
    AdaQuantSettings,
    AdaRoundSettings,
    BrecqSettings,
    absorb_bias,
    adaquant,
    adaround,
    brecq,
    correct_bias,
    correct_bias_from_statistics,
    equalize,
    fold_batchnorm,
    gptq,
    relu6_to_capped,
    relu6_to_relu,
    split_outliers,
)
from qlab.quantizer import Quantizer
from qlab.zoo.efficientnet import IMAGENET_MEAN, IMAGENET_STD, load_efficientnet_lite0
from qlab.zsq.deepinversion import InversionSettings, invert
from qlab.zsq.dfq import dfq
from qlab.zsq.finetune import finetune
from qlab.zsq.gdfq import GenerativeSettings, gdfq
from qlab.zsq.ranges import input_ranges
from qlab.zsq.squant import squant
from qlab.zsq.zaq import zaq
from qlab.zsq.zeroq import DistilSettings, distil, gaussian_inputs

__all__ = ["GRANULARITIES", "METHODS", "PLACE", "EfficientNetRun", "efficientnet_table", "photographs", "run"]

PLACE = Path(__file__).with_name("efficientnet_table.csv")
PIXELS = (-127 / 128, 1.0)
GRANULARITIES = MappingProxyType({"tensor": PerTensor(), "channel": PerChannel(0)})


def photographs(part: str, crops: int, size: int = 224) -> Tensor:
    """Return crops of real photographs as EfficientNet-Lite0 wants them.

    Survey-map rows: T7, Z1.
    """
    return (real_photographs(part, crops, size).pixels.float() - IMAGENET_MEAN) / IMAGENET_STD


class Setting(NamedTuple):
    """What a method gets.

    Attributes
    ----------
    model : nn.Module
        The network as it was trained.
    bits : int
        Of the weights.
    granularity : {"tensor", "channel"}
        Of the weights.
    batches : list of Tensor
        Calibration pictures.
    steps : int
        Of whatever is learned.

    Survey-map rows: T7, Z1.
    """

    model: nn.Module
    bits: int
    granularity: str
    batches: list[Tensor]
    steps: int = 100

    def weight(self, bits: int, rule: Calibration | None = None) -> Quantizer:
        """Return the quantizer of weights."""
        return Quantizer(Symmetric(bits), GRANULARITIES[self.granularity], rule or MinMax())

    def recipe(self, model: nn.Module, rule: Calibration | None = None) -> Recipe:
        """Return the recipe: 8 bits for activations, and for the weights of the first and the last layer."""
        activation, names = Quantizer(Asymmetric(8), calibration=rule or MinMax()), list(quantizable_layers(model))
        ends = Recipe(self.weight(8, rule), activation)
        return Recipe(self.weight(self.bits, rule), activation, layers={names[0]: ends, names[-1]: ends})

    def nearest(self, model: nn.Module, rule: Calibration | None = None) -> nn.Module:
        """Return `model` rounded to nearest, calibrated on the pictures."""
        return quantize(model, self.recipe(model, rule), self.batches)


Method = Callable[[Setting], nn.Module]


def _ranges(rule: Calibration) -> Method:
    return lambda s: s.nearest(fold_batchnorm(s.model), rule)


def _split(s: Setting) -> nn.Module:
    return s.nearest(split_outliers(fold_batchnorm(s.model), s.weight(s.bits)))


def _equal(change: Callable[[nn.Module], nn.Module], absorb: bool = False) -> Method:
    def method(s: Setting) -> nn.Module:
        even = equalize(change(fold_batchnorm(s.model)))
        return s.nearest(absorb_bias(even) if absorb else even)

    return method


def _corrected(s: Setting) -> nn.Module:
    model = fold_batchnorm(s.model)
    return correct_bias(s.nearest(model), model, s.batches)


def _corrected_analytically(s: Setting) -> nn.Module:
    model = fold_batchnorm(s.model)
    return correct_bias_from_statistics(s.nearest(model), model)


def _together(s: Setting) -> nn.Module:
    model = equalize(relu6_to_capped(fold_batchnorm(s.model)))
    return correct_bias(s.nearest(model, MSE()), model, s.batches)


def _rounded(how: Callable[[nn.Module, nn.Module, Setting], nn.Module]) -> Method:
    def method(s: Setting) -> nn.Module:
        model = fold_batchnorm(s.model)
        return how(s.nearest(model), model, s)

    return method


def _data_free(capped: bool) -> Method:
    return lambda s: dfq(s.model, s.recipe(s.model), PIXELS, absorb=not capped, capped=capped).quantized


def _known_ranges(s: Setting) -> nn.Module:
    model = fold_batchnorm(s.model)
    return quantize(model, s.recipe(model), ranges=input_ranges(model, PIXELS))


def _squant_without_data(s: Setting) -> nn.Module:
    return squant(_known_ranges(s))


def _distilled(s: Setting) -> nn.Module:
    shape = tuple(s.batches[0][:4].shape)
    made = distil(s.model, shape, DistilSettings(steps=max(1, s.steps // 5), pixels=PIXELS))
    return s._replace(batches=[made]).nearest(fold_batchnorm(s.model))


def _noise(s: Setting) -> nn.Module:
    noise = gaussian_inputs(tuple(s.batches[0][:4].shape)).clamp(*PIXELS)
    return s._replace(batches=[noise]).nearest(fold_batchnorm(s.model))


def _tuning(s: Setting) -> GenerativeSettings:
    few = max(1, s.steps // 5)
    return GenerativeSettings(warmup=few, steps=few, batch_size=4, lr=1e-5)


def _shape(s: Setting) -> tuple[int, int, int]:
    channels, height, width = s.batches[0].shape[1:]
    return channels, height, width


def _generated(s: Setting) -> nn.Module:
    return gdfq(_known_ranges(s), fold_batchnorm(s.model), PIXELS, _tuning(s), shape=_shape(s)).quantized


def _adversarial(s: Setting) -> nn.Module:
    tuning = replace(_tuning(s), warmup=0, steps=max(1, s.steps // 25), generator_lr=2e-4)  # 5 rounds for each of them
    return zaq(_known_ranges(s), fold_batchnorm(s.model), PIXELS, tuning, shape=_shape(s)).quantized


def _inverted(s: Setting) -> nn.Module:
    labels = torch.arange(0, 1000, 125)
    tuning = _tuning(s)
    made = invert(s.model, labels, _shape(s), InversionSettings(steps=tuning.steps, pixels=PIXELS))
    return finetune(_known_ranges(s), fold_batchnorm(s.model), made, labels, tuning)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "min/max": _ranges(MinMax()),
        "OMSE": _ranges(MSE()),
        "ACIQ": _ranges(ACIQ()),
        "splitting": _split,
        "equalized, ReLU": _equal(relu6_to_relu),
        "equalized, ceilings": _equal(relu6_to_capped),
        "absorbed, ceilings": _equal(relu6_to_capped, absorb=True),
        "bias, analytic": _corrected_analytically,
        "bias, empirical": _corrected,
        "all together": _together,
        "AdaRound": _rounded(lambda q, m, s: adaround(q, m, s.batches, AdaRoundSettings(steps=s.steps))),
        "AdaQuant": _rounded(lambda q, m, s: adaquant(q, m, s.batches, AdaQuantSettings(steps=s.steps))),
        "BRECQ": _rounded(
            lambda q, m, s: brecq(q, m, s.batches, BrecqSettings(AdaRoundSettings(steps=s.steps), batch_size=2))
        ),
        "GPTQ": _rounded(lambda q, m, s: gptq(q, m, s.batches)),
        "SQuant": _rounded(lambda q, m, s: squant(q)),
        "no data: ranges": _known_ranges,
        "no data: SQuant": _squant_without_data,
        "no data: DFQ, ReLU": _data_free(capped=False),
        "no data: DFQ, ceilings": _data_free(capped=True),
        "no data: ZeroQ": _distilled,
        "no data: noise": _noise,
        "no data: GDFQ": _generated,
        "no data: ZAQ": _adversarial,
        "no data: DeepInversion": _inverted,
    }
)
"""By name: a function of a `Setting`. "All together" equalizes with ceilings, clips by OMSE and corrects biases
empirically. DFQ with ReLU is the paper's, and this network does not survive the loss of the 6. With ceilings no biases
are absorbed (that costs more than it gains), and the weights are as well as after "equalized, ceilings"; but equalized
channels that seldom fire have wide ranges by BatchNorm's account, and per tensor these set the step for all: no number
of sigmas from 1 to 6 mends it. ZeroQ and noise calibrate on four pictures each. GDFQ, ZAQ and DeepInversion start from
"no data: ranges" and take 20 steps of four made pictures: that they run on such a network is all that is claimed."""


class EfficientNetRun(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    method : str
    bits : int
        Of the weights.
    granularity : {"tensor", "channel"}
    agreement : float
        Share of pictures with the same first answer as in float32.
    sqnr : float
        Of the logits, in dB.
    seconds : float
        Processor time of the method, one thread.

    Survey-map rows: T7, Z1.
    """

    method: str
    bits: int
    granularity: str
    agreement: float
    sqnr: float
    seconds: float


@cache
def _float32(crops: int, size: int) -> tuple[Tensor, Tensor]:
    x = photographs("test", crops, size)
    with torch.no_grad():
        return x, load_efficientnet_lite0()(x)


def run(method: str, bits: int, granularity: str, crops: int = 4, size: int = 224, steps: int = 100) -> EfficientNetRun:
    """Quantize EfficientNet-Lite0 with a method, and compare its answers with those in float32.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    bits : int
        Of the weights.
    granularity : {"tensor", "channel"}
        Of the weights.
    crops : int
        Of each of the eight photographs measured on.
    size : int
        Pixels along a side, a multiple of 32; 224 is what the network was trained for.
    steps : int
        Of learned rounding, per layer or block; distillation gets a fifth.

    Survey-map rows: T7, Z1.
    """
    x, wanted = _float32(crops, size)
    batches = list(photographs("calibration", 1, size).split(8))
    start = time.process_time()
    quantized = METHODS[method](Setting(load_efficientnet_lite0(), bits, granularity, batches, steps))
    seconds = time.process_time() - start
    with torch.no_grad():
        found = quantized(x)
    agreement = float((found.argmax(1) == wanted.argmax(1)).double().mean())
    return EfficientNetRun(method, bits, granularity, agreement, round(sqnr_db(wanted, found), 2), seconds)


def efficientnet_table() -> list[EfficientNetRun]:
    """Return the rows of the table.

    Survey-map rows: T7, Z1.
    """
    with PLACE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        EfficientNetRun(
            r["method"],
            int(r["bits"]),
            r["granularity"],
            float(r["agreement"]),
            float(r["sqnr"]),
            float(r["seconds"]),
        )
        for r in rows
    ]
