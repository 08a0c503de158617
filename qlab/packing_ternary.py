"""Packing ternary codes: five digits of base three in a byte, 1.6 bits each instead of two.

    byte = Σ_j t_j·3^j,   t_j = q_j + 1 ∈ {0, 1, 2},   j = 0 … 4,      3^5 = 243 ≤ 256

Two bits spend a quarter of their four patterns on nothing. A byte of five digits spends 13 of 256: 8/5 = 1.6 bits, one
percent above log₂3 = 1.585, which no code for equally frequent digits can undercut. The price is paid at unpacking:
fields of bits come apart by shifts, digits of base three by division or by a table of 243 lines, as here.

Source: five digits to the byte are also what llama.cpp's format TQ1_0 holds; Gholami et al. 2021, section IV (ternary
weights) and section V (storage).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from qlab.validate import check_integers

__all__ = ["pack_ternary", "ternary_bytes", "unpack_ternary"]

PER_BYTE = 5
POWERS = 3 ** np.arange(PER_BYTE)  # 1, 3, 9, 27, 81
DIGITS = (np.arange(3**PER_BYTE)[:, None] // POWERS % 3 - 1).astype(np.int32)
"""Line v holds the five codes of the byte v."""


def ternary_bytes(count: int) -> int:
    """Bytes that `count` ternary codes take: ⌈count / 5⌉.

    Examples
    --------
    >>> ternary_bytes(11)
    3

    Survey-map rows: C5, E3.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    return math.ceil(count / PER_BYTE)


def pack_ternary(codes: Tensor) -> Tensor:
    """Pack codes −1, 0 and 1, five in a byte: Σ_j (q_j + 1)·3^j.

    Parameters
    ----------
    codes : Tensor of integers, any shape
        The last byte is filled up with −1, digit 0.

    Returns
    -------
    Tensor of uint8, shape (⌈n/5⌉,)

    Raises
    ------
    TypeError
        If `codes` are not integers.
    ValueError
        If a code is not −1, 0 or 1.

    Examples
    --------
    >>> pack_ternary(torch.tensor([1, 0, -1, -1, 1]))  # digits 2, 1, 0, 0, 2: 2 + 3 + 2·81
    tensor([167], dtype=torch.uint8)

    Survey-map rows: C5, E3.
    """
    flat = check_integers(codes).detach().cpu().numpy().astype(np.int64).ravel()
    if flat.size and not -1 <= flat.min() <= flat.max() <= 1:
        raise ValueError(f"codes must be −1, 0 or 1, got {flat.min()} … {flat.max()}")
    digits = np.zeros(ternary_bytes(flat.size) * PER_BYTE, np.int64)
    digits[: flat.size] = flat + 1
    return torch.from_numpy((digits.reshape(-1, PER_BYTE) @ POWERS).astype(np.uint8)).to(codes.device)


def unpack_ternary(data: Tensor, count: int) -> Tensor:
    """Undo `pack_ternary`: read `count` codes.

    Parameters
    ----------
    data : Tensor of uint8, shape (⌈count/5⌉,)
    count : int
        How many codes to read: the tail of the last byte is padding.

    Returns
    -------
    Tensor of int32, shape (count,)

    Raises
    ------
    ValueError
        If `data` is not exactly as long as `count` codes need, or a byte is above 242.

    Examples
    --------
    >>> unpack_ternary(torch.tensor([167], dtype=torch.uint8), count=5)
    tensor([ 1,  0, -1, -1,  1], dtype=torch.int32)

    Survey-map rows: C5, E3.
    """
    if data.dtype != torch.uint8:
        raise TypeError(f"data must be uint8, got {data.dtype}")
    if data.numel() != ternary_bytes(count):
        raise ValueError(f"data must hold {ternary_bytes(count)} bytes for {count} ternary codes, got {data.numel()}")
    flat = data.detach().cpu().numpy().ravel()
    if flat.size and flat.max() >= len(DIGITS):
        raise ValueError(f"data must hold bytes up to {len(DIGITS) - 1}, five digits of base three, got {flat.max()}")
    return torch.from_numpy(DIGITS[flat].ravel()[:count].copy()).to(data.device)
