"""Fine-tuning on any pictures, real or made, with the original network as the teacher.

    L_Q = KL(P(x) ‖ Q(x))  [ + CE(Q(x), y) ]

This is GDFQ's second equation without its generator: what the pictures are worth can be compared, all else being equal.
Source: Xu et al. 2020 (GDFQ), equations 6 and 7; the idea of the teacher is Hinton, Vinyals, Dean 2015.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.zsq.gdfq import GenerativeSettings
from qlab.zsq.generator import soft_cross_entropy

__all__ = ["finetune"]


def finetune(
    quantized: nn.Module,
    original: nn.Module,
    pictures: Tensor,
    labels: Tensor | None = None,
    settings: GenerativeSettings | None = None,
) -> nn.Module:
    """Return a copy of `quantized` trained to answer as `original` does on the pictures.

    Parameters
    ----------
    quantized, original : nn.Module
        As `qlab.zsq.gdfq`; left as they are.
    pictures : Tensor, shape (N, channels, height, width)
        Batches are drawn from them without replacement, again and again.
    labels : Tensor of int64, shape (N,), optional
        Classes, if they are known; their cross-entropy is added.
    settings : GenerativeSettings, optional
        Its `steps`, `batch_size`, `lr`, `distillation` and `seed` are used.

    Raises
    ------
    ValueError
        If the original is in training mode, or there is no picture.

    References
    ----------
    Xu et al. 2020, section 3.3.

    Survey-map row: Z4.
    """
    if original.training:
        raise ValueError("original must be in eval mode: call original.eval() first")
    if not len(pictures):
        raise ValueError("pictures must hold at least one picture, got none")
    s = settings or GenerativeSettings()
    student = copy.deepcopy(quantized).eval()  # eval: BatchNorm statistics stay fixed
    with torch.no_grad():
        answers = torch.cat([original(batch) for batch in pictures.split(500)])
    optimizer = torch.optim.SGD(student.parameters(), lr=s.lr, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, s.steps)
    random = torch.Generator().manual_seed(s.seed)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(s.steps):
        while len(order) < min(s.batch_size, len(pictures)):
            order = torch.cat([order, torch.randperm(len(pictures), generator=random)])
        batch, order = order[: s.batch_size], order[s.batch_size :]
        q = student(pictures[batch])
        loss = s.distillation * soft_cross_entropy(q, answers[batch])
        if labels is not None:
            loss = loss + F.cross_entropy(q, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return student.train(quantized.training)
