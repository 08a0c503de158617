"""Sixteen real photographs that come with scikit-image and scikit-learn, for networks trained on ImageNet. No labels.

Every other photograph (in the order of names) is for calibration, the rest for measuring: crops of one picture are
alike, so a picture must not be on both sides. Nothing is downloaded: the files lie in the packages (extra ``real``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from qlab.validate import check_bits

__all__ = ["PHOTOGRAPHS", "Photographs", "real_photographs"]

PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "china",
    "coffee",
    "coins",
    "flower",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "motorcycle",
    "retina",
    "rocket",
)
"""Chelsea is a cat. Grey pictures (brick, camera, coins, grass, gravel, moon) get three equal channels."""

PARTS: dict[str, tuple[str, ...]] = {
    "all": PHOTOGRAPHS,
    "calibration": PHOTOGRAPHS[::2],
    "test": PHOTOGRAPHS[1::2],
}


@dataclass(frozen=True, eq=False)
class Photographs:
    """Crops of photographs.

    Attributes
    ----------
    names : tuple of str
        Of the photograph that each crop comes from.
    pixels : Tensor of uint8, shape (N, 3, size, size)
        Red, green, blue.

    Survey-map rows: T7, Z1.
    """

    names: tuple[str, ...]
    pixels: Tensor

    def __len__(self) -> int:
        return len(self.names)


def _load(name: str) -> Tensor:
    """Return a photograph as floats 0 … 255, shape (3, height, width)."""
    try:
        import skimage.data
        import sklearn.datasets
    except ImportError as error:
        raise ImportError(
            "the photographs come with scikit-image and scikit-learn: pip install 'qlab-course[real]' "
            "(in a checkout: pip install -e '.[real]')"
        ) from error
    readers: dict[str, Callable[[], Any]] = {
        "china": lambda: sklearn.datasets.load_sample_image("china.jpg"),
        "flower": lambda: sklearn.datasets.load_sample_image("flower.jpg"),
        "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
    }
    pixels = torch.tensor(readers.get(name, getattr(skimage.data, name, None))(), dtype=torch.float32)  # type: ignore[misc]
    return pixels.expand(3, *pixels.shape) if pixels.dim() == 2 else pixels.permute(2, 0, 1)


def _crops(picture: Tensor, number: int, size: int) -> Tensor:
    """Return the central square (7/8 of the short side, as ImageNet is tested), then the corners (3/4 of it)."""
    height, width = picture.shape[1:]
    big, small = 7 * min(height, width) // 8, 3 * min(height, width) // 4
    low, right = height - small, width - small
    boxes = [((height - big) // 2, (width - big) // 2, big)]
    boxes += [(y, x, small) for y in (0, low) for x in (0, right)]
    parts = [picture[None, :, y : y + side, x : x + side] for y, x, side in boxes[:number]]
    return torch.cat([F.interpolate(p, (size, size), mode="bilinear", antialias=True) for p in parts])


def real_photographs(part: str = "all", crops: int = 1, size: int = 224) -> Photographs:
    """Return crops of real photographs.

    Parameters
    ----------
    part : {"all", "calibration", "test"}
        All sixteen, or eight for one purpose and eight for the other.
    crops : int
        Of every photograph, 1 to 5: the middle, then the four corners. The middle of each comes first.
    size : int
        Pixels along a side after resizing (224 for EfficientNet-Lite0).

    Raises
    ------
    ImportError
        If scikit-image or scikit-learn is missing.
    ValueError
        If there is no such part, or crops or size is out of range.

    Survey-map rows: T7, Z1.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
    check_bits(crops, 1, 5, name="crops")
    check_bits(size, 1, 4096, name="size")
    pixels = torch.stack([_crops(_load(name), crops, size) for name in PARTS[part]], 1)
    return Photographs(PARTS[part] * crops, pixels.flatten(0, 1).round().clamp(0, 255).to(torch.uint8))
