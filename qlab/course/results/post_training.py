"""Post-training methods: a trained network, 128 pictures, no training. One scale per tensor unless said otherwise.

Rounding methods (SQuant's cousins with data: GPTQ, AdaRound, AdaQuant, BRECQ) start from ranges of least squared error.

Survey-map rows: Q5, Q7, T5, T6, T7, T8, T9, T10.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from qlab.calibration import ACIQ, Entropy, Percentile
from qlab.course.results.task import OMSE, Family, Method, Task, plain
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
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
    gptq,
    linked_pairs,
    relu6_to_relu,
    split_outliers,
)
from qlab.quantizer import Quantizer

__all__ = ["FAMILY", "STEPS"]

STEPS = 100
"""Of Adam, per layer (AdaRound, AdaQuant) or block (BRECQ)."""


Pass = Callable[[nn.Module, nn.Module, list[Tensor]], nn.Module]
"""From a network rounded to nearest, the original and batches, to one rounded better."""


def _equal(task: Task) -> nn.Module:
    model = relu6_to_relu(task.folded())
    return equalize(model) if linked_pairs(model) else model


def _together(task: Task) -> nn.Module:
    model = _equal(task)
    ready = absorb_bias(model) if task.network != "mlp" else model  # without BatchNorm nothing says what to absorb
    return correct_bias(plain(task, ready, OMSE), ready, task.batches())


def _rounded(task: Task, better: Pass, channels: bool = False) -> nn.Module:
    model = task.folded()
    start = plain(task, model, OMSE, PerChannel(0) if channels else None)
    return better(start, model, task.batches())


_adaround = AdaRoundSettings(steps=STEPS)

FAMILY = Family(
    "post_training",
    "Post-training quantization",
    {
        "fp32": Method(lambda t: t.folded(), random=False),
        "nearest, min/max": Method(lambda t: plain(t, t.folded())),
        "percentile": Method(lambda t: plain(t, t.folded(), Percentile())),
        "OMSE": Method(lambda t: plain(t, t.folded(), OMSE)),
        "KL": Method(lambda t: plain(t, t.folded(), Entropy()), when=lambda t: t.weights > 2),
        "ACIQ": Method(lambda t: plain(t, t.folded(), ACIQ())),
        "splitting": Method(lambda t: plain(t, split_outliers(t.folded(), Quantizer(Symmetric(t.weights))))),
        "bias, analytic": Method(
            lambda t: correct_bias_from_statistics(plain(t, t.folded()), t.folded()), when=lambda t: t.network != "mlp"
        ),
        "bias, empirical": Method(lambda t: correct_bias(plain(t, t.folded()), t.folded(), t.batches())),
        "equalized": Method(lambda t: plain(t, _equal(t))),
        "equalized, OMSE, bias": Method(_together),
        "GPTQ": Method(lambda t: _rounded(t, gptq)),
        "AdaRound": Method(lambda t: _rounded(t, lambda q, m, x: adaround(q, m, x, _adaround))),
        "AdaQuant": Method(lambda t: _rounded(t, lambda q, m, x: adaquant(q, m, x, AdaQuantSettings(steps=STEPS)))),
        "BRECQ": Method(lambda t: _rounded(t, lambda q, m, x: brecq(q, m, x, BrecqSettings(_adaround)))),
        "per channel, min/max": Method(lambda t: plain(t, t.folded(), granularity=PerChannel(0))),
        "per channel, OMSE": Method(lambda t: plain(t, t.folded(), OMSE, PerChannel(0))),
        "per channel, AdaRound": Method(
            lambda t: _rounded(t, lambda q, m, x: adaround(q, m, x, _adaround), channels=True)
        ),
    },
    rows="Q5, Q7, T5–T10",
)
