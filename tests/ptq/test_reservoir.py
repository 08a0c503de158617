"""The sample of a stream: fair, no larger than asked, and what BRECQ then works on."""

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from qlab import PerChannel, Quantizer, Recipe, Symmetric, quantize
from qlab.network import stored_weight
from qlab.ptq import AdaRoundSettings, BrecqSettings, brecq
from qlab.ptq.reservoir import reservoir

pytestmark = pytest.mark.row("T9")


def test_every_set_of_pictures_is_as_likely_as_any_other():
    """Two of five, in batches of two: all ten pairs, in any order; 3,000 draws."""
    stream = torch.arange(5).split(2)
    pairs = Counter(tuple(sorted(reservoir(stream, 2, seed).tolist())) for seed in range(3000))
    assert len(pairs) == 10
    assert chisquare(list(pairs.values())).pvalue > 1e-3


@pytest.mark.parametrize("size", [7, 8, 100])
def test_a_short_stream_comes_back_whole_and_in_order(size):
    x = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(reservoir(x.split(3), size), x)


def test_a_long_stream_leaves_so_many_and_the_same_ones_again():
    x = torch.arange(1000)
    kept = reservoir(iter(x.split(64)), 50, seed=1)
    assert len(set(kept.tolist())) == 50
    assert torch.equal(kept, reservoir(x.split(100), 50, seed=1))  # how it is cut makes no difference
    assert not torch.equal(kept, reservoir(x.split(64), 50, seed=2))


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_bad_sizes_and_empty_streams_are_refused(size):
    with pytest.raises(ValueError, match="size must be an integer of at least 1"):
        reservoir([torch.ones(1)], size)
    with pytest.raises(ValueError, match="pictures must be an integer of at least 1"):
        BrecqSettings(pictures=size)
    with pytest.raises(ValueError, match="at least one batch"):
        reservoir([], 3)


@pytest.mark.slow
def test_brecq_of_a_long_stream_is_brecq_of_its_sample():
    torch.manual_seed(0)
    original = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    quantized = quantize(original, Recipe(Quantizer(Symmetric(3), PerChannel(0))))
    x = torch.randn(300, 6)

    def codes(batches, **given):
        settings = BrecqSettings(AdaRoundSettings(steps=20, lr=0.1), batch_size=8, **given)
        found = brecq(quantized, original, batches, settings)
        return torch.cat([stored_weight(found[k]).codes.flatten() for k in (0, 2)])

    sampled = codes(x.split(32), pictures=20, seed=3)
    assert torch.equal(sampled, codes([reservoir(x.split(32), 20, seed=3)], seed=3))
    assert not torch.equal(sampled, codes([x[:20]], seed=3))
    assert torch.equal(codes(x.split(32), pictures=300), codes([x]))
