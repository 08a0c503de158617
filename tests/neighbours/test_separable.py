"""Separable convolutions against counted parameters, PyTorch's FLOP counter and a brute-force best fit."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from qlab.hardware import layer_costs, total_cost
from qlab.neighbours import nearest_separable, separable_like, separable_ratio


@pytest.mark.row("B2")
@pytest.mark.parametrize(("c_in", "c_out", "k"), [(3, 5, 3), (16, 32, 3), (8, 8, 5), (4, 7, 1)])
def test_the_ratio_is_what_is_counted(c_in, c_out, k):
    standard = nn.Conv2d(c_in, c_out, k, padding=k // 2, bias=False)
    separable = separable_like(standard)
    one, two = (total_cost(layer_costs(net, (c_in, 12, 12))) for net in (nn.Sequential(standard), separable))
    assert two.parameters / one.parameters == pytest.approx(separable_ratio(c_out, k))
    assert two.macs / one.macs == pytest.approx(separable_ratio(c_out, k))
    with FlopCounterMode(display=False) as counter:
        separable(torch.zeros(1, c_in, 12, 12))
    assert counter.get_total_flops() == 2 * two.macs


@pytest.mark.row("B2")
def test_same_shape_out_and_reproducible():
    conv = nn.Conv2d(6, 10, 3, stride=2, padding=2, dilation=2)
    x = torch.randn(2, 6, 15, 15)
    a, b = separable_like(conv, seed=3), separable_like(conv, seed=3)
    assert a(x).shape == conv(x).shape
    assert torch.equal(a(x), b(x))
    assert not torch.equal(a(x), separable_like(conv, seed=4)(x))
    assert a[1].bias is not None


@pytest.mark.row("B2")
def test_a_separable_convolution_is_a_standard_one_of_rank_one():
    """Written out as a standard convolution and back: nothing is lost."""
    separable = separable_like(nn.Conv2d(4, 6, 3, padding=1))
    full = nn.Conv2d(4, 6, 3, padding=1)
    with torch.no_grad():
        full.weight.copy_(separable[1].weight[:, :, 0, 0][:, :, None, None] * separable[0].weight[:, 0])
        full.bias.copy_(separable[1].bias)
    x = torch.randn(3, 4, 8, 8)
    torch.testing.assert_close(full(x), separable(x))
    torch.testing.assert_close(nearest_separable(full)(x), full(x))


@pytest.mark.row("B2", "B3")
def test_no_separable_convolution_is_nearer():
    """Alternating least squares from random starts, channel by channel, never gets below the SVD's error."""
    conv = nn.Conv2d(2, 5, 3, bias=False)
    near = nearest_separable(conv)
    written_out = near[1].weight[:, :, 0, 0][:, :, None, None] * near[0].weight[:, 0]
    error = (conv.weight - written_out).square().sum().item()
    w = conv.weight.detach().double()
    for start in range(5):
        found = 0.0
        for c in range(2):
            m = w[:, c].flatten(1)
            d = torch.randn(9, generator=torch.Generator().manual_seed(start), dtype=torch.float64)
            for _ in range(500):
                p = m @ d / (d @ d)
                d = p @ m / (p @ p)
            found += (m - torch.outer(p, d)).square().sum().item()
        assert error <= found * (1 + 1e-5)
    assert error == pytest.approx(found, rel=1e-3)
    x = torch.randn(1, 2, 6, 6)
    torch.testing.assert_close(near(x), F.conv2d(x, written_out))


@pytest.mark.row("B2")
def test_bad_input():
    with pytest.raises(TypeError, match=r"nn\.Conv2d, got Linear"):
        separable_like(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="groups=2"):
        nearest_separable(nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
        separable_ratio(0, 3)
