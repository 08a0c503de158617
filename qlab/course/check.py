"""Checks for labs that answer a mistake with its name.

A check runs what the student wrote on a few cases. If an answer is wrong, it is compared with what each *known mistake*
would have answered, and the mistake that explains most of the wrong answers gives the hint. So a hint is never a guess
by keywords: somebody wrote that wrong solution down, and it behaves as the student's does. Only when no known mistake
fits does the student see just the first case that went wrong, with what was expected and what came.

It needs nothing else from this course: labs/README.md tells how to write a lab with it, and how to use it in your own
homework.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qlab.course._comparing import equal, kind, misfit, numbers, off, short
from qlab.course._running import Outcome, ReturnedNothing, place, run

__all__ = ["CheckFailed", "Exercise", "Mistake", "check", "question"]


class CheckFailed(AssertionError):
    """A check that failed, with a message for the student. Notebooks show the message without a traceback.

    It is an AssertionError, so nbgrader, nbval and pytest count it as a failure.

    Attributes
    ----------
    mistake : Mistake or None
        The known mistake that was recognized.
    """

    def __init__(self, message: str, mistake: Mistake | None = None) -> None:
        super().__init__(message)
        self.mistake = mistake

    def _render_traceback_(self) -> list[str]:
        return str(self).split("\n")


@dataclass(frozen=True)
class Mistake:
    """A wrong solution that students write, and what to tell them.

    Attributes
    ----------
    name : str
        What went wrong, as half a sentence: "the clip is missing".
    hint : str
        What to think about; not the answer.
    solution : Any
        The wrong solution itself: what you would have written if you had forgotten the clip.
    """

    name: str
    hint: str
    solution: Any


@dataclass(frozen=True)
class Exercise:
    """One thing that a student writes: mostly a function, but a class or a value will do.

    Attributes
    ----------
    name : str
        As in the notebook.
    solution : Any
        A right solution.
    cases : sequence of tuples
        Arguments to call it with. Each call gets its own copy. Random ones come from a seed, and none should lie where
        right solutions may differ (a tie of rounding, two equally good answers).
    mistakes : sequence of Mistake
    tolerance : float
        For real numbers, relative to the largest number expected. Whole numbers must be equal.
    use : function
        `use(thing, *case)` returns what is compared; by default it calls the thing. Write another to test a class, or
        where many answers are right, to compare what they must have in common (of a Huffman code: the lengths).
    """

    name: str
    solution: Any
    cases: Sequence[tuple[Any, ...]]
    mistakes: Sequence[Mistake] = ()
    tolerance: float = 1e-5
    use: Callable[..., Any] | None = None

    def call(self, case: tuple[Any, ...]) -> str:
        """Return the call as one would type it."""
        if not case:
            return self.name if self.use else f"{self.name}()"
        pairs = zip(self.arguments(len(case)), case, strict=True)
        return f"{self.name}(" + ", ".join(f"{name}={short(value)}" for name, value in pairs) + ")"

    def arguments(self, n: int) -> list[str]:
        """Return the names of the first n arguments."""
        try:
            names = list(inspect.signature(self.solution).parameters)
        except (TypeError, ValueError):
            names = []
        return names[:n] if len(names) >= n else [f"argument_{i + 1}" for i in range(n)]


def question(name: str, answer: Any, hints: Mapping[Any, str] | None = None) -> Exercise:
    """Return an exercise whose answer is a value: a letter, a number.

    Parameters
    ----------
    name : str
    answer : Any
        The right one.
    hints : mapping
        What to tell those who gave this or that wrong answer.

    Examples
    --------
    >>> q = question("question_1", "b", {"a": "Count again."})
    >>> check(q, "b")
    ✓ question_1: right.
    """
    mistakes = [Mistake("not this one", hint, wrong) for wrong, hint in (hints or {}).items()]
    return Exercise(name, answer, [()], mistakes, use=_value)


def _value(thing: Any) -> Any:
    if thing is None or thing is ...:
        raise NotImplementedError
    return thing.strip().lower() if isinstance(thing, str) else thing


def check(exercise: Exercise, student: Any, seconds: float = 10.0) -> None:
    """Run what the student wrote on the exercise's cases, and say that all is well or what is wrong.

    Parameters
    ----------
    exercise : Exercise
    student : Any
        The student's function (or whatever the exercise asks for).
    seconds : float
        Time for each call.

    Raises
    ------
    CheckFailed
        With the first of these that holds: nothing here yet; an endless loop; a changed argument; the hint of the known
        mistake that explains the answers; answers that differ from run to run; the first case that went wrong; a wrong
        type.

    Examples
    --------
    >>> doubled = Mistake("it is doubled, not squared", "What is 3 times 3?", lambda v: 2 * v)
    >>> square = Exercise("square", lambda v: v * v, [(2.0,), (3.0,)], [doubled])
    >>> check(square, lambda v: v**2)
    ✓ square: all 2 cases are right.
    >>> check(square, lambda v: v + v)
    Traceback (most recent call last):
    qlab.course.check.CheckFailed: ✗ square: it is doubled, not squared.
      Hint: What is 3 times 3?
      square(v=3)
        expected 9
        got      6
    """
    if exercise.use is None and not callable(student):
        if student is None or student is ...:
            raise CheckFailed(f"… {exercise.name}: nothing here yet.")
        raise CheckFailed(f"✗ {exercise.name} must be a function, got {kind(student)}.")
    expected = _outcomes(exercise, exercise.solution, 1000.0)
    outcomes = _outcomes(exercise, student, seconds)
    _refuse(exercise, outcomes)
    wrong = [i for i, (o, e) in enumerate(zip(outcomes, expected, strict=True)) if not _alike(o, e, exercise.tolerance)]
    if wrong:
        _diagnose(exercise, outcomes, expected, wrong)
    for case, first, again in zip(exercise.cases, outcomes, _outcomes(exercise, student, seconds), strict=True):
        if not _alike(again, first, 1e-9):
            raise CheckFailed(
                f"✗ {exercise.call(case)} gives another answer each time.\n"
                "  Hint: equal inputs must give equal answers. Is there a random number, or a memory of earlier calls?"
            )
    if wrong:
        raise CheckFailed("✗ " + _difference(exercise, wrong[0], outcomes, expected))
    for case, outcome, right in zip(exercise.cases, outcomes, expected, strict=True):
        if words := misfit(outcome.answer, right.answer):
            raise CheckFailed(f"✗ {exercise.call(case)} has the right value, but {words}.")
    n = len(exercise.cases)
    print(f"✓ {exercise.name}: " + ("right." if n == 1 else f"all {n} cases are right."))


def _outcomes(exercise: Exercise, thing: Any, seconds: float) -> list[Outcome]:
    """Run all cases, up to one that does not end."""
    outcomes: list[Outcome] = []
    for case in exercise.cases:
        if not (outcomes and outcomes[-1].late):
            outcomes.append(run(thing, case, exercise.use, seconds))
            continue
        outcomes.append(outcomes[-1])
    return outcomes


def _refuse(exercise: Exercise, outcomes: list[Outcome]) -> None:
    """Raise if there is nothing to compare: blank, endless, or the input is spoilt."""
    if all(isinstance(o.error, NotImplementedError) for o in outcomes):
        forgot = " It ran, but returned nothing: is `return` missing?" if _returned_nothing(outcomes[0]) else ""
        raise CheckFailed(f"… {exercise.name}: nothing here yet. Write it, then run this cell again.{forgot}")
    for case, outcome in zip(exercise.cases, outcomes, strict=True):
        if outcome.late:
            raise CheckFailed(
                f"✗ {exercise.call(case)} did not end in time.\n"
                "  Hint: an endless loop? Is there a condition that never becomes false?"
            )
        if outcome.changed is not None:
            raise CheckFailed(
                f"✗ {exercise.name} changed its argument {exercise.arguments(len(case))[outcome.changed]}.\n"
                "  Hint: whoever called you still needs it. `x += 1`, `x[i] = 1` and PyTorch's methods that end in _\n"
                "  write in place: work on a copy (`x.clone()`, `copy.deepcopy(model)`)."
            )


def _returned_nothing(outcome: Outcome) -> bool:
    return isinstance(outcome.error, ReturnedNothing)


def _alike(a: Outcome, b: Outcome, tolerance: float) -> bool:
    """Whether two calls did the same: equal answers, or the same error."""
    if a.error is not None or b.error is not None:
        return type(a.error) is type(b.error) and (isinstance(a.error, ArithmeticError) or str(a.error) == str(b.error))
    return not a.late and not b.late and equal(a.answer, b.answer, tolerance)


def _diagnose(exercise: Exercise, outcomes: list[Outcome], expected: list[Outcome], wrong: list[int]) -> None:
    """Raise with the hint of the mistake that explains most of the wrong answers, if one does."""
    part = _wrong_part(outcomes, expected, exercise.tolerance)
    seen, right = _parts(outcomes, part), _parts(expected, part)
    wrong = [i for i in wrong if not _alike(seen[i], right[i], exercise.tolerance)]
    found, best, where = (0, 0), None, 0
    for mistake in exercise.mistakes:
        tries = _parts(_outcomes(exercise, mistake.solution, 10.0), part)
        like = [_alike(o, t, exercise.tolerance) for o, t in zip(seen, tries, strict=True)]
        explained = [i for i in wrong if like[i]]
        if explained and (len(explained), sum(like)) > found:
            found, best, where = (len(explained), sum(like)), mistake, explained[0]
    crash = outcomes[wrong[0]].error is not None and where != wrong[0]
    if best is None or crash:  # an error that comes earlier, and that nobody foresaw, is shown first
        return
    lines = [
        f"✗ {exercise.name}: {best.name}.",
        *textwrap.wrap(f"Hint: {best.hint}", 100, initial_indent="  ", subsequent_indent="  "),
    ]
    if found[0] < len(wrong):
        lines.append(f"  (This explains {found[0]} of {len(wrong)} wrong cases: there is something else, too.)")
    if exercise.cases[where]:
        lines += ["  " + line for line in _difference(exercise, where, outcomes, expected).split("\n")]
    raise CheckFailed("\n".join(lines), best)


def _wrong_part(outcomes: list[Outcome], expected: list[Outcome], tolerance: float) -> int | None:
    """Return which of several returned values goes wrong first: two mistakes in two values are told apart."""
    shapes = {len(o.answer) if isinstance(o.answer, tuple) else 0 for o in (*outcomes, *expected) if o.error is None}
    parts = range(shapes.pop()) if len(shapes) == 1 else range(0)
    for part in parts:
        pairs = zip(_parts(outcomes, part), _parts(expected, part), strict=True)
        if not all(_alike(o, e, tolerance) for o, e in pairs):
            return part
    return None


def _parts(outcomes: list[Outcome], part: int | None) -> list[Outcome]:
    return [o if part is None or o.error else replace(o, answer=o.answer[part]) for o in outcomes]


def _difference(exercise: Exercise, i: int, outcomes: list[Outcome], expected: list[Outcome]) -> str:
    """Show the case i, which went wrong."""
    case, outcome, right = exercise.cases[i], outcomes[i], expected[i].answer
    lines = [exercise.call(case)]
    if _returned_nothing(outcome):
        return "\n  ".join([*lines, "returned nothing: is there a way through it without `return`?"])
    if outcome.error is not None:
        lines.append(f"stopped with {type(outcome.error).__name__}: {str(outcome.error).split(chr(10))[0]}")
        return "\n  ".join([*lines, *filter(None, [place(outcome.error)])])
    answer = outcome.answer
    if isinstance(right, dict) and isinstance(answer, dict) and answer.keys() == right.keys():
        key = next(k for k in right if not equal(answer[k], right[k], exercise.tolerance))
        lines.append(f"is wrong at {key!r}:")
        answer, right = answer[key], right[key]
    x, y = numbers(answer), numbers(right)
    if x is None or y is None or y.ndim == 0 or x.shape != y.shape:
        words = misfit(answer, right)
        lines += [f"expected {short(right)}", f"got      {short(answer)}"] + ([f"({words})"] if words else [])
        return "\n  ".join(lines)
    places = np.argwhere(off(x, y, exercise.tolerance))
    at = tuple(map(int, places[0]))
    here = f"[{', '.join(map(str, at))}]"
    given = numbers(case[0]) if case else None
    if given is not None and given.shape == y.shape:
        here += f", where {exercise.arguments(len(case))[0]} is {given[at]:.6g}"
    lines += [f"{len(places)} of {y.size} numbers are wrong; the first is at {here}"]
    nan = " (was something divided by 0?)" if np.isnan(x[at]) else ""
    lines += [f"expected {y[at] + 0:.6g}", f"got      {x[at] + 0:.6g}{nan}"]
    return "\n  ".join(lines)
