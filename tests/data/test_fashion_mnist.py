"""The embedded pictures are the published ones, and damage is noticed."""

import gzip
import hashlib
import lzma
from importlib import resources

import numpy as np
import pytest
import torch

from qlab import data
from qlab.data import fashion_mnist

pytestmark = pytest.mark.row("Q1")


def test_shapes_types_and_balance():
    test, subset = data.load_test(), data.load_train_subset()
    assert test.images.shape == (10_000, 28, 28)
    assert test.images.dtype == torch.uint8
    assert test.labels.bincount().tolist() == [1000] * 10
    assert subset.labels.bincount().tolist() == [600] * 10
    x, y = test[:100].tensors()
    assert x.shape == (100, 1, 28, 28)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64


def test_inputs_are_standardized():
    x, _ = data.load_train_subset().tensors()
    assert abs(float(x.mean())) < 0.02  # the constants are those of all 60,000; the subset is a tenth of them
    assert abs(float(x.std()) - 1) < 0.02


def test_embedded_checksums_are_those_of_the_contents():
    for name, expected in fashion_mnist.EMBEDDED.items():
        content = lzma.decompress(resources.files("qlab.data").joinpath(f"{name}.xz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == expected


def test_calibration_is_a_reproducible_part_of_the_training_subset():
    a, b = data.load_calibration(64, seed=3), data.load_calibration(64, seed=3)
    assert torch.equal(a.images, b.images)
    assert not torch.equal(a.images, data.load_calibration(64, seed=4).images)
    known = {image.numpy().tobytes() for image in data.load_train_subset().images}
    assert all(image.numpy().tobytes() in known for image in a.images)
    with pytest.raises(ValueError, match="n must lie in 1 … 6000, got 0"):
        data.load_calibration(0)


def test_idx_reader_refuses_other_files():
    good = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])
    np.testing.assert_array_equal(fashion_mnist.read_idx(good), [7, 9])
    with pytest.raises(ValueError, match="magic"):
        fashion_mnist.read_idx(b"PNG!")
    with pytest.raises(ValueError, match="2 values"):
        fashion_mnist.read_idx(good[:-1])


def test_a_damaged_full_set_is_refused(tmp_path):
    for name in fashion_mnist.FULL_TRAIN:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 1, 5])))
    with pytest.raises(ValueError, match="SHA-256"):
        data.load_full_train(tmp_path)


def test_the_subset_does_not_touch_the_test_set():
    test = {image.numpy().tobytes() for image in data.load_test().images}
    shared = sum(image.numpy().tobytes() in test for image in data.load_train_subset().images)
    assert shared <= 3  # the data set itself holds a few duplicates across its two parts
