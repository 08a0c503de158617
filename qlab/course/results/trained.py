"""Quantization-aware training, with the straight-through estimator and without: one budget for everybody.

From the trained network, one epoch of 3,000 embedded training pictures in batches of 64, SGD with a one-cycle rate of
0.02 (0.01 for the MLP: a fifth of the rate it was made with); one scale per tensor. With activations in floating point,
methods that are about activations have nothing to add.

Survey-map rows: T1, T2, T3.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from qlab import zoo
from qlab.course.results.task import FLOAT, OMSE, SETTINGS, Family, Method, Task, inner_layers, layers_recipe, plain
from qlab.data import load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.network import Recipe, Trainable, quantize
from qlab.qat import DSQ, LSQ, PACT, QIL, DoReFaActivation, DoReFaWeight, LSQPlus, ProxQuant, Relaxed, SinReQ
from qlab.quantizer import Quantizer
from qlab.zoo import TrainingSettings, train

__all__ = ["FAMILY", "PICTURES", "settings"]

PICTURES = 3000
PULL, STRENGTH = 0.1, 100.0
"""Of ProxQuant and SinReQ: each the best of three tried, on the ConvNet at 2 bits with seed 0."""


def settings(task: Task) -> TrainingSettings:
    """Return the budget: the same for every method.

    Survey-map row: T2.
    """
    made = zoo.RECIPES[task.network].settings
    return TrainingSettings(1, batch_size=64, lr=min(0.02, made.lr / 5), augment=made.augment, seed=task.seed)


Choice = Quantizer | Trainable


def _weight(task: Task) -> Quantizer:
    return Quantizer(Symmetric(task.weights), calibration=OMSE)


def _start(task: Task, weight: Choice, activation: Choice | None) -> nn.Module:
    model = task.original()
    ends = Recipe(Quantizer(Symmetric(8), PerChannel(0)), task.activation(OMSE, 8))
    recipe = layers_recipe(model, weight, activation if task.needs_ranges else None, ends)
    return quantize(model, recipe, task.batches() if task.needs_ranges else None)


def _train(task: Task, weight: Choice, activation: Choice | None) -> nn.Module:
    return train(_start(task, weight, activation), load_train_subset()[:PICTURES], settings(task))


def _like_ste(weight: Callable[[Task], Choice]) -> Callable[[Task], nn.Module]:
    """Weights by a method, activations by the straight-through estimator with fixed ranges."""
    return lambda t: _train(t, weight(t), t.activation(OMSE))


def _regularized(task: Task, kind: type[ProxQuant] | type[SinReQ]) -> nn.Module:
    """Weights are pulled to the grid while they train in floating point, and rounded at the end."""
    model, q = task.original(), _weight(task)
    inner = dict.fromkeys(inner_layers(model), q)
    data = load_train_subset()[:PICTURES]
    if kind is ProxQuant:
        pulled = train(model, data, settings(task), after_step=ProxQuant.of(model, inner, PULL))
    else:
        pulled = train(model, data, settings(task), penalty=SinReQ.of(model, inner, STRENGTH))
    ends = Recipe(Quantizer(Symmetric(8), PerChannel(0)), task.activation(OMSE, 8))
    recipe = layers_recipe(pulled, q, task.activation(OMSE), ends)
    return quantize(pulled, recipe, task.batches() if task.needs_ranges else None)


def _about_activations(task: Task) -> bool:
    return task.activations != FLOAT


FAMILY = Family(
    "trained",
    "Quantization-aware training",
    {
        "fp32": Method(lambda t: t.original(), random=False),
        "fp32, trained on": Method(
            lambda t: train(t.original(), load_train_subset()[:PICTURES], settings(t)),
            when=lambda t: (t.weights, t.activations) == (8, 8),
        ),
        "nearest, min/max": Method(lambda t: plain(t, t.folded())),
        "OMSE, no training": Method(lambda t: plain(t, t.folded(), OMSE)),
        "STE": Method(_like_ste(_weight)),
        "DoReFa": Method(lambda t: _train(t, DoReFaWeight(t.weights), _of_bits(t, DoReFaActivation))),
        "PACT": Method(lambda t: _train(t, DoReFaWeight(t.weights), PACT(t.activations)), when=_about_activations),
        "QIL": Method(lambda t: _train(t, QIL(t.weights), _of_bits(t, QIL))),
        "LSQ": Method(lambda t: _train(t, LSQ(_weight(t)), _learned(t, LSQ))),
        "LSQ+": Method(lambda t: _train(t, LSQ(_weight(t)), _learned(t, LSQPlus)), when=_about_activations),
        "DSQ": Method(_like_ste(lambda t: DSQ(_weight(t)))),
        "relaxed": Method(_like_ste(lambda t: Relaxed(_weight(t), seed=t.seed)), when=lambda t: t.weights < 8),
        "ProxQuant": Method(lambda t: _regularized(t, ProxQuant)),
        "SinReQ": Method(lambda t: _regularized(t, SinReQ)),
    },
    settings=(*SETTINGS, (2, 2)),
    rows="T1–T3",
)


def _of_bits(task: Task, kind: Callable[[int], Trainable]) -> Trainable | None:
    return kind(task.activations) if task.needs_ranges else None


def _learned(task: Task, kind: type[LSQ]) -> LSQ | None:
    quantizer = task.activation(OMSE)
    return None if quantizer is None else kind(quantizer)
