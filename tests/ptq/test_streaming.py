"""Calibration and passes stream: what is alive at once does not depend on how many batches there are."""

import gc

import pytest
import torch
from torch import Tensor, nn

from qlab import Asymmetric, PerChannel, Quantizer, Recipe, Symmetric, quantize
from qlab.calibration import MSE, MinMax, MovingAverage, Percentile
from qlab.ptq import (
    AdaQuantSettings,
    AdaRoundSettings,
    BrecqSettings,
    adaquant,
    adaround,
    brecq,
    correct_bias,
    fold_batchnorm,
    gptq,
)
from qlab.zoo import build


class Stream:
    """Batches made on the way, as often as asked; before the last of each pass it counts the bytes of all tensors."""

    def __init__(self, batches: int, pictures: int = 64) -> None:
        self.batches, self.pictures, self.alive = batches, pictures, []

    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        for k in range(self.batches):
            if k == self.batches - 1:
                gc.collect()
                tensors = (t for t in gc.get_objects() if issubclass(type(t), Tensor))
                self.alive.append(sum(t.numel() * t.element_size() for t in tensors))
            yield torch.randn(self.pictures, 1, 28, 28, generator=generator)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return fold_batchnorm(build("convnet", width=4).eval())


def recipe(calibration):
    return Recipe(Quantizer(Symmetric(4), PerChannel(0)), Quantizer(Asymmetric(8), calibration=calibration))


def most(run, batches):
    stream = Stream(batches)
    run(stream)
    assert stream.alive
    return max(stream.alive)


PASSES = {
    "bias": correct_bias,
    "GPTQ": gptq,
    "AdaRound": lambda q, m, x: adaround(q, m, x, AdaRoundSettings(steps=2)),
    "AdaQuant": lambda q, m, x: adaquant(q, m, x, AdaQuantSettings(steps=2)),
    "BRECQ": lambda q, m, x: brecq(q, m, x, BrecqSettings(AdaRoundSettings(steps=2), pictures=64)),
}
BATCH = 64 * 28 * 28 * 4  # bytes


@pytest.fixture(autouse=True)
def look_at_new_objects_only(network):
    """What was there before is left out of each count: counting it takes longer than the passes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.row("T5", "T8", "T9", "T10")
@pytest.mark.parametrize("name", PASSES)
def test_passes_keep_moments_or_so_many_pictures_and_no_more(name, network):
    quantized = quantize(network, recipe(MinMax()), Stream(1))
    few, many = (most(lambda x: PASSES[name](quantized, network, x), n) for n in (3, 12))
    assert many - few < BATCH  # nine more batches, and not one of them is kept


@pytest.mark.slow
@pytest.mark.row("Q5", "Q6")
@pytest.mark.parametrize("rule", [MinMax(), MovingAverage()], ids=repr)
def test_ranges_keep_two_numbers_per_layer(rule, network):
    few, many = (most(lambda x: quantize(network, recipe(rule), x), n) for n in (3, 12))
    assert many - few < BATCH


@pytest.mark.slow
@pytest.mark.row("Q5", "Q6")
@pytest.mark.parametrize("rule", [MSE(), Percentile()], ids=repr)
def test_samples_are_merged_before_they_grow(rule, network):
    """A layer keeps at most 2¹⁸ points and a batch, each with its count; 24 batches hold no more than 12 do."""
    few, many = (most(lambda x: quantize(network, recipe(rule), x), n) for n in (12, 24))
    assert many - few < 5 * BATCH


def test_the_measure_sees_what_is_kept():
    kept = []
    few, many = (most(lambda x: kept.extend(x), n) for n in (3, 12))
    assert many - few >= 9 * BATCH
