"""Make the embedded files again: ``python -m qlab.data.make_subset [FOLDER]``.

FOLDER holds the four official .gz files (Debian's package `dataset-fashion-mnist` by default).
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import struct
import sys
from pathlib import Path

import numpy as np

from qlab.data.fashion_mnist import EMBEDDED, load_full_train

SEED = 0
PER_CLASS = 600
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]


def idx(array: np.ndarray) -> bytes:
    """Return the IDX bytes of an array of uint8."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(part: str, content: bytes, folder: Path) -> None:
    """Compress `content` into `folder`/`part`.xz by way of a temporary name; its SHA-256 must be the stated one."""
    found = hashlib.sha256(content).hexdigest()
    if found != EMBEDDED[part]:
        raise ValueError(f"{part} must have SHA-256 {EMBEDDED[part]}, got {found}")
    temporary = folder / f"{part}.tmp"
    temporary.write_bytes(lzma.compress(content, filters=FILTERS))
    os.replace(temporary, folder / f"{part}.xz")


def main(source: Path = DEBIAN, target: Path = Path(__file__).parent) -> None:
    """Choose the training subset (seed 0, 600 of each class, in the order of the training set) and write all four."""
    train = load_full_train(source)
    images, labels = train.images.numpy(), train.labels.numpy()
    generator = np.random.default_rng(SEED)
    chosen = [generator.choice(np.flatnonzero(labels == c), PER_CLASS, replace=False) for c in range(10)]
    index = np.sort(np.concatenate(chosen))
    write("train-subset-images", idx(images[index]), target)
    write("train-subset-labels", idx(labels[index].astype(np.uint8)), target)
    for part, name in (("test-images", "t10k-images-idx3-ubyte"), ("test-labels", "t10k-labels-idx1-ubyte")):
        write(part, gzip.decompress((source / f"{name}.gz").read_bytes()), target)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
