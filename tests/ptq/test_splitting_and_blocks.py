"""Outlier channel splitting, AdaQuant and BRECQ: identities, brute force, and what they promise on real networks."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qlab import zoo
from qlab.calibration import MSE, MinMax
from qlab.data import load_calibration, load_test
from qlab.granularity import PerBlock, PerChannel
from qlab.grids import E2M1, Symmetric
from qlab.network import Recipe, quantize, stored_weight
from qlab.ptq import (
    AdaQuantSettings,
    AdaRoundSettings,
    BrecqSettings,
    adaquant,
    adaround,
    brecq,
    fold_batchnorm,
    split_outliers,
    with_stored,
)
from qlab.ptq.adaquant import adaquant_weight
from qlab.ptq.brecq import blocks_of
from qlab.ptq.moments import grouped, layer_moments, reconstruction_error
from qlab.ptq.ocs import copies_of_inputs, split_weight
from qlab.quantizer import Quantizer


@pytest.mark.row("T6")
@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_the_codes_of_the_parts_add_up_to_the_code_of_the_whole(seed, n):
    """Hermite's identity: what quantization-aware splitting rests on. Ties are left out."""
    w = torch.randn(7, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    S = 0.25
    parts = split_weight(w, torch.tensor([n]), S)
    assert parts.shape == (7, n)
    torch.testing.assert_close(parts.sum(1, keepdim=True), w)
    clear = ((w / S - torch.floor(w / S)) - 0.5).abs() > 1e-6
    whole = torch.round(w / S)
    assert torch.equal(torch.round(parts / S).sum(1, keepdim=True)[clear], whole[clear])


@pytest.mark.row("T6")
def test_halves_are_those_of_the_paper():
    parts = split_weight(torch.tensor([[3.0]]), torch.tensor([2]), 1.0)
    assert parts.tolist() == [[1.25, 1.75]]  # (w ∓ S/2)/2
    assert split_weight(torch.tensor([[3.0]]), torch.tensor([2])).tolist() == [[1.5, 1.5]]


@pytest.mark.row("T6")
@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=6), st.integers(0, 6))
@settings(max_examples=30, deadline=None)
def test_greedy_copies_are_the_best_there_are(sizes, extra):
    """Against every way to hand out the extra channels: none leaves a smaller largest channel."""
    from itertools import combinations_with_replacement

    w = torch.tensor([sizes], dtype=torch.float64)
    copies = copies_of_inputs(w, extra)
    assert int(copies.sum()) == len(sizes) + extra
    best = min(
        max(size / (1 + given_.count(i)) for i, size in enumerate(sizes))
        for given_ in combinations_with_replacement(range(len(sizes)), extra)
    )
    assert max(s / int(c) for s, c in zip(sizes, copies, strict=True)) == pytest.approx(best)


@pytest.mark.row("T6")
@pytest.mark.parametrize("name", ["mlp", "convnet", "resnet", "separable"])
def test_splitting_leaves_the_function_and_shrinks_the_ranges(name):
    network = fold_batchnorm(zoo.load(name)) if name != "mlp" else zoo.load(name)
    x = load_test()[:50].tensors()[0]
    split = split_outliers(network, Quantizer(Symmetric(4)), 0.1)
    with torch.no_grad():
        torch.testing.assert_close(split(x), network(x), atol=2e-3, rtol=1e-3)
    layers = {n: m for n, m in split.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    shrunk = 0
    for layer_name, layer in layers.items():
        before = network.get_submodule(layer_name.removesuffix(".1") if layer_name.endswith(".1") else layer_name)
        if before.weight.shape != layer.weight.shape:
            assert layer.weight.abs().max() <= before.weight.abs().max() * 1.001
            shrunk += layer.weight.abs().max().item() < 0.95 * before.weight.abs().max().item()
    assert shrunk
    quantize(split, Recipe(Quantizer(Symmetric(4))))(x)


@pytest.mark.row("T6")
def test_bad_requests_for_splitting_are_refused():
    with pytest.raises(ValueError, match="share"):
        split_outliers(nn.Linear(4, 4), Quantizer(), 0.0)
    with pytest.raises(ValueError, match="one scale per"):
        split_outliers(nn.Sequential(nn.Linear(4, 4)), Quantizer(granularity=PerBlock(2)), 0.5)


def one_layer(seed, bits, granularity):
    torch.manual_seed(seed)
    original = nn.Sequential(nn.Linear(6, 5))
    x = torch.randn(400, 6) @ torch.randn(6, 6)  # correlated inputs
    quantized = quantize(original, Recipe(Quantizer(Symmetric(bits), granularity, MinMax())))
    return original, quantized, x


@pytest.mark.row("T9")
@pytest.mark.parametrize("seed", range(4))
def test_adaquant_never_ends_with_a_larger_error_and_its_error_is_what_the_layer_shows(seed):
    original, quantized, x = one_layer(seed, 3, PerChannel(0))
    found = adaquant(quantized, original, [x], AdaQuantSettings(steps=150))

    def error(m):
        with torch.no_grad():
            return float((m(x) - original(x)).square().sum())

    assert error(found) <= error(quantized) * (1 + 1e-5)
    moments = layer_moments(quantized, original, "0", [x])
    stored = adaquant_weight(original[0].weight, stored_weight(quantized[0]), moments, AdaQuantSettings(steps=150))
    by_moments = reconstruction_error(
        grouped(original[0].weight.detach().double(), 1), grouped(stored.dequantize().double(), 1), moments
    ).sum()
    assert float(by_moments) * len(x) == pytest.approx(error(found), rel=1e-3)


@pytest.mark.row("T9")
def test_adaquant_may_leave_the_two_nearest_codes_and_stays_on_the_grid():
    moved = 0
    for seed in range(4):
        original, quantized, x = one_layer(seed, 4, PerChannel(0))
        found = stored_weight(adaquant(quantized, original, [x], AdaQuantSettings(steps=200, lr=0.1))[0])
        before = stored_weight(quantized[0])
        assert -7 <= int(found.codes.min()) <= int(found.codes.max()) <= 7
        assert (found.params.scale > 0).all()
        moved += int(((found.codes.int() - before.codes.int()).abs() > 1).sum())
    assert moved


@pytest.mark.row("T9")
def test_with_stored_changes_scales_too_and_only_in_a_copy():
    original, quantized, _ = one_layer(0, 4, PerChannel(0))
    old = stored_weight(quantized[0])
    new = with_stored(quantized, {"0": stored_weight(quantize(original, Recipe(Quantizer(Symmetric(8))))[0])})
    assert stored_weight(new[0]).params.scale.numel() == 1
    assert torch.equal(stored_weight(quantized[0]).codes, old.codes)


@pytest.mark.row("T9")
@pytest.mark.parametrize("method", [adaquant, brecq])
def test_grids_that_are_not_uniform_are_refused(method):
    network = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(TypeError, match="uniform"):
        method(quantize(network, Recipe(Quantizer(E2M1))), network, [torch.randn(8, 4)])


@pytest.mark.row("T9")
def test_bad_settings_and_missing_batches_are_refused():
    with pytest.raises(ValueError, match="steps"):
        AdaQuantSettings(steps=0)
    network = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(ValueError, match="batches"):
        brecq(quantize(network, Recipe(Quantizer())), network, [])
    with pytest.raises(ValueError, match="blocks"):
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        brecq(quantize(model, Recipe(Quantizer())), model, [torch.randn(4, 4)], blocks=["1"])


@pytest.mark.row("T9")
def test_blocks_are_the_children_that_hold_weights():
    quantized = quantize(zoo.load("resnet"), Recipe(Quantizer(Symmetric(4))))
    assert blocks_of(quantized) == ["0", "3", "4", "5", "6", "7", "10"]


@pytest.mark.slow
@pytest.mark.row("T9")
def test_a_block_of_one_linear_layer_is_adarounds_problem():
    """With one layer and no Fisher weights BRECQ samples the loss that AdaRound has in closed form."""
    original, quantized, x = one_layer(1, 3, PerChannel(0))
    rounding = AdaRoundSettings(steps=600)
    block = brecq(quantized, original, [x], BrecqSettings(rounding, batch_size=200, fisher=False))
    layer = adaround(quantized, original, [x], rounding)

    def error(m):
        with torch.no_grad():
            return float((m(x) - original(x)).square().sum())

    assert error(block) < error(quantized)
    assert error(block) == pytest.approx(error(layer), rel=0.25)


@pytest.mark.slow
@pytest.mark.row("T9")
def test_brecq_only_rounds_up_or_down_is_repeatable_and_leaves_its_arguments_alone():
    network = fold_batchnorm(zoo.load("resnet"))
    quantized = quantize(network, Recipe(Quantizer(Symmetric(3), PerChannel(0), MSE())))
    before = [copy.deepcopy(m.state_dict()) for m in (network, quantized)]
    x = load_calibration(16).tensors()[0]
    quick = BrecqSettings(AdaRoundSettings(steps=4), batch_size=4)
    found, again = (brecq(quantized, network, [x], quick, blocks=["0", "4"]) for _ in range(2))
    for name in ("0", "4.body.0", "4.body.3"):
        new = stored_weight(found.get_submodule(name))
        S = new.params.scale[:, None, None, None]
        gap = (new.dequantize() - network.get_submodule(name).weight).abs() / S
        inside = network.get_submodule(name).weight.abs() / S < 3
        assert float(gap[inside].max()) <= 1 + 1e-4
        assert torch.equal(new.codes, stored_weight(again.get_submodule(name)).codes)
    for m, old in zip((network, quantized), before, strict=True):
        assert all(torch.equal(v, old[k]) for k, v in m.state_dict().items())


@pytest.mark.slow
@pytest.mark.row("T9")
def test_at_two_bits_fitted_weights_beat_nearest_by_far():
    network = fold_batchnorm(zoo.load("resnet"))
    quantized = quantize(network, Recipe(Quantizer(Symmetric(2), PerChannel(0), MSE())))
    batches = [load_calibration(256).tensors()[0]]
    test = load_test()[:1000]
    nearest = zoo.evaluate(quantized, test)
    by_block = zoo.evaluate(brecq(quantized, network, batches, BrecqSettings(AdaRoundSettings(steps=150))), test)
    by_layer = zoo.evaluate(adaquant(quantized, network, batches, AdaQuantSettings(steps=150)), test)
    assert by_block > nearest + 0.2
    assert by_layer > nearest + 0.1
