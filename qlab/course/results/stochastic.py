"""Chance in quantization: rounding at random without training, weights that live on a grid while they train, noise.

Training as in `trained`. "On the grid" keeps no copy of the weights in floating point.

Survey-map rows: G1, G2, G3.
"""

from __future__ import annotations

import torch
from torch import nn

from qlab.calibration import Fixed
from qlab.course.results.task import OMSE, Family, Method, Task, inner_layers, layers_recipe, plain
from qlab.course.results.trained import PICTURES, settings
from qlab.data import load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.network import Recipe, quantizable_layers, quantize, stored_weight
from qlab.ptq import with_stored
from qlab.qat.batchnorm import reestimate_batchnorm
from qlab.quantizer import Params, Quantizer
from qlab.rounding import Nearest, Rounding, Stochastic
from qlab.stochastic import OnGrid, QuantNoise
from qlab.zoo import train

__all__ = ["FAMILY"]


def _random(task: Task) -> Stochastic:
    return Stochastic(torch.Generator().manual_seed(task.seed))


def _rounded(task: Task) -> nn.Module:
    """Weights rounded once, at random, and never trained."""
    model = task.folded()
    start = plain(task, model, OMSE)
    q, layers = Quantizer(Symmetric(task.weights), rounding=_random(task)), quantizable_layers(start)
    stored = {}
    for name in inner_layers(model):
        nearest = stored_weight(layers[name])
        assert nearest is not None
        stored[name] = q.quantize(layers[name].parametrizations.weight.original.detach(), nearest.params)
    return with_stored(start, stored)


def _on_grid(task: Task, rounding: Rounding) -> nn.Module:
    """Weights that leave the grid in no step; the activations join in at the end."""
    model = task.original()
    q = Quantizer(Symmetric(task.weights), calibration=OMSE, rounding=rounding)
    grid = OnGrid.of(model, dict.fromkeys(inner_layers(model), q))
    trained = train(grid.place(model), load_train_subset()[:PICTURES], settings(task), after_step=grid)
    own = {
        name: Recipe(
            Quantizer(Symmetric(task.weights), calibration=Fixed(*_reach(task, params))), task.activation(OMSE)
        )
        for name, (_, params) in grid.quantizers.items()
    }
    ends = Recipe(Quantizer(Symmetric(8), PerChannel(0)), task.activation(OMSE, 8))
    recipe = Recipe(ends.weight, ends.activation, layers=own)
    return quantize(trained, recipe, task.batches() if task.needs_ranges else None)


def _reach(task: Task, params: Params) -> tuple[float, float]:
    """The range of the grid that the weights live on."""
    top = float(params.scale) * Symmetric(task.weights).code_range[1]
    return -top, top


def _noisy(task: Task, rate: float) -> nn.Module:
    model = task.original()
    weight = QuantNoise(Quantizer(Symmetric(task.weights), calibration=OMSE), rate, task.seed)
    ends = Recipe(Quantizer(Symmetric(8), PerChannel(0)), task.activation(OMSE, 8))
    recipe = layers_recipe(model, weight, task.activation(OMSE), ends)
    start = quantize(model, recipe, task.batches() if task.needs_ranges else None)
    data = load_train_subset()[:PICTURES]
    trained = train(start, data, settings(task))
    if task.network == "mlp":  # no BatchNorm whose statistics belong to a network that was quantized in part
        return trained
    return reestimate_batchnorm(trained, data.tensors()[0][:1000].split(250))


FAMILY = Family(
    "stochastic",
    "Stochastic quantization",
    {
        "fp32": Method(lambda t: t.original(), random=False),
        "nearest, min/max": Method(lambda t: plain(t, t.folded())),
        "nearest": Method(lambda t: plain(t, t.folded(), OMSE)),
        "rounded at random": Method(_rounded),
        "on the grid, nearest": Method(lambda t: _on_grid(t, Nearest())),
        "on the grid, at random": Method(lambda t: _on_grid(t, _random(t))),
        "Quant-Noise, all": Method(lambda t: _noisy(t, 1.0)),
        "Quant-Noise, half": Method(lambda t: _noisy(t, 0.5)),
    },
    rows="G1–G3",
)
