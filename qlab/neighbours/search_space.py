"""The space that `qlab.neighbours.search` searches: 450 small quantized networks for 28×28 pictures.

    stem 3×3, stride 2, w channels → block to 2w channels, stride 2 → (depth − 1) blocks of 2w channels → mean → linear

Every choice is one that the survey's section I names: the block, its kernel, the width, the depth, and the bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.data import Images, load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.network import Recipe, quantize
from qlab.quantizer import Quantizer
from qlab.zoo.training import TrainingSettings, evaluate, train

__all__ = [
    "SETTINGS",
    "SPACE",
    "Candidate",
    "build_candidate",
    "quantized_candidate",
    "split",
    "train_candidate",
    "trained_accuracy",
]

SPACE: dict[str, tuple] = {
    "block": ("standard", "separable", "residual"),
    "kernel": (3, 5),
    "width": (4, 6, 8, 12, 16),
    "depth": (1, 2, 3),
    "bits": (2, 3, 4, 6, 8),
}
SETTINGS = TrainingSettings(epochs=6, batch_size=64, lr=0.1, augment=False)


@dataclass(frozen=True)
class Candidate:
    """One point of the space.

    Attributes
    ----------
    block : {"standard", "separable", "residual"}
    kernel, width, depth, bits : int

    Raises
    ------
    ValueError
        If a choice is not in the space.

    Survey-map row: B5.
    """

    block: str
    kernel: int
    width: int
    depth: int
    bits: int

    def __post_init__(self) -> None:
        for name, allowed in SPACE.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")


def _conv_bn(a: int, b: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(b)]


class _Residual(nn.Module):
    def __init__(self, a: int, b: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv_bn(a, b, kernel, stride), nn.ReLU(), *_conv_bn(b, b, kernel))
        # Pooling before the 1×1 convolution, not a stride in it: with channels_last memory and fewer than 8 channels
        # the backward pass of a strided 1×1 convolution in PyTorch 2.13 writes past its buffer on a CPU.
        shortcut = nn.Sequential(nn.AvgPool2d(stride), *_conv_bn(a, b, 1))
        self.shortcut = nn.Identity() if a == b and stride == 1 else shortcut

    def forward(self, h: Tensor) -> Tensor:
        return torch.relu(self.shortcut(h) + self.body(h))


def _block(kind: str, a: int, b: int, kernel: int, stride: int) -> nn.Module:
    if kind == "residual":
        return _Residual(a, b, kernel, stride)
    if kind == "separable":
        return nn.Sequential(*_conv_bn(a, a, kernel, stride, groups=a), nn.ReLU(), *_conv_bn(a, b, 1), nn.ReLU())
    return nn.Sequential(*_conv_bn(a, b, kernel, stride), nn.ReLU())


def build_candidate(candidate: Candidate, seed: int = 0) -> nn.Sequential:
    """Return the untrained network of a candidate, in floating point (its bits come in after training).

    Survey-map row: B5.
    """
    c = candidate
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks = [_block(c.block, c.width, 2 * c.width, c.kernel, stride=2)]
        blocks += [_block(c.block, 2 * c.width, 2 * c.width, c.kernel, stride=1) for _ in range(c.depth - 1)]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * c.width, 10)]
        return nn.Sequential(*_conv_bn(1, c.width, 3, stride=2), nn.ReLU(), *blocks, *head)


def quantized_candidate(candidate: Candidate, network: nn.Module) -> nn.Module:
    """Return `network` with its weights at the candidate's bits: symmetric, a scale per channel, least squared error.

    Survey-map row: B5.
    """
    return quantize(network, Recipe(Quantizer(Symmetric(candidate.bits), PerChannel(0), MSE())))


def split() -> tuple[Images, Images]:
    """Return 5,000 training and 1,000 validation pictures of the embedded subset; the test set stays out of it.

    Survey-map row: B5.
    """
    images = load_train_subset()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order[:5000]], images[order[5000:]]


def train_candidate(candidate: Candidate, settings: TrainingSettings = SETTINGS) -> nn.Module:
    """Return the candidate's network trained on the 5,000 pictures of `split`, in floating point.

    Survey-map row: B5.
    """
    return train(build_candidate(candidate, settings.seed), split()[0], settings)


def trained_accuracy(candidate: Candidate, settings: TrainingSettings = SETTINGS) -> float:
    """Return the validation accuracy of a candidate, trained now and quantized after: the honest, slow objective.

    Survey-map row: B5.
    """
    return evaluate(quantized_candidate(candidate, train_candidate(candidate, settings)), split()[1])
