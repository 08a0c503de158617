"""The ladder of zero-shot quantization: the same 4-bit network, given more and more to learn from.

    rung k:   Q_k = calibrate on x_k,  then fine-tune on x_k            x = noise, distilled, inverted, generated, real

Network, recipe, steps, batches, optimizer and learning rate are the same on every rung; only the pictures differ.
`make_ladder_table` measures the whole table; a chapter reads it and climbs one rung live.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.data import MEAN, STD, load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Asymmetric, Symmetric
from qlab.network import Recipe, quantize
from qlab.ptq.fold import fold_batchnorm
from qlab.quantizer import Quantizer
from qlab.zsq.deepinversion import InversionSettings, invert
from qlab.zsq.finetune import finetune
from qlab.zsq.gdfq import GenerativeSettings, gdfq
from qlab.zsq.ranges import input_ranges
from qlab.zsq.zaq import zaq
from qlab.zsq.zeroq import DistilSettings, distil, gaussian_inputs

__all__ = ["PIXELS", "RECIPE", "RUNGS", "SETTINGS", "climb", "pictures"]

PIXELS = (-MEAN / STD, (1 - MEAN) / STD)
"""What a normalized pixel can be."""
RECIPE = Recipe(Quantizer(Symmetric(4), PerChannel(0), MSE()), Quantizer(Asymmetric(4), calibration=MSE()))
"""W4A4 in every layer, the first and the last included."""
SETTINGS = GenerativeSettings(warmup=100, steps=150, batch_size=64, lr=1e-4)
"""Of every fine-tuning on the ladder."""
RUNGS = (
    "statistics",
    "noise",
    "distilled",
    "real",
    "noise, tuned",
    "distilled, tuned",
    "inverted, tuned",
    "generated (GDFQ)",
    "adversarial (ZAQ)",
    "adversarial, fast generator",
    "real, tuned",
)
"""Calibration alone, then calibration and fine-tuning. The fast generator takes GDFQ's 250 steps and rate."""


def pictures(model: nn.Module, kind: str, seed: int, steps: int = 100, size: int = 256) -> tuple[Tensor, Tensor | None]:
    """Return pictures of a kind, and labels where they are known without asking anybody.

    Parameters
    ----------
    model : nn.Module
        With BatchNorm.
    kind : {"noise", "distilled", "inverted", "real"}
        Real ones are training pictures without their labels.
    seed, steps, size : int
        Of everything random; of distillation and inversion; how many pictures.

    Raises
    ------
    ValueError
        If there is no such kind.

    Survey-map row: Z4.
    """
    shape = (size, 1, 28, 28)
    if kind == "noise":
        return gaussian_inputs(shape, seed), None
    if kind == "distilled":
        return distil(model, shape, DistilSettings(steps=steps, pixels=PIXELS, seed=seed)), None
    if kind == "inverted":
        labels = torch.arange(size) % 10
        return invert(model, labels, shape[1:], InversionSettings(steps=steps, pixels=PIXELS, seed=seed)), labels
    if kind == "real":
        data = load_train_subset()
        return data[torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:size]].tensors()[0], None
    raise ValueError(f"kind must be noise, distilled, inverted or real, got {kind!r}")


def climb(model: nn.Module, rung: str, made: dict[str, tuple[Tensor, Tensor | None]], seed: int = 0) -> nn.Module:
    """Return the quantized network of a rung.

    Parameters
    ----------
    model : nn.Module
        The original, with BatchNorm.
    rung : str
        One of `RUNGS`.
    made : dict of kind to (pictures, labels)
        As `pictures` returns them; the rung's kind is needed (for generators "distilled", to calibrate).
    seed : int
        Of fine-tuning.

    Raises
    ------
    ValueError
        If there is no such rung.

    Survey-map row: Z4.
    """
    if rung not in RUNGS:
        raise ValueError(f"rung must be one of {', '.join(RUNGS)}, got {rung!r}")
    folded = fold_batchnorm(model)
    if rung == "statistics":
        return quantize(folded, RECIPE, ranges=input_ranges(folded, PIXELS))
    kind = rung.split(",")[0]
    settings = replace(SETTINGS, seed=seed)
    if kind.startswith(("generated", "adversarial")):
        start = quantize(folded, RECIPE, [made["distilled"][0]])
        if kind.startswith("generated"):
            return gdfq(start, folded, PIXELS, settings).quantized
        if not rung.endswith("fast generator"):  # 5 rounds of the network for one of the generator: 150 steps as well
            settings = replace(settings, warmup=0, steps=SETTINGS.steps // 5, generator_lr=2e-4)
        return zaq(start, folded, PIXELS, settings).quantized
    x, y = made[kind]
    start = quantize(folded, RECIPE, [x])
    return finetune(start, folded, x, y, settings) if rung.endswith("tuned") else start
