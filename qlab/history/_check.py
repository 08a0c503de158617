"""The checks on input that this room shares: each error names the argument, what was given and what is allowed."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Floats", "Ints", "check_integer", "check_integers", "check_pmf", "check_positive", "check_reals"]

Floats = NDArray[np.floating[Any]]  # float64 throughout; NumPy's stubs widen the results of arithmetic
Ints = NDArray[np.int64]


def check_reals(x: ArrayLike, name: str = "x", ndim: int | None = None) -> Floats:
    """Return `x` as a float64 array if it holds finite reals (and, if asked, has `ndim` axes)."""
    array: NDArray[Any] = np.asarray(x)
    if array.dtype.kind != "f" and array.size:
        raise TypeError(
            f"{name} must hold real numbers (a floating-point dtype), got {array.dtype}; convert it first: "
            f"np.asarray({name}, dtype=float)"
        )
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite values among {array.size}")
    return array.astype(np.float64)


def check_integers(codes: ArrayLike, name: str = "codes") -> Ints:
    """Return `codes` as an int64 array if it holds integers; empty is allowed."""
    array: NDArray[Any] = np.asarray(codes)
    if array.size == 0:
        return np.zeros(array.shape, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got {array.dtype}; convert it first: {name}.astype(np.int64)")
    if array.dtype == np.uint64 and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must fit into 64 bits with sign, got {int(array.max())}")
    return array.astype(np.int64)


def check_integer(value: int, name: str, lowest: int, highest: int | None = None) -> int:
    """Return `value` if it is an integer from `lowest` to `highest`."""
    allowed = f"an integer of at least {lowest}" if highest is None else f"an integer from {lowest} to {highest}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    if value < lowest or (highest is not None and value > highest):
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return int(value)


def check_positive(value: float, name: str, *, zero: bool = False) -> float:
    """Return `value` if it is a finite real number above zero (or at zero, if `zero`)."""
    allowed = "a finite number of at least 0" if zero else "a finite number above 0"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    if not np.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return float(value)


def check_pmf(p: ArrayLike, name: str = "p") -> Floats:
    """Return `p` if it is a probability mass function: non-negative, one axis, summing to one."""
    p = check_reals(p, name, ndim=1)
    if (p < 0).any():
        raise ValueError(f"{name} must not be negative, got {p.min()}")
    if abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"{name} must sum to 1, got {p.sum()}; divide by the sum first")
    return p
