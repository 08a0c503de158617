"""The walk over prefixes against networks that are quantized and run one by one; the shipped table likewise."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from qlab.data import load_calibration
from qlab.mixed.assignment import Assignment
from qlab.mixed.ground_truth import evaluate_all, ground_truth, split_stages, truth_pictures, variants_of
from qlab.network import quantize
from qlab.zoo import evaluate, load
from tests.mixed.test_assignment import chain


@pytest.mark.slow
@pytest.mark.row("M5")
def test_walk_is_one_by_one():
    model, names, bits = chain(), ("0", "4", "6"), (2, 4)
    x, labels = torch.randn(32, 1, 6, 6, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 4
    quantized = {b: quantize(model, Assignment(names, b).recipe(), [x]) for b in product(bits, repeat=3)}
    stages = [split_stages(quantized[b, b, b]) for b in bits]
    right, loss = evaluate_all(list(zip(*stages, strict=True)), x, labels)
    for i, j, k in product(range(2), repeat=3):
        logits = quantized[bits[i], bits[j], bits[k]](x)
        assert right[i, j, k] == (logits.argmax(1) == labels).sum()
        assert loss[i, j, k] == pytest.approx(
            F.cross_entropy(logits.detach(), labels, reduction="sum").item(), rel=1e-5
        )


def test_shortcuts_are_refused():
    with pytest.raises(ValueError, match="without shortcuts"):
        split_stages(load("resnet"))


@pytest.mark.row("M5")
def test_shipped_table_is_whole():
    for network, layers in (("mlp", 3), ("convnet", 5)):
        truth = ground_truth(network)
        assert truth.right.shape == truth.validation_loss.shape == (5,) * layers
        assert 0.05 < truth.accuracy.min() < 0.85 < truth.accuracy.max()
        assert np.isfinite(truth.loss).all() and truth.commit and truth.torch and truth.machine
        assert truth.nbytes[truth.index((4,) * layers)] == truth.nbytes.max()


@pytest.mark.slow
@pytest.mark.row("M5")
@pytest.mark.parametrize("network", ["mlp", "convnet"])
def test_shipped_table_made_again(network):
    truth = ground_truth(network)
    model = load(network)
    batches = load_calibration(256).tensors()[0].split(128)
    for index in np.random.default_rng(3).integers(0, truth.right.size, 2):
        choice = np.unravel_index(index, truth.right.shape)
        quantized = quantize(model, truth.space.assignment(choice).recipe(), batches)
        assert evaluate(quantized, truth_pictures()[0]) == pytest.approx(truth.validation_accuracy[index], abs=0.006)
        assert evaluate(quantized, truth_pictures()[1][:500]) == pytest.approx(truth.accuracy[index], abs=0.06)
    assert len(variants_of(model, truth.space)) == len(truth.space.names)


def test_unknown_network_is_refused():
    with pytest.raises(ValueError, match="mlp, convnet"):
        ground_truth("resnet")
