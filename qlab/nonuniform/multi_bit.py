"""Binary codes by alternating: the best coefficients for the codes, the best codes for the coefficients, again.

    α ← (BᵀB)⁻¹Bᵀw,     b_j ← the digits of the nearest of the 2^K sums Σ ±α_i

Source: Xu et al. 2018, *Alternating multi-bit quantization for recurrent neural networks*, section 3, algorithms 1, 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qlab.granularity import Granularity, PerTensor
from qlab.nonuniform.binary_codes import BinaryCodes, best_alphas, best_codes
from qlab.nonuniform.sketching import greedy
from qlab.validate import check_bits

__all__ = ["alternating"]


def _descend(rows: Tensor, codes: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Alternate from given codes; return coefficients, codes, and the squared error of every row."""
    alphas = best_alphas(rows, codes)
    for _ in range(steps):
        last, codes = codes, best_codes(rows, alphas)
        if torch.equal(last, codes):
            break
        alphas = best_alphas(rows, codes)
    error = (rows - torch.einsum("rk,rkn->rn", alphas, codes.double())).square().sum(1)
    return alphas, codes, error


def alternating(x: Tensor, bases: int, granularity: Granularity | None = None, steps: int = 100) -> BinaryCodes:
    """Alternate between the best coefficients and the best codes.

    Neither half can raise the error, and where the codes stay as they are, it is over: a local optimum. It starts from
    the greedy answer and from the refined one, and every row keeps the better end, so it is never worse than either.

    Parameters
    ----------
    x : Tensor of reals
    bases : int
        K, 1 to 8.
    granularity : Granularity, optional
        Which elements share coefficients; by default all.
    steps : int
        The most rounds. (The paper is content with two.)

    References
    ----------
    Xu et al. 2018, algorithms 1 and 2.

    Examples
    --------
    >>> found = alternating(torch.tensor([-3.0, -1.0, 1.0, 3.0]), 2)
    >>> found.alphas.abs().round().tolist(), found.dequantize()
    ([[2.0, 1.0]], tensor([-3., -1.,  1.,  3.]))

    Survey-map row: Q10.
    """
    granularity, steps = granularity or PerTensor(), check_bits(steps, 1, 10**6, name="steps")
    starts = [greedy(x, bases, granularity, refine) for refine in (False, True)]
    rows = granularity.rows(x.detach()).double()
    (alphas, codes, error), (other_alphas, other_codes, other_error) = (
        _descend(rows, start.codes, steps) for start in starts
    )
    better = other_error < error
    alphas = torch.where(better[:, None], other_alphas, alphas)
    codes = torch.where(better[:, None, None], other_codes, codes)
    return BinaryCodes(alphas, codes, granularity, tuple(x.shape), x.dtype)
