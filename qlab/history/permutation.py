"""Two networks, up to the order of their hidden units.

Swap two hidden units of a network, their incoming weights, their BatchNorm and their outgoing weights together, and it
computes what it did; a layer of n units has n! such twins. So before two networks are compared weight by weight, the
units of one are put into the order of the other,

    π* = argmax_π Σ_i corr( h_i of a, h_π(i) of b ),

a linear assignment problem for each layer, solved exactly. What is left is not the order.

Sources: Li et al. 2016, *Convergent learning: do different neural networks learn the same representations?*, section 3;
Ainsworth, Hayase, Srinivasa 2023, *Git Re-Basin*, section 3 (activation matching). The statistics of a mixture: Jordan
et al. 2023, *REPAIR*.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from qlab.data import Images
from qlab.network import quantizable_layers

__all__ = ["match_units", "permute_units", "renew_statistics", "unit_correlation"]

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _chain(model: nn.Module) -> dict[str, Any]:
    """Return the layers of a plain chain, refusing what has branches."""
    if not isinstance(model, nn.Sequential) or any(len(list(m.children())) for m in model.children()):
        raise ValueError(f"model must be an nn.Sequential of plain layers, got {type(model).__name__} with branches")
    layers = quantizable_layers(model)
    if any(getattr(layer, "groups", 1) != 1 for layer in layers.values()):
        raise ValueError("model must have no grouped convolutions: their channels are tied to their groups")
    return layers


def permute_units(model: nn.Module, orders: Mapping[str, Tensor]) -> nn.Module:
    """Return a twin of `model` with its hidden units in another order: the same function.

    Parameters
    ----------
    model : nn.Sequential
        A chain of linear or convolutional layers with BatchNorms, pointwise functions and pooling between them.
    orders : mapping of layer name to Tensor of int64, shape (units,)
        New unit i of that layer is old unit ``order[i]``. The last layer's outputs are classes and stay.

    Raises
    ------
    ValueError
        If the model is no plain chain, a name is that of no hidden layer, or an order is no permutation.

    References
    ----------
    Ainsworth et al. 2023, section 2.

    Survey-map row: H11.
    """
    layers = _chain(model)
    hidden = list(layers)[:-1]
    if unknown := [name for name in orders if name not in hidden]:
        raise ValueError(f"orders must name hidden layers ({', '.join(hidden)}), got {', '.join(unknown)}")
    twin = copy.deepcopy(model)
    found = quantizable_layers(twin)
    modules = list(twin.named_children())
    with torch.no_grad():
        for name, following in pairwise(found):
            if name not in orders:
                continue
            order, units = orders[name], len(found[name].weight)
            if not torch.equal(order.sort().values, torch.arange(units)):
                raise ValueError(f"orders[{name!r}] must be a permutation of 0 … {units - 1}, got {order.tolist()}")
            start, end = ([n for n, _ in modules].index(key) for key in (name, following))
            for _, module in modules[start:end]:
                if module is found[name] or isinstance(module, NORMS):
                    for tensor in (*module.parameters(), *module.buffers()):
                        if tensor.dim():
                            tensor.copy_(tensor[order])
            w = found[following].weight  # a flattened picture keeps the places of a channel together
            by_unit = w.view(len(w), units, -1)
            by_unit.copy_(by_unit[:, order])
    return twin


@torch.no_grad()
def _hidden(model: nn.Module, images: Images) -> dict[str, Tensor]:
    """Return what each hidden layer hands on after its BatchNorm, shape (units, pictures · places)."""
    layers = quantizable_layers(model)
    h, caught, name = images.tensors()[0], {}, ""
    for key, module in model.named_children():
        h = module(h)
        if key in layers:
            name = key
        if key in layers or isinstance(module, NORMS):
            caught[name] = h.movedim(1, 0).flatten(1)
    return {name: caught[name] for name in list(_chain(model))[:-1]}


def unit_correlation(a: nn.Module, b: nn.Module, images: Images) -> dict[str, Tensor]:
    """Return, for each hidden layer, the correlation of every unit of `a` with every unit of `b`.

    Parameters
    ----------
    a, b : nn.Sequential
        In eval mode, plain chains of one architecture.
    images : Images

    Returns
    -------
    dict of layer name to Tensor, shape (units, units)
        Over pictures and places, before the non-linearity.

    References
    ----------
    Li et al. 2016, section 3.

    Survey-map row: H11.
    """

    def standard(h: Tensor) -> Tensor:
        h = h.double() - h.double().mean(1, keepdim=True)
        return h / h.norm(dim=1, keepdim=True).clamp(min=1e-12)

    first, second = _hidden(a, images), _hidden(b, images)
    return {name: standard(h) @ standard(second[name]).T for name, h in first.items()}


def match_units(a: nn.Module, b: nn.Module, images: Images) -> dict[str, Tensor]:
    """Return the order of the units of `b`, layer by layer, that correlates best with those of `a`.

    Parameters
    ----------
    a, b : nn.Sequential
        In eval mode, plain chains of one architecture.
    images : Images

    Returns
    -------
    dict of layer name to Tensor of int64
        For `permute_units` of `b`.

    References
    ----------
    Li et al. 2016, section 3; Ainsworth et al. 2023, section 3.

    Survey-map row: H11.
    """
    found = unit_correlation(a, b, images)
    return {name: torch.as_tensor(linear_sum_assignment(c.numpy(), maximize=True)[1]) for name, c in found.items()}


def renew_statistics(model: nn.Module, images: Images, batch_size: int = 500) -> nn.Module:
    """Return a copy of `model` whose BatchNorms have the mean and variance that `images` give them.

    A mixture of two networks needs this: its activations are not the mixture of theirs.

    References
    ----------
    Jordan et al. 2023, section 3.

    Survey-map row: H11.
    """
    model = copy.deepcopy(model)
    norms = [(m, m.momentum) for m in model.modules() if isinstance(m, NORMS)]
    for norm, _ in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    model.train()
    with torch.no_grad():
        for batch in images.tensors()[0].split(batch_size):
            model(batch)
    for norm, momentum in norms:
        norm.momentum = momentum
    return model.eval()
