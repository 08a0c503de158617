"""ReLU with a ceiling for every channel: what ReLU6 becomes when its channels are scaled one by one.

    min(max(s·x, 0), t) = s·min(max(x, 0), t/s),   s > 0

ReLU6 itself does not allow this: 6 is 6 for every channel. Nagel et al. 2019 (DFQ, section 5.1.1) put ReLU in its
place; where channels rely on the ceiling, that is another function. With a ceiling per channel equalization is exact;
the price is one number per channel, and a device that can clip at it (an integer program clips codes anyway).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

__all__ = ["CappedReLU", "relu6_to_capped"]


class CappedReLU(nn.Module):
    """x ↦ min(max(x, 0), t), t one number for all channels or one for each (axis 1).

    Parameters
    ----------
    top : Tensor, shape (1,) or (channels,)
        t.

    Examples
    --------
    >>> CappedReLU(torch.tensor([6.0, 2.0]))(torch.tensor([[7.0, 7.0], [-1.0, 1.0]]))
    tensor([[6., 2.],
            [0., 1.]])

    Survey-map rows: T7, Z1.
    """

    top: Tensor

    def __init__(self, top: Tensor) -> None:
        super().__init__()
        self.register_buffer("top", top)

    def forward(self, x: Tensor) -> Tensor:
        """Return the clipped input."""
        return torch.minimum(x.clamp(min=0), self.top.reshape(-1, *[1] * (x.dim() - 2)))


def relu6_to_capped(model: nn.Module) -> nn.Module:
    """Return a copy of `model`, the same function, with `CappedReLU` in place of ReLU6: `equalize` can pass through it.

    References
    ----------
    Nagel et al. 2019, section 5.1.1 (which puts ReLU there).

    Survey-map rows: T7, Z1.
    """
    model = copy.deepcopy(model)
    one = next(model.parameters())
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.ReLU6):
            model.set_submodule(name, CappedReLU(torch.full((1,), 6.0, device=one.device, dtype=one.dtype)))
    return model
