"""Zero-shot methods: not one picture of the data. Weights have one scale per tensor, as DFQ's paper asks.

Level 1 makes no data (statistics, DFQ, SQuant); then pictures are made to calibrate with (noise, ZeroQ) and to tune
with (the others: 60 steps of 32 pictures). Real pictures, without labels, stand beside them.
The MLP has no BatchNorm, so it remembers nothing of its data: it is left out.

Survey-map rows: Z1, Z2, Z3, Z4.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

from torch import Tensor, nn

from qlab.course.results.task import OMSE, Family, Method, Task, layers_recipe, plain
from qlab.grids import Symmetric
from qlab.network import Recipe, quantize
from qlab.ptq import absorb_bias, correct_bias_from_statistics, equalize, relu6_to_relu
from qlab.quantizer import Quantizer
from qlab.zsq import GenerativeSettings, dfq, finetune, gdfq, input_ranges, squant, zaq
from qlab.zsq.ladder import PIXELS, pictures

__all__ = ["FAMILY", "SIZE", "STEPS"]

SIZE, STEPS = 64, 60
"""Pictures, and steps of distillation, of generator and of tuning."""


@lru_cache(maxsize=64)
def _made(network: str, kind: str, seed: int) -> tuple[Tensor, Tensor | None, float]:
    """Pictures, labels if any, and the seconds that they took: made once for all settings."""
    start = time.process_time()
    x, y = pictures(Task(network, 8, 8, seed).original(), kind, seed, STEPS, SIZE)
    return x, y, time.process_time() - start


def _with(kind: str, run: Callable[[Task, str], nn.Module], when: Callable[[Task], bool] = lambda t: True) -> Method:
    return Method(lambda task: run(task, kind), when, lambda task: _made(task.network, kind, task.seed)[2])


def _needs_ranges(task: Task) -> bool:
    return task.needs_ranges


def _calibrated(task: Task, kind: str) -> nn.Module:
    return plain(task, task.folded(), OMSE, batches=[_made(task.network, kind, task.seed)[0]])


def _tuned(task: Task, kind: str) -> nn.Module:
    x, y, _ = _made(task.network, kind, task.seed)
    return finetune(_calibrated(task, kind), task.folded(), x, y, _settings(task))


def _settings(task: Task) -> GenerativeSettings:
    return GenerativeSettings(warmup=STEPS, steps=STEPS, batch_size=32, lr=1e-4, seed=task.seed)


def _generated(task: Task, kind: str) -> nn.Module:
    return gdfq(_calibrated(task, kind), task.folded(), PIXELS, _settings(task)).quantized


def _adversarial(task: Task, kind: str) -> nn.Module:
    settings = GenerativeSettings(
        warmup=0, steps=STEPS // 5, batch_size=32, lr=1e-4, generator_lr=2e-4, seed=task.seed
    )  # 5 rounds of the network for one of the generator: STEPS as well
    return zaq(_calibrated(task, kind), task.folded(), PIXELS, settings).quantized


def _recipe(task: Task, model: nn.Module) -> Recipe:
    rule = OMSE
    ends = Recipe(Quantizer(Symmetric(8), calibration=rule), task.activation(rule, 8))
    return layers_recipe(model, Quantizer(Symmetric(task.weights), calibration=rule), task.activation(rule), ends)


def _from_statistics(task: Task, model: nn.Module) -> nn.Module:
    ranges = input_ranges(model, PIXELS) if task.needs_ranges else None
    return quantize(model, _recipe(task, model), ranges=ranges)


def _squant(task: Task) -> nn.Module:
    return squant(_from_statistics(task, task.folded()))


def _dfq_squant(task: Task) -> nn.Module:
    model = absorb_bias(equalize(relu6_to_relu(task.folded())))
    return correct_bias_from_statistics(squant(_from_statistics(task, model)), model)


FAMILY = Family(
    "zero_shot",
    "Zero-shot quantization",
    {
        "fp32": Method(lambda t: t.folded(), random=False),
        "nearest, statistics": Method(lambda t: _from_statistics(t, t.folded()), random=False),
        "DFQ": Method(lambda t: dfq(t.original(), _recipe(t, t.folded()), PIXELS).quantized, random=False),
        "SQuant": Method(_squant, random=False),
        "DFQ and SQuant": Method(_dfq_squant, random=False),
        "noise": _with("noise", _calibrated, _needs_ranges),
        "distilled (ZeroQ)": _with("distilled", _calibrated, _needs_ranges),
        "real": _with("real", _calibrated, _needs_ranges),
        "noise, tuned": _with("noise", _tuned),
        "distilled, tuned": _with("distilled", _tuned),
        "inverted, tuned": _with("inverted", _tuned),
        "generated (GDFQ)": _with("distilled", _generated),
        "adversarial (ZAQ)": _with("distilled", _adversarial),
        "real, tuned": _with("real", _tuned),
    },
    networks=("convnet", "resnet", "separable"),
    rows="Z1–Z4",
)
