"""What one entry of the results is: a network, the bits of weights and activations, a seed, and a method.

All methods of the results share these conventions, so that their entries may be compared: symmetric weights, asymmetric
activations, 8 bits for the first and the last layer (the field's habit; see `inner_layers`), 128 calibration pictures
drawn with the seed, BatchNorm folded beforehand except where training needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from qlab import zoo
from qlab.calibration import MSE, Calibration, MinMax
from qlab.data import load_calibration
from qlab.granularity import Granularity, PerTensor
from qlab.grids import Asymmetric, Grid, Symmetric
from qlab.network import Recipe, Trainable, quantizable_layers, quantize
from qlab.ptq.fold import fold_batchnorm
from qlab.quantizer import Quantizer

__all__ = [
    "FLOAT",
    "NETWORKS",
    "SETTINGS",
    "Family",
    "Method",
    "Setting",
    "Task",
    "inner_layers",
    "layers_recipe",
    "plain",
]

Setting = tuple[int, int]
FLOAT = 32
"""Bits that mean: left in floating point."""
SETTINGS: tuple[Setting, ...] = ((8, 8), (4, 8), (4, 4), (3, FLOAT), (2, FLOAT))
"""Bits of weights and of activations: W8A8, W4A8, W4A4, and W3, W2 with activations in floating point."""
NETWORKS = zoo.names()
OMSE = MSE(candidates=40)
"""Ranges of least squared error, from 40 candidates: the search over activations is what calibration spends time on."""


@dataclass(frozen=True)
class Task:
    """A network to quantize to so many bits.

    Attributes
    ----------
    network : str
        Of the zoo.
    weights, activations : int
        Bits; 32 leaves them in floating point.
    seed : int
        Of everything random: the draw of the calibration pictures, training, generation.

    Survey-map rows: T2, T6, Z4.
    """

    network: str
    weights: int
    activations: int
    seed: int

    def original(self) -> nn.Module:
        """Return the trained network."""
        return zoo.load(self.network)

    def folded(self) -> nn.Module:
        """Return the trained network with its BatchNorms folded."""
        return fold_batchnorm(self.original())

    def batches(self) -> list[Tensor]:
        """Return 128 calibration pictures in batches of 64."""
        return list(load_calibration(128, seed=self.seed).tensors()[0].split(64))

    @property
    def needs_ranges(self) -> bool:
        """Whether activations are quantized at all."""
        return self.activations != FLOAT

    def activation(self, rule: Calibration, bits: int | None = None) -> Quantizer | None:
        """Return the quantizer of a layer's input, None where it stays in floating point."""
        return Quantizer(Asymmetric(bits or self.activations), calibration=rule) if self.needs_ranges else None


Choice = Quantizer | Trainable | None


def inner_layers(model: nn.Module) -> list[str]:
    """Return the layers that get few bits: all but the first and the last.

    An end that holds more than half of all weights (the first layer of the MLP) is no small matter: it counts as inner.

    Survey-map rows: T2, T6.
    """
    sizes = {name: layer.weight.numel() for name, layer in quantizable_layers(model).items()}
    first, *_, last = sizes
    return [name for name, n in sizes.items() if name not in (first, last) or n > sum(sizes.values()) / 2]


def layers_recipe(model: nn.Module, weight: Choice, activation: Choice, ends: Recipe) -> Recipe:
    """Return a recipe for the inner layers of `model`, with `ends` for the others.

    Survey-map rows: T2, T6.
    """
    inner = inner_layers(model)
    return Recipe(weight, activation, layers={n: ends for n in quantizable_layers(model) if n not in inner})


def plain(
    task: Task,
    model: nn.Module,
    rule: Calibration | None = None,
    granularity: Granularity | None = None,
    grid: Grid | None = None,
    batches: list[Tensor] | None = None,
) -> nn.Module:
    """Return `model` rounded to nearest.

    Parameters
    ----------
    task : Task
    model : nn.Module
    rule : Calibration, optional
        Of weights and activations; from min to max by default.
    granularity : Granularity, optional
        Of the weights; one scale per tensor by default.
    grid : Grid, optional
        Of the weights of the inner layers; symmetric and uniform by default.
    batches : list of Tensor, optional
        To calibrate with, instead of the task's.

    Survey-map row: T6.
    """
    rule, granularity = rule or MinMax(), granularity or PerTensor()
    ends = Recipe(Quantizer(Symmetric(8), granularity, rule), task.activation(rule, 8))
    weight = Quantizer(grid or Symmetric(task.weights), granularity, rule)
    recipe = layers_recipe(model, weight, task.activation(rule), ends)
    return quantize(model, recipe, (task.batches() if batches is None else batches) if task.needs_ranges else None)


@dataclass(frozen=True)
class Method:
    """A way to quantize.

    Attributes
    ----------
    run : function of Task
        Return the quantized network.
    when : function of Task
        Whether there is anything to run: PACT, say, is about activations.
    needs : function of Task
        Make what several tasks share (distilled pictures), and return the seconds that it took.
    random : bool
        False where all seeds would give the same.

    Survey-map rows: T2, T6, Z4.
    """

    run: Callable[[Task], nn.Module]
    when: Callable[[Task], bool] = lambda task: True
    needs: Callable[[Task], float] = lambda task: 0.0
    random: bool = True


@dataclass(frozen=True)
class Family:
    """Methods that answer the same question, and are compared in one table.

    Attributes
    ----------
    name, title : str
    methods : dict of name to Method
    settings : tuple of Setting
    networks : tuple of str
    rows : str
        Of the survey map.

    Survey-map rows: T2, T6, Z4.
    """

    name: str
    title: str
    methods: dict[str, Method]
    settings: tuple[Setting, ...] = SETTINGS
    networks: tuple[str, ...] = NETWORKS
    rows: str = ""

    def tasks(self, seed: int) -> list[tuple[Task, str]]:
        """Return what is to be run for a seed, as (task, method)."""
        return [
            (task, name)
            for network in self.networks
            for weights, activations in self.settings
            for name, method in self.methods.items()
            if (seed == 0 or method.random) and method.when(task := Task(network, weights, activations, seed))
        ]
