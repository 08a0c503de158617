"""Lab 1's checks accept right solutions and answer every seeded mistake with its own hint."""

import pytest
import torch

from qlab import Asymmetric, PerChannel, Quantizer, Symmetric
from qlab.course import lab1
from qlab.course.check import CheckFailed, Exercise, check

CASES = [(e, m) for e in lab1.EXERCISES for m in e.mistakes]


@pytest.mark.parametrize("exercise", lab1.EXERCISES, ids=lambda e: e.name)
def test_the_reference_passes(exercise, capsys):
    check(exercise, exercise.reference)
    assert "✓" in capsys.readouterr().out


@pytest.mark.row("Q2", "Q4")
@pytest.mark.parametrize(("exercise", "mistake"), CASES, ids=lambda v: v.name)
def test_every_seeded_mistake_is_caught_with_its_own_hint(exercise, mistake):
    with pytest.raises(CheckFailed) as caught:
        check(exercise, mistake.solution)
    assert mistake.hint in str(caught.value) or "ZeroDivisionError" in str(caught.value)


def test_there_are_enough_of_them():
    assert len(CASES) >= 25
    assert len({m.hint for _, m in CASES}) == len(CASES)


@pytest.mark.row("Q2", "Q3", "Q4", "Q7")
def test_the_references_agree_with_the_library():
    r = torch.randn(200, generator=torch.Generator().manual_seed(0))
    p = Quantizer(Asymmetric(5)).calibrate(r)
    s, z = lab1.scale_zero_point(float(r.min()), float(r.max()), 5)
    assert s == pytest.approx(float(p.scale), rel=1e-6)
    assert z == int(p.zero_point)
    codes = lab1.quantize(r, float(p.scale), int(p.zero_point), 5)
    assert torch.equal(codes, Quantizer(Asymmetric(5))(r, p).codes.float())
    w = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(lab1.per_channel(w, 4), Quantizer(Symmetric(4), PerChannel(0)).fake(w))


def test_other_right_solutions_pass():
    check(lab1.QUANTIZE, lambda r, s, z, b: torch.clamp(torch.round(r.div(s)).sub(z), min=0, max=2**b - 1).int())
    check(lab1.SYMMETRIC, lambda r, b: torch.max(r.max(), -r.min()) / (2 ** (b - 1) - 1))


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (lambda q, s, z: None, "nothing here yet"),
        (lambda q, s, z: ..., "nothing here yet"),
        (lambda q, s, z: q.add_(z) * s, "changed its input"),
        (lambda q, s, z: (s * (q + z)).numpy(), "must return a torch.Tensor, got ndarray"),
        (lambda q, s, z: (s * (q + z))[None], r"must have shape \(8,\), got \(1, 8\)"),
        (lambda q, s, z: q / "a", "stopped in line .*TypeError"),
        (lambda q, s: q, "TypeError"),
        (lambda q, s, z: q * 0, "expected .*\n.*got"),
        (3, "must be a function"),
    ],
)
def test_everything_else_gets_an_answer_too(student, message):
    with pytest.raises(CheckFailed, match=message):
        check(lab1.DEQUANTIZE, student)


def test_blank_and_endless():
    def blank(q, s, z):
        raise NotImplementedError

    def endless(q, s, z):
        while True:
            pass

    with pytest.raises(CheckFailed, match="nothing here yet"):
        check(lab1.DEQUANTIZE, blank)
    with pytest.raises(CheckFailed, match="endless loop"):
        check(lab1.DEQUANTIZE, endless, seconds=0.2)


def test_checks_are_for_anybodys_homework():
    square = Exercise("square", lambda v: v * v, [(2.0,), (3.0,)])
    check(square, lambda v: v**2)
    with pytest.raises(CheckFailed, match="expected 9"):
        check(square, lambda v: v + 2)
