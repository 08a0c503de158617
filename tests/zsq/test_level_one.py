"""Zero-shot without fine-tuning: ranges by walking the graph by hand, SQuant by brute force, DFQ by its parts."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qlab import zoo
from qlab.calibration import Range
from qlab.data import MEAN, STD, load_test
from qlab.granularity import PerChannel
from qlab.grids import Asymmetric, Symmetric
from qlab.network import Recipe, quantize, stored_weight
from qlab.ptq import fold_batchnorm
from qlab.quantizer import Quantizer
from qlab.zsq import dfq, flips, input_ranges, prepare, squant, squant_codes

PIXELS = (-MEAN / STD, (1 - MEAN) / STD)


def small():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 2, 3, bias=False),
        nn.BatchNorm2d(2),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 2),
    )
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([0.5, -1.0, 0.1]))
        network[1].bias.copy_(torch.tensor([0.0, 1.0, -2.0]))
        network[5].weight.copy_(torch.tensor([2.0, 0.1]))
        network[5].bias.copy_(torch.tensor([1.0, 0.0]))
    return network.eval()


@pytest.mark.row("Z1")
def test_ranges_without_data_follow_beta_and_gamma_through_the_graph():
    found = input_ranges(fold_batchnorm(small()), (-1.0, 2.0), sigmas=2.0)
    ends = {name: (float(r.low), float(r.high)) for name, r in found.items()}
    assert ends == {"0": (-1.0, 2.0), "4": (0.0, 3.0), "9": (0.0, 5.0)}  # max(1, 1 + 2·1, …); 1 + 2·2, below 6
    assert float(input_ranges(fold_batchnorm(small()), (-1.0, 2.0), sigmas=6.0)["9"].high) == 6  # ReLU6


@pytest.mark.row("Z1")
def test_ranges_of_a_sum_add_and_unknown_layers_are_left_out():
    folded = fold_batchnorm(zoo.load("resnet"))
    found = input_ranges(folded, PIXELS)
    assert set(found) == {name for name, m in folded.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    assert set(input_ranges(zoo.load("mlp"), PIXELS)) == {"1"}


@pytest.mark.row("Z1")
@pytest.mark.parametrize("name", ["convnet", "resnet", "separable"])
def test_data_free_ranges_hold_nearly_all_real_inputs(name):
    folded = fold_batchnorm(zoo.load(name))
    found = input_ranges(folded, PIXELS)
    outside = {}

    def watch(layer):
        def hook(_, args):
            low, high = found[layer]
            outside[layer] = float(((args[0] < low - 1e-5) | (args[0] > high + 1e-5)).double().mean())

        return hook

    for layer in found:
        folded.get_submodule(layer).register_forward_pre_hook(watch(layer))
    folded(load_test()[:100].tensors()[0])
    assert len(outside) == len(found)
    assert max(outside.values()) < 0.005


@pytest.mark.row("Z1")
@pytest.mark.parametrize(("pixels", "sigmas"), [((1.0, 1.0), 6.0), ((0.0, 1.0), 0.0)])
def test_bad_ranges_are_refused(pixels, sigmas):
    with pytest.raises(ValueError, match="pixels"):
        input_ranges(nn.Linear(2, 2), pixels, sigmas)


@pytest.mark.row("Z1")
def test_given_ranges_are_used_and_need_no_batches():
    network = nn.Sequential(nn.Linear(4, 4))
    recipe = Recipe(activation=Quantizer(Asymmetric(8)))
    quantized = quantize(network, recipe, ranges={"0": Range(torch.tensor([0.0]), torch.tensor([5.1]))})
    assert float(quantized[0].activation_quantizer.scale) == pytest.approx(0.02)
    with pytest.raises(ValueError, match="ranges"):
        quantize(network, Recipe(Quantizer()), ranges={"0": Range(torch.tensor([0.0]), torch.tensor([5.1]))})


@pytest.mark.row("Z1")
def test_preparing_hardly_changes_the_function():
    x = load_test()[:300].tensors()[0]
    network = zoo.load("convnet")
    with torch.no_grad():
        before, after = network(x), prepare(network)(x)
    assert float((before.argmax(1) == after.argmax(1)).double().mean()) > 0.97


@pytest.mark.slow
@pytest.mark.row("Z1")
def test_dfq_restores_the_separable_network_per_tensor_and_leaves_it_as_it_was():
    network = zoo.load("separable")
    state = {k: v.clone() for k, v in network.state_dict().items()}
    test = load_test()[:1500]
    recipe = Recipe(Quantizer(Symmetric(8)), Quantizer(Asymmetric(8)))
    naive = quantize(fold_batchnorm(network), recipe, [load_test()[2000:2200].tensors()[0]])
    free = dfq(network, recipe, PIXELS)
    fp32, collapsed, restored = (zoo.evaluate(m, test) for m in (network, naive, free.quantized))
    assert collapsed < fp32 - 0.02  # although it has seen data
    assert restored > fp32 - 0.01  # although it has not
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


@pytest.mark.slow
@pytest.mark.row("Z1")
def test_each_step_of_dfq_brings_the_mean_answer_nearer_to_that_of_the_original():
    """Equalization and bias correction, each left out in turn; the judge is real pictures that DFQ has not seen."""
    x = load_test()[:200].tensors()[0]
    recipe = Recipe(Quantizer(Symmetric(6)))
    network = zoo.load("separable")
    folded = fold_batchnorm(network)

    def distance(quantized, original):
        with torch.no_grad():
            return float((quantized(x) - original(x)).mean(0).norm())

    with_all = dfq(network, recipe, PIXELS)
    uncorrected = dfq(network, recipe, PIXELS, correct=False)
    nearest = distance(quantize(folded, recipe), folded)
    assert distance(*with_all) < 0.8 * distance(*uncorrected)
    assert distance(*uncorrected) < 0.7 * nearest


@pytest.mark.row("Z1")
def test_dfq_says_which_layers_it_knows_nothing_of():
    with pytest.raises(ValueError, match=r"BatchNorm says nothing of the input of 3, 5"):
        dfq(zoo.load("mlp"), Recipe(Quantizer(), Quantizer(Asymmetric(8))), PIXELS)
    dfq(zoo.load("mlp"), Recipe(Quantizer()), PIXELS)  # weights alone need no ranges


@pytest.mark.row("Z2")
@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_squant_flips_as_brute_force_does_for_one_kernel(seed, n):
    """Of all roundings up or down with |Σδ| ≤ ½, SQuant's has the least Σδ²."""
    t = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 6 - 3
    mine = squant_codes(t.reshape(1, 1, n), torch.tensor(-8), torch.tensor(8)).flatten() - t
    ways = torch.tensor(list(product((0.0, 1.0), repeat=n)), dtype=torch.float64)
    delta = torch.floor(t) + ways - t
    allowed = delta[delta.sum(1).abs() <= 0.5 + 1e-9]
    assert float(mine.sum().abs()) <= 0.5 + 1e-9
    assert float(mine.square().sum()) == pytest.approx(float(allowed.square().sum(1).min()), abs=1e-9)


@pytest.mark.row("Z2")
@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_squant_bounds_the_errors_of_kernels_and_channels(seed):
    t = torch.randn(4, 6, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    k = squant_codes(t, torch.tensor(-100), torch.tensor(100))
    delta = k - t
    assert float(delta.abs().max()) < 1
    assert float(delta.sum(2).abs().max()) <= 1 + 1e-9  # a kernel gives away its half for the channel's sake
    assert float(delta.sum((1, 2)).abs().max()) <= 0.5 + 1e-9
    nearest = torch.round(t) - t
    assert float(delta.sum((1, 2)).square().sum()) < float(nearest.sum((1, 2)).square().sum())


@pytest.mark.row("Z2")
def test_flips_take_the_largest_errors_of_the_right_sign():
    errors = torch.tensor([[0.4, -0.45, 0.3, 0.49], [-0.2, -0.3, 0.1, 0.0]])
    assert flips(errors, torch.tensor([1, 1])).tolist() == [[False, False, False, True], [False, True, False, False]]
    blocked = torch.tensor([[True, True, True, False], [True] * 4])
    assert flips(errors, torch.tensor([1, 0]), blocked).tolist()[0] == [True, False, False, False]


@pytest.mark.row("Z2")
def test_squant_stays_on_the_grid_and_moves_no_weight_by_more_than_one_code():
    folded = fold_batchnorm(zoo.load("convnet"))
    for grid in (Symmetric(3), Asymmetric(3)):
        nearest = quantize(folded, Recipe(Quantizer(grid, PerChannel(0))))
        for name, layer in squant(nearest).named_modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                new, old = stored_weight(layer), stored_weight(nearest.get_submodule(name))
                low, high = grid.code_range
                assert low <= int(new.codes.min()) <= int(new.codes.max()) <= high
                assert int((new.codes.int() - old.codes.int()).abs().max()) <= 1


@pytest.mark.slow
@pytest.mark.row("Z2")
def test_squant_beats_nearest_at_three_bits():
    test = load_test()[:1000]
    gains = []
    for name in ("convnet", "resnet"):
        nearest = quantize(fold_batchnorm(zoo.load(name)), Recipe(Quantizer(Symmetric(3), PerChannel(0))))
        gains.append(zoo.evaluate(squant(nearest), test) - zoo.evaluate(nearest, test))
    assert sum(gains) > 0.05
