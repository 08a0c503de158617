"""One bit: the sign of a number, and what to pretend about its derivative.

    b = sign(x) = +1 for x ≥ 0, −1 for x < 0          (zero must go somewhere: one bit has no code for it)
    backward: ∂b/∂x := F′(x)                           F a soft sign; the sign's own derivative is 0

F(x) = x is the straight-through estimator, F(x) = clip(x, −1, 1) the hard tanh of binarized networks (BNN).
Sources: Bengio, Léonard, Courville 2013; Hubara et al. 2016, *Binarized neural networks*, section 1.3, equation 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["hard_tanh", "sign"]


def sign(x: Tensor) -> Tensor:
    """Return +1 where x ≥ 0, and −1 elsewhere, in the dtype of x.

    Examples
    --------
    >>> sign(torch.tensor([-0.3, 0.0, 2.0]))  # torch.sign says 0 in the middle, which one bit cannot hold
    tensor([-1.,  1.,  1.])

    References
    ----------
    Hubara et al. 2016, equation 1.

    Survey-map row: E1.
    """
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def hard_tanh(x: Tensor) -> Tensor:
    """Return clip(x, −1, 1); its derivative is 1 where |x| ≤ 1, and 0 elsewhere.

    References
    ----------
    Hubara et al. 2016, equation 4.

    Survey-map row: E1.
    """
    return x.clamp(-1, 1)
