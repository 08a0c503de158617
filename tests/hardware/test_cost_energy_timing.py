"""Counts against closed forms, energy by hand, and a timer that knows when it does not know."""

import time

import pytest
import torch
from torch import nn

from qlab import zoo
from qlab.hardware import compare, layer_costs, machine, network_energy


@pytest.mark.row("B2", "C7")
def test_counts_of_a_convolution_and_a_linear_layer():
    net = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), nn.Flatten(), nn.Linear(8 * 5 * 5, 3))
    conv, linear = layer_costs(net, (4, 10, 10))
    assert conv.parameters == 8 * 2 * 9
    assert conv.macs == conv.parameters * 5 * 5
    assert (conv.inputs, conv.outputs) == (400, 200)
    assert linear.macs == linear.parameters == 600
    assert conv.bops(4, 8) == 32 * conv.macs
    assert conv.bytes_moved(8, 8) == 144 + 600
    assert conv.intensity() == pytest.approx(2 * conv.macs / (4 * (144 + 600)))


@pytest.mark.row("C7")
def test_counting_leaves_the_model_as_it_was():
    net = zoo.build("convnet", width=2).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    costs = layer_costs(net, (1, 28, 28))
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())
    assert sum(c.parameters for c in costs) == sum(
        m.weight.numel() for m in net if isinstance(m, (nn.Conv2d, nn.Linear))
    )


@pytest.mark.slow
@pytest.mark.row("C7")
def test_macs_agree_with_pytorchs_own_counter():
    from torch.utils.flop_counter import FlopCounterMode

    for name in ("convnet", "resnet", "separable", "mlp"):
        net = zoo.build(name).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, 1, 28, 28))
        assert 2 * sum(c.macs for c in layer_costs(net, (1, 28, 28))) == counter.get_total_flops()


@pytest.mark.row("C1", "B1")
def test_energy_by_hand():
    (cost,) = layer_costs(nn.Sequential(nn.Linear(10, 2, bias=False)), (10,))
    full, low = network_energy([cost]), network_energy([cost], 8, 8)
    assert full.arithmetic == pytest.approx(20 * 4.6)
    assert full.weights == pytest.approx(20 * 640)
    assert full.activations == pytest.approx(12 * 5)
    assert low.arithmetic == pytest.approx(20 * 0.3)
    assert full.weights / low.weights == pytest.approx(4)
    assert low.total == pytest.approx(20 * 0.3 + 20 * 160 + 12 * 1.25)
    with pytest.raises(ValueError, match="positive"):
        network_energy([cost], 0, 8)


@pytest.mark.row("C4")
def test_the_timer_sees_a_difference_and_admits_when_there_is_none():
    timings = compare({"short": lambda: time.sleep(0.002), "long": lambda: time.sleep(0.006)}, turns=9)
    assert timings.ratio("long", "short").verdict == "slower"
    assert timings.ratio("short", "long").verdict == "faster"
    assert timings.ratio("long", "long").verdict == "no difference seen"
    assert 1.5 < timings.ratio("long", "short").median < 6


@pytest.mark.row("C4")
def test_threads_are_stated_and_restored():
    before = torch.get_num_threads()
    assert compare({"a": lambda: None}, turns=3, threads=1).threads == 1
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="three turns"):
        compare({}, turns=5)
    with pytest.raises(ValueError, match="must be one of a"):
        compare({"a": lambda: None}, turns=3).ratio("b", "a")
    assert "cores" in machine()
