"""The roofline's arithmetic by hand, and measurements that must at least have the right shape."""

import pytest
import torch
from torch import nn

from qlab.hardware import (
    Roofline,
    compare,
    layer_costs,
    layer_points,
    machine,
    measure_bandwidth,
    measure_peak,
    total_cost,
)
from qlab.hardware.energy import ADD_PJ, ADD_UM2

ROOF = Roofline(100.0, ((32_000, 80.0), (1_000_000, 40.0), (100_000_000, 10.0)))


@pytest.mark.row("B6", "C4")
def test_the_roof():
    assert ROOF.attainable(2.0) == 20
    assert ROOF.attainable(1e9) == 100
    assert ROOF.ridge() == 10
    assert ROOF.attainable(ROOF.ridge()) == 100
    assert ROOF.bandwidth(32_000) == 80
    assert ROOF.bandwidth(32_001) == 40
    assert ROOF.attainable(1.0, working_set=5_000) == 80
    with pytest.raises(ValueError, match="intensity"):
        ROOF.attainable(-1.0)
    with pytest.raises(ValueError, match="in the order"):
        Roofline(1.0, ((2, 1.0), (1, 1.0)))


@pytest.mark.row("C7")
def test_modelled_seconds():
    """A matrix–vector product moves 4 bytes per weight for two operations: its bytes set the time."""
    (cost,) = layer_costs(nn.Sequential(nn.Linear(5000, 4000, bias=False)), (5000,))
    moved = 4 * (5000 * 4000 + 9000)
    assert ROOF.seconds(cost) == pytest.approx(moved / 10e9)
    assert ROOF.seconds(cost) / ROOF.seconds(cost, 8, 8) == pytest.approx(4)
    (conv,) = layer_costs(nn.Sequential(nn.Conv2d(64, 64, 3, padding=1)), (64, 30, 30))
    assert ROOF.seconds(conv) == pytest.approx(2 * conv.macs / 100e9)  # arithmetic sets it


@pytest.mark.row("B6", "C4")
def test_measured_bandwidth_falls_when_the_data_leave_the_cache():
    (small, near), (large, far) = measure_bandwidth([2**26, 2**14], turns=5)
    assert (small, large) == (2**14, 2**26)
    assert near > 1.5 * far > 0
    with pytest.raises(ValueError, match="1024"):
        measure_bandwidth([4])


@pytest.mark.row("C4")
def test_measured_peak_is_more_than_one_operation_a_nanosecond():
    assert measure_peak(256, turns=5) > 1


@pytest.mark.row("B6", "C7")
def test_points_of_layers():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    x = torch.randn(5, 2, 8, 8)
    conv, linear = layer_points(net, x, turns=3)
    assert conv.cost.name == "0"
    assert conv.intensity == pytest.approx(2 * 5 * conv.cost.macs / (4 * (72 + 5 * (128 + 144))))
    assert linear.gflops == pytest.approx(2 * 5 * linear.cost.macs / linear.seconds / 1e9)
    assert not any(m._forward_pre_hooks for m in net.modules())
    with pytest.raises(ValueError, match="eval mode"):
        layer_points(net.train(), x)
    assert total_cost(layer_costs(net, (2, 8, 8))).macs == conv.cost.macs + linear.cost.macs


@pytest.mark.row("C1")
def test_the_surveys_ratios_for_an_int8_addition():
    """30 times less energy and 116 times less area than fp32, as the survey says beside its figure 7."""
    assert ADD_PJ["fp32"] / ADD_PJ["int8"] == pytest.approx(30)
    assert round(ADD_UM2["fp32"] / ADD_UM2["int8"]) == 116


@pytest.mark.row("C4")
def test_turns_alternate_and_spread_is_ordered():
    order = []
    timings = compare({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, turns=4, warmup=0)
    assert "".join(order) == "abbaabba"
    low, high = timings.spread("a")
    assert 0 < low <= timings.median("a") <= high
    assert "/" not in machine().replace("AMD/", "")
