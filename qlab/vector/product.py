"""Product quantization of weights: every row is cut into blocks, and each block takes the nearest codeword.

    W = [ W¹ … W^M ],   W^m of d columns;       w̃^m_row = C^m[ argmin_k ‖w^m_row − C^m_k‖² ]

C^m by k-means. A row can take k^M values although only M·k codewords are stored. Often all places share one codebook,
C^m = C: then codebooks cost M times less, and k-means has M times as many blocks to learn from.
Sources: Jégou, Douze, Schmid 2011, *Product quantization for nearest neighbor search*; Gong, Liu, Yang, Bourdev 2014,
*Compressing deep convolutional networks using vector quantization*, section 3.3; Wu et al. 2016, *Quantized
convolutional neural networks for mobile devices*.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from qlab.history.vector_quantization import kmeans
from qlab.validate import check_bits
from qlab.vector.codewords import BlockCode, blocks

__all__ = ["codebook", "nearest", "product_quantize", "spread_start"]


def spread_start(x: np.ndarray, size: int, seed: int = 0) -> list[int]:
    """Return the places of `size` different rows of x, drawn with probability ∝ squared distance to those drawn before.

    References
    ----------
    Arthur, Vassilvitskii 2007, *k-means++: the advantages of careful seeding*.

    Raises
    ------
    ValueError
        If x has fewer than `size` different rows.

    Survey-map row: V2.
    """
    rng = np.random.default_rng(seed)
    chosen = [int(rng.integers(len(x)))]
    far = np.square(x - x[chosen[0]]).sum(1)
    for _ in range(size - 1):
        if not far.any():
            raise ValueError(f"x must have at least {size} different rows, got {len(np.unique(x, axis=0))}")
        chosen.append(int(np.searchsorted(np.cumsum(far), rng.random() * far.sum(), side="right")))
        far = np.minimum(far, np.square(x - x[chosen[-1]]).sum(1))
    return chosen


def codebook(x: np.ndarray, size: int, seed: int = 0, steps: int = 50) -> np.ndarray:
    """Return the codewords that k-means finds from `spread_start`, shape (size, d).

    Survey-map row: V2.
    """
    start = x[spread_start(x, size, seed)]
    return np.asarray(kmeans(x, start, tolerance=1e-4, steps=steps).codebook)


def nearest(x: np.ndarray, book: np.ndarray) -> np.ndarray:
    """Return the number of the nearest codeword of each row.

    Survey-map rows: V2, V3.
    """
    half, out = (book**2).sum(1) / 2, np.empty(len(x), np.int64)
    for i in range(0, len(x), 4096):
        out[i : i + 4096] = (x[i : i + 4096] @ book.T - half).argmax(1)
    return out


def product_quantize(w: Tensor, d: int, size: int, shared: bool = True, seed: int = 0, steps: int = 50) -> BlockCode:
    """Return a weight in codewords of d numbers.

    Parameters
    ----------
    w : Tensor, shape (rows, …)
        d must divide the numbers of a row.
    d : int
        Numbers in a block. 1 is weight sharing; a whole row is plain k-means of rows.
    size : int
        k, codewords of a codebook.
    shared : bool
        One codebook for all places of a row, or one for each.
    seed, steps : int
        Of k-means.

    Raises
    ------
    ValueError
        If d does not divide the rows, or there are fewer different blocks than codewords.

    References
    ----------
    Gong et al. 2014, section 3.3; Stock et al. 2020, section 3.1 (shared).

    Examples
    --------
    >>> import torch
    >>> w = torch.tensor([[0.0, 0.0, 5.0, 5.0], [5.0, 5.0, 0.0, 0.0]])
    >>> code = product_quantize(w, d=2, size=2)
    >>> torch.equal(code.decode(), w), code.code_bits
    (True, 1)

    Survey-map row: V2.
    """
    check_bits(size, 1, 1 << 16, "size")
    x = blocks(w, d).double().cpu().numpy()
    if shared:
        book = codebook(x, size, seed, steps)
        return BlockCode.of(w, book[None], nearest(x, book)[None])
    places = x.reshape(len(w), -1, d).transpose(1, 0, 2)
    books = [codebook(v, size, seed + m, steps) for m, v in enumerate(places)]
    codes = np.stack([nearest(v, book) + m * size for m, (v, book) in enumerate(zip(places, books, strict=True))], 1)
    return BlockCode.of(w, np.concatenate(books)[None], codes.reshape(1, -1), len(books))
