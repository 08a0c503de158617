r"""Requantization: from an accumulator to a code by one integer multiplication and one shift.

    v     = int32 accumulator, in units of S_v
    q     = clip( Int(M·v) − Z, low, high ),        M = S_v/S_q, real, usually below 1
    M     ≈ m·2^(−n),                               m, n integers, 2^30 ≤ m < 2^31      (a dyadic number)
    Int   : ⌊t + 1/2⌋, one rounding, ties up:       Int(M·v) = (m·v + 2^(n−1)) >> n

The product m·v takes 62 bits, so it is formed in int64; hardware keeps its high half. Jacob et al. round twice (first
to the high half, then by the rest of the shift), which moves a few results near ties; one rounding is simpler to state
and to prove, and is what TensorFlow Lite calls single rounding. |m·2^(−n)/M − 1| ≤ 2^(−31).

Sources: Jacob et al. 2018, section 2.2, equations 5 and 6; Yao et al. 2021 (HAWQ-V3), section 3.1 (dyadic numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qlab.validate import check_bits

__all__ = ["INT32_MAX", "Dyadic", "Requantize", "check_bound", "dyadic", "frozen", "requantize_by"]

INT32_MAX = 2**31 - 1
LONGEST_SHIFT = 62  # 2^(n−1) + |m·v| must stay below 2^63


def frozen(values: object, dtype: type) -> NDArray:
    """Return a read-only copy of whole numbers as `dtype`.

    Raises
    ------
    OverflowError
        If a value does not fit.
    TypeError
        If the values are not integers.

    Survey-map row: A2.
    """
    given = np.asarray(values)
    if not np.issubdtype(given.dtype, np.integer):
        raise TypeError(f"values must be integers, got {given.dtype}")
    limits = np.iinfo(dtype)
    if given.size and not limits.min <= int(given.min()) <= int(given.max()) <= limits.max:
        raise OverflowError(
            f"values must fit into {np.dtype(dtype)} ({limits.min} … {limits.max}), got {given.min()} … {given.max()}"
        )
    array: NDArray = given.astype(dtype)
    array.setflags(write=False)
    return array


def check_bound(bound: int, what: str, limit: int = INT32_MAX) -> int:
    """Return `bound` if no sum that it bounds can overflow.

    Raises
    ------
    OverflowError
        If it can.

    Survey-map row: A2.
    """
    if bound > limit:
        raise OverflowError(
            f"{what} may reach {bound:,}, beyond {limit:,}: use fewer bits, or split the sum over several accumulators"
        )
    return bound


@dataclass(frozen=True)
class Dyadic:
    """The number m·2^(−n).

    Attributes
    ----------
    m, n : int
        0 ≤ m < 2^31, 1 ≤ n ≤ 62.

    Survey-map row: A2.
    """

    m: int
    n: int

    @property
    def value(self) -> Fraction:
        """m·2^(−n), exactly."""
        return Fraction(self.m, 1 << self.n)


def dyadic(value: Fraction | float, bits: int = 31) -> Dyadic:
    """Return the nearest m·2^(−n) whose m has `bits` bits: 2^(bits−1) ≤ m < 2^bits.

    Parameters
    ----------
    value : Fraction or float
        M, positive, below 2^(bits−1). Below 2^(−32) the shift ends at 62, and m has fewer bits.
    bits : int
        1 to 31. The relative error is at most 2^(−bits).

    Raises
    ------
    ValueError
        If M is not positive or too large.

    References
    ----------
    Jacob et al. 2018, equation 6.

    Examples
    --------
    >>> dyadic(Fraction(1, 3), bits=8)  # 171/512 = 0.33398
    Dyadic(m=171, n=9)

    Survey-map row: A2.
    """
    check_bits(bits, 1, 31)
    value = Fraction(value)
    if not 0 < value < 1 << (bits - 1):
        raise ValueError(f"value must be positive and below 2^{bits - 1}, got {float(value):.3g}")
    exponent = value.numerator.bit_length() - value.denominator.bit_length()  # 2^(e−1) < M < 2^(e+1)
    if value >= Fraction(2) ** exponent:
        exponent += 1  # now 2^(e−1) ≤ M < 2^e
    n = min(bits - exponent, LONGEST_SHIFT)
    m = round(value * 2**n)
    if m == 1 << bits:  # rounded up to one bit too many
        m, n = (m >> 1, n - 1) if n > 1 else (m - 1, n)
    return Dyadic(m, n)


@dataclass(frozen=True, eq=False)
class Requantize:
    """v ↦ clip( (m·v + 2^(n−1)) >> n  − Z, low, high ), with a multiplier for every channel or one for all.

    Attributes
    ----------
    multiplier : int32, shape (channels,) or (1,)
        m.
    shift : int32, like `multiplier`
        n.
    zero_point : int
        Z of the result.
    low, high : int
        The clamp: the grid's ends, or narrower ones where ReLU or ReLU6 is fused.

    Raises
    ------
    ValueError
        If m, n or the clamp is out of range; so the int64 product cannot overflow.

    References
    ----------
    Jacob et al. 2018, section 2.2.

    Examples
    --------
    >>> halve = Requantize(np.array([1]), np.array([1]), 0, 0, 255)
    >>> halve(np.array([[4, 5, -3, 999]]))  # 2, 2.5, −1.5, 499.5
    array([[  2,   3,   0, 255]], dtype=uint8)

    Survey-map row: A2.
    """

    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    zero_point: int
    low: int
    high: int

    def __post_init__(self) -> None:
        m, n = frozen(self.multiplier, np.int32), frozen(self.shift, np.int32)
        if m.ndim != 1 or m.shape != n.shape or m.size == 0:
            raise ValueError(
                f"multiplier and shift must be as many, one or one a channel, got shapes {m.shape}, {n.shape}"
            )
        if m.min() < 0 or n.min() < 1 or n.max() > LONGEST_SHIFT:
            raise ValueError(f"multiplier must be ≥ 0, shift 1 to {LONGEST_SHIFT}, got {m.min()}, {n.min()}…{n.max()}")
        if not -INT32_MAX - 1 <= self.low <= self.high <= INT32_MAX:
            raise ValueError(f"low … high must be an interval of int32, got {self.low} … {self.high}")
        object.__setattr__(self, "multiplier", m)
        object.__setattr__(self, "shift", n)

    @property
    def dtype(self) -> type[np.uint8] | type[np.int32]:
        """uint8 for codes, int32 for the network's answers."""
        return np.uint8 if self.low >= 0 and self.high <= 255 else np.int32

    def __call__(self, v: NDArray[np.integer]) -> NDArray:
        """Return the codes of accumulators v, shape (N, channels, …)."""
        column = (-1, *[1] * (v.ndim - 2))
        m = self.multiplier.astype(np.int64).reshape(column)
        n = self.shift.astype(np.int64).reshape(column)
        half = np.int64(1) << (n - 1)
        q = ((v.astype(np.int64) * m + half) >> n) - self.zero_point
        return np.clip(q, self.low, self.high).astype(self.dtype)

    def __str__(self) -> str:
        return f"×{_span(self.multiplier)} >>{_span(self.shift)} −Z={self.zero_point} clip {self.low}…{self.high}"


def _span(values: NDArray) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low}…{high}"


def requantize_by(
    ratios: list[Fraction], zero_point: int, low: int, high: int, multiplier_bits: int = 31
) -> Requantize:
    """Return the requantization by the real factors M (one, or one a channel), each as the nearest dyadic number.

    Examples
    --------
    >>> print(requantize_by([Fraction(1, 3)], 0, 0, 255))
    ×1431655765 >>32 −Z=0 clip 0…255

    Survey-map row: A2.
    """
    numbers = [dyadic(ratio, multiplier_bits) for ratio in ratios]
    return Requantize(np.array([d.m for d in numbers]), np.array([d.n for d in numbers]), zero_point, low, high)
