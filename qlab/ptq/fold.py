"""Batch-norm folding: in inference a BatchNorm is a scale and a shift per channel, so the layer before it can do both.

    y = γ·(W∗x + b − μ)/√(σ² + ε) + β   =   W′∗x + b′,
    W′ = W·γ/√(σ² + ε),    b′ = β + (b − μ)·γ/√(σ² + ε).

Sources: Jacob et al. 2018, section 3.2 and equation 14; Gholami et al. 2021, section IV A.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from qlab.network import LAYERS

__all__ = ["Folded", "fold_batchnorm"]

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Folded(nn.Identity):
    """What stands in a folded BatchNorm's place: the identity, which remembers what BatchNorm knew of its output.

    Attributes
    ----------
    mean, std : Tensor, shape (channels,)
        β and |γ|: of every channel over the training data. Data-free methods live on them. They are no part of the
        state dict, and inference does not read them.

    Survey-map rows: T5, T7, Z1.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self.mean, self.std = fn(self.mean), fn(self.std)
        return super()._apply(fn, recurse)


def fold_batchnorm(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in which every BatchNorm that follows a convolution or linear layer is folded into it.

    Parameters
    ----------
    model : nn.Module
        In eval mode, traceable by torch.fx; left as it is.

    Returns
    -------
    nn.Module
        The same function (up to float rounding), with a `Folded` identity in place of the folded BatchNorms. One stays
        where folding would change the function: if the layer's output has another reader, if either module is called
        more than once, or if the BatchNorm keeps no statistics.

    Raises
    ------
    ValueError
        If the model or one of its BatchNorms is in training mode, where it depends on the batch, or if a layer to fold
        into is quantized already.

    Survey-map rows: T4, A2.
    """
    if model.training:
        raise ValueError("model must be in eval mode (model.eval()): in training BatchNorm depends on the batch")
    model = copy.deepcopy(model)
    modules = dict(model.named_modules())
    graph = fx.Tracer().trace(model)
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        norm = modules[node.target] if node.op == "call_module" else None
        if not isinstance(norm, NORMS):
            continue
        if norm.training:
            raise ValueError(
                f"model must be in eval mode throughout, but BatchNorm {node.target!r} is in training mode"
            )
        source: Any = node.all_input_nodes[0]
        layer = modules[source.target] if source.op == "call_module" else None
        alone = len(source.users) == calls[source.target] == calls[node.target] == 1
        if isinstance(layer, LAYERS) and alone and norm.running_var is not None:
            if parametrize.is_parametrized(layer):
                raise ValueError(f"model: layer {source.target!r} is quantized already; fold first, then quantize")
            model.set_submodule(node.target, _fold(layer, norm))
    return model


@torch.no_grad()
def _fold(layer: Any, norm: Any) -> Folded:
    gamma, beta = (1.0, 0.0) if norm.weight is None else (norm.weight, norm.bias)
    gain = gamma / torch.sqrt(norm.running_var + norm.eps)  # γ/√(σ² + ε), one per output channel
    bias = torch.zeros_like(norm.running_mean) if layer.bias is None else layer.bias
    layer.bias = nn.Parameter(beta + (bias - norm.running_mean) * gain)
    layer.weight = nn.Parameter(layer.weight * gain.reshape(-1, *[1] * (layer.weight.dim() - 1)))
    ones = torch.ones_like(norm.running_mean)
    return Folded((beta * ones).detach(), (gamma * ones).abs().detach())
