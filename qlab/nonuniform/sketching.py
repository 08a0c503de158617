"""Binary codes in one pass: greedy, greedy with all coefficients solved anew, and shifted signs.

    greedy:   b_k = sign(residual),  α_k = mean|residual|,  residual ← residual − α_k b_k
    refined:  after every step all α anew, by least squares
    shifted:  b_i = sign(w − mean + u_i·std),  u_i from −1 to 1;  α by least squares

Sources: Guo, Yao, Zhao and Chen 2017, *Network sketching*, algorithms 1 and 2 (greedy, refined); Lin, Zhao and Pan
2017, *Towards accurate binary convolutional neural network* (ABC-Net), section 3.1 (shifted).
"""

from __future__ import annotations

import torch
from torch import Tensor

from qlab.granularity import Granularity, PerTensor
from qlab.nonuniform.binary_codes import BinaryCodes, best_alphas
from qlab.validate import check_bits, check_finite, check_real

__all__ = ["greedy", "shifted_signs"]


def _rows(x: Tensor, bases: int, granularity: Granularity | None) -> tuple[Tensor, Granularity]:
    check_bits(bases, 1, 8, name="bases")
    granularity = granularity or PerTensor()
    return granularity.rows(check_finite(check_real(x)).detach()).double(), granularity


def _signs(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1, -1).to(torch.int8)


def greedy(x: Tensor, bases: int, granularity: Granularity | None = None, refine: bool = False) -> BinaryCodes:
    """Take signs of what is left, again and again.

    Parameters
    ----------
    x : Tensor of reals
    bases : int
        K, 1 to 8.
    granularity : Granularity, optional
        Which elements share coefficients; by default all.
    refine : bool
        After every step solve for all coefficients anew (Guo's algorithm 2).

    References
    ----------
    Guo et al. 2017, algorithms 1 and 2.

    Examples
    --------
    >>> found = greedy(torch.tensor([1.0, -2.0, 4.0, 5.0]), 1)
    >>> found.alphas, found.codes.flatten()  # mean|w| and sign(w)
    (tensor([[3.]], dtype=torch.float64), tensor([ 1, -1,  1,  1], dtype=torch.int8))

    Survey-map row: Q10.
    """
    rows, granularity = _rows(x, bases, granularity)
    codes = torch.empty(len(rows), 0, rows.shape[1], dtype=torch.int8, device=rows.device)
    alphas = rows.new_empty(len(rows), 0)
    left = rows
    for _ in range(bases):
        codes = torch.cat([codes, _signs(left)[:, None]], 1)
        alphas = best_alphas(rows, codes) if refine else torch.cat([alphas, left.abs().mean(1, keepdim=True)], 1)
        left = rows - torch.einsum("rk,rkn->rn", alphas, codes.double())
    return BinaryCodes(alphas, codes, granularity, tuple(x.shape), x.dtype)


def shifted_signs(x: Tensor, bases: int, granularity: Granularity | None = None) -> BinaryCodes:
    """Take signs about K thresholds a fixed number of standard deviations apart; only α is fitted.

    Parameters
    ----------
    x, bases, granularity
        As in `greedy`.

    References
    ----------
    Lin, Zhao and Pan 2017, section 3.1 (ABC-Net), u_i = −1 + 2(i − 1)/(K − 1).

    Survey-map row: Q10.
    """
    rows, granularity = _rows(x, bases, granularity)
    u = torch.linspace(-1, 1, bases, dtype=rows.dtype) if bases > 1 else torch.zeros(1, dtype=rows.dtype)
    spread = rows.std(1, correction=0, keepdim=True)[:, None] * u.to(rows.device)[None, :, None]
    codes = _signs((rows - rows.mean(1, keepdim=True))[:, None] + spread)
    return BinaryCodes(best_alphas(rows, codes), codes, granularity, tuple(x.shape), x.dtype)
