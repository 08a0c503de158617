r"""Attention transfer: the student looks where the teacher looks.

    A(a) = Σ_c a_c² over the channels,  flattened,  Â = A/‖A‖
    L = CE(s, y) + ½μ·Σ_l ‖Â_l(student) − Â_l(teacher)‖²

A hint from inside: it compares layers, not answers, and since it sums over channels, the two may differ in width.
(FitNets' hint compares the channels themselves and needs a learned regressor between them.)

Source: Zagoruyko, Komodakis 2017, *Paying more attention to attention*, equations 1 and 2; Romero et al. 2015,
*FitNets: hints for thin deep nets*, equation 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AttentionTransfer", "attention_distance", "attention_map", "tapped"]


def attention_map(a: Tensor) -> Tensor:
    """Return Â: the squares summed over channels, flattened and of unit length.

    Parameters
    ----------
    a : Tensor, shape (N, C, H, W)

    Returns
    -------
    Tensor, shape (N, H·W)

    Raises
    ------
    ValueError
        If there are not four axes.

    Examples
    --------
    >>> attention_map(torch.tensor([[[[1.0, 0.0]], [[1.0, 2.0]]]]))  # (2, 4)/√20
    tensor([[0.4472, 0.8944]])

    Survey-map row: D1.
    """
    if a.ndim != 4:
        raise ValueError(f"a must have the axes (N, C, H, W), got shape {tuple(a.shape)}")
    return F.normalize(a.square().sum(1).flatten(1), dim=1)


def attention_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ½‖Â(student) − Â(teacher)‖², the mean over the batch: 0 where both look alike, 1 where not at all.

    Parameters
    ----------
    student, teacher : Tensor, shapes (N, C, H, W) and (N, C′, H, W)

    Survey-map row: D1.
    """
    if student.shape[-2:] != teacher.shape[-2:]:
        raise ValueError(f"student and teacher must agree in height and width, got {student.shape}, {teacher.shape}")
    return 0.5 * (attention_map(student) - attention_map(teacher)).square().sum(1).mean()


@contextmanager
def tapped(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dictionary that a forward pass fills with the outputs of the named modules.

    Raises
    ------
    ValueError
        If a name is no module of the model.

    Survey-map row: D1.
    """
    modules, seen = dict(model.named_modules()), dict[str, Tensor]()
    if odd := set(names) - modules.keys():
        raise ValueError(f"names must be modules of the model, got {', '.join(sorted(odd))}")

    def keep(name: str) -> Any:
        return lambda module, args, output: seen.__setitem__(name, output)

    hooks = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True, eq=False)
class AttentionTransfer:
    """The loss of a batch for `qlab.zoo.train`: ``train(student, data, loss=AttentionTransfer(teacher, taps))``.

    Parameters
    ----------
    teacher : nn.Module
        In eval mode.
    taps : sequence of str
        Modules compared, by their names in both networks.
    strength : float
        μ, shared by all taps.

    Raises
    ------
    ValueError
        If the teacher is in training mode.

    References
    ----------
    Zagoruyko, Komodakis 2017, equation 2.

    Survey-map row: D1.
    """

    teacher: nn.Module
    taps: Sequence[str]
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.teacher.training:
            raise ValueError("teacher must be in eval mode: call teacher.eval() first")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of the student `model` on a batch."""
        with torch.no_grad(), tapped(self.teacher, self.taps) as shown:
            self.teacher(x)
        with tapped(model, self.taps) as seen:
            loss = F.cross_entropy(model(x), y)
        return loss + self.strength * sum(attention_distance(seen[t], shown[t]) for t in self.taps)
