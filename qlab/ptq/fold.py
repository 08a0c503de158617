"""Batch-norm folding: in inference a BatchNorm is a scale and a shift per channel, so the layer before it can do both.

    y = γ·(W∗x + b − μ)/√(σ² + ε) + β   =   W′∗x + b′,
    W′ = W·γ/√(σ² + ε),    b′ = β + (b − μ)·γ/√(σ² + ε).

Sources: Jacob et al. 2018, section 3.2 and equation 14; Gholami et al. 2021, section IV A.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx, nn

__all__ = ["fold_batchnorm"]


def fold_batchnorm(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in which every BatchNorm that follows a convolution or linear layer is folded into it.

    Parameters
    ----------
    model : nn.Module
        In eval mode, traceable by torch.fx; left as it is.

    Returns
    -------
    nn.Module
        The same function (up to float rounding), with `nn.Identity` in place of the folded BatchNorms.

    Raises
    ------
    ValueError
        If the model is in training mode, where BatchNorm depends on the batch.

    Survey-map rows: T4, A2.
    """
    if model.training:
        raise ValueError("model must be in eval mode (model.eval()): in training BatchNorm depends on the batch")
    model = copy.deepcopy(model)
    modules = dict(model.named_modules())
    graph = fx.Tracer().trace(model)
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], (nn.BatchNorm1d, nn.BatchNorm2d)):
            continue
        source: Any = node.args[0]
        layer = modules.get(source.target) if source.op == "call_module" else None
        if not isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)) or len(source.users) > 1:
            continue
        _fold(layer, modules[node.target])
        model.set_submodule(node.target, nn.Identity())
    return model


@torch.no_grad()
def _fold(layer: Any, norm: Any) -> None:
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # γ/√(σ² + ε), one per output channel
    bias = torch.zeros_like(norm.running_mean) if layer.bias is None else layer.bias
    layer.bias = nn.Parameter(norm.bias + (bias - norm.running_mean) * gain)
    layer.weight = nn.Parameter(layer.weight * gain.reshape(-1, *[1] * (layer.weight.dim() - 1)))
