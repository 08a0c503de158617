"""Counted bytes against bytes that were written, formats against their break-even points."""

import pytest
import torch
from torch import nn

from qlab import Asymmetric, PerChannel, Quantizer, Symmetric, zoo
from qlab.neighbours import (
    bits_for_bytes,
    compress,
    compressed_bytes,
    decode_sparse,
    encode_sparse,
    sparsity,
    sparsity_for_bytes,
    storage_bytes,
)
from qlab.network import network_bytes


def net():
    return zoo.build("convnet", width=4).eval()


@pytest.mark.row("B10")
@pytest.mark.parametrize("bits", [2, 4, 5, 8])
def test_written_bytes_are_the_counted_ones_and_come_back(bits):
    generator = torch.Generator().manual_seed(bits)
    for density in (0.0, 0.1, 0.5, 1.0):
        zero = 1 << (bits - 1)
        codes = torch.randint(0, 1 << bits, (7, 11), generator=generator)
        codes[torch.rand(7, 11, generator=generator) >= density] = zero
        data = encode_sparse(codes, bits, zero)
        assert len(data) == storage_bytes(77, int((codes != zero).sum()), bits)["bitmap"]
        assert torch.equal(decode_sparse(data, bits, (7, 11), zero), codes.to(torch.int32))


@pytest.mark.row("B10")
def test_break_even_points():
    """A bitmap pays below a density of 1 − 1/b, indices below 1/⌈log2 N⌉ (here 1/10)."""
    for bits in (2, 4, 8, 32):
        for density in (0.02, 0.09, 0.12, 0.4, 0.7, 0.95, 1.0):
            sizes = storage_bytes(1000, int(1000 * density), bits)
            best = min(sizes, key=sizes.get)
            expected = "indices" if density < 0.1 else "bitmap" if density < 1 - 1 / bits else "dense"
            if abs(density - (1 - 1 / bits)) > 0.02:
                assert best == expected, (bits, density, sizes)


@pytest.mark.row("B10")
def test_an_account_of_a_plain_network_is_its_own_size():
    plain = compress(net())
    assert plain.nbytes == plain.original == network_bytes(net()) == compressed_bytes(net())
    assert plain.ratio == 1
    assert {x.format for x in plain.layers} == {"dense"}


@pytest.mark.row("B10")
def test_quantized_and_pruned_by_hand():
    one = nn.Sequential(nn.Linear(64, 8, bias=False))
    with torch.no_grad():
        one[0].weight.copy_(1 + torch.arange(512).reshape(8, 64) / 512)
    small = compress(one, sparsity=0.75, quantizer=Quantizer(Symmetric(4), PerChannel(0)))
    assert sparsity(small.model) == 0.75
    (layer,) = small.layers
    assert (layer.format, layer.nonzeros, layer.bits) == ("bitmap", 128, 4)
    assert small.nbytes == layer.nbytes == 64 + 64 + 8 * 4  # bitmap, 128 half-bytes, a scale a row
    assert small.ratio == 2048 / 160


@pytest.mark.row("B10")
def test_pruning_on_top_of_quantization_saves_more_than_either():
    q = Quantizer(Symmetric(8), PerChannel(0))
    sizes = [compress(net(), s, quantizer).nbytes for s, quantizer in ((0, None), (0.8, None), (0, q), (0.8, q))]
    assert sizes[3] < min(sizes[1], sizes[2]) < max(sizes[1], sizes[2]) < sizes[0]


@pytest.mark.row("B10")
def test_zero_points_and_fine_tuning():
    called = []

    def finetune(model):
        called.append(sparsity(model))
        return model

    q = Quantizer(Asymmetric(4), PerChannel(0))
    small = compress(net(), 0.5, q, finetune)
    assert called == [pytest.approx(0.5, abs=0.01)]
    assert sparsity(small.model) >= 0.49  # zero has an exact code
    dense = compress(net(), 0.0, q)
    assert network_bytes(dense.model) >= dense.nbytes


@pytest.mark.row("B10")
def test_budgets_are_met_and_used():
    budget, q = 6000, Quantizer(Symmetric(4), PerChannel(0))
    for quantizer in (None, q):
        s = sparsity_for_bytes(net(), budget, quantizer)
        assert compress(net(), s, quantizer).nbytes <= budget
        assert s == 0 or compress(net(), s - 0.001, quantizer).nbytes > budget
    b = bits_for_bytes(net(), 4000)
    fits = [compress(net(), 0, Quantizer(Symmetric(k), PerChannel(0))).nbytes <= 4000 for k in (b, b + 1)]
    assert fits == [True, False]


@pytest.mark.row("B10")
def test_bad_input():
    with pytest.raises(ValueError, match="budget must be at least"):
        sparsity_for_bytes(net(), 100)
    with pytest.raises(ValueError, match="at 2 bits, got 100"):
        bits_for_bytes(net(), 100)
    with pytest.raises(ValueError, match="nonzeros must lie"):
        storage_bytes(4, 5, 8)
    with pytest.raises(ValueError, match="bitmap of 2 bytes"):
        decode_sparse(torch.zeros(1, dtype=torch.uint8), 4, (16,))
