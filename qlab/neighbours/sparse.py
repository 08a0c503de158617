"""Sparse products: skipping zeros costs more per weight than multiplying by them.

Compressed rows (CSR) hold the values that are not zero, the column of each, and where every row begins:

    bytes = nnz·(b_value + b_index)/8 + (rows + 1)·b_index/8

so at 32-bit values and indices a matrix must be more than half zeros before it is even smaller.

Sources: Gholami et al. 2021, section I (unstructured pruning is hard to accelerate); Gale, Elsen, Hooker 2019, *The
state of sparsity in deep neural networks*.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from qlab.hardware.timing import Ratio, compare
from qlab.validate import check_finite, check_real

__all__ = ["SparseTime", "csr_bytes", "random_sparse", "sparse_against_dense", "to_csr"]


def to_csr(weight: Tensor) -> Tensor:
    """Return a matrix in compressed rows, without its zeros.

    Survey-map row: B7.
    """
    if check_real(weight, "weight").dim() != 2:
        raise ValueError(f"weight must be a matrix, got shape {tuple(weight.shape)}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return check_finite(weight.detach(), "weight").to_sparse_csr()


def csr_bytes(rows: int, nonzeros: int, value_bits: int = 32, index_bits: int = 32) -> float:
    """Return the bytes of compressed rows.

    Examples
    --------
    >>> csr_bytes(rows=100, nonzeros=2500)  # of 10,000: 75 % zeros; dense takes 40,000 bytes
    20404.0

    Survey-map row: B7.
    """
    return nonzeros * (value_bits + index_bits) / 8 + (rows + 1) * index_bits / 8


def random_sparse(rows: int, columns: int, sparsity: float, seed: int = 0) -> Tensor:
    """Return a Gaussian matrix with each element at zero with probability `sparsity`.

    Survey-map row: B7.
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity must lie in 0 … 1, got {sparsity}")
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(rows, columns, generator=generator)
    return w * (torch.rand(rows, columns, generator=generator) >= sparsity)


@dataclass(frozen=True)
class SparseTime:
    """One sparsity's measured time, sparse over dense.

    Survey-map row: B7.
    """

    sparsity: float
    ratio: Ratio


def sparse_against_dense(
    sparsities: Iterable[float],
    shape: tuple[int, int] = (1024, 1024),
    batch: int = 64,
    turns: int = 15,
    threads: int = 1,
    seed: int = 0,
) -> list[SparseTime]:
    """Measure the CSR product W@X against the dense one at several sparsities.

    Parameters
    ----------
    sparsities : iterable of float
    shape : (int, int)
        Of W.
    batch : int
        Columns of X; 1 is a matrix–vector product.
    turns, threads
        As `qlab.hardware.timing.compare`.

    Returns
    -------
    list of SparseTime
        A ratio below 1 means that the sparse product is faster.

    Survey-map row: B7.
    """
    x = torch.randn(shape[1], batch, generator=torch.Generator().manual_seed(seed))
    times = []
    for p in sparsities:
        dense = random_sparse(*shape, p, seed)
        csr = to_csr(dense)

        def run_dense(w: Tensor = dense) -> Tensor:
            return w @ x

        def run_sparse(w: Tensor = csr) -> Tensor:
            return w @ x

        timings = compare({"dense": run_dense, "sparse": run_sparse}, turns=turns, threads=threads)
        times.append(SparseTime(p, timings.ratio("sparse", "dense")))
    return times
