"""Levels that are not evenly spaced, for the weights, without training; one scale (or set of αs) per output channel.

Activations, where they are quantized, are uniform from ranges of least squared error.

Survey-map rows: Q8, Q9, Q10, Q11.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from qlab.course.results.task import OMSE, Family, Method, Task, inner_layers, layers_recipe, plain
from qlab.granularity import PerChannel
from qlab.grids import E2M1, E4M3, NF4, Codebook, Grid, Symmetric
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.nonuniform import LQ, SumOfSigns, alternating, greedy, kmeans_codebook, quantile_codebook, shifted_signs
from qlab.powers_of_two import AdditivePowersOfTwo, PowersOfTwo
from qlab.quantizer import Quantizer

__all__ = ["FAMILY"]


def _grid(task: Task, grid: Grid) -> nn.Module:
    return plain(task, task.folded(), OMSE, PerChannel(0), grid)


def _fitted(task: Task, fit: Callable[..., Codebook]) -> nn.Module:
    """A codebook for each layer, fitted to its weights in units of their channels' root mean square."""
    model, channels = task.folded(), PerChannel(0)
    layers = quantizable_layers(model)
    activation = task.activation(OMSE)
    own = {
        name: Recipe(Quantizer(fit(layers[name].weight, task.weights, channels), channels, OMSE), activation)
        for name in inner_layers(model)
    }
    ends = Recipe(Quantizer(Symmetric(8), channels, OMSE), task.activation(OMSE, 8))
    recipe = Recipe(ends.weight, ends.activation, layers=own)
    return quantize(model, recipe, task.batches() if task.needs_ranges else None)


def _signs(task: Task, weight: SumOfSigns | LQ) -> nn.Module:
    model = task.folded()
    ends = Recipe(Quantizer(Symmetric(8), PerChannel(0), OMSE), task.activation(OMSE, 8))
    recipe = layers_recipe(model, weight, task.activation(OMSE), ends)
    return quantize(model, recipe, task.batches() if task.needs_ranges else None)


def _few(task: Task) -> bool:
    return task.weights <= 4  # 2^K sums of K signs: 8 bases are no use of anybody's time


FAMILY = Family(
    "non_uniform",
    "Non-uniform quantization",
    {
        "fp32": Method(lambda t: t.folded(), random=False),
        "nearest, min/max": Method(lambda t: plain(t, t.folded(), granularity=PerChannel(0))),
        "uniform": Method(lambda t: plain(t, t.folded(), OMSE, PerChannel(0))),
        "powers of two": Method(lambda t: _grid(t, PowersOfTwo(t.weights)), when=_few),
        "additive powers of two": Method(
            lambda t: _grid(t, AdditivePowersOfTwo(t.weights)), when=lambda t: t.weights > 2
        ),
        "k-means": Method(lambda t: _fitted(t, kmeans_codebook)),
        "quantiles": Method(lambda t: _fitted(t, quantile_codebook)),
        "normal float (NF4)": Method(lambda t: _grid(t, NF4), when=lambda t: t.weights == 4),
        "floating point": Method(
            lambda t: _grid(t, E4M3 if t.weights == 8 else E2M1), when=lambda t: t.weights in (4, 8)
        ),
        "LQ-Nets' basis": Method(lambda t: _signs(t, LQ(t.weights)), when=_few),
        "signs, greedy": Method(lambda t: _signs(t, SumOfSigns(t.weights, greedy)), when=_few),
        "signs, shifted": Method(lambda t: _signs(t, SumOfSigns(t.weights, shifted_signs)), when=_few),
        "signs, alternating": Method(lambda t: _signs(t, SumOfSigns(t.weights, alternating)), when=_few),
    },
    rows="Q8–Q11",
)
