"""Unstructured pruning: set the least important weights to zero, wherever they are.

    mask_i = 1 if s_i is among the (1 − p)·n largest saliencies, else 0,        W ↦ W ⊙ mask

The mask is a parametrization of the weight, so that fine-tuning moves only the weights that are left. What "important"
means is the saliency's business: |w_i| (`magnitude`), or what the loss says (`qlab.neighbours.saliency`).

Sources: Han et al. 2015, *Learning both weights and connections*; Gholami et al. 2021, section I.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qlab.network import quantizable_layers
from qlab.validate import check_finite

__all__ = ["Mask", "bake", "magnitude", "mask_of", "prune", "sparsity", "with_masks"]


class Mask(nn.Module):
    """The parametrization W ↦ W ⊙ mask.

    Survey-map row: B7.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with pruned elements at zero; they get no gradient."""
        return weight * self.mask


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Return the saliency |w| of every linear and convolutional layer, by name.

    Survey-map row: B7.
    """
    return {name: layer.weight.detach().abs() for name, layer in quantizable_layers(model).items()}


def prune(
    model: nn.Module, sparsity: float, saliency: Mapping[str, Tensor] | None = None, scope: str = "global"
) -> nn.Module:
    """Return a copy of `model` with the least salient share of its weights at zero, and held there by masks.

    Parameters
    ----------
    model : nn.Module
        Left as it is. Masks that it has already count: what was pruned stays pruned.
    sparsity : float
        p, the share of weights that are zero afterwards, 0 ≤ p < 1 (of the layers that `saliency` names).
    saliency : mapping of layer name to Tensor, optional
        In the shape of the weights; magnitudes by default. Layers without an entry are not pruned.
    scope : {"global", "layer"}
        One threshold for all layers, or the same share of every layer.

    Raises
    ------
    ValueError
        If `sparsity` or `scope` is not allowed, or the saliency names no layer, or has another shape.

    References
    ----------
    Han et al. 2015, section 3.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> _ = net[0].weight.data.copy_(torch.tensor([[1.0, -4.0], [0.5, 2.0]]))
    >>> prune(net, 0.5)[0].weight.tolist()
    [[0.0, -4.0], [0.0, 2.0]]

    Survey-map row: B7.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must lie in 0 ≤ p < 1, got {sparsity}")
    if scope not in ("global", "layer"):
        raise ValueError(f'scope must be "global" or "layer", got {scope!r}')
    scores = magnitude(model) if saliency is None else dict(saliency)
    layers = quantizable_layers(model)
    if not scores:
        raise ValueError("saliency must name at least one layer, got none")
    for name, s in scores.items():
        if name not in layers or s.shape != layers[name].weight.shape:
            raise ValueError(
                f"saliency must be in the shape of the weight of a layer of the model; {name!r} is not "
                f"({tuple(s.shape)}); the layers are {', '.join(layers)}"
            )
        check_finite(s, f"saliency of {name}")
    scores = {name: _below_all_if_pruned(layers[name], s) for name, s in scores.items()}
    if scope == "layer":
        masks = {name: _keep_largest(s, sparsity) for name, s in scores.items()}
    else:
        kept = _keep_largest(torch.cat([s.flatten() for s in scores.values()]), sparsity)
        parts = kept.split([s.numel() for s in scores.values()])
        masks = {name: part.reshape(scores[name].shape) for name, part in zip(scores, parts, strict=True)}
    return with_masks(model, masks)


def _below_all_if_pruned(layer: Any, s: Tensor) -> Tensor:
    mask = mask_of(layer)
    return s if mask is None else torch.where(mask, s, -torch.inf)


def _keep_largest(s: Tensor, sparsity: float) -> Tensor:
    """Return True for all but the round(p·n) smallest elements of `s`; ties fall to the earlier place."""
    zeros = s.flatten().argsort(stable=True)[: round(sparsity * s.numel())]
    kept = torch.ones(s.numel(), dtype=torch.bool, device=s.device)
    kept[zeros] = False
    return kept.reshape(s.shape)


@torch.no_grad()
def with_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of `model` with these boolean masks on its weights; earlier masks are replaced.

    Survey-map row: B7.
    """
    model = bake(model)
    for name, mask in masks.items():
        layer: Any = model.get_submodule(name)
        layer.weight.mul_(mask)
        parametrize.register_parametrization(layer, "weight", Mask(mask.clone()))
    return model


def mask_of(layer: nn.Module) -> Tensor | None:
    """Return the boolean mask on a layer's weight, or None if it has none.

    Survey-map row: B7.
    """
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    chain = cast(Any, layer).parametrizations.weight
    return next((part.mask for part in chain if isinstance(part, Mask)), None)


def bake(model: nn.Module) -> nn.Module:
    """Return a copy of `model` with every parametrization of a layer (mask, quantizer) made into plain numbers.

    Survey-map row: B7.
    """
    model = copy.deepcopy(model)
    for layer in quantizable_layers(model).values():
        if parametrize.is_parametrized(layer):
            # Not parametrize.remove_parametrizations: it changes the class, which the copy shares with the original.
            values = {name: getattr(layer, name).detach().clone() for name in layer.parametrizations}
            layer.__class__ = parametrize.type_before_parametrizations(layer)
            del layer.parametrizations
            for name, value in values.items():
                setattr(layer, name, nn.Parameter(value))
    return model


def sparsity(model: nn.Module) -> float:
    """Return the share of zeros among the weights of linear and convolutional layers.

    Survey-map row: B7.
    """
    weights = [layer.weight for layer in quantizable_layers(model).values()]
    if not weights:
        raise ValueError(f"model must have a linear or convolutional layer, got {type(model).__name__} with none")
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
