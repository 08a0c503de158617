"""The checks on input that the core shares: each error names the argument, what was given and what is allowed."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor

__all__ = ["check_bits", "check_finite", "check_integers", "check_real"]


def check_bits(bits: int, lowest: int = 1, highest: int = 16, name: str = "bits") -> int:
    """Return `bits` if it is an integer from `lowest` to `highest`.

    Raises
    ------
    TypeError
        If `bits` is not an integer (`True` is not a number of bits).
    ValueError
        If it is out of range.

    Examples
    --------
    >>> check_bits(17)
    Traceback (most recent call last):
        ...
    ValueError: bits must be an integer from 1 to 16, got 17
    """
    if isinstance(bits, bool) or not isinstance(bits, Integral):
        raise TypeError(f"{name} must be an integer from {lowest} to {highest}, got {bits!r}")
    if not lowest <= bits <= highest:
        raise ValueError(f"{name} must be an integer from {lowest} to {highest}, got {bits}")
    return int(bits)


def check_real(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a non-empty tensor of a floating-point type.

    Raises
    ------
    TypeError
        If `x` is not a tensor, or holds integers, booleans, complex numbers or 8-bit floats.
    ValueError
        If `x` is empty.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    if not x.is_floating_point() or x.dtype.itemsize == 1:  # 8-bit floats can be stored, but not computed with
        raise TypeError(
            f"{name} must hold real numbers (a floating-point dtype of 16 bits or more), got {x.dtype}; "
            f"convert it first: {name}.float()"
        )
    if x.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(x.shape)}")
    return x


def check_finite(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if every element is finite.

    Raises
    ------
    ValueError
        If `x` holds NaN or infinity: no quantizer has a code for them.
    """
    bad = int((~torch.isfinite(x)).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite values among {x.numel()}; "
            "find where they come from (a diverged training run?) before quantizing"
        )
    return x


def check_integers(x: Tensor, name: str = "codes") -> Tensor:
    """Return `x` if it is a tensor of integers.

    Raises
    ------
    TypeError
        If `x` is not a tensor, or holds real numbers, complex numbers or booleans.

    Examples
    --------
    >>> check_integers(torch.tensor([0.5]))
    Traceback (most recent call last):
        ...
    TypeError: codes must be a tensor of integers, got torch.float32
    """
    if not isinstance(x, Tensor) or x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise TypeError(f"{name} must be a tensor of integers, got {getattr(x, 'dtype', type(x).__name__)}")
    return x
