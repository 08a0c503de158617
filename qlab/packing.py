"""Packing: b-bit codes laid end to end in bytes, nothing wasted but the last byte's tail.

The stream is little-endian: bit j of code i is bit (i·b + j) of the stream, and bit k of the stream is bit k mod 8 of
byte ⌊k/8⌋. So two 4-bit codes share a byte, the first one in its low half.

Source: Gholami et al. 2021, section V (low-bit storage); the bit order is the one of GGUF and CMSIS-NN.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from qlab.validate import check_bits, check_integers

__all__ = ["pack", "packed_bytes", "unpack"]


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take: ⌈count·bits / 8⌉.

    Examples
    --------
    >>> packed_bytes(5, 3)
    2

    Survey-map row: C5.
    """
    return math.ceil(count * check_bits(bits) / 8)


def pack(codes: Tensor, bits: int) -> Tensor:
    """Pack non-negative integer codes, `bits` bits each, into bytes.

    Parameters
    ----------
    codes : Tensor of integers, any shape
        Values from 0 to 2^bits − 1 (store signed codes as code − q_min).
    bits : int
        Bits per code, 1 to 16.

    Returns
    -------
    Tensor of uint8, shape (⌈n·bits/8⌉,)

    Raises
    ------
    TypeError
        If `codes` are not integers.
    ValueError
        If a code does not fit.

    Examples
    --------
    >>> pack(torch.tensor([1, 2, 15]), bits=4)
    tensor([33, 15], dtype=torch.uint8)

    Survey-map row: C5.
    """
    check_bits(bits)
    flat = check_integers(codes).detach().cpu().numpy().astype(np.int64).ravel()
    if flat.size and not 0 <= flat.min() <= flat.max() < 1 << bits:
        raise ValueError(f"codes must lie in 0 … {(1 << bits) - 1} to fit {bits} bits, got {flat.min()} … {flat.max()}")
    as_bits = (flat[:, None] >> np.arange(bits)) & 1  # (n, b): row i holds the bits of code i, lowest first
    return torch.from_numpy(np.packbits(as_bits.astype(np.uint8).ravel(), bitorder="little")).to(codes.device)


def unpack(data: Tensor, bits: int, count: int) -> Tensor:
    """Undo `pack`: read `count` codes of `bits` bits each.

    Parameters
    ----------
    data : Tensor of uint8, shape (⌈count·bits/8⌉,)
    bits : int
        Bits per code, 1 to 16.
    count : int
        How many codes to read: the tail of the last byte is padding.

    Returns
    -------
    Tensor of int32, shape (count,)

    Raises
    ------
    ValueError
        If `data` is not exactly as long as `count` codes need.

    Examples
    --------
    >>> unpack(torch.tensor([33, 15], dtype=torch.uint8), bits=4, count=3)
    tensor([ 1,  2, 15], dtype=torch.int32)

    Survey-map row: C5.
    """
    check_bits(bits)
    if data.dtype != torch.uint8:
        raise TypeError(f"data must be uint8, got {data.dtype}")
    if data.numel() != packed_bytes(count, bits):
        raise ValueError(
            f"data must hold {packed_bytes(count, bits)} bytes for {count} codes of {bits} bits, got {data.numel()}"
        )
    stream = np.unpackbits(data.detach().cpu().numpy().ravel(), count=count * bits, bitorder="little")
    codes = stream.reshape(count, bits).astype(np.int32) @ (1 << np.arange(bits, dtype=np.int32))
    return torch.from_numpy(codes.astype(np.int32)).to(data.device)
