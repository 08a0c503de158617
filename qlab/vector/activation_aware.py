"""Activation-aware product quantization: blocks are near if they give near *outputs*.

    min Σ_blocks ‖x̃ (v − c_q)‖² = (v − c_q)ᵀ G_m (v − c_q),          G_m = E[ x_m x_mᵀ ]
    E-step:  q = argmin_k (v − c_k)ᵀ G_m (v − c_k)
    M-step:  c_k = ( Σ_{q = k} G_m )⁻¹ Σ_{q = k} G_m v

m is the block's place in its row, x_m the inputs that meet it there. Stock et al. take one G for all places; with one G
the M-step is the mean, and all is k-means of G^½ v. The products of different places are left out.
Source: Stock, Joulin, Gribonval, Graham, Jégou 2020, *And the bit goes down*, section 3.2, equations 2–4.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.validate import check_bits, check_finite, check_real
from qlab.vector.codewords import BlockCode, blocks
from qlab.vector.product import spread_start

__all__ = ["activation_aware", "input_rows", "second_moments", "weighted_error"]


def input_rows(layer: nn.Module, a: Tensor) -> Tensor:
    """Return what the rows of a layer's weight are multiplied with, shape (samples, numbers of a row).

    Raises
    ------
    ValueError
        If the layer is neither linear nor a convolution in one group.

    Survey-map row: V2.
    """
    if isinstance(layer, nn.Linear):
        return a.reshape(-1, layer.in_features)
    if isinstance(layer, nn.Conv2d) and layer.groups == 1 and not isinstance(layer.padding, str):
        patches = F.unfold(a, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return patches.transpose(1, 2).reshape(-1, patches.shape[1])
    raise ValueError(f"layer must be linear or a Conv2d in one group with padding in numbers, got {layer}")


def second_moments(x: Tensor, d: int) -> Tensor:
    """Return G_m = E[x_m x_mᵀ] for each block of d of the rows of x, shape (places, d, d).

    Survey-map row: V2.
    """
    check_finite(check_real(x, "x"), "x")
    if x.dim() != 2 or x.shape[1] % d:
        raise ValueError(f"d must divide the columns of x, shape {tuple(x.shape)}, got {d}")
    parts = x.detach().double().reshape(len(x), -1, d)
    return torch.einsum("nmi,nmj->mij", parts, parts) / len(x)


def weighted_error(w: Tensor, quantized: Tensor, moments: Tensor) -> float:
    """Return Σ (v − ṽ)ᵀ G_m (v − ṽ) over all blocks.

    Survey-map row: V2.
    """
    places, d = moments.shape[:2]
    e = (w.detach().double() - quantized.detach().double()).reshape(-1, places, d)
    return float(torch.einsum("rmi,mij,rmj->", e, moments.double(), e))


def activation_aware(w: Tensor, moments: Tensor, size: int, seed: int = 0, steps: int = 30) -> BlockCode:
    """Return a weight in codewords that make its layer's outputs near.

    Parameters
    ----------
    w : Tensor, shape (rows, …)
    moments : Tensor, shape (places, d, d) or (1, d, d)
        G_m; one for all places is what the paper has.
    size : int
        k, codewords.
    seed, steps : int

    Raises
    ------
    ValueError
        If the moments do not fit the rows of w.

    References
    ----------
    Stock et al. 2020, section 3.2.

    Survey-map row: V2.
    """
    check_bits(size, 1, 1 << 16, "size")
    d = moments.shape[-1]
    v = blocks(w, d).double().cpu().numpy().reshape(len(w), -1, d)
    places = v.shape[1]
    if moments.shape not in ((1, d, d), (places, d, d)):
        raise ValueError(f"moments must be of shape (1, {d}, {d}) or ({places}, {d}, {d}), got {tuple(moments.shape)}")
    g = moments.double().cpu().numpy() + 0.0
    g = g + 1e-4 * np.trace(g, axis1=1, axis2=2).mean() / d * np.eye(d)  # inputs that are always zero decide nothing
    g = np.broadcast_to(g, (places, d, d))
    root = np.linalg.cholesky(g)  # vᵀGv = ‖vᵀL‖²
    seen = np.einsum("rmi,mij->rmj", v, root).reshape(-1, d)
    c = v.reshape(-1, d)[spread_start(seen, size, seed)]
    last = np.inf
    codes = np.zeros((len(v), places), np.int64)
    for _ in range(steps):
        error = 0.0
        for m in range(places):  # E-step
            near, book = v[:, m] @ root[m], c @ root[m]
            apart = (near**2).sum(1)[:, None] - 2 * near @ book.T + (book**2).sum(1)
            codes[:, m] = apart.argmin(1)
            error += float(apart.min(1).sum())
        if last - error <= 1e-4 * abs(error):
            break
        last = error
        c = _means(v, g, codes, c)
    return BlockCode.of(w, c[None], codes.reshape(1, -1))


def _means(v: np.ndarray, g: np.ndarray, codes: np.ndarray, c: np.ndarray) -> np.ndarray:
    """M-step: c_k = (Σ G_m)⁻¹ Σ G_m v over the blocks of k; a codeword without blocks stays."""
    size, d = c.shape
    count = np.stack([np.bincount(column, minlength=size) for column in codes.T])  # (places, size)
    left = np.einsum("mk,mij->kij", count, g)
    right = np.zeros((size, d))
    np.add.at(right, codes, np.einsum("mij,rmj->rmi", g, v))
    used = count.sum(0) > 0
    out = c.copy()
    out[used] = np.linalg.solve(left[used], right[used][..., None])[..., 0]
    return out
