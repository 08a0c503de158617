"""The product of packed weights with integer activations, by a backend that you see and choose.

    y[n, i] = Σ_k q[i, k]·x[n, k],   int8 × {int8, int4, int2} → int32,   or ±1 × ±1 → int32 (one bit)

    | backend | how | where |
    |---|---|---|
    | `numpy` | unpack, multiply as float64: every sum stays below 2^53, so it is exact | everywhere |
    | `numba` | loops over packed bytes, compiled | everywhere |
    | `avx2` | vector instructions spelled out | x86 with AVX2 |
    | `avx512` | the same, with instructions made for int8 | x86 with AVX-512, VNNI and VPOPCNTDQ |

All give the same integers. None is swapped for another behind your back: asking for what the machine lacks is
an error.

Sources: Gholami et al. 2021, section V; Rastegari et al. 2016 (*XNOR-Net*), section 3.2.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from itertools import pairwise

import llvmlite.binding as llvm
import numpy as np
import torch
from torch import Tensor

from qlab.hardware.kernels.portable import only_signs, row_sums
from qlab.hardware.kernels.weights import ROWS, PackedMatrix, arrange

__all__ = ["BACKENDS", "available", "product"]

BACKENDS = ("numpy", "numba", "avx2", "avx512")
"""From the plainest to the fastest."""
FILES = {"numba": "portable", "avx2": "avx2", "avx512": "avx512"}


@cache
def available() -> tuple[str, ...]:
    """Return the backends that run on this machine, the fastest last.

    Survey-map row: C6.
    """
    has = dict(llvm.get_host_cpu_features())
    if not has.get("avx2"):
        return BACKENDS[:2]
    wide = all(has.get(feature) for feature in ("avx512bw", "avx512vnni", "avx512vpopcntdq"))
    return BACKENDS if wide else BACKENDS[:3]


def product(weight: PackedMatrix, x: Tensor, backend: str | None = None, threads: int | None = None) -> Tensor:
    """Multiply packed weights with activations: y = x Wᵀ, as `torch.nn.functional.linear` has it.

    Parameters
    ----------
    weight : PackedMatrix
        Of shape (rows, columns).
    x : Tensor of int8, shape (columns,) or (batch, columns)
        Any int8; beside weights of one bit, −1 and +1.
    backend : str, optional
        "numpy", "numba", "avx2" or "avx512"; by default the last of `available()`.
    threads : int, optional
        Rows are shared out over so many threads; by default, as many as PyTorch uses. The "numpy" path takes one.

    Returns
    -------
    Tensor of int32, shape (rows,) or (batch, rows)
        Exact.

    Raises
    ------
    TypeError
        If `x` is not int8.
    ValueError
        If shapes do not fit, or the backend does not exist here.

    Examples
    --------
    >>> from qlab.hardware.kernels import pack_matrix
    >>> w = pack_matrix(torch.tensor([[1, -2, 3], [0, 7, -8]]), bits=4)
    >>> product(w, torch.tensor([10, 20, 30], dtype=torch.int8)).tolist()
    [60, -100]

    Survey-map row: C6.
    """
    backend = available()[-1] if backend is None else backend
    if backend not in available():
        raise ValueError(f"backend must be one of {', '.join(available())} on this machine, got {backend!r}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if not isinstance(x, Tensor) or x.dtype != torch.int8:
        raise TypeError(f"x must be a tensor of int8, got {getattr(x, 'dtype', type(x).__name__)}")
    if x.ndim not in (1, 2) or x.shape[-1] != weight.shape[1] or len(x) == 0:
        raise ValueError(f"x must have shape ({weight.shape[1]},) or (batch, {weight.shape[1]}), got {tuple(x.shape)}")
    batch = (x if x.ndim == 2 else x[None]).contiguous()
    if weight.bits == 1 and not only_signs(batch.numpy()):
        raise ValueError("x must hold −1 and +1 only beside weights of one bit")
    out = _plain(weight, batch) if backend == "numpy" else _compiled(weight, batch, backend, threads)
    return out if x.ndim == 2 else out[0]


def _plain(weight: PackedMatrix, x: Tensor) -> Tensor:
    """Decode all codes, then multiply: the definition."""
    return (x.double() @ weight.codes().double().T).to(torch.int32)


def _compiled(weight: PackedMatrix, x: Tensor, backend: str, threads: int | None) -> Tensor:
    """Σ_k u·x by a compiled loop, then the correction of `qlab.hardware.kernels.weights`."""
    chosen = import_module(
        f"qlab.hardware.kernels.{FILES[backend]}"
    )  # only now: the machine has the instructions that this compiles
    laid = arrange(x, weight, chosen.REGISTER or weight.data.shape[1], chosen.ACTIVATIONS.get(weight.bits, np.int8))
    out = np.empty((len(x), len(weight.data)), np.int32)
    kernel = chosen.KERNELS[weight.bits]
    workers = min(torch.get_num_threads() if threads is None else threads, len(out[0]) // ROWS)
    ends = [len(weight.data) // ROWS * worker // workers * ROWS for worker in range(workers + 1)]
    if workers == 1:
        kernel(weight.data, laid, out, 0, ends[-1])
    else:
        list(_pool(workers, os.getpid()).map(lambda part: kernel(weight.data, laid, out, *part), pairwise(ends)))
    if weight.bits == 1:
        np.subtract(weight.shape[1], 2 * out, out=out)
    else:
        out -= (row_sums(x.numpy()) << weight.bits - 1)[:, None]
    return torch.from_numpy(out[:, : weight.shape[0]])


@cache
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Return threads that stay: to start them anew for each product would take longer than a small product.

    They belong to one process; one that was forked from it needs its own.
    """
    return ThreadPoolExecutor(workers, thread_name_prefix="qlab-product")
