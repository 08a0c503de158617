"""Structured pruning: remove whole filters, so that what is left is a smaller dense network.

    s_o = Σ |W[o]|^p                                          saliency of filter o, p = 1 or 2
    W ↦ W[kept],    BatchNorm ↦ its entries [kept],    W_next ↦ W_next[:, kept]

Taking filter o away takes channel o away, so everyone who reads that channel must change with it. `prunable` follows
the channels through the graph (torch.fx): BatchNorm, activations, pooling, dropout, flatten and depth-wise convolutions
pass them on, convolutions and linear layers read them; at a sum, or at the output, they are needed, and the filters
stay.

Sources: Li et al. 2017, *Pruning filters for efficient ConvNets*, sections 3.1–3.3; Gholami et al. 2021, section I.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from qlab.network import quantizable_layers

__all__ = ["Channels", "filter_saliency", "prunable", "prune_filters", "remove_filters"]

PASS_MODULES = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.Identity)
PASS_MODULES += (nn.Dropout, nn.Dropout2d, nn.Flatten, nn.MaxPool2d, nn.AvgPool2d)  # type: ignore[assignment]
PASS_MODULES += (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)  # type: ignore[assignment]
PASS_CALLS = (torch.relu, F.relu, F.relu6, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, torch.flatten, F.dropout)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Channels:
    """Who is touched when filters of a layer are removed.

    Attributes
    ----------
    filters : int
        How many the layer has.
    alike : tuple of str
        BatchNorms and depth-wise convolutions, which have an entry per channel too.
    readers : tuple of str
        Convolutions and linear layers that take the channels as input.

    Survey-map row: B8.
    """

    filters: int
    alike: tuple[str, ...]
    readers: tuple[str, ...]


def prunable(model: nn.Module) -> dict[str, Channels]:
    """Return the layers whose filters can be removed, and who is touched by that.

    Parameters
    ----------
    model : nn.Module
        Traceable by torch.fx.

    Survey-map row: B8.
    """
    modules = dict(model.named_modules())
    found = {}
    calls = [node for node in fx.Tracer().trace(model).nodes if node.op == "call_module"]
    for node in calls:
        layer = modules[node.target]
        shared = sum(other.target == node.target for other in calls) > 1
        if _reads_all(layer) and not shared:
            followed = _follow(node, modules, flat=isinstance(layer, nn.Linear))
            if followed is not None:
                found[node.target] = Channels(layer.weight.shape[0], *followed)
    return found


def _reads_all(layer: Any) -> bool:
    return isinstance(layer, (nn.Conv2d, nn.Linear)) and getattr(layer, "groups", 1) == 1


def _follow(
    node: fx.Node, modules: Mapping[str, nn.Module], flat: bool
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return who is alike and who reads below `node`; None if the channels meet a sum, a concatenation or the end.

    `flat` says whether the channels lie along the last axis, where a linear layer reads them.
    """
    alike: list[str] = []
    readers: list[str] = []
    for user in node.users:
        layer: Any = modules.get(str(user.target)) if user.op == "call_module" else None
        if _reads_all(layer):
            if flat != isinstance(layer, nn.Linear):
                return None
            readers.append(str(user.target))
            continue
        if isinstance(layer, NORMS) or (isinstance(layer, nn.Conv2d) and _depthwise(layer)):
            alike.append(str(user.target))
        elif not isinstance(layer, PASS_MODULES) and not _passes(user):
            return None
        below = _follow(user, modules, flat or _flattens(user, layer))
        if below is None:
            return None
        alike += below[0]
        readers += below[1]
    return (tuple(dict.fromkeys(alike)), tuple(dict.fromkeys(readers))) if readers else None


def _depthwise(layer: nn.Conv2d) -> bool:
    return layer.groups == layer.in_channels == layer.out_channels


def _passes(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("relu", "flatten", "contiguous")
    return node.op == "call_function" and node.target in PASS_CALLS


def _flattens(node: fx.Node, layer: Any) -> bool:
    """Whether the node flattens all axes but the first (of the ways to say it, the usual ones)."""
    if isinstance(layer, nn.Flatten):
        return layer.start_dim == 1 and layer.end_dim == -1
    called = node.target in ("flatten", torch.flatten)
    return called and (node.args[1:] == (1,) or dict(node.kwargs) == {"start_dim": 1})


def filter_saliency(layer: Any, p: int = 1) -> Tensor:
    """Return Σ|W[o]|^p for every filter (row) o, p = 1 or 2.

    Parameters
    ----------
    layer : nn.Conv2d or nn.Linear
    p : {1, 2}

    References
    ----------
    Li et al. 2017, section 3.1.

    Survey-map row: B8.
    """
    if p not in (1, 2):
        raise ValueError(f"p must be 1 or 2, got {p}")
    return (layer.weight.detach().abs() ** p).flatten(1).sum(1)


@torch.no_grad()
def remove_filters(model: nn.Module, keep: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of `model` with only the filters `keep[name]` in the layers that it names.

    Parameters
    ----------
    model : nn.Module
        Left as it is; weights without parametrizations (`qlab.neighbours.bake`).
    keep : mapping of layer name to Tensor of int64
        Which filters stay, at least one, without repetition.

    Raises
    ------
    ValueError
        If a layer's filters cannot be removed, or the indices are not allowed.

    References
    ----------
    Li et al. 2017, figure 1.

    Survey-map row: B8.
    """
    if any(parametrize.is_parametrized(layer) for layer in quantizable_layers(model).values()):
        raise ValueError("model must have plain weights, got parametrizations: call qlab.neighbours.bake(model) first")
    touched = prunable(model)
    model = copy.deepcopy(model)
    for name, kept in keep.items():
        if name not in touched:
            raise ValueError(f"keep: the filters of {name!r} cannot be removed; those of {', '.join(touched)} can")
        channels = touched[name]
        _check_kept(name, kept, channels.filters)
        _select_outputs(model.get_submodule(name), kept)
        for other in channels.alike:
            _select_outputs(model.get_submodule(other), kept)
        for reader in channels.readers:
            _select_inputs(model.get_submodule(reader), kept, channels.filters)
    return model


def _check_kept(name: str, kept: Tensor, filters: int) -> None:
    fine = kept.dim() == 1 and kept.dtype == torch.int64 and len(kept) > 0 and len(kept.unique()) == len(kept)
    if not fine or int(kept.min()) < 0 or int(kept.max()) >= filters:
        raise ValueError(f"keep[{name!r}] must hold different int64 indices from 0 to {filters - 1}, got {kept}")


def _select_outputs(layer: Any, kept: Tensor) -> None:
    for key in ("weight", "bias"):
        if getattr(layer, key, None) is not None:
            setattr(layer, key, nn.Parameter(getattr(layer, key)[kept].clone()))
    if isinstance(layer, NORMS):
        for key in ("running_mean", "running_var"):
            setattr(layer, key, getattr(layer, key)[kept].clone())
        layer.num_features = len(kept)
    elif isinstance(layer, nn.Linear):
        layer.out_features = len(kept)
    else:
        layer.out_channels = len(kept)
        if layer.groups > 1:  # depth-wise
            layer.in_channels = layer.groups = len(kept)


def _select_inputs(layer: Any, kept: Tensor, filters: int) -> None:
    w = layer.weight
    grouped = w.reshape(w.shape[0], filters, -1, *w.shape[2:])  # a flattened channel is several inputs in a row
    w = grouped[:, kept].flatten(1, 2)
    layer.weight = nn.Parameter(w.clone())
    setattr(layer, "in_features" if isinstance(layer, nn.Linear) else "in_channels", w.shape[1])


def prune_filters(
    model: nn.Module, share: float, p: int = 1, saliency: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Return a copy of `model` without the least salient share of the filters of every layer that allows it.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    share : float
        Of the filters that go, 0 ≤ share < 1; one always stays.
    p : {1, 2}
        Of `filter_saliency`.
    saliency : mapping of layer name to Tensor, shape (filters,), optional
        Instead of the norms; only these layers are pruned.

    Raises
    ------
    ValueError
        If `share` is not allowed, or there is no layer to prune.

    References
    ----------
    Li et al. 2017, section 3.1.

    Survey-map row: B8.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must lie in 0 ≤ share < 1, got {share}")
    if saliency is None:
        saliency = {name: filter_saliency(model.get_submodule(name), p) for name in prunable(model)}
    if not saliency:
        raise ValueError("model must have a layer whose filters can be removed, got none (see `prunable`)")
    keep = {}
    for name, s in saliency.items():
        count = max(1, len(s) - round(share * len(s)))
        keep[name] = s.argsort(descending=True, stable=True)[:count].sort().values
    return remove_filters(model, keep)
