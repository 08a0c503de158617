"""Quantizing networks: nothing is mutated, reports add up, folding keeps the function."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from qlab import MSE, Asymmetric, PerChannel, Quantizer, Recipe, Stochastic, Symmetric, quantize, report
from qlab.network import format_report, network_bytes, sqnr_db, stored_weight

WEIGHTS, INPUTS = Quantizer(Symmetric(4), PerChannel(0)), Quantizer(Asymmetric(8))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()


@pytest.fixture
def x():
    return torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def fingerprint(model):
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    return {k: v.clone() for k, v in model.state_dict().items()}, hooks, model.training


@pytest.mark.row("Q1", "A1")
def test_the_result_is_the_network_with_rounded_weights_and_inputs(net, x):
    quantized = quantize(net, Recipe(WEIGHTS, INPUTS), [x])
    by_hand = copy.deepcopy(net)
    h = x
    with torch.no_grad():
        for layer in by_hand:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.weight.copy_(WEIGHTS.fake(layer.weight))
                ranges = INPUTS.calibrate(net[:3](x) if layer is by_hand[3] else x)
                h = INPUTS.fake(h, ranges)
            h = layer(h)
    torch.testing.assert_close(quantized(x), h)


@pytest.mark.row("Q1")
def test_nothing_of_the_argument_changes(net, x):
    before = fingerprint(net)
    quantize(net, Recipe(WEIGHTS, INPUTS), [x])
    with pytest.raises(ValueError, match="nothing came to"):
        quantize(net, Recipe(WEIGHTS, INPUTS), [])
    after = fingerprint(net)
    assert before[1:] == after[1:]
    assert all(torch.equal(before[0][k], after[0][k]) for k in before[0])


@pytest.mark.row("Q6")
def test_static_ranges_clip_what_dynamic_ranges_follow(net, x):
    static = quantize(net, Recipe(None, INPUTS), [x])
    dynamic = quantize(net, Recipe(None, INPUTS, dynamic=True))
    assert sqnr_db(net(x), static(x)) > 25
    assert sqnr_db(net(x), dynamic(x)) > 25
    odd = 20 * x  # never seen in calibration
    assert sqnr_db(net(odd), static(odd)) < 10
    assert sqnr_db(net(odd), dynamic(odd)) > 25


@pytest.mark.row("Q6")
def test_batches_stream_and_give_the_range_of_all(net, x):
    whole = quantize(net, Recipe(None, INPUTS), [x])
    parts = quantize(net, Recipe(None, INPUTS), iter(x.split(3)))
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.row("Q7", "H12")
def test_the_report_adds_up(net, x):
    quantized = quantize(net, Recipe(WEIGHTS, layers={"3": Recipe(Quantizer(Symmetric(8), calibration=MSE()))}))
    conv, linear = report(quantized)
    assert conv.nbytes == 4 * 9 * 4 // 8 + 4 * 4
    assert linear.nbytes == 3 * 144 + 4
    assert conv.bits == pytest.approx(8 * conv.nbytes / 36)
    assert conv.sqnr == pytest.approx(sqnr_db(net[0].weight, WEIGHTS.fake(net[0].weight)), rel=1e-6)
    assert network_bytes(quantized) == conv.nbytes + linear.nbytes + 4 * (4 + 3)
    assert network_bytes(net) == 4 * sum(p.numel() for p in net.parameters())
    assert "3" in format_report(report(quantized))
    assert report(net)[0].sqnr == float("inf")


@pytest.mark.row("Q1")
def test_exceptions_by_name(net):
    quantized = quantize(net, Recipe(WEIGHTS, layers={"0": None}))
    assert stored_weight(quantized[0]) is None
    assert stored_weight(quantized[3]) is not None
    with pytest.raises(ValueError, match="pattern 'head' matches no layer; the layers are 0, 3"):
        quantize(net, Recipe(WEIGHTS, layers={"head": None}))
    with pytest.raises(ValueError, match="must have a linear or convolutional layer"):
        quantize(nn.ReLU(), Recipe(WEIGHTS))


@pytest.mark.row("T1")
def test_gradients_reach_the_weights_and_the_network_can_be_copied_saved_and_undone(net, x, tmp_path):
    quantized = quantize(net, Recipe(WEIGHTS, INPUTS), [x])
    quantized(x).sum().backward()
    original = quantized[0].parametrizations.weight.original
    assert original.grad is not None
    assert original.grad.abs().sum() > 0
    clone = copy.deepcopy(quantized)
    assert torch.equal(clone(x), quantized(x))
    torch.save(quantized.state_dict(), tmp_path / "state.pt")
    other = quantize(net, Recipe(WEIGHTS, INPUTS), [x / 2])
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert torch.equal(other(x), quantized(x))
    parametrize.remove_parametrizations(clone[0], "weight")
    assert torch.equal(clone[0].weight, WEIGHTS.fake(net[0].weight))


@pytest.mark.row("Q1")
def test_every_module_keeps_its_own_mode(net, x):
    net.train()[1].eval()  # as with a frozen BatchNorm, or a Dropout that stays on
    for recipe in (Recipe(WEIGHTS), Recipe(WEIGHTS, INPUTS)):
        quantized = quantize(net, recipe, [x])
        assert [quantized[i].training for i in range(4)] == [True, False, True, True]


@pytest.mark.row("Q1")
def test_a_layer_is_quantized_once(net, x):
    quantized = quantize(net, Recipe(WEIGHTS))
    with pytest.raises(ValueError, match="layer '0' has a quantized weight already"):
        quantize(quantized, Recipe(WEIGHTS))
    both = quantize(quantized, Recipe(None, INPUTS), [x])  # weights first, activations later: fine
    with pytest.raises(ValueError, match="layer '0' has a quantized input already"):
        quantize(both, Recipe(None, INPUTS), [x])
    assert [line.bits for line in report(both)] == [line.bits for line in report(quantized)]


@pytest.mark.row("G1")
def test_stochastic_rounding_survives_a_copy(net, x):
    random = WEIGHTS.with_(rounding=Stochastic(torch.Generator().manual_seed(0)))
    quantized = quantize(net, Recipe(random))
    clone = copy.deepcopy(quantized)
    assert torch.equal(clone(x), quantized(x))  # each has its own generator, in the same state
    assert not torch.equal(quantized(x), quantized(x))


@pytest.mark.row("H4")
def test_noise_ratio_by_hand_and_at_its_ends():
    signal = torch.tensor([3.0, 4.0])
    assert sqnr_db(signal, signal + torch.tensor([0.3, 0.4])) == pytest.approx(20.0, abs=1e-5)
    assert sqnr_db(signal, signal) == float("inf")
    assert sqnr_db(torch.zeros(3), torch.zeros(3)) == float("inf")  # a layer pruned away is not damaged
    assert sqnr_db(torch.zeros(1), torch.ones(1)) == -float("inf")


@pytest.mark.row("T1")
def test_training_moves_the_weight_under_the_quantizer(net, x):
    quantized = quantize(net, Recipe(WEIGHTS, INPUTS), [x])
    target = torch.zeros(20, 3)
    optimizer = torch.optim.SGD(quantized.parameters(), lr=0.1)
    losses = []
    for _ in range(30):
        loss = (quantized(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    w = quantized[0].weight
    scale = quantized[0].parametrizations.weight[0].scale.reshape(-1, 1, 1, 1)
    torch.testing.assert_close(w / scale, torch.round(w / scale))  # still on the grid


@pytest.mark.row("Q6")
def test_static_ranges_are_those_of_the_floating_point_network(net, x):
    quantized = quantize(net, Recipe(Quantizer(Symmetric(2)), INPUTS), [x])
    expected = INPUTS.calibrate(net[:3](x))  # not of the damaged one
    torch.testing.assert_close(quantized[3].activation_quantizer.params.scale, expected.scale)
