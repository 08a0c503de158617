"""Distances and agreements by hand, on the shelf's ensemble, and one quantized layer at a time."""

import pytest
import torch
from torch import nn

from qlab import PerChannel, Quantizer, Symmetric, data, zoo
from qlab.history.networks import (
    agreement,
    interpolate,
    layer_sensitivity,
    loss_along_line,
    mean_divergence,
    mean_loss,
    weight_distance,
    weight_vector,
)


def some(n=500):
    return data.load_test()[:n]


@pytest.mark.row("H11")
def test_distance_by_hand():
    a, b = zoo.build("mlp", hidden=(4,)), zoo.build("mlp", hidden=(4,), seed=1)
    va, vb = (torch.cat([m.weight.flatten() for m in net if isinstance(m, nn.Linear)]) for net in (a, b))
    expected = (va - vb).norm() / (va.norm() * vb.norm()).sqrt()
    assert weight_distance(a, b) == pytest.approx(expected.item())
    assert weight_distance(a, a) == 0
    double = interpolate(a, a, 0.0)
    with torch.no_grad():
        for p in double.parameters():
            p.mul_(2)
    assert weight_distance(a, double) == pytest.approx(2**-0.5)
    assert len(weight_vector(a)) == 784 * 4 + 40


@pytest.mark.row("H11")
def test_networks_of_the_ensemble_are_far_apart_and_agree():
    a, b = zoo.load_ensemble()[:2]
    assert weight_distance(a, b) > 1.2  # independent directions would be at √2
    assert agreement(a, b, some()) > 0.85
    assert agreement(a, a, some()) == 1
    disagree = sum(int(a(x).argmax() != b(x).argmax()) for x in some(100).tensors()[0].split(1))
    assert agreement(a, b, some(100)) == pytest.approx(1 - disagree / 100)


@pytest.mark.row("H11")
def test_a_line_between_networks():
    a, b = zoo.load_ensemble()[:2]
    start, middle, end = loss_along_line(a, b, some(), [0, 0.5, 1])
    assert start == pytest.approx(mean_loss(a, some()))
    assert end == pytest.approx(mean_loss(b, some()))
    assert middle > 2 * max(start, end)
    half = interpolate(a, b, 0.5)
    torch.testing.assert_close(half[0].weight, (a[0].weight + b[0].weight) / 2)
    torch.testing.assert_close(half[1].running_var, (a[1].running_var + b[1].running_var) / 2)


@pytest.mark.row("H12")
def test_one_layer_at_a_time():
    net = zoo.load("mlp")
    q = Quantizer(Symmetric(2), PerChannel(0))
    found = layer_sensitivity(net, q, some())
    assert [s.name for s in found] == ["1", "3", "5"]
    by_hand = zoo.load("mlp")
    with torch.no_grad():
        by_hand[3].weight.copy_(q.fake(net[3].weight))
    s = found[1]
    assert s.parameters == net[3].weight.numel()
    assert s.loss_increase == pytest.approx(mean_loss(by_hand, some()) - mean_loss(net, some()))
    assert s.accuracy_drop == pytest.approx(zoo.evaluate(net, some()) - zoo.evaluate(by_hand, some()))
    noise = (net[3].weight - by_hand[3].weight).double().square().sum()
    assert s.weight_sqnr == pytest.approx((10 * torch.log10(net[3].weight.double().square().sum() / noise)).item())
    p, changed = (zoo.predict(m, some()).double().softmax(1) for m in (net, by_hand))
    assert s.divergence == pytest.approx(float((p * (p / changed).log()).sum(1).mean()), rel=1e-4)
    assert s.divergence == pytest.approx(mean_divergence(net, by_hand, some()), rel=1e-4)
    assert mean_divergence(net, net, some()) == 0
    assert len({round(s.output_sqnr, 3) for s in found}) == 3  # layers differ
    assert all(not nn.utils.parametrize.is_parametrized(m) for m in net.modules())


@pytest.mark.row("H11", "H12")
def test_bad_input():
    a, b = zoo.build("mlp", hidden=(4,)), zoo.build("mlp", hidden=(5,))
    with pytest.raises(ValueError, match="one architecture"):
        weight_distance(a, b)
    with pytest.raises(ValueError, match="one architecture"):
        interpolate(a, b, 0.5)
    with pytest.raises(ValueError, match="eval mode"):
        layer_sensitivity(a, Quantizer(), some(10))
    with pytest.raises(ValueError, match="with none"):
        weight_vector(nn.ReLU())
