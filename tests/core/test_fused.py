"""The fast path gives the reference's bits."""

import numpy as np
import pytest
import torch

from qlab import Asymmetric, Params, PerBlock, PerChannel, PerGroup, PerTensor, Quantizer, Symmetric, fused
from qlab.quantizer import decode, encode, reconstruct

pytestmark = pytest.mark.row("Q2", "Q3")
GRANULARITIES = [PerTensor(), PerChannel(0), PerChannel(1), PerChannel(-1), PerGroup(3, axis=1), PerBlock(5)]


def awkward(*shape):
    """Normal numbers with ties, negative zeros, denormals and large values among them."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    flat = x.view(-1)
    flat[::7] = torch.round(flat[::7] * 8) / 16
    flat[1::11], flat[2::13], flat[3::17] = -0.0, 1e-41, 30.0
    return x


@pytest.mark.parametrize("granularity", GRANULARITIES, ids=str)
@pytest.mark.parametrize("grid", [Symmetric(4), Symmetric(8, restricted=False), Asymmetric(8), Asymmetric(16)], ids=str)
@pytest.mark.parametrize("shape", [(4, 6, 35), (2, 3, 5), (1, 9, 40, 5)], ids=str)
def test_forward_backward_codes_and_values(granularity, grid, shape):
    x, q = awkward(*shape), Quantizer(grid, granularity)
    p = q.calibrate(x)
    rows = granularity.rows(x)
    assert torch.equal(q.fake(x, p), granularity.unrows(reconstruct(rows, p, grid, q.rounding), shape))
    codes = encode(rows, p, grid, q.rounding)
    stored = q(x, p)
    assert torch.equal(stored.codes.to(torch.int32), granularity.unrows(codes.to(torch.int32), shape))
    assert torch.equal(stored.dequantize(), granularity.unrows(decode(codes.to(torch.int32), p, grid), shape))


@pytest.mark.parametrize("granularity", GRANULARITIES, ids=str)
def test_gradient(granularity, monkeypatch):
    x, q = awkward(4, 6, 35), Quantizer(Symmetric(3), granularity)
    p = q.calibrate(x / 2)  # some values are clipped
    upstream = torch.randn(4, 6, 35, generator=torch.Generator().manual_seed(2))
    (fast,) = torch.autograd.grad(q.fake(leaf := x.clone().requires_grad_(), p), leaf, upstream)
    for name in ("fake", "backward"):
        monkeypatch.setattr(fused, name, lambda *_: None)
    (reference,) = torch.autograd.grad(q.fake(leaf := x.clone().requires_grad_(), p), leaf, upstream)
    assert torch.equal(fast, reference)
    assert (fast == 0).any()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerChannel(1)], ids=str)
def test_large_tensors_in_threads(granularity, threads):
    x = awkward(1031, 1030)  # more values than the threshold, and not a multiple of anything
    q = Quantizer(Asymmetric(8), granularity)
    p = q.calibrate(x)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        out = q.fake(x, p, out=torch.empty_like(x))
        stored = q(x, p)
    finally:
        torch.set_num_threads(before)
    expected = granularity.unrows(reconstruct(granularity.rows(x), p, q.grid, q.rounding), x.shape)
    assert torch.equal(out, expected)
    assert torch.equal(stored.dequantize(), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("size", [50, 1 << 20])
def test_values_that_are_not_finite_are_found_in_the_same_pass(bad, size):
    x = torch.zeros(size)
    q = Quantizer(Symmetric(8))
    p = q.calibrate(torch.tensor([-1.0, 1.0]))
    x[size - 1] = bad
    for run in (lambda: q.fake(x, p), lambda: q(x, p), lambda: q.fake(x, p, out=torch.empty_like(x))):
        with pytest.raises(ValueError, match="1 NaN or infinite values"):
            run()


def test_strides_devices_and_types_that_do_not_fit_take_the_reference():
    x = awkward(6, 10)
    q = Quantizer(Asymmetric(8), PerChannel(0))
    assert torch.equal(Quantizer(Asymmetric(8), PerChannel(1)).fake(x.t()), q.fake(x).t())
    assert q.fake(x.double()).dtype == torch.float64
    assert q.fake(x.half()).dtype == torch.float16


def bits(x):
    """The bit patterns: unlike ==, they tell −0 from 0."""
    return x.contiguous().view(torch.int32)


def everything(q, x, p, upstream):
    """Return r̃, codes, r̃ from codes, r̃ into an existing tensor, and the gradient."""
    leaf = x.clone().requires_grad_()
    forward = q.fake(leaf, p)
    (grad,) = torch.autograd.grad(forward, leaf, upstream)
    stored = q(x, p)
    into = q.fake(x, p, out=torch.full_like(x, 7.0))
    return forward.detach(), stored.codes.int(), stored.dequantize(), into, grad


def both_paths(q, x, p, monkeypatch):
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    calls = []
    with monkeypatch.context() as patch:
        for name in ("fake", "encode", "decode", "backward"):
            real = getattr(fused, name)
            patch.setattr(fused, name, lambda *a, real=real, name=name: calls.append(name) or real(*a))
        fast = everything(q, x, p, upstream)
        assert set(calls) == {"fake", "encode", "decode", "backward"}
    with monkeypatch.context() as patch:
        for name in ("fake", "encode", "decode", "backward"):
            patch.setattr(fused, name, lambda *_: None)
        slow = everything(q, x, p, upstream)
    for a, b in zip(fast, slow, strict=True):
        assert torch.equal(bits(a), bits(b))
    return fast


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "granularity",
    [PerTensor(), PerChannel(0), PerChannel(1), PerChannel(2), PerGroup(103, 1), PerBlock(5), PerBlock(255)],
    ids=str,
)
def test_above_the_threshold_in_threads(granularity, threads, monkeypatch):
    x = awkward(5, 1030, 255)  # 1.3 M values
    q = Quantizer(Asymmetric(8), granularity)
    torch.set_num_threads(threads)
    p = q.calibrate(x / 2)  # some values are clipped
    both_paths(q, x, p, monkeypatch)


@pytest.mark.parametrize("granularity", GRANULARITIES, ids=str)
@pytest.mark.parametrize("unit", [1e-42, 1e-38, 1e-20, 1e37], ids=str)
def test_far_from_one(granularity, unit, monkeypatch):
    x = awkward(4, 6, 35) / 30 * unit  # at 1e37, and clipped from there on, far above every code
    for grid in (Symmetric(8), Asymmetric(4)):
        q = Quantizer(grid, granularity)
        both_paths(q, x, q.calibrate(x), monkeypatch)
        small = Params(torch.full_like(q.calibrate(x).scale, 2.0**-126), q.calibrate(x).zero_point)
        fast = both_paths(q, x, small, monkeypatch)  # 1e37/S = inf: clipped, not NaN
        assert torch.isfinite(fast[0]).all()


@pytest.mark.parametrize("grid", [Symmetric(2), Symmetric(1, signed=False), Asymmetric(1), Symmetric(16)], ids=str)
def test_extreme_widths(grid, monkeypatch):
    x = awkward(3, 7, 11)
    q = Quantizer(grid, PerChannel(1))
    both_paths(q, x, q.calibrate(x), monkeypatch)


@pytest.mark.parametrize("zero_point", [-1000, -3, 0, 7, 1000])
def test_zero_points_that_no_calibration_makes(zero_point, monkeypatch):
    q = Quantizer(Asymmetric(4))
    p = Params(torch.tensor([0.25]), torch.tensor([zero_point], dtype=torch.int32))
    both_paths(q, awkward(500), p, monkeypatch)


def test_every_tie_of_eight_bits(monkeypatch):
    q = Quantizer(Symmetric(8, restricted=False))
    p = Params(torch.tensor([0.5]), torch.zeros(1, dtype=torch.int32))
    ties = torch.arange(-131.5, 132) / 2
    x = torch.cat([ties, torch.nextafter(ties, ties + 1), torch.nextafter(ties, ties - 1)])
    codes = both_paths(q, x, p, monkeypatch)[1][: len(ties)]
    np.testing.assert_array_equal(codes.numpy(), np.clip(np.rint(ties.numpy() / 0.5), -128, 127))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (1, 3, 1, 1)], ids=str)
def test_single_values_and_thin_shapes(shape, monkeypatch):
    x = torch.full(shape, -0.3)
    both_paths(Quantizer(Asymmetric(8)), x, Quantizer(Asymmetric(8)).calibrate(x), monkeypatch)
    if shape:
        q = Quantizer(Asymmetric(8), PerChannel(-1))
        both_paths(q, x, q.calibrate(x), monkeypatch)


def test_a_thread_that_finds_a_bad_value_is_heard_wherever_it_is():
    q, n = Quantizer(Symmetric(8), PerChannel(1)), 1 << 20
    p = Params(torch.ones(4), torch.zeros(4, dtype=torch.int32))
    torch.set_num_threads(2)
    for place in (0, n // 2 - 1, n // 2, n - 1):
        x = torch.zeros(n)
        x[place] = float("-inf")
        with pytest.raises(ValueError, match="got 1 NaN"):
            q.fake(x.reshape(-1, 4), p)
        with pytest.raises(ValueError, match="got 1 NaN"):
            q(x.reshape(-1, 4), p)
