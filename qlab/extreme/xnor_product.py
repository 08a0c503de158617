"""The product of signs without multiplying: XNOR, and a count of ones.

    a, b ∈ {−1, +1}^n as bits (1 for +1):    aᵀb = #equal − #different = 2·popcount(XNOR(a, b)) − n
                                                 = n − 2·popcount(XOR(a, b))

A word of 64 bits does 64 multiplications and additions in two instructions and an addition. XOR is the handier form:
the unused bits of a row's last word are 0 in both, differ nowhere, and need no mask.
Zeros around a picture are not signs: there, a mask says which bits count, aᵀb = popcount(m) − 2·popcount(XOR & m).
Sources: Hubara et al. 2016, section 4; Rastegari et al. 2016, sections 3.2 and 4.1.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from qlab.validate import check_real

__all__ = ["WORD", "pack_signs", "packed_matmul", "unpack_signs", "xnor_conv2d", "xnor_linear"]

WORD = 64
"""Signs in a word."""
Words = NDArray[np.uint64]


def pack_signs(x: Tensor) -> Words:
    """Pack the signs of rows into words: bit j of word k is 1 where x[…, 64·k + j] ≥ 0; unused bits are 0.

    Parameters
    ----------
    x : Tensor of reals, shape (rows, n)

    Returns
    -------
    array of uint64, shape (rows, ⌈n/64⌉)

    Examples
    --------
    >>> pack_signs(torch.tensor([[1.0, -1.0, 0.0, -3.0]]))  # 1, 0, 1, 0 from the lowest bit: 1 + 4
    array([[5]], dtype=uint64)

    References
    ----------
    Hubara et al. 2016, section 4.

    Survey-map row: E2.
    """
    if check_real(x).ndim != 2:
        raise ValueError(f"x must have two axes, (rows, n), got shape {tuple(x.shape)}")
    if bool(torch.isnan(x).any()):
        raise ValueError("x must not hold NaN, which has no sign")
    return _words((x.detach() >= 0).cpu().numpy())


def _words(bits: NDArray[np.bool_]) -> Words:
    """Pack booleans, shape (rows, n), the first into the lowest bit."""
    padded = np.zeros((len(bits), -(-bits.shape[1] // WORD) * WORD), dtype=bool)
    padded[:, : bits.shape[1]] = bits
    packed: Words = np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    return packed


def unpack_signs(words: Words, n: int) -> Tensor:
    """Undo `pack_signs`: return the n signs of every row, −1 or +1.

    Examples
    --------
    >>> unpack_signs(np.array([[5]], dtype=np.uint64), 4)
    tensor([[ 1., -1.,  1., -1.]])

    Survey-map row: E2.
    """
    if not (len(words.shape) == 2 and 0 < n <= words.shape[1] * WORD):
        raise ValueError(f"n must lie in 1 … {words.shape[-1] * WORD} for words of shape {words.shape}, got {n}")
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, count=n, bitorder="little")
    return torch.from_numpy(2.0 * bits.astype(np.float32) - 1)


def packed_matmul(a: Words, b: Words, n: int, mask: Words | None = None) -> NDArray[np.int32]:
    """Return A·Bᵀ of rows of signs, from their packed bits: n − 2·popcount(XOR), all in integers.

    Parameters
    ----------
    a : array of uint64, shape (rows, words)
    b : array of uint64, shape (columns, words)
    n : int
        Signs in a row.
    mask : array of uint64, shape (rows, words), optional
        Ones where a row of `a` has a sign at all, zeros where it is padding.

    Returns
    -------
    array of int32, shape (rows, columns)

    Raises
    ------
    TypeError
        If the words are not uint64.
    ValueError
        If the rows have different numbers of words, or n does not fill them.

    Examples
    --------
    >>> a, b = (pack_signs(torch.tensor([row])) for row in ([1.0, 1.0, -1.0], [1.0, -1.0, -1.0]))
    >>> packed_matmul(a, b, 3)  # 1 − 1 + 1
    array([[1]], dtype=int32)

    References
    ----------
    Rastegari et al. 2016, section 3.2.

    Survey-map row: E2.
    """
    if a.dtype != np.uint64 or b.dtype != np.uint64:
        raise TypeError(f"a and b must hold words of uint64, got {a.dtype} and {b.dtype}")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not (a.shape[1] - 1) * WORD < n <= a.shape[1] * WORD:
        raise ValueError(f"a and b must have ⌈n/64⌉ words in each row, got {a.shape} and {b.shape} for n = {n}")
    result = np.empty((len(a), len(b)), dtype=np.int32)
    counted = n if mask is None else np.bitwise_count(mask).sum(1, dtype=np.int32)
    for j, row in enumerate(b):  # one row of b at a time, so that what XOR leaves stays in the cache
        different = a ^ row if mask is None else (a ^ row) & mask
        result[:, j] = counted - 2 * np.bitwise_count(different).sum(1, dtype=np.int32)
    return result


def xnor_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return sign(x)·sign(W)ᵀ, by packed bits.

    Parameters
    ----------
    x : Tensor of reals, shape (N, n)
    weight : Tensor of reals, shape (outputs, n)

    Returns
    -------
    Tensor of int32, shape (N, outputs)

    Survey-map row: E2.
    """
    return torch.from_numpy(packed_matmul(pack_signs(x), pack_signs(weight), weight.shape[1]))


def xnor_conv2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Return the convolution of sign(x) with sign(W), by packed bits; padding is with zeros, as in PyTorch.

    Parameters
    ----------
    x : Tensor of reals, shape (N, channels, height, width)
    weight : Tensor of reals, shape (outputs, channels, kernel height, kernel width)
    stride, padding : int

    Returns
    -------
    Tensor of int32, shape (N, outputs, new height, new width)

    References
    ----------
    Rastegari et al. 2016, section 3.2 and figure 2.

    Survey-map row: E2.
    """
    kernel = weight.shape[2:]

    def windows(picture: Tensor) -> Tensor:
        columns = F.unfold(picture, kernel, padding=padding, stride=stride)  # (N, channels·kernel, places)
        return columns.mT.reshape(-1, columns.shape[1])

    inside = windows(torch.ones(1, *x.shape[1:]))
    mask = np.tile(_words((inside > 0).numpy()), (len(x), 1)) if padding else None
    a, b = pack_signs(windows(x)), pack_signs(weight.flatten(1))
    product = torch.from_numpy(packed_matmul(a, b, inside.shape[1], mask))
    places = [(size + 2 * padding - k) // stride + 1 for size, k in zip(x.shape[2:], kernel, strict=True)]
    return product.reshape(len(x), -1, len(weight)).mT.reshape(len(x), len(weight), *places)
