"""What a check says to whatever a student may write."""

import time

import pytest
import torch

from qlab.course.check import CheckFailed, Exercise, Mistake, check, question


def _half(x):
    return x / 2


HALF = Exercise(
    "half",
    _half,
    [(torch.tensor([1.0, 2.0, 5.0]),), (torch.tensor([-3.0, 0.0, 8.0]),)],
    [Mistake("it is doubled", "smaller, not larger", lambda x: 2 * x)],
)


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (lambda x: None, "nothing here yet.*returned nothing"),
        (lambda x: ..., "nothing here yet"),
        (lambda x: x.div_(2), "changed its argument x"),
        (lambda x: (x / 2).numpy(), "right value, but it must be a torch.Tensor, got a numpy.ndarray"),
        (lambda x: (x / 2)[None], r"its shape must be \(3,\), got \(1, 3\)"),
        (lambda x: x / "a", "stopped with TypeError.*\n.*in line"),
        (lambda: 1, "TypeError"),
        (lambda x: x * 0, "expected 0.5\n.*got +0"),
        (lambda x: x * 2, "it is doubled.\n.*smaller, not larger"),
        (lambda x: x / 2 if x[0] > 0 else None, "without `return`"),
        (lambda x: x / 2 + torch.rand(3), "another answer each time"),
        (3, "must be a function"),
        (None, "nothing here yet"),
        (lambda x: exit(), "SystemExit"),
    ],
)
def test_every_answer_gets_its_message(student, message):
    with pytest.raises(CheckFailed, match=message):
        check(HALF, student)


def test_an_endless_loop_ends():
    def endless(x):
        while True:
            pass

    start = time.monotonic()
    with pytest.raises(CheckFailed, match="endless loop"):
        check(HALF, endless, seconds=0.2)
    assert time.monotonic() - start < 10


def test_blank_cell():
    def blank(x):
        raise NotImplementedError

    with pytest.raises(CheckFailed, match="nothing here yet") as caught:
        check(HALF, blank)
    assert caught.value._render_traceback_() == str(caught.value).split("\n")


def test_two_mistakes_the_one_that_explains_more_is_named():
    mistakes = [
        Mistake("sign lost", "think of negative numbers", lambda v: abs(v)),
        Mistake("doubled", "3 + 3 is not 3 · 3", lambda v: 2 * v),
    ]
    cube = Exercise("cube", lambda v: v**3, [(1.0,), (2.0,), (-1.0,), (-3.0,)], mistakes)
    with pytest.raises(CheckFailed, match="3 \\+ 3") as caught:
        check(cube, lambda v: v + v)
    assert caught.value.mistake is mistakes[1]


def test_question():
    q = question("question_1", "b", {"a": "Count again."})
    check(q, " B ")
    with pytest.raises(CheckFailed, match="Count again"):
        check(q, "a")
    with pytest.raises(CheckFailed, match="nothing here yet"):
        check(q, ...)


def test_checks_are_for_anybodys_homework():
    square = Exercise("square", lambda v: v * v, [(2.0,), (3.0,)])
    check(square, lambda v: v**2)
    with pytest.raises(CheckFailed, match="expected 9"):
        check(square, lambda v: v**2 if v < 3 else v + 2)
