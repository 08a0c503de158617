"""Additive quantization: the codebooks of residual quantization, fitted together instead of one after another.

    min ‖V − Σ_t B_t C_t‖²,     B_t one-hot:  all C_t at once by least squares, given the codes;
    then each code anew, given the codebooks and the other codes. Neither half can raise the error.

Finding the best codes exactly is a hard combinatorial problem (k^T sums); choosing one code at a time, round and round,
is the simplest search that never gets worse. Babenko and Lempitsky use a beam search, AQLM (for language models) too.
Sources: Babenko, Lempitsky 2014, *Additive quantization for extreme vector compression*; Egiazarian et al. 2024,
*Extreme compression of large language models via additive quantization*.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from qlab.vector.codewords import BlockCode, blocks
from qlab.vector.product import nearest
from qlab.vector.residual import residual_quantize

__all__ = ["additive_quantize", "fit_books", "reassign"]


def fit_books(v: np.ndarray, codes: np.ndarray, size: int) -> np.ndarray:
    """Return the codebooks that are best for these codes, shape (stages, size, d), by least squares.

    Survey-map row: V3.
    """
    stages = len(codes)
    at = codes + size * np.arange(stages)[:, None]
    gram, right = np.zeros((stages * size,) * 2), np.zeros((stages * size, v.shape[1]))
    for a in at:
        np.add.at(right, a, v)
        for b in at:
            np.add.at(gram, (a, b), 1.0)
    # The sums do not change if one codebook moves up and another down: the Gram matrix is singular, so no plain solve.
    return np.asarray(np.linalg.lstsq(gram, right, rcond=1e-10)[0]).reshape(stages, size, -1)


def reassign(v: np.ndarray, books: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the codes after one round: each stage takes the codeword nearest to what the others leave.

    Survey-map row: V3.
    """
    codes = codes.copy()
    total = sum(book[code] for book, code in zip(books, codes, strict=True))
    for t, book in enumerate(books):
        rest = v - (total - book[codes[t]])
        codes[t] = nearest(rest, book)
        total = v - rest + book[codes[t]]
    return codes


def additive_quantize(
    w: Tensor, d: int, size: int, stages: int, seed: int = 0, rounds: int = 5, steps: int = 50
) -> BlockCode:
    """Return a weight as sums of codewords from codebooks that were fitted together.

    Parameters
    ----------
    w, d, size, stages, seed, steps
        As `residual_quantize` takes them; it is the start.
    rounds : int
        Of fitting codebooks and choosing codes.

    References
    ----------
    Babenko and Lempitsky 2014, section 3.

    Survey-map row: V3.
    """
    start = residual_quantize(w, d, size, stages, seed, steps)
    v = blocks(w, d).double().cpu().numpy()
    books, codes = start.books.double().cpu().numpy(), start.codes.cpu().numpy()
    for _ in range(rounds):
        books = fit_books(v, codes, size)
        codes = reassign(v, books, codes)
    return BlockCode.of(w, books, codes)
