"""What a pass must know of a network's graph: which layers follow each other, and what BatchNorm knew of their inputs.

    E[relu(x)] = μ·Φ(μ/σ) + σ·φ(μ/σ),   x ~ N(μ, σ²)

Sources: Nagel et al. 2019 (DFQ), sections 4.1 and 4.2.1, appendix C (clipped normal distribution).
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from qlab.network import LAYERS
from qlab.ptq.capped import CappedReLU
from qlab.ptq.fold import Folded

__all__ = ["Normal", "Pair", "clipped_normal", "input_statistics", "linked_pairs", "trace"]

POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
# pass values on as they are (padding adds zeros at the border: so do convolutions, unseen)
SILENT = (nn.Identity, nn.Dropout, nn.Flatten, nn.ZeroPad2d)


class Normal(NamedTuple):
    """Mean and standard deviation per channel of what arrives somewhere, shape (channels,) each.

    Survey-map rows: T5, Z1.
    """

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Pair:
    """Two layers of which the second reads nothing but the first, through functions with f(s·x) = s·f(x), s > 0.

    Attributes
    ----------
    first, second : str
        Names of the layers.
    statistics : str or None
        Name of the `Folded` between them, if BatchNorm was folded into the first.
    spread : int
        Inputs of the second per channel of the first: 1, or the pixels of a flattened picture.
    ceilings : tuple of str
        Names of the `CappedReLU` between them: f(s·x) = s·f(x) once their ceilings are scaled too.

    Survey-map row: T7.
    """

    first: str
    second: str
    statistics: str | None
    spread: int
    ceilings: tuple[str, ...] = ()


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*LAYERS, Folded, CappedReLU)) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.Graph:
    """Return the graph of `model` with layers, `Folded` and `CappedReLU` as single nodes.

    Survey-map row: T7.
    """
    return _Tracer().trace(model)


def linked_pairs(model: nn.Module) -> list[Pair]:
    """Return the pairs of layers that can be equalized, in the order of the graph.

    Survey-map row: T7.
    """
    modules = dict(model.named_modules())
    homogeneous = (nn.ReLU, nn.LeakyReLU, nn.MaxPool2d, CappedReLU, *POOLS, *SILENT)
    pairs = []
    for node in trace(model).nodes:
        if not _is(node, modules, LAYERS):
            continue
        walk: Any = node.all_input_nodes[0]
        statistics = None
        ceilings: tuple[str, ...] = ()
        while len(walk.users) == 1 and _is(walk, modules, homogeneous):
            if isinstance(modules[walk.target], Folded):
                statistics = walk.target
            if isinstance(modules[walk.target], CappedReLU):
                ceilings = (*ceilings, walk.target)
            walk = walk.all_input_nodes[0]
        if len(walk.users) == 1 and _is(walk, modules, LAYERS):
            inputs, outputs = _inputs(modules[node.target]), len(modules[walk.target].weight)
            if inputs % outputs == 0:
                pairs.append(Pair(walk.target, node.target, statistics, inputs // outputs, ceilings))
    return pairs


def _is(node: fx.Node, modules: dict[str, nn.Module], kinds: tuple[type, ...]) -> bool:
    return node.op == "call_module" and isinstance(modules[str(node.target)], kinds)


def _inputs(layer: Any) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def clipped_normal(x: Normal, top: float | Tensor = math.inf) -> Normal:
    r"""Return mean and standard deviation of min(max(x, 0), top) for normal x: ReLU, ReLU6 (6), a ceiling each.

    With a = −μ/σ, b = (top − μ)/σ, and Φ, φ of the standard normal:

        E  = μ(Φ(b) − Φ(a)) + σ(φ(a) − φ(b)) + top(1 − Φ(b))
        E² = (μ² + σ²)(Φ(b) − Φ(a)) + σμ(φ(a) − φ(b)) − σ·top·φ(b) + top²(1 − Φ(b))

    (E² the mean square.) Where σ = 0 the value is certain.

    References
    ----------
    Nagel et al. 2019, appendix C.

    Examples
    --------
    >>> clipped_normal(Normal(torch.zeros(1), torch.ones(1))).mean  # 1/√(2π)
    tensor([0.3989])

    Survey-map rows: T5, Z1.
    """
    mean, std = x.mean.double(), x.std.double()
    normal = torch.distributions.Normal(0.0, 1.0)

    def density(t: Tensor) -> Tensor:
        return torch.exp(-t.square() / 2) / math.sqrt(2 * math.pi)

    sigma = std.clamp(min=1e-30)
    a, b = -mean / sigma, (top - mean) / sigma
    inside = normal.cdf(b) - normal.cdf(a)
    above = 1 - normal.cdf(b)
    first = mean * inside + sigma * (density(a) - density(b))
    second = (mean**2 + sigma**2) * inside + sigma * mean * (density(a) - density(b))
    if not isinstance(top, float) or math.isfinite(top):
        first = first + top * above
        second = second - sigma * top * density(b) + top**2 * above
    certain = std == 0
    first = torch.where(certain, mean.clamp(min=0).clamp(max=top), first)
    spread = torch.where(certain, 0.0, (second - first**2).clamp(min=0)).sqrt()
    return Normal(first.to(x.mean.dtype), spread.to(x.mean.dtype))


def input_statistics(model: nn.Module) -> dict[str, Normal]:
    """Return what BatchNorm's statistics say of every layer's input, without any data.

    After a folded BatchNorm a channel is taken to be normal with the mean β and the standard deviation |γ|; ReLU and
    ReLU6 clip it; sums add means and (as if independent) variances; average pooling and flattening keep means.

    Returns
    -------
    dict of name to Normal
        Layers of which nothing is known (the first; those behind a max-pool) are left out.

    Survey-map rows: T5, Z1.
    """
    modules = dict(model.named_modules())
    known: dict[fx.Node, Normal] = {}
    found: dict[str, Normal] = {}
    for node in trace(model).nodes:
        sources = [known.get(source) for source in node.all_input_nodes]
        x = sources[0] if sources else None
        if node.op == "call_module":
            module = modules[node.target]
            if isinstance(module, Folded):
                known[node] = Normal(module.mean, module.std)
            elif x is None:
                continue
            elif isinstance(module, LAYERS):
                spread = _inputs(module) // len(x.mean)
                found[node.target] = Normal(*(t.repeat_interleave(spread) for t in x))
            elif isinstance(module, nn.ReLU):
                known[node] = clipped_normal(x)
            elif isinstance(module, nn.ReLU6):
                known[node] = clipped_normal(x, 6.0)
            elif isinstance(module, CappedReLU):
                known[node] = clipped_normal(x, module.top.double())
            elif isinstance(module, (*POOLS, *SILENT)):
                known[node] = x
        elif node.target in (operator.add, torch.add) and len(sources) == 2 and None not in sources:
            first, second = (s for s in sources if s is not None)
            known[node] = Normal(first.mean + second.mean, (first.std**2 + second.std**2).sqrt())
    return found
