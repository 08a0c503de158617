"""Lab 5's right solutions agree with the library and with PyTorch; see test_checks.py for what all labs owe."""

import time

import pytest
import torch
from torch import nn

from qlab import PerTensor, Quantizer, Symmetric
from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab5_separable as lab
from qlab.hardware import Roofline, layer_costs, total_cost
from qlab.neighbours import separable_like, separable_ratio

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def test_there_are_enough_of_them():
    assert len(CASES) >= 100
    assert all(len(e.mistakes) >= 2 for e in ALL)


@pytest.mark.row("B2")
@pytest.mark.parametrize(
    ("c_in", "c_out", "kernel", "groups", "size", "stride", "padding"),
    [(6, 10, 3, 1, 28, 1, 1), (8, 8, 3, 8, 15, 2, 1), (8, 12, 5, 4, 15, 3, 0), (4, 6, 1, 1, 9, 2, 0)],
)
def test_counts_agree_with_a_layer_of_pytorch(c_in, c_out, kernel, groups, size, stride, padding):
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=False)
    (cost,) = layer_costs(nn.Sequential(conv), (c_in, size, size))
    case = (c_in, c_out, kernel, groups, size, stride, padding)
    assert lab.OUTPUT_SIZE.solution(size, kernel, stride, padding) == conv(torch.zeros(1, c_in, size, size)).shape[-1]
    assert lab.PARAMETERS.solution(c_in, c_out, kernel, groups) == conv.weight.numel()
    assert lab.MACS.solution(*case) == cost.macs
    assert lab.BYTES_MOVED.solution(*case) == cost.bytes_moved()
    assert lab.INTENSITY.solution(cost.macs, cost.bytes_moved()) == pytest.approx(cost.intensity())
    roof = Roofline(40.0, ((2**30, 12.0),))
    assert lab.TIME_BOUND.solution(cost.macs, cost.bytes_moved(), 40e9, 12e9) == pytest.approx(roof.seconds(cost))


@pytest.mark.row("B2")
def test_the_pair_agrees_with_the_library():
    conv = nn.Conv2d(6, 10, 5, stride=2, padding=2)
    pair, twin = lab.SEPARABLE.solution(conv), separable_like(conv)
    assert [tuple(p.shape) for p in pair.parameters()] == [tuple(p.shape) for p in twin.parameters()]
    macs = total_cost(layer_costs(twin, (6, 15, 15))).macs
    assert lab.SEPARABLE_MACS.solution(6, 10, 5, 15, 2, 2) == macs
    assert macs / lab.MACS.solution(6, 10, 5, 1, 15, 2, 2) == pytest.approx(separable_ratio(10, 5))
    assert lab.MAC_RATIO.solution(10, 5) == pytest.approx(separable_ratio(10, 5))


@pytest.mark.row("B2")
def test_codes_in_reach_are_those_of_the_librarys_quantizer():
    w = torch.randn(5, 1, 3, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1, 0.5, 0.1, 0.02, 0.001]
    ).reshape(-1, 1, 1, 1)
    q = Quantizer(Symmetric(6), PerTensor())
    top = q(w).codes.flatten(1).abs().amax(1)
    assert torch.equal(lab.CODES_IN_REACH.solution(w, 6), 2 * top.long() + 1)
    sqnr = lab.CHANNEL_SQNR.solution(w, q.fake(w))
    c = 1
    expected = 10 * torch.log10(w[c].square().sum() / (w[c] - q.fake(w)[c]).square().sum())
    assert sqnr[c] == pytest.approx(expected.item(), rel=1e-5)


def test_the_simulated_machine_tells_fair_from_unfair_timing():
    for case in lab.TIME_RATIO.cases:
        fair = lab.TIME_RATIO.use(lab.TIME_RATIO.solution, *case)
        assert fair == pytest.approx(case[0] / case[1], rel=0.07)


def test_a_clock_of_ones_own_is_answered_in_words():
    def own_clock(first, second, turns, clock):
        start = time.perf_counter()
        first()
        second()
        return time.perf_counter() - start

    with pytest.raises(CheckFailed, match="clock was never read"):
        check(lab.TIME_RATIO, own_clock)


def test_other_right_solutions_pass():
    check(lab.OUTPUT_SIZE, lambda n, k, s, p: len(range(0, n + 2 * p - k + 1, s)))
    check(lab.PARAMETERS, lambda a, b, k, g: nn.Conv2d(a, b, k, groups=g, bias=False).weight.numel())
    check(lab.SEPARABLE, separable_like)
    check(
        lab.CODES_IN_REACH,
        lambda w, b: 2 * torch.round(w.abs().amax((1, 2, 3)) / w.abs().max() * (2 ** (b - 1) - 1)).long() + 1,
    )
    check(lab.TIME_BOUND, lambda macs, moved, peak, bw: 2 * macs / min(peak, bw * 2 * macs / moved))

    def alternating(first, second, turns, clock):
        ratios = []
        for run in (first, second, first, second):
            run()
        for _ in range(turns):
            t0 = clock()
            first()
            t1 = clock()
            second()
            ratios.append((t1 - t0) / (clock() - t1))
        return sorted(ratios)[len(ratios) // 2]

    check(lab.TIME_RATIO, alternating)


def test_a_list_instead_of_a_network_is_answered_in_words():
    with pytest.raises(CheckFailed, match=r"return an nn\.Sequential"):
        check(lab.SEPARABLE, lambda conv: [conv])
