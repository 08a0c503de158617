"""Cross-layer equalization and bias absorption: move ranges between layers until one scale fits all channels.

    relu(s·x) = s·relu(x) for s > 0,  hence  W₂ relu(W₁x + b₁) = (W₂S) relu(S⁻¹W₁x + S⁻¹b₁),   S = diag(s)
    s_i = √(r₁ᵢ/r₂ᵢ),   rₖᵢ = the largest weight of channel i of layer k: both become √(r₁ᵢ·r₂ᵢ)

Source: Nagel et al. 2019, *Data-free quantization through weight equalization and bias correction* (DFQ), section 4.1.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from qlab.ptq.graph import Pair, linked_pairs
from qlab.validate import check_bits

__all__ = ["absorb_bias", "equalize", "equalize_pair", "relu6_to_relu"]


def _by_input(weight: Tensor, groups: int) -> Tensor:
    """Return a weight (O, I/g, …) as (I, O/g·…): a row for every input channel."""
    o, i = weight.shape[:2]
    return weight.reshape(groups, o // groups, i, -1).transpose(1, 2).reshape(groups * i, -1)


def _scale_inputs(layer: Any, s: Tensor) -> Tensor:
    """Return the layer's weight with input channel i multiplied by s_i."""
    groups = getattr(layer, "groups", 1)
    o, i = layer.weight.shape[:2]
    per_group = s.reshape(groups, 1, i).expand(groups, o // groups, i).reshape(o, i)
    return layer.weight * per_group.reshape(o, i, *[1] * (layer.weight.dim() - 2))


def equalize_pair(r1: Tensor, r2: Tensor) -> Tensor:
    """Return s = √(r₁/r₂) per channel: dividing the first layer's rows by s makes both ranges √(r₁r₂).

    Channels that are zero in either layer keep s = 1.

    Examples
    --------
    >>> equalize_pair(torch.tensor([8.0, 0.0]), torch.tensor([2.0, 5.0]))
    tensor([2., 1.])

    References
    ----------
    Nagel et al. 2019, equations 10 and 11.

    Survey-map row: T7.
    """
    alive = (r1 > 0) & (r2 > 0)
    return torch.where(alive, (r1 / torch.where(alive, r2, 1.0)).sqrt(), 1.0)


@torch.no_grad()
def equalize(model: nn.Module, rounds: int = 20, tolerance: float = 1e-3) -> nn.Module:
    """Return a copy of `model` that computes the same, with the ranges of linked layers made equal channel by channel.

    Parameters
    ----------
    model : nn.Module
        In floating point, BatchNorms folded (`fold_batchnorm`); left as it is. ReLU6 is not homogeneous: pairs with one
        between them are left alone (see `relu6_to_relu` and `relu6_to_capped`).
    rounds : int
        Passes over all pairs; layers in the middle of a chain need several.
    tolerance : float
        Stop once no s differs from 1 by more than this.

    Returns
    -------
    nn.Module
        The same function up to float rounding. `Folded` statistics are scaled with their channels.

    Raises
    ------
    ValueError
        If rounds is below 1, or no two layers are linked.

    References
    ----------
    Nagel et al. 2019, section 4.1.1.

    Survey-map rows: T7, Z1.
    """
    check_bits(rounds, 1, 10_000, name="rounds")
    model = copy.deepcopy(model)
    pairs = linked_pairs(model)
    if not pairs:
        raise ValueError("model must have two layers with nothing but ReLU or pooling between them; it has none")
    for _ in range(rounds):
        worst = max(_equalize(model, pair) for pair in pairs)
        if worst < tolerance:
            break
    return model


def _equalize(model: nn.Module, pair: Pair) -> float:
    first: Any = model.get_submodule(pair.first)
    second: Any = model.get_submodule(pair.second)
    rows = first.weight.flatten(1)
    columns = _by_input(second.weight, getattr(second, "groups", 1)).reshape(len(rows), -1)
    s = equalize_pair(rows.abs().amax(1), columns.abs().amax(1))
    first.weight.copy_(first.weight / s.reshape(-1, *[1] * (first.weight.dim() - 1)))
    if first.bias is not None:
        first.bias.copy_(first.bias / s)
    second.weight.copy_(_scale_inputs(second, s.repeat_interleave(pair.spread)))
    if pair.statistics is not None:
        known: Any = model.get_submodule(pair.statistics)
        known.mean, known.std = known.mean / s, known.std / s
    for name in pair.ceilings:
        capped: Any = model.get_submodule(name)
        capped.top = capped.top / s
    return float((s - 1).abs().max())


@torch.no_grad()
def absorb_bias(model: nn.Module, sigmas: float = 3.0) -> nn.Module:
    """Return a copy of `model` in which the part of a bias that ReLU never touches has moved to the next layer.

        c = max(0, μ − 3σ),    b₁ ← b₁ − c,    b₂ ← b₂ + W₂c

    The activation between the layers loses the constant c, and with it range. Exact where W₁x + b₁ ≥ c, that is for
    99.87 % of a normal distribution at three sigmas, and inside the picture: zero padding does not hold c, so pixels
    at the border change a little.

    Parameters
    ----------
    model : nn.Module
        With BatchNorms folded, in ReLU form; left as it is.
    sigmas : float
        3 in the paper.

    References
    ----------
    Nagel et al. 2019, section 4.1.3, equations 13 to 16.

    Survey-map rows: T7, Z1.
    """
    model = copy.deepcopy(model)
    for pair in linked_pairs(model):
        if pair.statistics is None:
            continue
        known: Any = model.get_submodule(pair.statistics)
        first: Any = model.get_submodule(pair.first)
        second: Any = model.get_submodule(pair.second)
        c = (known.mean - sigmas * known.std).clamp(min=0)
        if not c.any():
            continue
        first.bias.copy_(first.bias - c)
        known.mean = known.mean - c
        for name in pair.ceilings:
            capped: Any = model.get_submodule(name)
            capped.top = capped.top - c
        moved = _scale_inputs(second, c.repeat_interleave(pair.spread)).flatten(1).sum(1)
        second.bias = nn.Parameter(moved if second.bias is None else second.bias + moved)
    return model


def relu6_to_relu(model: nn.Module) -> nn.Module:
    """Return a copy of `model` with ReLU in place of ReLU6, which equalization needs. The function changes a little.

    References
    ----------
    Nagel et al. 2019, section 5.1.1.

    Survey-map rows: T7, Z1.
    """
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.ReLU6):
            model.set_submodule(name, nn.ReLU())
    return model
