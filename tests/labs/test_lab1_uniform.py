"""Lab 1's right solutions agree with the library; see test_checks.py for what all labs owe."""

import pytest
import torch

from qlab import Asymmetric, PerChannel, Quantizer, Symmetric
from qlab.course.check import check
from qlab.course.checks import lab1_uniform as lab

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def test_there_are_enough_of_them():
    assert len(CASES) >= 50
    assert len({(e.name, m.hint) for e, m in CASES}) >= 50  # variants of one misconception may share its hint


@pytest.mark.row("Q2", "Q3", "Q4", "Q7")
def test_the_right_solutions_agree_with_the_library():
    r = torch.randn(200, generator=torch.Generator().manual_seed(1))
    p = Quantizer(Asymmetric(5)).calibrate(r)
    S, Z = lab.SCALE_ZERO_POINT.solution(float(r.min()), float(r.max()), 5)
    assert pytest.approx(float(p.scale), rel=1e-6) == S
    assert int(p.zero_point) == Z
    codes = lab.QUANTIZE.solution(r, float(p.scale), int(p.zero_point), 5)
    quantized = Quantizer(Asymmetric(5))(r, p)
    assert torch.equal(codes.long(), quantized.codes.long())
    values = lab.DEQUANTIZE.solution(codes, float(p.scale), int(p.zero_point))
    torch.testing.assert_close(values.float(), quantized.dequantize())
    w = torch.randn(6, 20, generator=torch.Generator().manual_seed(2))
    assert float(w.abs().max()) / 7 == pytest.approx(lab.SYMMETRIC_SCALE.solution(w, 4))
    torch.testing.assert_close(lab.PER_CHANNEL.solution(w, 4), Quantizer(Symmetric(4), PerChannel(0)).fake(w))


def test_other_right_solutions_pass():
    check(lab.QUANTIZE, lambda r, s, z, b: torch.clamp(torch.round(r.div(s)).sub(z), min=0, max=2**b - 1).int())
    check(lab.DEQUANTIZE, lambda q, s, z: torch.mul(q.double() + z, s).float())
