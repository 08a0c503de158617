"""A matrix of b-bit codes in bytes, row by row, each row filled up to whole vector registers.

    u = q − q_min ≥ 0,    row i of `data` = pack(u[i], b), then zeros up to a multiple of 64 bytes

With q_min = −2^(b−1) a product with the codes q is one with the stored u and a correction that no weight enters:

    Σ_k q[i,k]·x[k] = Σ_k u[i,k]·x[k] − 2^(b−1)·Σ_k x[k].

One bit is different: the codes are −1 and +1, stored as 0 and 1, and so are the activations; then a product is a count,
Σ_k q[i,k]·x[k] = K − 2·popcount(u[i] xor v), since the two bits differ exactly where the product is −1.

Sources: Gholami et al. 2021, section V; Rastegari et al. 2016 (*XNOR-Net*), section 3.2, for one bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.packing import pack, unpack
from qlab.validate import check_integers

__all__ = ["BITS", "FILL", "ROWS", "PackedMatrix", "aligned", "arrange", "longest", "pack_matrix"]

BITS = (8, 4, 2, 1)
"""Bits that divide a byte, so that no code straddles two."""
FILL = 64
"""Bytes of the largest vector register (AVX-512)."""
ROWS = 4
"""The most rows that a kernel takes together, so that each activation that was read serves four times."""


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A matrix of codes, packed; made by `pack_matrix`.

    Attributes
    ----------
    data : array of uint8, shape (rows filled up to a multiple of 4, bytes filled up to a multiple of 64)
    shape : (int, int)
        Rows and columns of the codes.
    bits : int
        8, 4, 2 or 1.

    Survey-map rows: C5, C6.
    """

    data: NDArray[np.uint8]
    shape: tuple[int, int]
    bits: int

    def codes(self) -> Tensor:
        """Return the codes as int32, shape (rows, columns)."""
        rows, columns = self.shape
        stored = torch.from_numpy(self.data[:rows])
        u = unpack(stored.reshape(-1), self.bits, stored.numel() * 8 // self.bits).reshape(rows, -1)[:, :columns]
        return 2 * u - 1 if self.bits == 1 else u - (1 << self.bits - 1)


def longest(bits: int) -> int:
    """Return the longest row whose sums fit an accumulator of 32 bits, whatever the codes: (2^b − 1)·128·K < 2^31.

    Examples
    --------
    >>> longest(8), longest(4)
    (65793, 1118481)

    Survey-map row: C6.
    """
    worst = 1 if bits == 1 else ((1 << bits) - 1) * 128
    return ((1 << 31) - 1) // worst


def pack_matrix(codes: Tensor, bits: int) -> PackedMatrix:
    """Pack the codes of a weight matrix.

    Parameters
    ----------
    codes : Tensor of integers, shape (rows, columns)
        From −2^(b−1) to 2^(b−1) − 1 (ternary codes −1, 0, 1 fit two bits); for one bit, −1 and +1.
    bits : int
        8, 4, 2 or 1.

    Raises
    ------
    TypeError
        If the codes are not integers.
    ValueError
        If they do not fit, are not a matrix, or a row is so long that a sum could overflow 32 bits.

    Examples
    --------
    >>> pack_matrix(torch.tensor([[1, -8, 7]]), bits=4).data[0, :2]  # codes + 8 = 9, 0 | 15
    array([ 9, 15], dtype=uint8)

    Survey-map rows: C5, C6.
    """
    _check(codes, bits, "codes")
    rows, columns = codes.shape
    if columns > longest(bits):
        raise ValueError(
            f"codes of {bits} bits must have at most {longest(bits)} columns, "
            f"or sums may not fit 32 bits, got {columns}"
        )
    u = (codes.long() + 1) // 2 if bits == 1 else codes.long() + (1 << bits - 1)
    data = aligned((_up(rows, ROWS), _up(columns, FILL * 8 // bits) * bits // 8), np.uint8)
    data[:] = 0
    for begin in range(0, rows, 256):  # piecewise: packing takes eight bytes for each bit while it works
        part = torch.nn.functional.pad(u[begin : begin + 256], (0, data.shape[1] * 8 // bits - columns))
        data[begin : begin + len(part)] = pack(part, bits).numpy().reshape(len(part), -1)
    return PackedMatrix(data, (rows, columns), bits)


def arrange(x: Tensor, matrix: PackedMatrix, register: int, kind: type[np.integer]) -> NDArray[np.generic]:
    """Lay activations so that each byte of a register of weights finds its partners side by side.

    A register of R bytes holds R·F codes, F = 8/b in each byte. Field f of byte k is code k·F + f. Taking field f of
    all bytes at once gives codes f, F + f, 2F + f, …: so the activations are laid in that order. The weights stay as
    they are.

    Parameters
    ----------
    x : Tensor of int8, shape (batch, columns)
    matrix : PackedMatrix
    register : int
        Bytes R, which divide the bytes of a row.
    kind : type
        `numpy.int8` or `numpy.int16`, what the products are made of.

    Returns
    -------
    array of `kind`, shape (batch, registers, F, R)
        Beside one bit uint8 of shape (batch, bytes), packed like weights.

    Survey-map row: C6.
    """
    width = matrix.data.shape[1]
    if matrix.bits == 1:
        bits = np.zeros((len(x), width * 8), np.uint8)
        bits[:, : x.shape[1]] = x.numpy() > 0
        signs = aligned((len(x), width), np.uint8)
        signs[:] = np.packbits(bits, axis=1, bitorder="little")
        return signs
    fields = 8 // matrix.bits
    padded = np.zeros((len(x), width * fields), kind)
    padded[:, : x.shape[1]] = x.numpy()
    laid = aligned((len(x), width // register, fields, register), kind)
    for f in range(fields):  # field by field: one strided copy each, much faster than one transposition
        laid[:, :, f] = padded[:, f::fields].reshape(len(x), -1, register)
    return laid


def aligned(shape: tuple[int, ...], kind: type[np.integer]) -> NDArray[Any]:
    """Return an empty array that begins at a multiple of 64 bytes, so that no register straddles two cache lines.

    Survey-map row: C6.
    """
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    room = np.empty(size + FILL, np.uint8)
    begin = -room.ctypes.data % FILL
    return room[begin : begin + size].view(kind).reshape(shape)


def _check(codes: Tensor, bits: int, name: str) -> None:
    if bits not in BITS:
        raise ValueError(f"bits must be one of 8, 4, 2, 1, got {bits}")
    if check_integers(codes, name).ndim != 2 or codes.numel() == 0:
        raise ValueError(f"{name} must be a matrix that is not empty, got shape {tuple(codes.shape)}")
    low, high = int(codes.min()), int(codes.max())
    if bits == 1:
        if not bool((codes.abs() == 1).all()):
            raise ValueError(f"{name} of one bit must be −1 or +1, got values from {low} to {high}")
    elif low < -(1 << bits - 1) or high >= 1 << bits - 1:
        raise ValueError(f"{name} must lie in {-(1 << bits - 1)} … {(1 << bits - 1) - 1}, got {low} … {high}")


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
