"""What a layer costs, counted: parameters, multiply–accumulates, bytes moved, arithmetic intensity, bit operations.

For a convolution with C_in input and C_out output channels in g groups, kernel k_h×k_w, output H×W:

    parameters = C_out·(C_in/g)·k_h·k_w,      MACs = parameters·H·W,
    BOPs = MACs·b_w·b_a,                       intensity = 2·MACs / bytes moved   (operations per byte).

Sources: Gholami et al. 2021, sections I and V; bit operations: van Baalen et al. 2020 (*Bayesian bits*), section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qlab.network import quantizable_layers

__all__ = ["LayerCost", "layer_costs", "total_cost"]


@dataclass(frozen=True)
class LayerCost:
    """The counts of one layer for one input (batch size 1).

    Attributes
    ----------
    name, kind : str
    parameters : int
        Of the weight; biases are left out.
    macs : int
        Multiply–accumulates.
    inputs, outputs : int
        Elements read and written.

    Survey-map rows: B2, C7.
    """

    name: str
    kind: str
    parameters: int
    macs: int
    inputs: int
    outputs: int

    def bops(self, weight_bits: int, activation_bits: int) -> int:
        """Return bit operations, MACs·b_w·b_a."""
        return self.macs * weight_bits * activation_bits

    def bytes_moved(self, weight_bits: float = 32, activation_bits: float = 32) -> float:
        """Return the bytes of weights, inputs and outputs, each moved once."""
        return (self.parameters * weight_bits + (self.inputs + self.outputs) * activation_bits) / 8

    def intensity(self, weight_bits: float = 32, activation_bits: float = 32) -> float:
        """Return arithmetic operations per byte moved (a MAC is two operations)."""
        return 2 * self.macs / self.bytes_moved(weight_bits, activation_bits)


def total_cost(costs: Iterable[LayerCost]) -> LayerCost:
    """Return the sums over layers, as the cost of a "layer" called "total".

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    >>> total_cost(layer_costs(net, (4,))).macs  # 12 + 6
    18

    Survey-map rows: B2, C7.
    """
    costs = list(costs)
    counts = {key: sum(getattr(c, key) for c in costs) for key in ("parameters", "macs", "inputs", "outputs")}
    return LayerCost("total", "network", **counts)


def layer_costs(model: nn.Module, input_shape: tuple[int, ...]) -> list[LayerCost]:
    """Return the counts of every linear and convolutional layer, in the order of the module tree.

    Parameters
    ----------
    model : nn.Module
        Left as it is; runs once on zeros.
    input_shape : tuple of int
        Of one input, without the batch: (1, 28, 28).

    Survey-map rows: B2, C7.
    """
    costs: dict[str, LayerCost] = {}
    hooks = []

    def watch(name: str) -> Any:
        def hook(layer: Any, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            per_output = layer.weight[0].numel()  # multiplications for one output element
            costs[name] = LayerCost(
                name,
                type(layer).__name__,
                layer.weight.numel(),
                per_output * output[0].numel(),
                args[0][0].numel(),
                output[0].numel(),
            )

        return hook

    layers = quantizable_layers(model)
    training = model.training
    try:
        hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
        model.eval()
        with torch.no_grad():
            model(torch.zeros(1, *input_shape))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return [costs[name] for name in layers if name in costs]
