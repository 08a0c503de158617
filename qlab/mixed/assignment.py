"""A bit-width for each layer: what it costs, the recipe that makes it, and the front of what cannot be bettered.

    bytes(b) = Σ_i ( ⌈n_i·b_i/8⌉ + 4·c_i )        n_i weights and c_i channels of layer i, 4 bytes for each scale
    BOPs(b)  = Σ_i MACs_i·b_i·b_a                 b_a: bits of activations

Both are sums over layers: a table (layers, choices) holds all there is to know, and choices^layers assignments share
it. Weights get symmetric grids with a range per channel (least squared error), inputs 8 bits with one range.

Sources: Gholami et al. 2021, section IV B; bit operations: van Baalen et al. 2020 (*Bayesian bits*), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from qlab.calibration import MSE
from qlab.granularity import PerChannel
from qlab.grids import Asymmetric, Symmetric
from qlab.hardware.cost import LayerCost, layer_costs
from qlab.network import Recipe, quantizable_layers
from qlab.packing import packed_bytes
from qlab.quantizer import Quantizer
from qlab.validate import check_bits

__all__ = ["BITS", "Assignment", "Space", "assignment_space", "input_quantizer", "pareto_front", "weight_quantizer"]

BITS = (2, 3, 4, 6, 8)
"""The choices of the ground truth."""
SCALE_BYTES = 4


def weight_quantizer(bits: int) -> Quantizer:
    """Return the quantizer of every weight here: symmetric, a range per channel that minimizes the squared error.

    Survey-map row: M5.
    """
    return Quantizer(Symmetric(bits), PerChannel(0), MSE())


def input_quantizer(bits: int = 8) -> Quantizer:
    """Return the quantizer of every layer's input here: asymmetric, one range, from the least to the largest value.

    Survey-map row: M5.
    """
    return Quantizer(Asymmetric(bits))


@dataclass(frozen=True)
class Assignment:
    """Layer → bits of its weight.

    Parameters
    ----------
    layers : tuple of str
        Names, in the order of the network.
    bits : tuple of int
        As many.

    Raises
    ------
    TypeError, ValueError
        If there are not as many bits as layers, a name comes twice, or bits are no integers from 1 to 16.

    Examples
    --------
    >>> a = Assignment(("conv", "fc"), (3, 8))
    >>> print(a, a["fc"])
    3-8 8

    Survey-map rows: M3, M5.
    """

    layers: tuple[str, ...]
    bits: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.layers or len(self.layers) != len(self.bits) or len(set(self.layers)) != len(self.layers):
            raise ValueError(f"bits must be one for each of different layers, got {self.layers} and {self.bits}")
        object.__setattr__(self, "bits", tuple(check_bits(b) for b in self.bits))

    def __getitem__(self, layer: str) -> int:
        return dict(zip(self.layers, self.bits, strict=True))[layer]

    def __str__(self) -> str:
        return "-".join(map(str, self.bits))

    def recipe(self, activation_bits: int | None = 8) -> Recipe:
        """Return the recipe for `qlab.network.quantize`: each layer its bits, inputs with a static range.

        Parameters
        ----------
        activation_bits : int or None
            None leaves inputs in floating point.
        """
        inputs = None if activation_bits is None else input_quantizer(activation_bits)
        pairs = zip(self.layers, self.bits, strict=True)
        return Recipe(layers={name: Recipe(weight_quantizer(b), inputs) for name, b in pairs})


@dataclass(frozen=True, eq=False)
class Space:
    """All assignments of a network: its layers, the choices, and what each costs.

    Attributes
    ----------
    layers : tuple of LayerCost
        Names, numbers of weights, MACs.
    choices : tuple of int
        Bits, rising.
    nbytes, bops : array of float, shape (layers, choices)
        Of each layer with each choice: see the equations above.

    Survey-map rows: M3, M5.
    """

    layers: tuple[LayerCost, ...]
    choices: tuple[int, ...]
    nbytes: NDArray[np.float64]
    bops: NDArray[np.float64]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(layer.name for layer in self.layers)

    def assignment(self, choice: Sequence[int]) -> Assignment:
        """Return the assignment of a choice (an index per layer, as `integer_program` returns)."""
        return Assignment(self.names, tuple(self.choices[b] for b in choice))

    def choice(self, assignment: Assignment) -> tuple[int, ...]:
        """Return the indices of an assignment's bits among the choices."""
        return tuple(self.choices.index(assignment[name]) for name in self.names)

    def all_choices(self) -> NDArray[np.int64]:
        """Return every choice, shape (choices^layers, layers), the last layer changing fastest."""
        return np.array(list(product(range(len(self.choices)), repeat=len(self.layers))))

    def total(self, table: ArrayLike, choice: ArrayLike) -> NDArray[np.float64]:
        """Return the sums Σ_i table[i, choice_i] of one choice, or of many, shape (…, layers)."""
        return np.asarray(table)[np.arange(len(self.layers)), np.asarray(choice)].sum(axis=-1)

    def check_limit(self, limit: float) -> None:
        """Raise a ValueError if no assignment fits so many bytes."""
        least = float(self.nbytes.min(axis=1).sum())
        if limit < least:
            raise ValueError(f"limit must hold {least:g} bytes, the fewest there are, got {limit:g}")

    def budget(self, mean_bits: float) -> float:
        """Return the bytes that allow `mean_bits` bits per weight: n·b/8 and the scales."""
        scales = self.nbytes[:, 0] - [packed_bytes(layer.parameters, self.choices[0]) for layer in self.layers]
        return sum(layer.parameters for layer in self.layers) * mean_bits / 8 + float(scales.sum())


def assignment_space(
    model: nn.Module, input_shape: tuple[int, ...], choices: Sequence[int] = BITS, activation_bits: int = 8
) -> Space:
    """Return the space of a network's assignments, all layers free.

    Parameters
    ----------
    model : nn.Module
    input_shape : tuple of int
        Of one input, without the batch: (1, 28, 28).
    choices : sequence of int
        Bits, each once.
    activation_bits : int
        b_a, for BOPs.

    Raises
    ------
    ValueError
        If the choices are not rising, or the model has no layer.

    Survey-map rows: M3, M5.
    """
    bits = tuple(check_bits(b) for b in choices)
    if not bits or list(bits) != sorted(set(bits)):
        raise ValueError(f"choices must rise, got {tuple(choices)}")
    modules = quantizable_layers(model)
    layers = tuple(layer_costs(model, input_shape))
    if not layers:
        raise ValueError(f"model must have a linear or convolutional layer, got {type(model).__name__} with none")
    scales = [SCALE_BYTES * len(modules[layer.name].weight) for layer in layers]
    nbytes = [[packed_bytes(x.parameters, b) + s for b in bits] for x, s in zip(layers, scales, strict=True)]
    bops = [[x.bops(b, activation_bits) for b in bits] for x in layers]
    return Space(layers, bits, np.array(nbytes, dtype=np.float64), np.array(bops, dtype=np.float64))


def pareto_front(cost: ArrayLike, loss: ArrayLike) -> NDArray[np.int64]:
    """Return which points no other betters: none costs at most as much and loses less, or the other way round.

    Parameters
    ----------
    cost, loss : array of float, shape (n,)
        Less is better in both.

    Returns
    -------
    array of int
        Indices, cost rising and loss falling; of equal points the first.

    Raises
    ------
    ValueError
        If the shapes differ, there is no point, or a number is not finite.

    Examples
    --------
    >>> pareto_front([1, 2, 2, 3, 4], [9, 5, 6, 5, 1]).tolist()
    [0, 1, 4]

    Survey-map row: M5.
    """
    c, x = np.asarray(cost, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if c.shape != x.shape or c.ndim != 1 or not c.size:
        raise ValueError(f"cost and loss must have one shape (n,) with n ≥ 1, got {c.shape} and {x.shape}")
    if not (np.isfinite(c).all() and np.isfinite(x).all()):
        raise ValueError("cost and loss must be finite, got NaN or infinity")
    order = np.lexsort((np.arange(c.size), x, c))  # by cost, then loss, then place
    best = np.minimum.accumulate(x[order])
    new = np.r_[True, x[order][1:] < best[:-1]]
    return order[new]
