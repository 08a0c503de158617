"""Half precision against NumPy's float16, ml_dtypes' bfloat16, torch.autocast and torch.amp.GradScaler."""

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab import data, zoo
from qlab.neighbours import (
    FORMATS,
    LossScale,
    emulate_half,
    gradients,
    half_step,
    lost_updates,
    signal_gradients,
    underflow,
)

PEERS = {"fp16": ml_dtypes.finfo(np.float16), "bf16": ml_dtypes.finfo(ml_dtypes.bfloat16)}


@pytest.mark.row("B11")
@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_limits_against_the_peers_tables(name):
    f, peer = FORMATS[name], PEERS[name]
    assert f.smallest == float(peer.smallest_subnormal)
    assert f.smallest_normal == float(peer.smallest_normal)
    assert f.largest == float(peer.max)
    assert f.epsilon == float(peer.eps)


@pytest.mark.row("B11")
@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_the_cores_grid_is_the_dtype(name):
    """Over 60 binades, subnormals and ties included; past the top the grid saturates where the dtype overflows."""
    f = FORMATS[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20000, generator=generator) * 2.0 ** torch.randint(-40, 16, (20000,), generator=generator)
    x = torch.cat([x, torch.arange(-64, 65) * f.smallest_normal / 64, 1 + torch.arange(64) * f.epsilon / 2])
    x = x[x.abs() <= f.largest]
    assert torch.equal(f.quantizer.fake(x), f.round(x))
    top = torch.tensor([2 * 65504.0])
    assert FORMATS["fp16"].quantizer.fake(top).item() == 65504
    assert FORMATS["fp16"].round(top).item() == float("inf")


@pytest.mark.row("B11")
def test_underflow_starts_at_half_the_smallest_number():
    smallest = FORMATS["fp16"].smallest
    x = smallest * torch.tensor([0.0, 0.4, 0.49, 0.51, 1.0])
    assert underflow(x) == pytest.approx(2 / 4)
    assert underflow(x, scale=4.0) == 0
    assert underflow(x, "bf16") == 0
    assert underflow(torch.zeros(3)) == 0


def net_and_batch():
    x, y = data.load_calibration(64).tensors()
    return zoo.load("convnet"), x, y


@pytest.mark.row("B11")
def test_gradients_of_a_real_network_underflow_and_scaling_cures_it():
    net, x, y = net_and_batch()
    signals = signal_gradients(net, x, y)
    worst = max(underflow(g) for g in signals.values())
    assert worst > 0.02
    assert max(underflow(g, scale=2.0**13) for g in signals.values()) < worst / 50
    assert max(underflow(g, "bf16") for g in signals.values()) == 0
    scaled = signal_gradients(net, x, y, scale=8.0)
    assert all(torch.allclose(scaled[k], 8 * g, rtol=1e-3, atol=1e-7) for k, g in signals.items())


@pytest.mark.row("B11")
def test_emulation_against_autocast():
    """The peer computes in 16 bits for real; ours rounds fp32 results. Forward they differ by roundings only."""
    net, x, _ = net_and_batch()
    with torch.no_grad():
        ours, full = emulate_half(net, "bf16")(x), net(x)
        with torch.autocast("cpu", torch.bfloat16):
            theirs = net(x).float()
    gap, loss = (ours - theirs).norm() / full.norm(), (ours - full).norm() / full.norm()
    assert 1e-4 < loss < 0.02
    assert gap < 0.02
    assert torch.equal(net(x), full)  # left alone


@pytest.mark.row("B11")
def test_emulated_gradients_are_half_numbers():
    net, x, y = net_and_batch()
    half = emulate_half(net)
    exact, rounded = gradients(net, x, y), gradients(half, x, y, scale=1024.0)
    g = rounded["15.parametrizations.weight.original"]
    assert torch.equal(FORMATS["fp16"].round(g * 1024), g * 1024)  # nothing but fp16 numbers before unscaling
    assert (g - exact["15.weight"]).norm() < 0.02 * exact["15.weight"].norm()


@pytest.mark.row("B11")
def test_the_dynamic_scale_moves_as_pytorchs():
    peer = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    ours = LossScale(2.0**10, interval=3)
    w = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([w], lr=0.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        finite = bool(torch.rand((), generator=generator) > 0.2)
        peer.scale(w.sum() * (1.0 if finite else float("inf"))).backward()
        peer.step(optimizer)
        peer.update()
        optimizer.zero_grad()
        ours = ours.after(finite)
        assert ours.scale == peer.get_scale()
    fixed = LossScale.static(128.0)
    assert fixed.after(False).after(True).scale == 128.0


def tiny_gradients(scale):
    """One step of a network that is sure and right, as late in training: p − y ≈ 6e−6, then the mean."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    with torch.no_grad():
        net[2].bias.copy_(torch.tensor([12.0, 0.0]))
    half = emulate_half(net)
    x = torch.randn(2048, 8, generator=torch.Generator().manual_seed(1))
    y = torch.zeros(2048, dtype=torch.int64)
    before = half[0].parametrizations.weight.original.detach().clone()
    optimizer = torch.optim.SGD(half[0].parameters(), lr=1e5)
    loss, after = half_step(half, x, y, optimizer, scale)
    return half, (half[0].parametrizations.weight.original.detach() - before), (x, y, net), loss, after


@pytest.mark.row("B11")
def test_without_scaling_the_step_is_lost_and_with_it_it_is_right():
    *_, unscaled = tiny_gradients(LossScale.static(1.0))[:2]
    _, scaled, (x, y, net), loss, after = tiny_gradients(LossScale(2.0**18))
    (exact,) = torch.autograd.grad(F.cross_entropy(net(x), y), net[0].weight)
    assert not unscaled.any()
    assert exact.any()
    assert (scaled + 1e5 * exact).norm() < 0.02 * 1e5 * exact.norm()  # the step is −lr·gradient
    assert loss == pytest.approx(F.cross_entropy(net(x), y).item(), rel=0.02)
    assert after.good == 1


@pytest.mark.row("B11")
def test_an_overflowing_step_is_skipped():
    _, moved, _, _, after = tiny_gradients(LossScale(2.0**60))
    assert not moved.any()
    assert after.scale == 2.0**59


@pytest.mark.row("B11")
@pytest.mark.parametrize(("name", "dtype"), [("fp16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_updates_are_lost_below_half_the_spacing(name, dtype):
    """np.spacing of the peer's own numbers says where: an update just below half of it is lost, one just above kept."""
    w = np.random.default_rng(0).uniform(0.01, 8, 500).astype(dtype)
    w = w[w.astype(np.float64) != 2.0 ** np.round(np.log2(w.astype(np.float64)))]  # below a power of 2 it changes
    half = torch.tensor(np.spacing(w).astype(np.float64) / 2).float()
    w = torch.tensor(w.astype(np.float32))
    for sign in (1, -1):
        assert lost_updates(w, 0.98 * sign * half, name) == 1
        assert lost_updates(w, 1.02 * sign * half, name) == 0
    assert lost_updates(w, torch.zeros_like(w), name) == 0


@pytest.mark.row("B11")
def test_bad_input():
    with pytest.raises(ValueError, match="fp16, bf16, got 'fp8'"):
        underflow(torch.ones(1), "fp8")
    with pytest.raises(ValueError, match="scale must be positive"):
        LossScale(0.0)
    with pytest.raises(ValueError, match="same shape"):
        lost_updates(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="interval"):
        LossScale(interval=0)
