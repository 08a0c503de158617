"""What flows back, against PyTorch's own fake quantization and against finite differences."""

import pytest
import torch

from qlab import (
    Asymmetric,
    ClippedStraightThrough,
    Codebook,
    Floor,
    Params,
    PerBlock,
    PerChannel,
    Quantizer,
    Stochastic,
    StraightThrough,
    Symmetric,
    TrueGradient,
    grids,
    to_torch_zero_point,
)

pytestmark = pytest.mark.row("T1")


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradient(q, x, p, upstream):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(q.fake(leaf, p), leaf, upstream)[0]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("grid", [Symmetric(3), Asymmetric(4), Symmetric(4, restricted=False)], ids=str)
def test_the_mask_is_pytorchs_per_channel(axis, grid):
    x, upstream = 3 * data(6, 10, 7), data(6, 10, 7, seed=1)
    q = Quantizer(grid, PerChannel(axis))
    s, z = q.calibrate(x / 2)
    p = Params(2.0 ** torch.ceil(torch.log2(s)) / 2, z)
    leaf = x.clone().requires_grad_()
    y = torch.fake_quantize_per_channel_affine(leaf, p.scale, to_torch_zero_point(p.zero_point), axis, *grid.code_range)
    (theirs,) = torch.autograd.grad(y, leaf, upstream)
    ours = gradient(q, x, p, upstream)
    assert torch.equal(ours, theirs)
    assert 0 < (ours == 0).sum() < x.numel()


def test_the_edge_of_the_clip_is_half_a_step_out():
    q, p = Quantizer(Symmetric(3)), Params(torch.ones(1), torch.zeros(1, dtype=torch.int32))
    x = torch.tensor([3.0, 3.4999, 3.5, -3.4999, -3.5, 0.0])  # 3.5 goes to the even 4, which is clipped
    assert gradient(q, x, p, torch.ones(6)).tolist() == [1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("grid", [Symmetric(4), grids.E2M1, grids.NF4], ids=["uniform", "float", "codebook"])
@pytest.mark.parametrize("rule", [ClippedStraightThrough(), StraightThrough(), TrueGradient()], ids=str)
def test_the_three_rules_on_every_kind_of_grid(grid, rule):
    x, upstream = data(400), data(400, seed=1)
    q = Quantizer(grid, gradient=rule)
    p = q.calibrate(x / 3)
    inside = (x / p.scale).abs() <= grid.unit_range[1]
    far = (x / p.scale).abs() > grid.unit_range[1] * 1.2
    g = gradient(q, x, p, upstream)
    if rule == StraightThrough():
        assert torch.equal(g, upstream)
    elif rule == TrueGradient():
        assert torch.equal(g, torch.zeros(400))
    else:
        assert torch.equal(g[inside], upstream[inside])
        assert torch.equal(g[far], torch.zeros(int(far.sum())))
        assert 20 < int(far.sum()) < int((~inside).sum()) + 1


def test_the_true_gradient_is_what_differences_show():
    q, x, h = Quantizer(Symmetric(4)), data(200).double(), 1e-7
    p = q.calibrate(x)
    slope = (q.fake(x + h, p) - q.fake(x - h, p)) / (2 * h)
    assert torch.equal(slope, gradient(q.with_(gradient=TrueGradient()), x, p, torch.ones_like(x)))


@pytest.mark.parametrize("rounding", [Floor(), Stochastic(torch.Generator().manual_seed(0))], ids=["floor", "random"])
def test_the_mask_does_not_depend_on_the_rounding(rounding):
    x, upstream = data(400), data(400, seed=1)
    q = Quantizer(Symmetric(3))
    p = q.calibrate(x / 3)
    assert torch.equal(gradient(q.with_(rounding=rounding), x, p, upstream), gradient(q, x, p, upstream))


@pytest.mark.parametrize("granularity", [PerChannel(1), PerBlock(4, axis=0), PerBlock(2)], ids=str)
def test_views_and_expanded_gradients(granularity):
    x = data(6, 8).t()
    q = Quantizer(Symmetric(3), granularity)
    p = q.calibrate(x / 3)
    leaf = x.clone().requires_grad_()
    q.fake(leaf, p).sum().backward()  # its gradient arrives as an expanded 1
    assert torch.equal(leaf.grad, gradient(q, x.contiguous(), p, torch.ones(8, 6)))
    assert q.fake(leaf, p).requires_grad
    with torch.no_grad():
        assert not q.fake(leaf, p).requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gradients_keep_their_type(dtype):
    x = data(50).to(dtype)
    q = Quantizer(Codebook((-1.0, 0.0, 1.0)))
    assert gradient(q, x, q.calibrate(x), torch.ones_like(x)).dtype == dtype
