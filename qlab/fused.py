"""The uniform quantizer in one pass over memory: same bits as the reference, no temporaries.

On a CPU the arithmetic of fake quantization is nearly free; what costs is reading and writing memory, once per
operation. Here each value is read once, goes through r/S, Int, −Z, clip, +Z, ·S in registers, and is written once
(the loops are in `qlab.fused_kernels`). Whether all values are finite is found out in the same pass.

Every function returns None where the fast form does not apply (other grids, roundings, devices, dtypes, strides), and
the caller takes the reference path: there is one definition, in `qlab.quantizer`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qlab.gradients import ClippedStraightThrough
from qlab.granularity import Granularity, PerBlock
from qlab.grids import Asymmetric, Grid, Symmetric
from qlab.rounding import Nearest
from qlab.validate import check_finite

if TYPE_CHECKING:
    from qlab.quantizer import Params, QuantizedTensor, Quantizer

__all__ = ["backward", "check_out", "decode", "encode", "fake"]

_THREADED = 1 << 20  # values from which a second thread saves more than it costs to start
_SHORT = 16  # rows shorter than this go side by side into one vector
_INFINITY = 0x7F800000  # the bit pattern of +inf: finite magnitudes lie below


def fake(x: Tensor, quantizer: Quantizer, p: Params, out: Tensor | None) -> Tensor | None:
    """Return r̃, or None where only the reference path can.

    Survey-map row: Q3.
    """
    if not (_fits(quantizer.grid, quantizer.granularity, p, x) and quantizer.rounding == Nearest()):
        return None
    out = check_out(out, x, x.dtype)
    if not out.is_contiguous():
        return None
    if not _run("fake", (x, x.view(torch.int32)), quantizer.granularity, p, quantizer.grid.code_range, out):
        check_finite(x)
        raise ValueError("x must be finite, got NaN or infinite values, which `out`, being x itself, has overwritten")
    return out


def backward(grad: Tensor, x: Tensor, quantizer: Quantizer, p: Params) -> Tensor | None:
    """Return the gradient at r under the clipped straight-through estimator, or None.

    Survey-map row: T1.
    """
    fits = _fits(quantizer.grid, quantizer.granularity, p, grad, x)
    if not (fits and quantizer.gradient == ClippedStraightThrough()):
        return None
    out = torch.empty_like(grad)
    _run("backward", (x, grad), quantizer.granularity, p, quantizer.grid.code_range, out)
    return out


def encode(x: Tensor, quantizer: Quantizer, p: Params, dtype: torch.dtype, out: Tensor | None) -> Tensor | None:
    """Return integer codes, or None where only the reference path can.

    Survey-map row: Q2.
    """
    if not (_fits(quantizer.grid, quantizer.granularity, p, x) and quantizer.rounding == Nearest()):
        return None
    out = check_out(out, x, dtype)
    if not out.is_contiguous():
        return None
    if not _run("encode", (x, x.view(torch.int32)), quantizer.granularity, p, quantizer.grid.code_range, out):
        check_finite(x)
    return out


def decode(q: QuantizedTensor, out: Tensor | None) -> Tensor | None:
    """Return r̃ for integer codes, or None where only the reference path can.

    Survey-map row: Q3.
    """
    if q.dtype != torch.float32 or not _fits(q.grid, q.granularity, q.params):
        return None
    if q.codes.device.type != "cpu" or not q.codes.is_contiguous():
        return None
    out = check_out(out, q.codes, q.dtype)
    if not out.is_contiguous():
        return None
    _run("decode", (q.codes,), q.granularity, q.params, (), out)
    return out


def check_out(out: Tensor | None, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `out` if it can take a result like `x` in `dtype`; a new tensor if it is None.

    Raises
    ------
    ValueError
        If shape, dtype or device differ.
    """
    if out is None:
        return torch.empty(x.shape, dtype=dtype, device=x.device)
    if out.shape != x.shape or out.dtype != dtype or out.device != x.device:
        raise ValueError(
            f"out must have shape {tuple(x.shape)}, {dtype} and device {x.device}, "
            f"got {tuple(out.shape)}, {out.dtype} and {out.device}"
        )
    return out


def _fits(grid: Grid, granularity: Granularity, p: Params, *tensors: Tensor) -> bool:
    return (
        isinstance(grid, (Asymmetric, Symmetric))
        and not (isinstance(granularity, PerBlock) and granularity.axis != -1)
        and p.scale.dtype == torch.float32
        and p.scale.device.type == "cpu"
        and all(t.dtype == torch.float32 and t.device.type == "cpu" and t.is_contiguous() for t in tensors)
    )


def _run(
    kernel: str,
    inputs: tuple[Tensor, ...],
    granularity: Granularity,
    p: Params,
    ends: tuple[int, ...],
    out: Tensor,
) -> bool:
    """Run one loop over all values, in as many threads as PyTorch uses; return whether all were finite."""
    import numpy as np

    from qlab import fused_kernels

    loop = getattr(fused_kernels, kernel)
    at = granularity.layout(tuple(out.shape))
    arrays = [t.detach().reshape(-1).numpy() for t in inputs]
    result = out.detach().reshape(-1).numpy()
    scale = p.scale.detach().contiguous().numpy()
    zero_point = p.zero_point.numpy().astype(np.float32)
    limits = [np.float32(e) for e in ends]

    inner, columns = at.inner, at.inner < _SHORT and at.outer > 1
    if columns:  # short rows: take all rows as one long one, with a scale per element
        scale, zero_point = scale.repeat(inner), zero_point.repeat(inner)
        inner = at.rows * at.inner

    def piece(begin: int, end: int) -> int:
        return int(loop(*arrays, scale, zero_point, inner, columns, *limits, result, begin, end))

    n = out.numel()
    threads = torch.get_num_threads() if n >= _THREADED else 1
    if threads == 1:
        return piece(0, n) < _INFINITY
    step = ceil(n / threads / inner) * inner if columns else ceil(n / threads)
    with ThreadPoolExecutor(threads) as pool:
        begins = range(0, n, step)
        return max(pool.map(piece, begins, [min(b + step, n) for b in begins])) < _INFINITY
