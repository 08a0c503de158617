"""SQuant: round so that errors cancel, kernel by kernel and channel by channel; no data, no gradients.

    With E[xxᵀ] ≈ all-ones blocks + diagonal:   error ≈ Σ_element δ² + Σ_kernel (Σδ)² + Σ_channel (Σδ)²

    E   δ = Int(t) − t                                                                 |δ| ≤ ½
    K   e = Σ_kernel δ:  flip the Int(|e|) elements with the largest |δ| of e's sign    |e| ≤ ½
    C   the same with kernels in place of elements: flip one element each of Int(|Σe|) kernels

To *flip* is to round to the other side: δ ← δ − sign(δ). t = W/S in steps.
Source: Guo et al. 2022, *SQuant: on-the-fly data-free quantization via diagonal Hessian approximation*, section 3,
algorithms 1–3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qlab.ptq.codes import quantized_layers, spread_params, uniform_weight, with_codes

__all__ = ["flips", "squant", "squant_codes"]


def flips(errors: Tensor, wanted: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return which elements of each row to flip: `wanted` of them, the largest errors of the row sum's sign first.

    Parameters
    ----------
    errors : Tensor, shape (rows, n)
        δ.
    wanted : Tensor, shape (rows,)
        How many.
    allowed : Tensor of bool, shape (rows, n), optional
        Where flipping stays on the grid.

    Returns
    -------
    Tensor of bool, shape (rows, n)

    Examples
    --------
    >>> flips(torch.tensor([[0.4, 0.3, 0.45, -0.2]]), torch.tensor([1]))
    tensor([[False, False,  True, False]])

    Survey-map row: Z2.
    """
    candidates = errors * torch.sign(errors.sum(1, keepdim=True)) > 0
    if allowed is not None:
        candidates = candidates & allowed
    size = torch.where(candidates, errors.abs(), -1.0)
    place = size.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return candidates & (place < wanted[:, None])


def _flip(errors: Tensor, which: Tensor) -> Tensor:
    return errors - torch.where(which, torch.sign(errors), 0.0)


def squant_codes(t: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return whole numbers near t, chosen by SQuant.

    Parameters
    ----------
    t : Tensor, shape (channels, kernels, elements)
        Weights in steps, W/S.
    low, high : Tensor
        Ends of the grid in the same numbers, of a shape that fits t.

    Returns
    -------
    Tensor, shape of t
        Every element is ⌊t⌋ or ⌈t⌉ (or the clip); sums over kernels and over channels are within ½ of those of t,
        unless the grid's end forbids the flips.

    Survey-map row: Z2.
    """
    channels, kernels, n = t.shape
    rounded = torch.round(t).clamp(low, high)
    delta = rounded - t
    delta = torch.where(delta.abs() <= 0.5, delta, 0.0)  # a clipped weight has no other side

    def on_grid(d: Tensor) -> Tensor:
        there = t + d - torch.sign(d)
        return (there > low - 0.25) & (there < high + 0.25) & (d != 0)

    rows = delta.reshape(channels * kernels, n)
    which = flips(rows, torch.round(rows.sum(1).abs()), on_grid(delta).reshape(rows.shape))
    rows = _flip(rows, which)  # SQuant-K

    delta = rows.reshape(channels, kernels, n)
    sums = delta.sum(2)
    # each kernel may flip one more element, that of the channel sum's sign whose flip costs least
    sign = torch.sign(sums.sum(1))[:, None, None]
    open_ = (delta * sign > 0) & on_grid(delta) & (delta.abs() <= 0.5)
    best = torch.where(open_, delta.abs(), -1.0).argmax(2)
    chosen = flips(sums, torch.round(sums.sum(1).abs()), open_.any(2))
    which = torch.zeros_like(open_).scatter_(2, best[..., None], chosen[..., None]) & open_
    moved = torch.where(which, delta - torch.sign(delta), delta)  # SQuant-C
    clipped = (rounded - t).abs() > 0.5
    return torch.where(clipped, rounded, torch.round(t + moved))


@torch.no_grad()
def squant(quantized: nn.Module) -> nn.Module:
    """Return a copy of `quantized` whose weights are rounded by SQuant; scales and zero points stay.

    Parameters
    ----------
    quantized : nn.Module
        From `qlab.quantize`, with uniform grids; left as it is.

    References
    ----------
    Guo et al. 2022, section 3.

    Survey-map row: Z2.
    """
    codes = {}
    for name, layer in quantized_layers(quantized).items():
        stored = uniform_weight(layer, name)
        S, Z = spread_params(stored)
        weight = layer.parametrizations.weight.original
        # a kernel is what one input channel contributes to one output: k×k elements, or one weight of a linear layer
        shape = (weight.shape[0], weight.shape[1], -1) if weight.dim() > 2 else (weight.shape[0], 1, -1)
        low, high = stored.grid.code_range
        k = squant_codes((weight / S).reshape(shape), (low + Z).reshape(shape), (high + Z).reshape(shape))
        codes[name] = (k.reshape(weight.shape) - Z).clamp(low, high).to(torch.int32)
    return with_codes(quantized, codes)
