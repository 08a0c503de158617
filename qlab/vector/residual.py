"""Residual vector quantization: quantize, then quantize what is left, and again.

    r_0 = v,      q_t = argmin_k ‖r_{t−1} − C_t[k]‖²,      r_t = r_{t−1} − C_t[q_t],      ṽ = Σ_t C_t[q_t]

T stages of k codewords reach k^T sums and store T·k codewords. C_t is k-means of the residuals, so that the error
falls with each stage, ‖r_t‖ ≤ ‖r_{t−1}‖ in total: the mean of all residuals is as good as any single codeword.
Sources: Juang, Gray 1982, *Multiple stage vector quantization for speech coding*; Chen, Guan, Wang 2010, *Approximate
nearest neighbor search by residual vector quantization*.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from qlab.validate import check_bits
from qlab.vector.codewords import BlockCode, blocks
from qlab.vector.product import codebook, nearest

__all__ = ["residual_quantize"]


def residual_quantize(w: Tensor, d: int, size: int, stages: int, seed: int = 0, steps: int = 50) -> BlockCode:
    """Return a weight as sums of codewords, one from each stage's codebook.

    Parameters
    ----------
    w : Tensor, shape (rows, …)
    d : int
        Numbers in a block; divides the numbers of a row.
    size : int
        k, codewords of a stage.
    stages : int
        T, 1 to 16. One stage is product quantization with a shared codebook.
    seed, steps : int
        Of k-means.

    References
    ----------
    Chen et al. 2010, section 3.

    Examples
    --------
    >>> import torch
    >>> w = torch.tensor([[0.0], [1.0], [10.0], [11.0]])  # {0, 10} + {0, 1}, but for where the mean goes
    >>> code = residual_quantize(w, d=1, size=2, stages=2)
    >>> code.decode().flatten().tolist(), code.books.numel()
    ([0.0, 1.0, 10.0, 11.0], 4)

    Survey-map row: V3.
    """
    check_bits(stages, 1, 16, "stages")
    check_bits(size, 1, 1 << 16, "size")
    r = blocks(w, d).double().cpu().numpy()
    books, codes = [], []
    for t in range(stages):
        books.append(codebook(r, size, seed + t, steps))
        codes.append(nearest(r, books[-1]))
        r = r - books[-1][codes[-1]]
    return BlockCode.of(w, np.stack(books), np.stack(codes))
