"""How fast the core is, as ratios inside one process: no absolute time is asserted.

16 M float32 values on one thread. The limit is memory: an existing tensor cannot be filled faster than a copy fills it,
a fresh one not faster than `clone()`, which pays for the pages too. Candidates take turns (qlab.hardware.compare).
"""

import pytest
import torch

from qlab import Asymmetric, PerChannel, PerTensor, Quantizer, Symmetric
from qlab.hardware import compare, machine

pytestmark = pytest.mark.slow
N = 4096  # 4096² = 16.8 M values


def settings():
    yield "per tensor, 8 bits", Quantizer(Symmetric(8), PerTensor())
    yield "per channel (axis 0), 8 bits", Quantizer(Asymmetric(8), PerChannel(0))
    yield "per channel (axis 1), 8 bits", Quantizer(Asymmetric(8), PerChannel(1))


@pytest.mark.row("Q2", "Q7")
@pytest.mark.parametrize(("name", "q"), settings(), ids=[n for n, _ in settings()])
def test_fake_quantization_and_codes(name, q, table, benchmark):
    x = torch.randn(N, N, generator=torch.Generator().manual_seed(0))
    p, out, upstream = q.calibrate(x), torch.empty_like(x), torch.ones_like(x)
    leaf, stored = x.clone().requires_grad_(), q(x)
    codes = torch.empty_like(stored.codes)
    zp = (-p.zero_point).to(torch.int32)
    low, high = q.grid.code_range

    def theirs():
        if q.granularity == PerTensor():
            return torch.fake_quantize_per_tensor_affine(x, float(p.scale), int(zp), low, high)
        return torch.fake_quantize_per_channel_affine(x, p.scale, zp, q.granularity.axis, low, high)

    def forward_backward():
        return torch.autograd.grad(q.fake(leaf, p), leaf, upstream)

    def two_clones():
        first, second = x.clone(), x.clone()
        return first, second

    def run():
        return compare(
            {
                "copy": lambda: out.copy_(x),
                "fake into out": lambda: q.fake(x, p, out=out),
                "torch": theirs,
                "clone": x.clone,
                "fake fresh": lambda: q.fake(x, p),
                "two clones": two_clones,
                "forward+backward": forward_backward,
                "codes into out": lambda: q.quantize(x, p, out=codes),
                "values into out": lambda: stored.dequantize(out=out),
            },
            turns=9,
            threads=1,
        )

    t = benchmark.pedantic(run, rounds=1)
    table(f"{name} ({machine()})")
    for a, b, target in (
        ("torch", "fake into out", "at least 15"),
        ("fake into out", "copy", "at most 1.3"),
        ("fake fresh", "clone", "at most 1.3"),
        ("forward+backward", "two clones", "at most 1.3"),
        ("codes into out", "copy", "at most 1.3"),
        ("values into out", "copy", "at most 1.3"),
    ):
        table(f"  {a:>16} / {b:<14} {t.ratio(a, b)!s:<24} target: {target}")
    # The order, with room for a noisy machine; the targets are read off the table.
    assert t.ratio("torch", "fake into out").median > 4
    assert t.ratio("fake into out", "copy").median < 3
