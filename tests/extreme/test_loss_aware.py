"""Loss-aware binarization: α against brute force over the weighted error, d against PyTorch's Adam."""

from itertools import product

import pytest
import torch
from torch import nn

from qlab import Recipe, quantize
from qlab.extreme import BWN, LossAware, loss_aware_scale

pytestmark = pytest.mark.row("E5")


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_alpha_and_signs_have_the_least_weighted_error_of_all():
    w, d = normal(0, 1, 7).double(), normal(1, 1, 7).double().exp()
    alpha = loss_aware_scale(w, d)
    mine = float((d * (w - alpha * w.sign()) ** 2).sum())
    least = torch.inf
    for word in product((-1.0, 1.0), repeat=7):
        b = torch.tensor([word], dtype=torch.float64)
        a = (d * w * b).sum() / d.sum()
        least = min(least, float((d * (w - a * b) ** 2).sum()))
    assert mine == pytest.approx(least, rel=1e-9)


@pytest.mark.slow
def test_equal_curvature_is_bwn():
    w = normal(2, 4, 9)
    torch.testing.assert_close(LossAware().module(None, w)(w), BWN().module(None, w)(w))


@pytest.mark.slow
def test_the_curvature_is_the_second_moment_of_pytorchs_adam():
    layer = nn.Linear(6, 3, bias=False)
    net = quantize(nn.Sequential(layer), Recipe(LossAware(decay=0.9)))
    chain = net[0].parametrizations.weight
    adam = torch.optim.Adam([chain.original], lr=1e-3, betas=(0.9, 0.9))
    for seed in range(4):
        adam.zero_grad()
        net(normal(seed, 5, 6)).square().sum().backward()
        adam.step()
    moment = adam.state[chain.original]["exp_avg_sq"]
    torch.testing.assert_close(chain[0].second_moment, moment, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(chain[0].curvature, (moment / (1 - 0.9**4)).sqrt() + 1e-8, rtol=1e-4, atol=1e-7)
    rows, d = chain.original.detach(), chain[0].curvature
    torch.testing.assert_close(chain[0].stored(rows).params.scale, (d * rows.abs()).sum(1) / d.sum(1))


def test_evaluation_gathers_nothing_and_copies_are_independent():
    net = quantize(nn.Sequential(nn.Linear(3, 2)), Recipe(LossAware())).eval()
    net(normal(1, 4, 3)).sum().backward()
    assert int(net[0].parametrizations.weight[0].seen) == 0


def test_preconditioning_divides_by_the_curvature_and_keeps_the_mean():
    w = normal(3, 2, 5).requires_grad_()
    module = LossAware(precondition=True).module(None, w)
    up = normal(4, 2, 5)
    module(w).backward(up)
    d = module.curvature
    torch.testing.assert_close(w.grad, up * d.mean() / d)
    with pytest.raises(ValueError, match="decay must lie"):
        LossAware(decay=1.0)
    with pytest.raises(ValueError, match="curvature must be positive"):
        loss_aware_scale(torch.ones(1, 2), torch.zeros(1, 2))
