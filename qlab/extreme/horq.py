"""High-order residual quantization (HORQ): activations as signs, signs of what is left, and so on.

    R_0 = X;   H_k = sign(R_{k−1}),   β_k = mean|R_{k−1}|,   R_k = R_{k−1} − β_k H_k
    X ≈ β_1 H_1 + … + β_K H_K,     ‖R_k‖² = ‖R_{k−1}‖² − n·β_k²

Order 1 is XNOR-Net's input. The last equation holds since R_{k−1}ᵀH_k = Σ|R_{k−1}| = n·β_k: each order takes n·β_k²
away, so the error falls with K, whatever X is.
It is the greedy algorithm for weights (`qlab.nonuniform.greedy`), run on each picture as it comes.
Source: Li, Ni, Zhang, Yang, Gao 2017, *Performance guaranteed network acceleration via high-order residual
quantization*, section 3, equations 5–9. (β for each picture here; for each window of the convolution there.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qlab.extreme.levels import ForInputs
from qlab.extreme.signs import hard_tanh, sign
from qlab.gradients import instead
from qlab.validate import check_bits

__all__ = ["HORQInput", "residual_signs"]


def residual_signs(rows: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return β, shape (rows, K), and H, shape (rows, K, n), of every row.

    Parameters
    ----------
    rows : Tensor, shape (rows, n)
    order : int
        K, 1 to 8.

    Examples
    --------
    >>> beta, signs = residual_signs(torch.tensor([[1.0, -2.0, 4.0, 5.0]]), 2)
    >>> beta  # mean|X| = 3; what is left is −2, 1, 1, 2
    tensor([[3.0000, 1.5000]])
    >>> (beta[..., None] * signs).sum(1)
    tensor([[ 1.5000, -1.5000,  4.5000,  4.5000]])

    References
    ----------
    Li et al. 2017, equations 5–9.

    Survey-map row: E4.
    """
    check_bits(order, 1, 8, name="order")
    betas, signs, left = [], [], rows
    for _ in range(order):
        signs.append(sign(left))
        betas.append(left.abs().mean(1))
        left = left - betas[-1][:, None] * signs[-1]
    return torch.stack(betas, 1), torch.stack(signs, 1)


class _HORQInput(nn.Module):
    def __init__(self, choice: HORQInput) -> None:
        super().__init__()
        self.order = choice.order

    def forward(self, a: Tensor) -> Tensor:
        beta, signs = residual_signs(a.detach().flatten(1), self.order)
        return instead(hard_tanh(a), (beta[..., None] * signs).sum(1).reshape(a.shape))


@dataclass(frozen=True)
class HORQInput(ForInputs):
    """Activations as K orders of signs, with coefficients of their own for every picture.

    Gradients pass where |a| ≤ 1, as for a single sign.

    Parameters
    ----------
    order : int
        K, 1 to 8; the paper takes 2.

    References
    ----------
    Li et al. 2017, section 3.

    Survey-map row: E4.
    """

    order: int = 2
    equation = _HORQInput

    def __post_init__(self) -> None:
        check_bits(self.order, 1, 8, name="order")
