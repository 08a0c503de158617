"""Fashion-MNIST in its IDX format: one reader for the embedded files, Debian's and the official ones.

An IDX file is a magic number (two zero bytes, the type 0x08 for uint8, the number of axes), the length of every axis as
a big-endian uint32, then the values. Source: Xiao, Rasul, Vollgraf 2017, *Fashion-MNIST*, arXiv:1708.07747.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "CLASSES",
    "MEAN",
    "STD",
    "Images",
    "load_calibration",
    "load_full_train",
    "load_test",
    "load_train_subset",
    "read_idx",
]

CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
MEAN, STD = 0.2860, 0.3530  # of all training pixels scaled to 0 … 1

# SHA-256 of the IDX contents (decompressed: the compressed bytes differ between Debian's copies and the official ones).
FULL_TRAIN = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
}
# MD5 of the official compressed files, as published by the authors: what pooch checks while downloading.
_PUBLISHED_MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
}
EMBEDDED = {
    "test-images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "test-labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    "train-subset-images": "a58210530de795c9ef489fcd338a325d901b8a848a7bfe8f62c1c3cac4749379",
    "train-subset-labels": "29720f5598e03e97461381b2ad548218fe41353c2fa69d3aac4db34b2eb422e3",
}
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_OFFICIAL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"


@dataclass(frozen=True, eq=False)
class Images:
    """Pictures and their classes.

    Attributes
    ----------
    images : Tensor of uint8, shape (N, 28, 28)
    labels : Tensor of int64, shape (N,)

    Survey-map row: Q1.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> Images:
        """Return some of the pictures."""
        return Images(self.images[index], self.labels[index])

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return network inputs (x/255 − mean)/std, float32 of shape (N, 1, 28, 28), and labels."""
        return ((self.images.float() / 255 - MEAN) / STD)[:, None], self.labels


def read_idx(data: bytes) -> np.ndarray:
    """Return the array of uint8 in an IDX file's bytes.

    Raises
    ------
    ValueError
        If the bytes are not an IDX file of uint8, or are cut short.

    Survey-map row: Q1.
    """
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(f"data must be an IDX file of uint8 (magic 00 00 08), got {data[:4].hex(' ')}")
    axes = data[3]
    shape = tuple(np.frombuffer(data, ">u4", axes, offset=4).astype(int))
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
    if values.size != np.prod(shape):
        raise ValueError(f"data must hold {np.prod(shape)} values for shape {shape}, got {values.size}")
    return values.reshape(shape)


def _verified(data: bytes, sha256: str, name: str) -> np.ndarray:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"{name} is damaged: its SHA-256 is {found}, expected {sha256}; delete it and fetch it again")
    return read_idx(data)


@cache
def _embedded(part: str) -> Images:
    arrays = []
    for kind in ("images", "labels"):
        packed = resources.files("qlab.data").joinpath(f"{part}-{kind}.xz").read_bytes()
        arrays.append(_verified(lzma.decompress(packed), EMBEDDED[f"{part}-{kind}"], f"{part}-{kind}.xz"))
    return Images(torch.from_numpy(arrays[0].copy()), torch.from_numpy(arrays[1].astype(np.int64)))


def load_test() -> Images:
    """Return all 10,000 test pictures.

    Examples
    --------
    >>> load_test().images.shape
    torch.Size([10000, 28, 28])

    Survey-map row: Q1.
    """
    return _embedded("test")


def load_train_subset() -> Images:
    """Return 6,000 of the training pictures, 600 of each class: enough for calibration and fine-tuning.

    Survey-map row: Q1.
    """
    return _embedded("train-subset")


def load_calibration(n: int = 512, seed: int = 0) -> Images:
    """Return `n` training pictures drawn from the embedded subset without replacement (never from the test set).

    Survey-map row: Q5.
    """
    subset = load_train_subset()
    if not 1 <= n <= len(subset):
        raise ValueError(f"n must lie in 1 … {len(subset)}, got {n}")
    return subset[torch.randperm(len(subset), generator=torch.Generator().manual_seed(seed))[:n]]


def load_full_train(folder: str | Path | None = None) -> Images:
    """Return all 60,000 training pictures: from `folder`, from Debian's package, or downloaded once and cached.

    Parameters
    ----------
    folder : path, optional
        Where ``train-images-idx3-ubyte.gz`` and ``train-labels-idx1-ubyte.gz`` lie.

    Raises
    ------
    ValueError
        If a file's contents do not have the right SHA-256.

    Survey-map row: Q1.
    """
    place = Path(folder) if folder is not None else _DEBIAN
    arrays = []
    for name, sha256 in FULL_TRAIN.items():
        path = place / f"{name}.gz"
        if folder is None and not path.exists():
            import pooch

            path = Path(
                pooch.retrieve(
                    f"{_OFFICIAL}{name}.gz", f"md5:{_PUBLISHED_MD5[name]}", f"{name}.gz", pooch.os_cache("qlab")
                )
            )
        arrays.append(_verified(gzip.decompress(path.read_bytes()), sha256, path.name))
    return Images(torch.from_numpy(arrays[0].copy()), torch.from_numpy(arrays[1].astype(np.int64)))
