r"""Exponential, softmax, GELU, square root and LayerNorm in integers (I-BERT).

Polynomials of second degree need only products and sums, so integers suffice. With x = S·q,

    a(x + b)² + c  =  a·S²·[ (q + ⌊b/S⌋)² + ⌊c/(a·S²)⌋ ]                              (`Polynomial`)

    exp(x), x ≤ 0      x = −z·ln 2 + p,  −ln 2 < p ≤ 0:   exp(x) = exp(p) >> z,  exp(p) ≈ 0.3585(p + 1.353)² + 0.344
    softmax            exp(x_i − max x)/Σ, one integer division
    erf(x)             ≈ sgn(x)·[ −0.2888(min(|x|, 1.769) − 1.769)² + 1 ]
    GELU(x)            x/2·(1 + erf(x/√2))
    ⌊√n⌋               Newton: x ← (x + n/x)/2 from above, until it stops falling
    LayerNorm          (x − μ)/σ·γ + β with σ = ⌊√Σ(x − μ)²/k⌋

What depends on S alone is computed once, when an operation is made (`…​.at(scale)`); calls take and return integers.
Everything stays in int64; bounds are checked when the operation is made or, where data decide, when it is called.

Source: Kim et al. 2021, *I-BERT: Integer-only BERT quantization*, section 3 and algorithms 1–4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qlab.integer.requantize import INT32_MAX, check_bound

__all__ = ["Exponential", "Gelu", "LayerNorm", "Polynomial", "Softmax", "isqrt"]

EXP = (0.3585, 1.353, 0.344)  # Kim et al. 2021, equation 13: exp on (−ln 2, 0]
ERF = (-0.2888, -1.769, 1.0)  # equation 8: erf on [0, 1.769]
INT64_MAX = 2**63 - 1


def _integers(q: NDArray, name: str = "q") -> NDArray[np.int64]:
    """Return q as int64, and refuse real numbers and what is beyond int32."""
    q = np.asanyarray(q)
    if not np.issubdtype(q.dtype, np.integer):
        raise TypeError(f"{name} must hold integers, got {q.dtype}")
    if q.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {q.shape}")
    check_bound(max(abs(int(q.min())), abs(int(q.max()))), f"{name}")
    return q.astype(np.int64)


def _positive(scale: float) -> float:
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive and finite, got {scale}")
    return float(scale)


@dataclass(frozen=True)
class Polynomial:
    """a(x + b)² + c in integers: q ↦ (q + q_b)² + q_c, in units of `scale` = a·S².

    Attributes
    ----------
    q_b, q_c : int
        ⌊b/S⌋ and ⌊c/(a·S²)⌋.
    scale : float
        Of the result; negative if a is. Not used in calls.

    References
    ----------
    Kim et al. 2021, algorithm 1.

    Examples
    --------
    >>> p = Polynomial.at(0.5, 1.0, 1.0, 2.0)  # (x + 1)² + 2 at x = 3, q = 6
    >>> int(p(np.array(6))), p.scale
    (72, 0.25)

    Survey-map row: A3.
    """

    q_b: int
    q_c: int
    scale: float

    @classmethod
    def at(cls, scale: float, a: float, b: float, c: float) -> Polynomial:
        """Return the polynomial for x = scale·q."""
        s = _positive(scale)
        return cls(math.floor(b / s), math.floor(c / (a * s * s)), a * s * s)

    def __call__(self, q: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the value's integers."""
        moved: NDArray[np.int64] = q.astype(np.int64) + self.q_b
        return moved * moved + self.q_c


@dataclass(frozen=True)
class Exponential:
    """exp(x) for x ≤ 0 in integers.

    Attributes
    ----------
    q_ln2 : int
        ⌊ln 2/S⌋.
    polynomial : Polynomial
        exp on (−ln 2, 0].

    Raises
    ------
    ValueError
        If S is so coarse that ln 2 is less than one step, or so fine that the polynomial would leave int32.

    References
    ----------
    Kim et al. 2021, algorithm 2. With the printed coefficients the polynomial is off by at most 2.1·10⁻³.

    Survey-map row: A3.
    """

    q_ln2: int
    polynomial: Polynomial

    @classmethod
    def at(cls, scale: float) -> Exponential:
        """Return the exponential for x = scale·q."""
        q_ln2 = math.floor(math.log(2) / _positive(scale))
        polynomial = Polynomial.at(scale, *EXP)
        largest = polynomial.q_b**2 + polynomial.q_c
        if q_ln2 < 1 or largest > INT32_MAX:
            raise ValueError(f"scale must lie between about 3.5e-5 and ln 2, got {scale:.3g}")
        return cls(q_ln2, polynomial)

    @property
    def scale(self) -> float:
        """Scale of the result."""
        return self.polynomial.scale

    def __call__(self, q: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return exp's integers for q ≤ 0."""
        q = _integers(q)
        if int(q.max()) > 0:
            raise ValueError(f"q must not be positive, got {q.max()}: subtract the largest first")
        z = -q // self.q_ln2
        return self.polynomial(q + z * self.q_ln2) >> np.minimum(z, 62)


@dataclass(frozen=True)
class Softmax:
    """exp(x_i)/Σ_j exp(x_j) along the last axis, in integers; the result has the scale 2^(−bits).

    Attributes
    ----------
    exponential : Exponential
    bits : int
        Of the result: codes 0 … 2^bits.

    References
    ----------
    Kim et al. 2021, section 3.5.

    Examples
    --------
    >>> softmax = Softmax.at(0.01)
    >>> softmax(np.array([0, 0, 110]))  # 0.1999, 0.1999, 0.6003 of 256
    array([ 51,  51, 154])

    Survey-map row: A3.
    """

    exponential: Exponential
    bits: int = 8

    @classmethod
    def at(cls, scale: float, bits: int = 8) -> Softmax:
        """Return the softmax for x = scale·q."""
        if not 1 <= bits <= 24:
            raise ValueError(f"bits must be from 1 to 24, got {bits}")
        return cls(Exponential.at(scale), bits)

    @property
    def scale(self) -> float:
        """Scale of the result, 2^(−bits)."""
        return 2.0**-self.bits

    def __call__(self, q: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the probabilities' codes, rounded to nearest."""
        q = _integers(q)
        e = self.exponential(q - q.max(-1, keepdims=True))
        total = e.sum(-1, keepdims=True)
        return ((e << (self.bits + 1)) + total) // (2 * total)


@dataclass(frozen=True)
class Gelu:
    """x/2·(1 + erf(x/√2)) in integers.

    Attributes
    ----------
    erf : Polynomial
        erf on [0, 1.769], for inputs in units of S/√2.
    q_1 : int
        1 in erf's scale.
    scale : float
        Of the result, S·S_erf/2 (negative, as I-BERT has it). Not used in calls.

    Raises
    ------
    ValueError
        If S is so fine that erf's integers leave int32, or so coarse that erf has fewer than 16 steps.

    References
    ----------
    Kim et al. 2021, algorithm 3 and table 1.

    Survey-map row: A3.
    """

    erf: Polynomial
    q_1: int
    scale: float

    @classmethod
    def at(cls, scale: float) -> Gelu:
        """Return the GELU for x = scale·q."""
        erf = Polynomial.at(_positive(scale) / math.sqrt(2), *ERF)
        q_1 = math.floor(1 / erf.scale)
        if not -INT32_MAX < q_1 <= -16:
            raise ValueError(f"scale must lie between about 6e-5 and 0.65, got {scale:.3g}")
        return cls(erf, q_1, scale * erf.scale / 2)

    def integer_erf(self, q: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return erf(x/√2)'s integers, in units of `erf.scale`."""
        q = q.astype(np.int64)
        return np.sign(q) * self.erf(np.minimum(np.abs(q), -self.erf.q_b))

    def __call__(self, q: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return GELU's integers."""
        q = _integers(q)
        check_bound(int(np.abs(q).max()) * 2 * abs(self.q_1), "product of x and 1 + erf", INT64_MAX)
        return q * (self.integer_erf(q) + self.q_1)


def isqrt(n: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return ⌊√n⌋ for n ≥ 0 by Newton's iteration, x ← ⌊(x + ⌊n/x⌋)/2⌋, from 2^⌈bits(n)/2⌉ down.

    Starting at or above the root, x falls until it is ⌊√n⌋, and then no more.

    Raises
    ------
    ValueError
        If an n is negative.

    References
    ----------
    Kim et al. 2021, algorithm 4; Crandall and Pomerance 2005, algorithm 9.2.11.

    Examples
    --------
    >>> isqrt(np.array([0, 8, 9, 2**31 - 1]))
    array([    0,     2,     3, 46340])

    Survey-map row: A3.
    """
    n = np.asanyarray(n)
    if not np.issubdtype(n.dtype, np.integer):
        raise TypeError(f"n must hold integers, got {n.dtype}")
    n = n.astype(np.int64)
    if n.size and int(n.min()) < 0:
        raise ValueError(f"n must not be negative, got {n.min()}")
    positive = np.maximum(n, 1)
    x = np.int64(1) << ((_bit_length(positive) + 1) // 2)
    while True:
        better = (x + positive // x) >> 1
        if not (better < x).any():
            return np.where(n > 0, x, 0)
        x = np.minimum(better, x)


def _bit_length(n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of bits of n ≥ 0, in integers."""
    bits = np.zeros_like(n)
    for step in (32, 16, 8, 4, 2, 1):
        high = (n >> step) > 0
        bits = bits + np.where(high, step, 0)
        n = np.where(high, n >> step, n)
    return bits + (n > 0)


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """(x − μ)/σ·γ + β along the last axis, in integers. The input's scale cancels.

    With x̂ = (q − μ_q)·2^f/σ_q in f binary places, the result is x̂·γ_q + β_q in units of `scale` = S_γ·2^(−f).

    Attributes
    ----------
    gamma : int64, shape (k,)
        γ in units of S_γ = max|γ|/127, int8's codes.
    beta : int64, shape (k,)
        β in units of S_γ·2^(−f).
    fraction : int
        f.
    scale : float
        Of the result. Not used in calls.

    References
    ----------
    Kim et al. 2021, section 3.6.

    Survey-map row: A3.
    """

    gamma: NDArray[np.int64]
    beta: NDArray[np.int64]
    fraction: int
    scale: float

    @classmethod
    def at(cls, gamma: NDArray[np.floating], beta: NDArray[np.floating], fraction: int = 12) -> LayerNorm:
        """Return the LayerNorm with the given gain and offset."""
        if not 1 <= fraction <= 16:
            raise ValueError(f"fraction must be from 1 to 16 binary places, got {fraction}")
        gamma, beta = np.asarray(gamma, np.float64), np.asarray(beta, np.float64)
        step = float(np.abs(gamma).max() / 127) or 1.0
        scale = step * 2.0**-fraction
        codes = (np.rint(gamma / step).astype(np.int64), np.rint(beta / scale).astype(np.int64))
        check_bound(int(np.abs(codes[1]).max()), "beta")
        return cls(*codes, fraction, scale)

    def __call__(self, q: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the result's integers for q, shape (…, k)."""
        q = _integers(q)
        k = q.shape[-1]
        # Four more places for the mean and the deviation: ⌊√⌋ of small integers would be too coarse.
        reach = int(np.abs(q).max()) << 5
        check_bound(k * reach * reach, "sum of squares", INT64_MAX)
        places = q << 4
        mean = (2 * places.sum(-1, keepdims=True) + k) // (2 * k)
        centred = places - mean
        sigma = np.maximum(isqrt((centred * centred).sum(-1, keepdims=True) // k), 1)
        normalized = ((centred << (self.fraction + 1)) + sigma) // (2 * sigma)
        return normalized * self.gamma + self.beta
