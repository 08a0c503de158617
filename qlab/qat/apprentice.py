"""Apprentice: a low-precision student and its full-precision teacher, in one loss.

    L = α·H(y, p_T) + β·H(y, p_A) + γ·H(p_T, p_A),      H(p, q) = −Σ_k p_k ln q_k

p_T and p_A are the probabilities of teacher and apprentice at temperature 1. With a frozen teacher the first term is a
number, and H(p_T, p_A) = KL(p_T ‖ p_A) + H(p_T): what is left is Hinton's loss at T = 1 with his α = γ/(β + γ),
multiplied by β + γ. What the paper adds is three *orders of events*:

    scheme A   teacher and apprentice start from nothing and train together
    scheme B   the teacher is trained, the apprentice starts from nothing
    scheme C   both start trained; the apprentice is quantized, then fine-tuned under the teacher

Source: Mishra, Marr 2018, *Apprentice: using knowledge distillation techniques to improve low-precision network
accuracy*, equation 1 and section 4.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["apprentice_loss"]


def apprentice_loss(
    apprentice: Tensor, teacher: Tensor, labels: Tensor, alpha: float = 1.0, beta: float = 0.5, gamma: float = 0.5
) -> Tensor:
    """Return α·H(y, p_T) + β·H(y, p_A) + γ·H(p_T, p_A), the mean over the batch.

    Parameters
    ----------
    apprentice, teacher : Tensor, shape (N, classes)
        Logits. Where the teacher's carry a gradient (scheme A), the third term sends it none: the teacher learns from
        labels, the apprentice from both.
    labels : Tensor of int64, shape (N,)
    alpha, beta, gamma : float
        The paper's weights by default.

    Raises
    ------
    ValueError
        If the shapes differ, or a weight is negative.

    References
    ----------
    Mishra, Marr 2018, equation 1.

    Examples
    --------
    >>> import torch
    >>> even = torch.zeros(1, 2)
    >>> apprentice_loss(even, even, torch.tensor([0])) / torch.tensor(2.0).log()  # α + β + γ
    tensor(2.)

    Survey-map row: D1.
    """
    if apprentice.shape != teacher.shape:
        raise ValueError(f"apprentice and teacher must have the same shape, got {apprentice.shape}, {teacher.shape}")
    if min(alpha, beta, gamma) < 0:
        raise ValueError(f"alpha, beta and gamma must not be negative, got {alpha}, {beta}, {gamma}")
    p_T = F.softmax(teacher.detach(), -1)
    hard = alpha * F.cross_entropy(teacher, labels) + beta * F.cross_entropy(apprentice, labels)
    return hard - gamma * (p_T * F.log_softmax(apprentice, -1)).sum(-1).mean()
