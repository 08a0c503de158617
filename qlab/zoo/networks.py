"""The course's networks: small, ordinary, and readable by torch.fx. Input (N, 1, 28, 28), output ten logits.

=========== ==================================================== ==================================
name        what it is                                           source of the idea
=========== ==================================================== ==================================
mlp         two hidden layers                                    Rumelhart et al. 1986
convnet     convolution, BatchNorm, ReLU, pooling                LeCun et al. 1998; Ioffe, Szegedy 2015
resnet      residual blocks                                      He et al. 2016
separable   inverted residuals of depth-wise separable convs     Sandler et al. 2018 (MobileNetV2)
=========== ==================================================== ==================================
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["NETWORKS", "build", "convnet", "mlp", "resnet", "separable"]


def mlp(hidden: tuple[int, ...] = (128, 64)) -> nn.Sequential:
    """Return a multi-layer perceptron.

    Survey-map row: Q1.
    """
    widths = (28 * 28, *hidden)
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def _conv_bn(a: int, b: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(a, b, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(b)]


def convnet(width: int = 16) -> nn.Sequential:
    """Return a BatchNorm ConvNet: four convolutions, `width` to 4·`width` channels.

    Survey-map row: Q1.
    """
    w = width
    return nn.Sequential(
        *_conv_bn(1, w),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *_conv_bn(w, 2 * w),
        nn.ReLU(),
        *_conv_bn(2 * w, 4 * w, stride=2),
        nn.ReLU(),
        *_conv_bn(4 * w, 4 * w),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * w, 10),
    )


class _Residual(nn.Module):
    """h ↦ relu(h′ + F(h)): two convolutions, and a 1×1 convolution on the shortcut where the shape changes."""

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv_bn(a, b, stride=stride), nn.ReLU(), *_conv_bn(b, b))
        same = a == b and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv_bn(a, b, kernel=1, stride=stride))
        self.relu = nn.ReLU()

    def forward(self, h: Tensor) -> Tensor:
        return self.relu(self.shortcut(h) + self.body(h))


def resnet(width: int = 16) -> nn.Sequential:
    """Return a residual network: five blocks in three stages.

    Survey-map row: B4.
    """
    w = width
    plan = [(w, w, 1), (w, 2 * w, 2), (2 * w, 2 * w, 1), (2 * w, 4 * w, 2), (4 * w, 4 * w, 1)]
    blocks = [_Residual(a, b, stride) for a, b, stride in plan]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, 10)]
    return nn.Sequential(*_conv_bn(1, w, stride=2), nn.ReLU(), *blocks, *head)


class _InvertedResidual(nn.Module):
    """1×1 expansion, 3×3 depth-wise, 1×1 linear projection; an identity shortcut where the shape allows it."""

    def __init__(self, a: int, b: int, stride: int, expand: int) -> None:
        super().__init__()
        e = a * expand
        self.body = nn.Sequential(
            *_conv_bn(a, e, kernel=1),
            nn.ReLU6(),
            *_conv_bn(e, e, stride=stride, groups=e),
            nn.ReLU6(),
            *_conv_bn(e, b, kernel=1),
        )
        self.residual = a == b and stride == 1

    def forward(self, h: Tensor) -> Tensor:
        return h + self.body(h) if self.residual else self.body(h)


def separable(width: int = 16, expand: int = 6) -> nn.Sequential:
    """Return a MobileNetV2-like network of depth-wise separable convolutions.

    Survey-map row: B2.
    """
    w = width
    plan = [(w, w, 1), (w, 2 * w, 2), (2 * w, 2 * w, 1), (2 * w, 4 * w, 2), (4 * w, 4 * w, 1)]
    blocks = [_InvertedResidual(a, b, stride, expand) for a, b, stride in plan]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * w, 10)]
    return nn.Sequential(
        *_conv_bn(1, w, stride=2), nn.ReLU6(), *blocks, *_conv_bn(4 * w, 8 * w, kernel=1), nn.ReLU6(), *head
    )


NETWORKS: dict[str, Callable[..., nn.Sequential]] = {
    "mlp": mlp,
    "convnet": convnet,
    "resnet": resnet,
    "separable": separable,
}


def build(name: str, seed: int = 0, **options: Any) -> nn.Sequential:
    """Return an untrained network, initialized from `seed` without touching PyTorch's global generator.

    Parameters
    ----------
    name : {"mlp", "convnet", "resnet", "separable"}
    seed : int
    **options
        Widths, as the function of that name takes them.

    Raises
    ------
    ValueError
        If there is no such network.

    Survey-map row: Q1.
    """
    if name not in NETWORKS:
        raise ValueError(f"name must be one of {', '.join(NETWORKS)}, got {name!r}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](**options)
