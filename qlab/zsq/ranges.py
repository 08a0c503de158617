"""Ranges of activations without data, from BatchNorm's statistics and the range of a pixel.

    x_c ~ N(β_c, γ_c²):    [α, β] = [ min_c(β_c − n·|γ_c|), max_c(β_c + n·|γ_c|) ],    n = 6

ReLU cuts at 0, pooling keeps a range, a sum adds two. Source: Nagel et al. 2019 (DFQ), section 5 (n = 6).
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from qlab.calibration import Range
from qlab.network import LAYERS
from qlab.ptq.capped import CappedReLU
from qlab.ptq.fold import Folded
from qlab.ptq.graph import POOLS, SILENT, trace

__all__ = ["input_ranges"]


def input_ranges(model: nn.Module, pixels: tuple[float, float], sigmas: float = 6.0) -> dict[str, Range]:
    """Return the range of every layer's input that can be told without data.

    Parameters
    ----------
    model : nn.Module
        With BatchNorms folded (`qlab.ptq.fold_batchnorm`).
    pixels : (float, float)
        The range of the network's input: known from how pictures are prepared, not from pictures.
    sigmas : float
        n.

    Returns
    -------
    dict of layer name to Range
        One range for a whole layer. Layers of which nothing is known are left out.

    Raises
    ------
    ValueError
        If pixels is no range, or sigmas is not positive.

    References
    ----------
    Nagel et al. 2019, section 5.

    Survey-map row: Z1.
    """
    if not pixels[0] < pixels[1] or not sigmas > 0:
        raise ValueError(f"pixels must be (low, high) with low < high and sigmas positive, got {pixels} and {sigmas}")
    modules = dict(model.named_modules())
    known: dict[fx.Node, tuple[Tensor, Tensor]] = {}  # low and high per channel
    found: dict[str, Range] = {}
    for node in trace(model).nodes:
        if node.op == "placeholder":
            known[node] = torch.tensor([pixels[0]]), torch.tensor([pixels[1]])
            continue
        sources = [known[source] for source in node.all_input_nodes if source in known]
        if node.op == "call_module" and isinstance(modules[str(node.target)], Folded):
            folded: Any = modules[str(node.target)]
            known[node] = folded.mean - sigmas * folded.std, folded.mean + sigmas * folded.std
        elif not sources or len(sources) < len(node.all_input_nodes):
            continue
        elif node.op == "call_module":
            low, high = sources[0]
            module = modules[str(node.target)]
            if isinstance(module, LAYERS):
                found[str(node.target)] = Range(low.min()[None], high.max()[None])
            elif isinstance(module, (nn.ReLU, nn.ReLU6)):
                top = 6.0 if isinstance(module, nn.ReLU6) else torch.inf
                known[node] = low.clamp(0, top), high.clamp(0, top)
            elif isinstance(module, CappedReLU):
                known[node] = low.clamp(min=0).minimum(module.top), high.clamp(min=0).minimum(module.top)
            elif isinstance(module, nn.ZeroPad2d):
                known[node] = low.clamp(max=0), high.clamp(min=0)
            elif isinstance(module, (nn.MaxPool2d, *POOLS, *SILENT)):
                known[node] = low, high
        elif node.target in (operator.add, torch.add) and len(sources) == 2:
            (low1, high1), (low2, high2) = sources
            known[node] = low1 + low2, high1 + high2
    return found
