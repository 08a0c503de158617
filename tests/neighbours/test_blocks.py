"""Blocks, their gradients by finite differences and theory, and joins of quantized branches by hand."""

import pytest
import torch
from torch import nn

from qlab import Quantizer, Symmetric
from qlab.neighbours import Inception, Residual, concat_scales, gradient_by_depth, stack, sum_scales


@pytest.mark.row("B4")
def test_blocks():
    x = torch.randn(2, 8, 6, 6)
    block = Residual(8).eval()
    assert block(x).shape == x.shape
    nn.init.zeros_(block.body[2].weight)  # BatchNorm's gain: F = 0, the identity is left
    torch.testing.assert_close(block(x), x.relu())
    inception = Inception(8, 12).eval()
    assert inception(x).shape == (2, 12, 6, 6)
    torch.testing.assert_close(inception(x)[:, 3:6], inception.branches[1](x))
    with pytest.raises(ValueError, match="multiple of 4, got 10"):
        Inception(8, 10)


@pytest.mark.row("B4")
def test_gradient_norms_against_finite_differences():
    layers = [m.double() for m in stack(4, 5, residual=True, seed=1)]
    x = torch.randn(1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    g = torch.ones(1, 5, dtype=torch.float64)
    norms = gradient_by_depth(layers, x, g)

    def end(h, start):
        for layer in layers[start:]:
            h = layer(h)
        return (h * g).sum().item()

    h = x
    with torch.no_grad():
        for i, layer in enumerate([*layers, None]):
            steps = torch.eye(5, dtype=torch.float64) * 1e-6
            numeric = [(end(h + s, i) - end(h - s, i)) / 2e-6 for s in steps]
            assert norms[i].item() == pytest.approx(torch.tensor(numeric).norm().item(), rel=1e-5)
            h = layer(h) if layer is not None else h


@pytest.mark.row("B4")
def test_a_plain_stack_loses_its_gradient_at_the_rate_of_theory_and_a_residual_one_keeps_it():
    """E‖dL/dh_i‖² shrinks by gain²/2 per layer: by 2^(−depth) in the square at gain 1."""
    depth, width = 12, 128
    x, g = (torch.randn(64, width, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    logs = []
    for seed in range(6):
        norms = gradient_by_depth(stack(depth, width, gain=1.0, seed=seed), x, g)
        logs.append(torch.log2(norms[0] / norms[-1]).item())
    assert sum(logs) / 6 == pytest.approx(-depth / 2, rel=0.15)
    kept = gradient_by_depth(stack(depth, width, residual=True, gain=1.0), x, g)
    assert kept[0] / kept[-1] == pytest.approx(1, abs=0.3)


@pytest.mark.row("B4")
def test_sums_by_hand():
    """Scales 1 and 10: the codes are (127, 3) and (127, −1); without alignment they are simply added."""
    a, b = torch.tensor([127.0, 3.0]), torch.tensor([1270.0, -10.0])
    e = sum_scales([a, b])
    assert e.scales == (1.0, 10.0)
    assert e.separate == float("inf")

    def sqnr(y):
        exact = a + b
        return (10 * torch.log10(exact.square().sum() / (y - exact).square().sum())).item()

    assert e.unaligned == pytest.approx(sqnr(torch.tensor([254.0, 2.0])))
    # on the common scale 10: 127 → 130, 3 → 0
    assert e.shared == pytest.approx(sqnr(torch.tensor([1400.0, -10.0])))
    assert e.rescaled == pytest.approx(e.shared)


@pytest.mark.row("B4")
@pytest.mark.parametrize("join", [sum_scales, concat_scales])
def test_unequal_branches(join):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 8, 5, 5, generator=generator), 6 * torch.randn(4, 8, 5, 5, generator=generator)
    e = join([a, b])
    assert e.unaligned < 10 < 30 < e.rescaled
    assert e.rescaled <= e.shared + 0.5 < e.separate + 0.5
    same = join([a, a])
    assert same.unaligned == pytest.approx(same.separate) == pytest.approx(same.shared)


@pytest.mark.row("B4")
def test_concatenation_by_hand():
    a, b = torch.randn(2, 3), 4 * torch.randn(2, 5)
    e = concat_scales([a, b], bits=4)
    whole = torch.cat([a, b], 1)
    noise = (Quantizer(Symmetric(4)).fake(whole) - whole).double().square().sum()  # one tensor, one scale
    assert e.shared == pytest.approx((10 * torch.log10(whole.double().square().sum() / noise)).item())


@pytest.mark.row("B4")
def test_bad_input():
    with pytest.raises(ValueError, match="one shape"):
        sum_scales([torch.ones(2), torch.ones(3)])
    with pytest.raises(ValueError, match="two or more"):
        concat_scales([torch.ones(1, 2)])
    with pytest.raises(ValueError, match="at least 1"):
        stack(0)
