"""Sums in few bits: swamping, and chunks against it.

    s ← r(s + a_k b_k),   k = 1 … K,       r keeps p significant bits: fp32 24, fp16 11, bf16 8

An accumulator ignores terms smaller than 2^−p of what it holds: a long sum of small positive terms stops growing
(*swamping*). Adding in chunks of c, and then the K/c chunk sums, keeps both sums short: the error
bound falls from O(K) to O(c + K/c) roundings, least at c = √K.

Source: Wang, Choi, Brand, Chen, Gopalakrishnan 2018, *Training deep neural networks with 8-bit floating point
numbers*, section 2.3 and figure 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from qlab.validate import check_bits

__all__ = ["accumulate", "keep_bits"]


def keep_bits(x: Tensor, bits: int) -> Tensor:
    """Return x rounded to so many significant bits, ties to even, with float32's range of exponents.

    Adds half of the last kept place to the bit pattern (less one unit if that place holds 0), and clears what is below.

    Parameters
    ----------
    x : Tensor of float32
    bits : int
        p, 2 … 24: one more than the mantissa bits that a format stores.

    Raises
    ------
    TypeError
        If x is not float32.

    Examples
    --------
    >>> keep_bits(torch.tensor([257.0, 259.0, -0.3]), 8)  # as bfloat16
    tensor([256.0000, 260.0000,  -0.3008])

    Survey-map row: F4.
    """
    if x.dtype != torch.float32:
        raise TypeError(f"x must be float32, got {x.dtype}")
    drop = 24 - check_bits(bits, 2, 24)
    if drop == 0:
        return x.clone()
    pattern = x.view(torch.int32)
    half = (1 << (drop - 1)) - 1 + ((pattern >> drop) & 1)
    return ((pattern + half) & -(1 << drop)).view(torch.float32)


def accumulate(a: Tensor, b: Tensor, bits: int = 8, chunk: int | None = None) -> Tensor:
    """Return the matrix product a·b with every partial sum rounded to p significant bits.

    Parameters
    ----------
    a : Tensor of float32, shape (M, K)
    b : Tensor of float32, shape (K, N)
    bits : int
        p. Products are exact: two 8-bit factors fit into 24 bits.
    chunk : int, optional
        c; by default one chunk holds all.

    Raises
    ------
    ValueError
        If the shapes do not fit, or chunk is below 1.

    References
    ----------
    Wang et al. 2018, section 2.3.

    Examples
    --------
    >>> ones = torch.ones(1, 1024)
    >>> accumulate(ones, ones.T).item(), accumulate(ones, ones.T, chunk=32).item()  # 8 bits cannot count past 256
    (256.0, 1024.0)

    Survey-map row: F4.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"a and b must be matrices (M, K) and (K, N), got {tuple(a.shape)} and {tuple(b.shape)}")
    K = a.shape[1]
    c = K if chunk is None else chunk
    if c < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    chunks = -(-K // c)
    a = F.pad(a, (0, chunks * c - K)).reshape(a.shape[0], chunks, c).permute(2, 1, 0)[..., None]
    b = F.pad(b, (0, 0, 0, chunks * c - K)).reshape(chunks, c, -1).transpose(0, 1)[:, :, None]
    partial = torch.zeros(chunks, a.shape[2], b.shape[3], device=a.device)
    for a_k, b_k in zip(a, b, strict=True):  # all chunks side by side
        partial = keep_bits(torch.addcmul(partial, a_k, b_k), bits)
    total = torch.zeros_like(partial[0])
    for s in partial:
        total = keep_bits(total + s, bits)
    return total
