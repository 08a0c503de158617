r"""Second-order compensation: quantize one weight, and let those not yet quantized make up for it.

    OBQ, row w, H = E[x xᵀ]:   q = argmin_p (Q(w_p) − w_p)² / [H⁻¹]_pp
                               w ← w − (w_q − Q(w_q)) / [H⁻¹]_qq · H⁻¹_{:,q},   and q leaves H⁻¹ by Gaussian elimination
    GPTQ: all rows in the same, given order, so that one Cholesky factor U of H⁻¹ = UᵀU serves them all:
                               w_{j>i} ← w_{j>i} − (w_i − Q(w_i)) / U_ii · U_{i,j>i}

Both minimize ‖Wx − W̃x‖² greedily; they come from the Optimal Brain Surgeon of 1993.
Sources: Frantar and Alistarh 2022, *Optimal brain compression*, equations 7 and 8; Frantar et al. 2023, *GPTQ*,
algorithm 1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from qlab.network import stored_weight
from qlab.ptq.codes import put_codes, quantized_layers, spread_params
from qlab.ptq.moments import InputMoments, grouped, layer_moments
from qlab.quantizer import QuantizedTensor
from qlab.rounding import Nearest

__all__ = ["damped", "gptq", "gptq_codes", "gptq_matrix", "obq_row"]

Round = Callable[[Tensor, int], Tensor]


def damped(H: Tensor, share: float = 0.01) -> Tensor:
    """Return H + share·mean(diag H)·I, so that it can be inverted; inputs that are always 0 get a 1.

    References
    ----------
    Frantar et al. 2023, section 3.3, step 3.

    Survey-map row: T10.
    """
    diagonal = H.diagonal(dim1=-2, dim2=-1)
    extra = share * diagonal.mean(-1, keepdim=True) + (diagonal == 0).to(H.dtype)
    return H + torch.diag_embed(extra)


def obq_row(w: Tensor, H: Tensor, nearest: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Optimal brain quantization of one row, the greedy order chosen anew after every weight.

    Parameters
    ----------
    w : Tensor, shape (d,)
    H : Tensor, shape (d, d)
        Positive definite.
    nearest : function of (value, column)
        Return the value's nearest point of the grid.

    Returns
    -------
    Tensor, shape (d,)
        Quantized values.

    References
    ----------
    Frantar and Alistarh 2022, equations 7 and 8, algorithm 3.

    Survey-map row: T10.
    """
    w, inverse = w.clone(), torch.linalg.inv(H)
    open_ = torch.ones_like(w, dtype=torch.bool)
    result = torch.zeros_like(w)
    for _ in range(len(w)):
        rounded = torch.stack([nearest(w[p], p) for p in range(len(w))])
        cost = (rounded - w).square() / inverse.diagonal().clamp(min=1e-300)
        q = int(torch.where(open_, cost, torch.inf).argmin())
        result[q] = rounded[q]
        w = w - (w[q] - rounded[q]) / inverse[q, q] * inverse[:, q]
        inverse = inverse - inverse[:, q : q + 1] @ inverse[q : q + 1] / inverse[q, q]
        open_[q] = False
        inverse[q, :], inverse[:, q] = 0.0, 0.0  # exactly, not up to rounding
        inverse[q, q] = 1.0
        w = torch.where(open_, w, result)
    return result


@torch.no_grad()
def gptq_matrix(W: Tensor, H: Tensor, nearest: Round, block: int = 128) -> Tensor:
    """GPTQ on a matrix: quantize column after column, spread each column's error over the columns to its right.

    Parameters
    ----------
    W : Tensor, shape (…, rows, d)
        One matrix, or a stack of them.
    H : Tensor, shape (…, d, d)
        Positive definite (see `damped`).
    nearest : function of (column of values, index)
        Return the nearest points of the grid; columns have the shape (…, rows).
    block : int
        Columns to the right of a block hear of its errors at once, in one matrix product. The result is the same.

    Returns
    -------
    Tensor, shape of W
        Quantized values.

    References
    ----------
    Frantar et al. 2023, algorithm 1.

    Survey-map row: T10.
    """
    U = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(H)), upper=True)
    W = W.mT.clone(memory_format=torch.contiguous_format)  # a column's values lie side by side: most of the speed
    Q, errors, d = torch.empty_like(W), torch.empty_like(W), W.shape[-2]
    w, q, e = W.unbind(-2), Q.unbind(-2), errors.unbind(-2)  # views of the columns
    for start in range(0, d, block):
        end = min(start + block, d)
        for i in range(start, end):
            q[i].copy_(nearest(w[i], i))
            e[i].copy_((w[i] - q[i]) / U[..., i, i, None])
            W[..., i + 1 : end, :].addcmul_(U[..., i, i + 1 : end, None], e[i][..., None, :], value=-1)
        W[..., end:, :] -= U[..., start:end, end:].mT @ errors[..., start:end, :]
    return Q.mT.contiguous()


def gptq_codes(weight: Tensor, stored: QuantizedTensor, moments: InputMoments, damping: float = 0.01) -> Tensor:
    """Return GPTQ's codes for one layer, on the grid, S and Z of `stored`.

    Columns are taken in the order of falling H_jj ("activation order"): large inputs first, while many columns are left
    to make up for them. The groups of a convolution have their own H and order, and are worked on side by side.

    Survey-map row: T10.
    """
    grid, (low, high), groups = stored.grid, stored.grid.code_range, len(moments.second)
    order = moments.second.diagonal(dim1=-2, dim2=-1).argsort(dim=-1, descending=True, stable=True)  # (groups, d)

    def ordered(t: Tensor) -> Tensor:
        t = grouped(t.detach().double(), groups)
        return t.gather(-1, order[:, None].expand_as(t))

    W, S, Z = (ordered(t) for t in (weight, *spread_params(stored)))
    H = moments.second.gather(-1, order[:, None].expand_as(moments.second))
    H = H.gather(-2, order[..., None].expand_as(H))
    s, z = (t.mT.contiguous().unbind(-2) for t in (S, Z))  # per column

    def code(w: Tensor, S: Tensor, Z: Tensor) -> Tensor:
        return (grid.index(w / S, Nearest()) - Z).clamp(low, high)

    def nearest(column: Tensor, i: int) -> Tensor:
        return s[i] * grid.level(code(column, s[i], z[i]) + z[i])

    found = code(gptq_matrix(W, damped(H, damping), nearest), S, Z)
    codes = torch.empty_like(found).scatter_(-1, order[:, None].expand_as(found), found)
    return codes.reshape(weight.shape).to(torch.int32)


def gptq(
    quantized: nn.Module,
    original: nn.Module,
    batches: Iterable[Tensor],
    damping: float = 0.01,
    progress: bool = False,
) -> nn.Module:
    """Return a copy of `quantized` with GPTQ's codes, layer after layer, each on the inputs that it really gets.

    Parameters
    ----------
    quantized, original, batches, progress
        As `adaround`; any grid.
    damping : float
        Share of the mean of H's diagonal that is added to it.

    References
    ----------
    Frantar et al. 2023, algorithm 1.

    Survey-map row: T10.
    """
    result = copy.deepcopy(quantized)
    for name, layer in tqdm(quantized_layers(result).items(), "GPTQ", disable=not progress):
        stored: Any = stored_weight(layer)
        moments = layer_moments(result, original, name, batches)
        before: Any = original.get_submodule(name)
        put_codes(layer, gptq_codes(before.weight.detach(), stored, moments, damping), name)
    return result
