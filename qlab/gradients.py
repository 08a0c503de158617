"""What flows back through a quantizer.

Int(·) is a staircase: its true derivative is zero almost everywhere, and training through it stands still. The
straight-through estimator pretends that it is the identity:

    ∂r̃/∂r := 1                            (plain),
    ∂r̃/∂r := 1 inside the clip, 0 outside (clipped: Int(r/S) − Z in q_min … q_max).

Sources: Bengio, Léonard, Courville 2013; Gholami et al. 2021, section III G 1 and figure 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["ClippedStraightThrough", "Gradient", "StraightThrough", "TrueGradient"]


@runtime_checkable
class Gradient(Protocol):
    """Turns the gradient at r̃ into the gradient at r, knowing which elements were inside the clip.

    Survey-map row: T1.
    """

    def __call__(self, grad: Tensor, inside: Tensor, /) -> Tensor:
        """Return the gradient at r; `inside` is boolean, of the same shape as `grad`."""
        ...


@dataclass(frozen=True)
class ClippedStraightThrough:
    """Identity inside the clip, zero outside: a clipped value cannot pull itself further out.

    Examples
    --------
    >>> ClippedStraightThrough()(torch.tensor([2.0, 2.0]), torch.tensor([True, False]))
    tensor([2., 0.])

    Survey-map row: T1.
    """

    def __call__(self, grad: Tensor, inside: Tensor) -> Tensor:
        """Return grad where inside, else 0."""
        return torch.where(inside, grad, 0)


@dataclass(frozen=True)
class StraightThrough:
    """Identity everywhere, clipped or not.

    Survey-map row: T1.
    """

    def __call__(self, grad: Tensor, inside: Tensor) -> Tensor:
        """Return grad."""
        return grad


@dataclass(frozen=True)
class TrueGradient:
    """The derivative of the staircase where it exists: zero. For showing why it does not train.

    Survey-map row: T1.
    """

    def __call__(self, grad: Tensor, inside: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(grad)
