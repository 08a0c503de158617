"""Bi-Real Net: a sign's derivative that fits better, weights that know their size, a shortcut around every sign.

    F(a) = −1 (a < −1),  2a + a² (−1 ≤ a < 0),  2a − a² (0 ≤ a < 1),  1 (a ≥ 1)
    ∂sign(a)/∂a := F′(a) = 2 − 2|a| for |a| < 1, else 0       F is closer to the sign than the hard tanh is
    W̃ = mean|W|·sign(W), with ∂/∂W through both factors       in training (it is `BWN`); then BatchNorm takes the size
    h ← h + BN( W̃ ∗ sign(h) )                                 real numbers travel along the shortcut

Source: Liu, Wu, Luo, Yang, Liu, Cheng 2018, *Bi-Real Net*, section 3, equations 5–8 and figure 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["approx_sign", "real_shortcuts"]


def approx_sign(a: Tensor) -> Tensor:
    """Return F(a), two pieces of parabolas from −1 to 1; its derivative is 2 − 2|a| inside, 0 outside.

    Examples
    --------
    >>> a = torch.tensor([-2.0, -0.5, 0.0, 0.5], requires_grad=True)
    >>> y = approx_sign(a)
    >>> y.sum().backward()
    >>> y.detach(), a.grad
    (tensor([-1.0000, -0.7500,  0.0000,  0.7500]), tensor([0., 1., 2., 1.]))

    References
    ----------
    Liu et al. 2018, equations 5 and 6.

    Survey-map row: E5.
    """
    inside = torch.where(a < 0, 2 * a + a * a, 2 * a - a * a)
    return torch.where(a.abs() < 1, inside, torch.where(a < 0, -1.0, 1.0).to(a.dtype))


class _Conv(nn.Module):
    """h ↦ BN(conv(h)), with a shortcut around it or without."""

    def __init__(self, a: int, b: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b))
        self.shortcut = _shortcut(a, b, stride) if shortcut else None

    def forward(self, h: Tensor) -> Tensor:
        y: Tensor = self.body(h)
        return y if self.shortcut is None else y + self.shortcut(h)


def _shortcut(a: int, b: int, stride: int) -> nn.Module:
    if a == b and stride == 1:
        return nn.Identity()
    real = nn.Sequential(nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b))
    return real if stride == 1 else nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True), *real)


class _Block(nn.Module):
    """h ↦ h′ + F(h) around two convolutions: an ordinary residual block without its ReLUs."""

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_Conv(a, b, stride, False), _Conv(b, b, 1, False))
        self.shortcut = _shortcut(a, b, stride)

    def forward(self, h: Tensor) -> Tensor:
        y: Tensor = self.body(h) + self.shortcut(h)
        return y


def real_shortcuts(width: int = 16, every: int = 1, seed: int = 0) -> nn.Sequential:
    """Return an untrained residual network for binary inputs: five blocks of two convolutions, in three stages.

    Parameters
    ----------
    width : int
        Channels of the first stage.
    every : {0, 1, 2}
        Shortcuts around every convolution (Bi-Real), around every second one (as in a ResNet), or none (0).
    seed : int
        Of the weights; PyTorch's global generator is not touched.

    Raises
    ------
    ValueError
        If `every` is another number.

    References
    ----------
    Liu et al. 2018, section 3.1 and figure 3.

    Survey-map row: E5.
    """
    if every not in (0, 1, 2):
        raise ValueError(f"every must be 0, 1 or 2, got {every}")
    w = width
    plan = [(w, w, 1), (w, 2 * w, 2), (2 * w, 2 * w, 1), (2 * w, 4 * w, 2), (4 * w, 4 * w, 1)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks: list[nn.Module] = []
        for a, b, stride in plan:
            if every == 2:
                blocks.append(_Block(a, b, stride))
            else:
                blocks += [_Conv(a, b, stride, every == 1), _Conv(b, b, 1, every == 1)]
        stem = [nn.Conv2d(1, w, 3, 2, 1, bias=False), nn.BatchNorm2d(w)]
        head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, 10)]
        return nn.Sequential(*stem, *blocks, *head)
