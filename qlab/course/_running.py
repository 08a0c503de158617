"""Running what a student wrote: on a copy of the arguments, for a limited time, whatever it does."""

from __future__ import annotations

import contextvars
import copy
import ctypes
import functools
import inspect
import linecache
import sysconfig
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Outcome:
    """What one call did: it gave an answer, or raised an error, or changed an argument (which), or did not end."""

    answer: Any = None
    error: BaseException | None = None
    changed: int | None = None
    late: bool = False


class ReturnedNothing(NotImplementedError):
    """None or `...` came back."""


class _Stop(BaseException):
    """Raised inside the student's code when its time is over; `except Exception` lets it through."""


def run(thing: Any, case: tuple[Any, ...], use: Callable[..., Any] | None, seconds: float) -> Outcome:
    """Call `thing(*case)`, or `use(thing, *case)`, once, with a copy of the case."""
    arguments = copy.deepcopy(case)
    if inspect.isroutine(thing):
        thing = _not_nothing(thing)

    def job() -> Any:
        return thing(*arguments) if use is None else use(thing, *arguments)

    outcome = limited(job, seconds)
    for i, (before, after) in enumerate(zip(case, arguments, strict=True)):
        if not outcome.late and not untouched(before, after):
            return replace(outcome, changed=i)
    return outcome


def _not_nothing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, made to raise where it would return None or `...`."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        answer = function(*arguments, **named)
        if answer is None or answer is ...:
            raise ReturnedNothing
        return answer

    return wrapped


def limited(job: Callable[[], Any], seconds: float) -> Outcome:
    """Run the job in a thread, and stop it after some seconds.

    Why a thread: a subprocess cannot be given a function that lives in a notebook, and an alarm signal exists neither
    on Windows nor outside of the main thread. CPython can raise an exception in another thread, between two of its
    bytecodes; a single long call into C is left behind, but the check answers all the same.
    """
    done: list[Outcome] = []

    def work() -> None:
        try:
            done.append(Outcome(job()))
        except _Stop:
            pass
        except BaseException as error:  # exit() too
            done.append(Outcome(error=error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    finally:  # also when the student presses stop
        late = thread.is_alive()
        if late:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop))
            thread.join(1.0)
    return Outcome(late=True) if late or not done else done[0]


def untouched(before: Any, after: Any) -> bool:
    """Whether an argument is what it was before the call. Random generators may move on."""
    if isinstance(before, nn.Module):
        return untouched(dict(before.state_dict()), dict(after.state_dict()))
    if isinstance(before, Tensor):
        same = before.shape == after.shape and before.dtype == after.dtype
        return same and bool(torch.equal(before.nan_to_num(), after.nan_to_num()))
    if isinstance(before, np.ndarray):
        return before.shape == after.shape and np.array_equal(before, after, equal_nan=before.dtype.kind in "fc")
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(untouched(before[k], after[k]) for k in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(untouched, before, after))
    return not isinstance(before, set) or before == after


def place(error: BaseException) -> str:
    """Return the innermost line of the student's own code in a traceback, as "in line 3: …", or nothing."""
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), str(Path(__file__).parent), "<frozen")
    trace, found = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(libraries):
            line = linecache.getline(file, trace.tb_lineno).strip()
            found = f"in line {trace.tb_lineno}" + (f": {line}" if line else "")
        trace = trace.tb_next
    return found
