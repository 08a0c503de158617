"""Comparing answers, and showing values in a few characters.

`equal` is lenient about types (a NumPy number may equal a tensor), because a wrong type is not a wrong number;
`misfit` then tells the types apart, in words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor


def equal(a: Any, b: Any, tolerance: float) -> bool:
    """Whether the answer a is the right answer b."""
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(equal(a[k], b[k], tolerance) for k in b)
    if isinstance(b, tuple | list):
        same = isinstance(a, tuple | list) and len(a) == len(b)
        return same and all(equal(x, y, tolerance) for x, y in zip(a, b, strict=True))
    x, y = numbers(a), numbers(b)
    if x is None or y is None:
        try:
            return bool(a == b)
        except Exception:
            return False
    if y.ndim == 0 and x.size == 1:
        x = x.reshape(())
    return x.shape == y.shape and not off(x, y, tolerance).any()


def off(x: np.ndarray, y: np.ndarray, tolerance: float) -> np.ndarray:
    """Mark the numbers x that are not y: real ones relative to the largest, whole ones exactly."""
    if y.dtype.kind in "iub":
        return np.asarray(x != y)
    size = np.abs(y[np.isfinite(y)]).max(initial=0.0)
    return np.asarray(~np.isclose(x, y, rtol=tolerance, atol=tolerance * size, equal_nan=True))


def numbers(value: Any) -> np.ndarray | None:
    """Return numbers as an array, and None for what holds none."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.double() if value.is_floating_point() else value).numpy()
    if isinstance(value, int | float | complex | np.number | np.bool_):
        return np.asarray(value)
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "iubfc" else None


def misfit(answer: Any, right: Any) -> str:
    """Say in what the kind of an answer differs from the right one's, or nothing."""
    if isinstance(right, tuple | list):
        if not isinstance(answer, tuple | list) or len(answer) != len(right):
            return f"it must return {len(right)} values, got {kind(answer)}"
        return next(filter(None, map(misfit, answer, right)), "")
    if isinstance(right, dict):
        same = isinstance(answer, dict) and answer.keys() == right.keys()
        return next(filter(None, (misfit(answer[k], right[k]) for k in right)), "") if same else ""
    x, y = numbers(answer), numbers(right)
    array = isinstance(right, Tensor | np.ndarray)
    if x is None or y is None or (array and not isinstance(answer, type(right))):
        return "" if type(answer) is type(right) else f"it must be {kind(right)}, got {kind(answer)}"
    if x.shape != y.shape and not (y.ndim == 0 and x.size == 1):
        return f"its shape must be {y.shape}, got {x.shape}"
    dtype = getattr(answer, "dtype", type(answer).__name__)
    if y.dtype.kind in "iu" and x.dtype.kind not in "iu":
        return f"it must be of an integer type, got {dtype}"
    if y.dtype.kind == "f" and array and x.dtype.kind != "f":
        return f"it must be of a real (floating-point) type, got {dtype}"
    return ""


def short(value: Any) -> str:
    """Return a value in a few characters."""
    if isinstance(value, dict):
        inner = ", ".join(f"{k!r}: {short(v)}" for k, v in list(value.items())[:4])
        return "{" + inner + (", …}" if len(value) > 4 else "}")
    if isinstance(value, tuple | list):
        inner = ", ".join(map(short, value[:6])) + (", …" if len(value) > 6 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    array = numbers(value)
    if array is None:
        text = getattr(value, "__name__", None) or repr(value)
        return text if len(text) <= 60 and "\n" not in text else kind(value)
    if array.ndim == 0:
        return repr(value) if isinstance(value, bool) else f"{array:.6g}"
    if array.size > 8:
        return f"<{'×'.join(map(str, array.shape))} numbers>"
    return np.array2string(array, separator=", ", formatter={"all": lambda v: f"{v:.4g}"}).replace("\n", "")


def kind(value: Any) -> str:
    """Return the name of a value's type, with an article."""
    if isinstance(value, Tensor):
        return "a torch.Tensor"
    if isinstance(value, np.ndarray):
        return "a numpy.ndarray"
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
