"""The fast path gives the reference's bits."""

import pytest
import torch

from qlab import Asymmetric, PerBlock, PerChannel, PerGroup, PerTensor, Quantizer, Symmetric, fused
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
