"""Checks for labs that answer a mistake with its name.

A check runs the student's function on a few cases. If an answer is wrong, it is compared with what each *known mistake*
would have answered: the mistake that explains all the wrong answers seen gives the hint. So a hint is never a guess by
keywords; somebody wrote that wrong solution down, and it behaves as the student's does.

It needs nothing from this course: see labs/README.md for using it in other homework.

Survey-map rows: Q2, Q4.
"""

from __future__ import annotations

import copy
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["CheckFailed", "Exercise", "Mistake", "check"]


class CheckFailed(AssertionError):
    """A check that failed, with a message for the student; notebooks show the message without a traceback.

    Survey-map row: Q2.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@dataclass(frozen=True)
class Mistake:
    """A wrong solution that students write, and what to tell them.

    Attributes
    ----------
    name : str
        What it is called, in a few words.
    hint : str
        What to think about; not the answer.
    solution : function
        The wrong solution itself.

    Survey-map row: Q2.
    """

    name: str
    hint: str
    solution: Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """One function that a student writes.

    Attributes
    ----------
    name : str
    reference : function
        A right solution.
    cases : sequence of tuples
        Arguments to call it with.
    mistakes : sequence of Mistake
    tolerance : float
        Relative, for real numbers; integers must be equal.

    Survey-map row: Q2.
    """

    name: str
    reference: Callable[..., Any]
    cases: Sequence[tuple[Any, ...]]
    mistakes: Sequence[Mistake] = ()
    tolerance: float = 1e-5


def check(exercise: Exercise, student: Callable[..., Any], seconds: float = 20.0) -> None:
    """Run the student's function on the exercise's cases and say what is wrong, or that all is well.

    Raises
    ------
    CheckFailed
        With the hint of the known mistake that explains the answers, or the first case that went wrong.

    Survey-map row: Q2.
    """
    if not callable(student):
        raise CheckFailed(f"{exercise.name} must be a function, got {type(student).__name__}")
    expected = [exercise.reference(*copy.deepcopy(case)) for case in exercise.cases]
    answers = [_answer(exercise, student, case, seconds) for case in exercise.cases]
    for case, answer, right in zip(exercise.cases, answers, expected, strict=True):
        _same_kind(exercise, case, answer, right)
    wrong = [i for i, (a, e) in enumerate(zip(answers, expected, strict=True)) if not _equal(a, e, exercise.tolerance)]
    if not wrong:
        print(f"✓ {exercise.name}: all {len(exercise.cases)} cases are right.")
        return
    for mistake in exercise.mistakes:
        if all(_equal(answers[i], _attempt(mistake, exercise.cases[i]), exercise.tolerance) for i in wrong):
            raise CheckFailed(f"✗ {exercise.name}: {mistake.name}.\n  Hint: {mistake.hint}")
    i = wrong[0]
    call = f"{exercise.name}({_shown(exercise.cases[i])})"
    raise CheckFailed(f"✗ {call}\n  expected {_short(expected[i])}\n  got      {_short(answers[i])}")


def _answer(exercise: Exercise, student: Callable[..., Any], case: tuple[Any, ...], seconds: float) -> Any:
    arguments = copy.deepcopy(case)
    try:
        with _limited(seconds):
            answer = student(*arguments)
    except NotImplementedError:
        raise CheckFailed(f"… {exercise.name}: nothing here yet. Write it, then run this cell again.") from None
    except TimeoutError:
        raise CheckFailed(f"✗ {exercise.name}({_shown(case)}) did not end in {seconds:g} s: an endless loop?") from None
    except Exception as error:
        line = _line_of(error)
        raise CheckFailed(f"✗ {exercise.name}({_shown(case)}) stopped{line}: {type(error).__name__}: {error}") from None
    if answer is None or answer is Ellipsis:
        raise CheckFailed(f"… {exercise.name}: nothing here yet (it returned {answer}). Did you forget `return`?")
    for before, after in zip(case, arguments, strict=True):
        if isinstance(before, Tensor) and not torch.equal(before, after):
            raise CheckFailed(
                f"✗ {exercise.name} changed its input. Work on a copy: operations that end in _ write in place."
            )
    return answer


def _line_of(error: Exception) -> str:
    trace, number = error.__traceback__, None
    while trace is not None:
        if "qlab" not in trace.tb_frame.f_code.co_filename:
            number = trace.tb_lineno if number is None else number
        trace = trace.tb_next
    return "" if number is None else f" in line {number}"


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Stop after `seconds`, by an alarm signal: only in the main thread of systems that have one."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _same_kind(exercise: Exercise, case: tuple[Any, ...], answer: Any, right: Any) -> None:
    call = f"{exercise.name}({_shown(case)})"
    if isinstance(right, tuple):
        if not isinstance(answer, tuple) or len(answer) != len(right):
            raise CheckFailed(f"✗ {call} must return {len(right)} values, got {_short(answer)}")
        for a, r in zip(answer, right, strict=True):
            _same_kind(exercise, case, a, r)
    elif isinstance(right, Tensor):
        if not isinstance(answer, Tensor):
            raise CheckFailed(f"✗ {call} must return a torch.Tensor, got {type(answer).__name__}")
        if answer.shape != right.shape:
            raise CheckFailed(f"✗ {call} must have shape {tuple(right.shape)}, got {tuple(answer.shape)}")
    elif isinstance(answer, Tensor) and answer.numel() != 1:
        raise CheckFailed(f"✗ {call} must be one number, got shape {tuple(answer.shape)}")


def _attempt(mistake: Mistake, case: tuple[Any, ...]) -> Any:
    try:
        return mistake.solution(*copy.deepcopy(case))
    except Exception:
        return None


def _equal(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(b, tuple):
        return isinstance(a, tuple) and len(a) == len(b) and all(map(_equal, a, b, [tolerance] * len(b)))
    if a is None or b is None:
        return a is b
    try:
        a, b = torch.as_tensor(a).detach().double(), torch.as_tensor(b).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=tolerance, atol=1e-9, equal_nan=True))


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_short, value)) + ")"
    if isinstance(value, Tensor):
        flat = [f"{v:.4g}" for v in value.detach().flatten()[:6].tolist()]
        return f"[{', '.join(flat)}{', …' if value.numel() > 6 else ''}]"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _shown(case: tuple[Any, ...]) -> str:
    return ", ".join(map(_short, case))
