"""The two tricks of autograd that quantization-aware training is written with.

    through(t):   forward Int(t),  backward ∂/∂t := 1          (straight-through estimator)
    slowed(s, g): forward s,       backward ∂/∂s := g          (gradient scale)

Sources: Bengio, Léonard, Courville 2013; Esser et al. 2020 (LSQ), section 2 and appendix A.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["slowed", "through"]


def through(t: Tensor, rounded: Tensor | None = None) -> Tensor:
    """Return `rounded` (by default Int(t), ties to even) whose gradient with respect to t is 1.

    Parameters
    ----------
    t : Tensor
    rounded : Tensor, optional
        What goes forward instead of Int(t), of the shape of t.

    Examples
    --------
    >>> t = torch.tensor([0.4, 1.7], requires_grad=True)
    >>> y = through(t)
    >>> y.sum().backward()
    >>> y.detach(), t.grad
    (tensor([0., 2.]), tensor([1., 1.]))

    Survey-map row: T1.
    """
    rounded = torch.round(t) if rounded is None else rounded
    return t + (rounded - t).detach()


def slowed(s: Tensor, g: float) -> Tensor:
    """Return s, whose gradient is multiplied by g.

    Examples
    --------
    >>> s = torch.tensor(2.0, requires_grad=True)
    >>> slowed(s, 0.1).backward()
    >>> s.grad
    tensor(0.1000)

    Survey-map row: T2.
    """
    return s * g + (s - s * g).detach()
