"""What flows back through a quantizer.

Int(·) is a staircase: its true derivative is zero almost everywhere, and training through it stands still. The
straight-through estimator pretends that it is the identity:

    ∂r̃/∂r := 1                            (plain),
    ∂r̃/∂r := 1 inside the clip, 0 outside (clipped: Int(r/S) − Z in q_min … q_max).

Sources: Bengio, Léonard, Courville 2013; Gholami et al. 2021, section III G 1 and figure 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["ClippedStraightThrough", "Gradient", "StraightThrough", "TrueGradient", "instead"]


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


class _Instead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, soft: Tensor, hard: Tensor) -> Tensor:
        return hard.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def instead(soft: Tensor, hard: Tensor) -> Tensor:
    """Return `hard`, to the last bit, whose gradient goes to `soft`.

    The usual ``soft + (hard − soft).detach()`` rounds twice: next to a large `soft`, a sign is lost.

    Parameters
    ----------
    soft, hard : Tensor
        Of one shape and dtype.

    Examples
    --------
    >>> x = torch.tensor([0.4, 1.7], requires_grad=True)
    >>> y = instead(x.clamp(-1, 1), x.sign())  # a sign with the gradient of the hard tanh
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([1., 1.]), tensor([1., 0.]))

    Survey-map rows: T1, E1.
    """
    y: Tensor = _Instead.apply(soft, hard)
    return y
