"""Low-rank factorization: one large matrix as the product of two thin ones.

    W = Σ_i σ_i·u_i·v_iᵀ        ≈  W_r = Σ_{i≤r} σ_i·u_i·v_iᵀ  =  B·A,      A: r × n,   B: m × r
    ‖W − W_r‖²_F = Σ_{i>r} σ_i²,   and no matrix of rank r is nearer         (Eckart–Young)
    r·(m + n) < m·n              when it saves parameters

A convolution's weight becomes a matrix in two ways:

    channel   C_out × (C_in·k_h·k_w)         a k_h×k_w convolution to r channels, then 1×1 to C_out
    spatial   (C_in·k_h) × (C_out·k_w)       a k_h×1 convolution to r channels, then 1×k_w to C_out

Sources: Eckart and Young 1936, *The approximation of one matrix by another of lower rank*; spatial: Jaderberg et al.
2014, *Speeding up convolutional neural networks with low rank expansions*, scheme 2; Gholami et al. 2021, section I.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qlab.network import quantizable_layers
from qlab.validate import check_finite, check_real

__all__ = ["break_even_rank", "low_rank", "low_rank_layer", "rank_for_energy", "singular_values", "truncated_svd"]

SCHEMES = ("channel", "spatial")


def truncated_svd(w: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Return B, A and ‖W − B·A‖_F for the nearest matrix of a given rank.

    Parameters
    ----------
    w : Tensor, shape (m, n)
    rank : int
        r, from 1 to min(m, n).

    Returns
    -------
    B : Tensor, shape (m, r)
        u_i·√σ_i as columns.
    A : Tensor, shape (r, n)
        √σ_i·v_i as rows.
    error : float
        √(Σ_{i>r} σ_i²).

    Raises
    ------
    ValueError
        If `w` is not a finite matrix or the rank is out of range.

    References
    ----------
    Eckart and Young 1936.

    Examples
    --------
    >>> B, A, error = truncated_svd(torch.diag(torch.tensor([4.0, 3.0, 1.0])), 1)
    >>> round(error**2, 4)  # 3² + 1²
    10.0

    Survey-map row: B3.
    """
    if check_finite(check_real(w, "w"), "w").dim() != 2:
        raise ValueError(f"w must be a matrix, got shape {tuple(w.shape)}")
    _check_rank(rank, min(w.shape))
    u, sigma, vt = torch.linalg.svd(w.detach().double(), full_matrices=False)
    root = sigma[:rank].sqrt()
    B, A = u[:, :rank] * root, root[:, None] * vt[:rank]
    return B.to(w.dtype), A.to(w.dtype), float(sigma[rank:].square().sum().sqrt())


def _check_rank(rank: int, highest: int) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise TypeError(f"rank must be an integer from 1 to {highest}, got {rank!r}")
    if not 1 <= rank <= highest:
        raise ValueError(f"rank must be an integer from 1 to {highest}, got {rank}")


def as_matrix(layer: Any, scheme: str = "channel") -> Tensor:
    """Return a layer's weight as the matrix that is factorized.

    Survey-map row: B3.
    """
    _check_layer(layer, scheme)
    w = layer.weight.detach()
    if isinstance(layer, nn.Linear):
        return w
    return w.flatten(1) if scheme == "channel" else w.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)


def singular_values(layer: Any, scheme: str = "channel") -> Tensor:
    """Return σ_1 ≥ σ_2 ≥ … of a linear or convolutional layer's matrix.

    Survey-map row: B3.
    """
    return torch.linalg.svdvals(as_matrix(layer, scheme).double())


def rank_for_energy(sigma: Tensor, share: float) -> int:
    """Return the smallest r with Σ_{i≤r} σ_i² ≥ share·Σ σ_i².

    Examples
    --------
    >>> rank_for_energy(torch.tensor([4.0, 3.0, 1.0]), 0.95)  # (16 + 9)/26 = 0.96
    2

    Survey-map row: B3.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in 0 < share ≤ 1, got {share}")
    energy = sigma.double().square().cumsum(0)
    return min(int((energy < share * energy[-1] * (1 - 1e-12)).sum()) + 1, len(sigma))


def break_even_rank(layer: Any, scheme: str = "channel") -> float:
    """Return m·n/(m + n): below this rank the two layers have fewer parameters than the one.

    Examples
    --------
    >>> break_even_rank(nn.Linear(300, 100))
    75.0

    Survey-map row: B3.
    """
    m, n = as_matrix(layer, scheme).shape
    return m * n / (m + n)


@torch.no_grad()
def low_rank_layer(layer: Any, rank: int, scheme: str = "channel") -> nn.Sequential:
    """Return two layers that compute what one computes with its matrix at rank r.

    Parameters
    ----------
    layer : nn.Linear or nn.Conv2d
        A convolution without groups; left as it is.
    rank : int
        r, from 1 to the smaller side of the matrix.
    scheme : {"channel", "spatial"}
        For convolutions.

    Returns
    -------
    nn.Sequential
        The first layer (rows of A) without a bias, the second (columns of B) with the layer's.

    Raises
    ------
    TypeError, ValueError
        If the layer, the rank or the scheme is not allowed.

    Survey-map row: B3.
    """
    B, A, _ = truncated_svd(as_matrix(layer, scheme), rank)
    has_bias, kind = layer.bias is not None, {"device": layer.weight.device, "dtype": layer.weight.dtype}
    first: Any
    second: Any
    if isinstance(layer, nn.Linear):
        first = nn.Linear(layer.in_features, rank, bias=False, **kind)
        second = nn.Linear(rank, layer.out_features, bias=has_bias, **kind)
        first.weight.copy_(A)
        second.weight.copy_(B)
    else:
        kind |= {"padding_mode": layer.padding_mode}
        (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
        ph, pw = (layer.padding,) * 2 if isinstance(layer.padding, str) else layer.padding
        c_in, c_out = layer.in_channels, layer.out_channels
        if scheme == "channel":
            first = nn.Conv2d(c_in, rank, (kh, kw), (sh, sw), layer.padding, (dh, dw), bias=False, **kind)
            second = nn.Conv2d(rank, c_out, 1, bias=has_bias, **kind)
            first.weight.copy_(A.reshape(first.weight.shape))
            second.weight.copy_(B.reshape(second.weight.shape))
        else:
            across: Any
            along: Any
            across, along = ("same", "same") if isinstance(ph, str) else ((ph, 0), (0, pw))
            first = nn.Conv2d(c_in, rank, (kh, 1), (sh, 1), across, (dh, 1), bias=False, **kind)
            second = nn.Conv2d(rank, c_out, (1, kw), (1, sw), along, (1, dw), bias=has_bias, **kind)
            first.weight.copy_(B.reshape(c_in, kh, rank).permute(2, 0, 1)[..., None])
            second.weight.copy_(A.reshape(rank, c_out, kw).movedim(1, 0)[:, :, None])
    if has_bias:
        second.bias.copy_(layer.bias)
    return nn.Sequential(first, second).train(layer.training)


def _check_layer(layer: Any, scheme: str) -> None:
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
    if not isinstance(layer, (nn.Linear, nn.Conv2d)):
        raise TypeError(f"layer must be an nn.Linear or nn.Conv2d, got {type(layer).__name__}")
    if getattr(layer, "groups", 1) != 1:
        raise ValueError(f"layer must have groups=1, got {layer.groups}: its matrix is block-diagonal already")


def low_rank(model: nn.Module, ranks: Mapping[str, int] | float, scheme: str = "channel") -> nn.Module:
    """Return a copy of `model` with layers replaced by two thinner ones.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    ranks : mapping of layer name to rank, or float
        A number is the share of Σσ² to keep: every ungrouped layer gets the smallest rank that keeps it, and is
        replaced only if that saves parameters.
    scheme : {"channel", "spatial"}
        For convolutions.

    Raises
    ------
    ValueError
        If a name is no layer of the model, or a rank is out of range.

    Survey-map row: B3.
    """
    layers = quantizable_layers(model)
    if isinstance(ranks, Mapping):
        plan = dict(ranks)
        for name in plan:
            if name not in layers:
                raise ValueError(f"ranks: {name!r} is no layer of the model; the layers are {', '.join(layers)}")
    else:
        plan = {}
        for name, layer in layers.items():
            if isinstance(layer, (nn.Linear, nn.Conv2d)) and getattr(layer, "groups", 1) == 1:
                r = rank_for_energy(singular_values(layer, scheme), ranks)
                if r < break_even_rank(layer, scheme):
                    plan[name] = r
    model = copy.deepcopy(model)
    for name, r in plan.items():
        model.set_submodule(name, low_rank_layer(layers[name], r, scheme))
    return model
