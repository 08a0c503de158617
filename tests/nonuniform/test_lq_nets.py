"""LQ-Nets: its basis against alternating least squares and the uniform grid, and a short training."""

import pytest
import torch

from qlab import Asymmetric, PerChannel, Quantizer, Recipe, Symmetric, quantize
from qlab.network import network_bytes, report
from qlab.nonuniform import LQ, alternating
from qlab.zoo import build

pytestmark = pytest.mark.row("Q9", "Q10")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_the_fitted_basis_is_about_as_good_as_alternating(bits):
    w = normal(16, 300)
    module = LQ(bits).module(None, w).eval()
    ours = float((module(w) - w).square().sum())
    best = float((alternating(w, bits, PerChannel(0)).dequantize() - w).square().sum())
    assert ours <= 1.05 * best
    torch.testing.assert_close(module(w), module.stored(w).dequantize())


def test_gradient_goes_straight_through_and_the_basis_moves_only_while_training():
    w = normal(4, 50).requires_grad_()
    module = LQ(2).module(None, w)
    before = module.basis.clone()
    module.eval()(w).sum().backward()
    assert torch.equal(w.grad, torch.ones_like(w))
    assert torch.equal(module.basis, before)
    module.train()(2 * w)  # the weights double: so must the basis, at 0.9 per step
    assert not torch.equal(module.basis, before)
    for _ in range(150):
        module(2 * w)
    torch.testing.assert_close(module.basis, 2 * before, rtol=0.1, atol=0.05)


def test_activations_start_uniform_and_clip_at_the_top():
    a = normal(64, 10).abs().requires_grad_()
    quantizer = Quantizer(Asymmetric(8))
    module = LQ(3, quantizer=quantizer).module(quantizer.calibrate(a), None).eval()
    uniform = Quantizer(Symmetric(3, signed=False)).fake(a.detach())
    torch.testing.assert_close(module(a).detach(), uniform)
    module(2 * a).sum().backward()
    assert torch.equal(a.grad == 0, 2 * a.detach() > a.detach().max())
    with pytest.raises(ValueError, match="without negative values"):
        LQ(3, quantizer=quantizer).module(quantizer.calibrate(normal(9)), None)


def test_in_a_network_bits_are_counted_and_the_error_falls_with_the_basis():
    model = quantize(build("convnet"), Recipe(weight=LQ(2)))
    lines = report(model)
    assert all(2 < line.bits < 10 and line.sqnr > 6 for line in lines)
    assert network_bytes(model) < 61050 * 4 / 8
    model.train()(normal(4, 1, 28, 28)).sum().backward()
    with pytest.raises(ValueError, match="momentum"):
        LQ(2, momentum=1.0)
