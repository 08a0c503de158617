"""Lab 10, integer-only inference by hand: right solutions, and the mistakes that people make.

    v = Σ_k w_k·q_k + β,    β = Int(b/(S_w·S_h)) + Z_h·Σ_k w_k,    q = clip( (m·v + 2^(n−1)) >> n  − Z, low, high )

Survey-map rows: A1, A2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "ACCUMULATE",
    "ADD",
    "BIAS_CODES",
    "BOUND",
    "DYADIC",
    "ENCODE",
    "EXERCISES",
    "QUESTIONS",
    "REQUANTIZE",
    "RUN",
]

Array = NDArray[Any]
INT32 = (-(2**31), 2**31 - 1)


def _codes(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _weights(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-127, 128, shape, dtype=np.int8)


def _biases(seed: int, n: int, reach: int = 40_000) -> Array:
    return np.random.default_rng(seed).integers(-reach, reach, n, dtype=np.int32)


def _wrap(values: Array, kind: type) -> Array:
    """Whole numbers as a narrow type keeps them: the upper bits are lost."""
    return values.astype(np.int64).astype(kind)


# (a) The codes of the input


def _encode(r: Array, S: float, Z: int) -> Array:
    return np.clip(np.rint(r / S) - Z, 0, 255).astype(np.uint8)


def _normals(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


ENCODE = Exercise(
    "encode",
    _encode,
    [
        (np.array([0.0, 1.1, -0.6, 9.0, 300.0, -40.0]), 0.5, -2),
        (_normals(0, 4, 5), 0.0111, -73),
        (3 * _normals(1, 3, 4), 0.0171, 0),
        (_normals(2, 2, 3), 0.009, -255),
    ],
    [
        Mistake(
            "the zero point is added",
            "that is PyTorch's and ONNX's rule, with zp = −Z. In this course r̃ = S·(q + Z), so Z is subtracted.",
            lambda r, S, Z: np.clip(np.rint(r / S) + Z, 0, 255).astype(np.uint8),
        ),
        Mistake(
            "the zero point is missing",
            "r = 0 must get the code −Z, or all negative numbers are cut off.",
            lambda r, S, Z: np.clip(np.rint(r / S), 0, 255).astype(np.uint8),
        ),
        Mistake(
            "the clip is missing",
            "a byte keeps only the last eight bits: 602 becomes 90. Clip to 0 … 255 *before* astype(np.uint8).",
            lambda r, S, Z: _wrap(np.rint(r / S) - Z, np.uint8),
        ),
        Mistake(
            "it is clipped before the zero point is subtracted",
            "the *code* lies in 0 … 255, not r/S. Pictures may be negative, and codes below −Z are there for that.",
            lambda r, S, Z: np.clip(np.clip(np.rint(r / S), 0, 255) - Z, 0, 255).astype(np.uint8),
        ),
        Mistake(
            "these are signed codes",
            "−128 … 127 is int8. Codes are 0 … 255 here.",
            lambda r, S, Z: np.clip(np.rint(r / S) - Z, -128, 127).astype(np.int8),
        ),
        Mistake(
            "the highest code is 127",
            "a byte without a sign goes up to 255.",
            lambda r, S, Z: np.clip(np.rint(r / S) - Z, 0, 127).astype(np.uint8),
        ),
        Mistake(
            "it is cut, not rounded",
            "astype cuts what stands behind the point. Round to nearest first: np.rint.",
            lambda r, S, Z: np.clip(np.trunc(r / S) - Z, 0, 255).astype(np.uint8),
        ),
        Mistake(
            "it is cut after the zero point is subtracted",
            "astype cuts what stands behind the point. Round to nearest first: np.rint.",
            lambda r, S, Z: np.clip(r / S - Z, 0, 255).astype(np.uint8),
        ),
        Mistake(
            "it is rounded up",
            "to the nearest, not to the next one above.",
            lambda r, S, Z: np.clip(np.ceil(r / S) - Z, 0, 255).astype(np.uint8),
        ),
        Mistake(
            "it is multiplied by the scale",
            "S is the width of a step. How many steps fit into r?",
            lambda r, S, Z: np.clip(np.rint(r * S) - Z, 0, 255).astype(np.uint8),
        ),
        Mistake(
            "the zero point is taken off before the division",
            "Z counts steps, r does not: divide first.",
            lambda r, S, Z: np.clip(np.rint((r - Z) / S), 0, 255).astype(np.uint8),
        ),
        Mistake(
            "real numbers are returned",
            "S·(q + Z) is what a code means. Return the code q itself.",
            lambda r, S, Z: S * (np.clip(np.rint(r / S) - Z, 0, 255) + Z),
        ),
        Mistake(
            "magnitudes are encoded",
            "the picture may be negative, and its codes below −Z are there for that: no abs() here.",
            lambda r, S, Z: np.clip(np.rint(np.abs(r) / S) - Z, 0, 255).astype(np.uint8),
        ),
    ],
)


# (b) The bias


def _bias_codes(b: Array, S_w: Array, S_h: float, w: Array, Z_h: int) -> Array:
    return (np.rint(b / (S_w * S_h)) + Z_h * w.sum(1, dtype=np.int64)).astype(np.int32)


def _layer(seed: int, outputs: int, inputs: int, Z: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=outputs), 0.002 + 0.01 * rng.random(outputs), 0.0113, _weights(seed, outputs, inputs), Z


def _bias_with(
    unit: Callable[[Array, float], Any] = lambda S_w, S_h: S_w * S_h,
    total: Callable[[Array, int], Any] = lambda w, Z_h: Z_h * w.sum(1, dtype=np.int64),
    whole: Callable[[Array], Array] = np.rint,
) -> Callable[..., Array]:
    """The bias with one part replaced: the unit of the accumulator, the zero point's term, or the rounding."""

    def wrong(b: Array, S_w: Array, S_h: float, w: Array, Z_h: int) -> Array:
        return _wrap(whole(b / unit(S_w, S_h)) + total(w, Z_h), np.int32)

    return wrong


BIAS_CODES = Exercise(
    "bias_codes",
    _bias_codes,
    [
        (np.array([0.75]), np.array([0.5]), 0.1, np.array([[3, -2]], np.int8), -10),
        _layer(3, 4, 6, -73),
        _layer(4, 5, 5, -128),
        _layer(5, 3, 40, -255),
        _layer(6, 3, 4, 0),
    ],
    [
        Mistake(
            "the zero point's term has the wrong sign",
            "Σ w·(q + Z) = Σ w·q + Z·Σ w: a plus. (With PyTorch's zp = −Z it is a minus.)",
            _bias_with(total=lambda w, Z_h: -Z_h * w.sum(1, dtype=np.int64)),
        ),
        Mistake(
            "the zero point's term is missing",
            "the codes q stand for q + Z: Z·Σ w belongs to every sum, whatever the picture.",
            _bias_with(total=lambda w, Z_h: 0),
        ),
        Mistake(
            "the bias itself is missing",
            "how many units S_w·S_h fit into b? *Divide* (b·S_w·S_h is nearly 0), round, and add it.",
            lambda b, S_w, S_h, w, Z_h: (Z_h * w.sum(1, dtype=np.int64)).astype(np.int32),
        ),
        Mistake(
            "the bias is cut, not rounded",
            "astype cuts what stands behind the point: np.rint first.",
            _bias_with(whole=np.trunc),
        ),
        Mistake(
            "the bias is rounded down",
            "to the nearest integer: np.rint.",
            _bias_with(whole=np.floor),
        ),
        Mistake(
            "the sum runs over the outputs",
            "w has the shape (outputs, inputs), and each output sums over its inputs: axis 1.",
            _bias_with(total=lambda w, Z_h: Z_h * w.sum(0, dtype=np.int64)),
        ),
        Mistake(
            "there is one sum for all outputs",
            "each output has weights of its own: sum over axis 1 only.",
            _bias_with(total=lambda w, Z_h: Z_h * w.sum(dtype=np.int64)),
        ),
        Mistake(
            "magnitudes are summed",
            "weights of opposite sign cancel in Σ w: no abs().",
            _bias_with(total=lambda w, Z_h: Z_h * np.abs(w).sum(1, dtype=np.int64)),
        ),
        Mistake(
            "the mean of the weights is taken",
            "a layer *sums* over its inputs.",
            _bias_with(total=lambda w, Z_h: np.rint(Z_h * w.mean(1))),
        ),
        Mistake(
            "the zero point is counted once per input, without the weights",
            "the Z of input k is multiplied by the weight w_k, as q_k is.",
            _bias_with(total=lambda w, Z_h: Z_h * w.shape[1]),
        ),
        Mistake(
            "the zero point is added once",
            "every q_k stands for q_k + Z, and each meets its own weight: Z·Σ w.",
            _bias_with(total=lambda w, Z_h: Z_h),
        ),
        Mistake(
            "the weights' sum is not multiplied by Z",
            "Z·Σ w, not Σ w.",
            _bias_with(total=lambda w, Z_h: w.sum(1, dtype=np.int64)),
        ),
        Mistake(
            "int8 overflows in Z·w",
            "w is int8, and so is Z*w: −73·100 does not fit. Sum first (w.sum(1) is wide), or use w.astype(np.int64).",
            _bias_with(total=lambda w, Z_h: _wrap(Z_h * w.astype(np.int64), np.int8).sum(1)),
        ),
        Mistake(
            "the sum is kept in int8",
            "a sum of weights does not fit into eight bits: use the wide sum.",
            _bias_with(total=lambda w, Z_h: Z_h * _wrap(w.sum(1, dtype=np.int64), np.int8).astype(np.int64)),
        ),
        Mistake(
            "the unit is the weights' scale",
            "a product of a weight and an input has both scales: b/(S_w·S_h).",
            _bias_with(unit=lambda S_w, S_h: S_w),
        ),
        Mistake(
            "the unit is the input's scale",
            "a product of a weight and an input has both scales: b/(S_w·S_h).",
            _bias_with(unit=lambda S_w, S_h: S_h),
        ),
        Mistake(
            "all outputs have the same scale",
            "S_w holds one scale for every output: no mean, no maximum of it.",
            _bias_with(unit=lambda S_w, S_h: S_w.mean() * S_h),
        ),
        Mistake(
            "the largest scale is used for all outputs",
            "S_w holds one scale for every output.",
            _bias_with(unit=lambda S_w, S_h: S_w.max() * S_h),
        ),
        Mistake(
            "the bias is clipped to a byte",
            "in units as small as S_w·S_h a bias is large: it has 32 bits.",
            _bias_with(whole=lambda t: np.clip(np.rint(t), -128, 127)),
        ),
    ],
)


# (c) The accumulator


def _accumulate(q: Array, w: Array, beta: Array) -> Array:
    return q.astype(np.int32) @ w.astype(np.int32).T + beta


def _saturating_pairs(q: Array, w: Array, beta: Array) -> Array:
    """What x86 processors without VNNI do: neighbouring products are added in int16, with saturation."""
    even = q.shape[1] // 2 * 2
    products = q[:, None, :].astype(np.int32) * w[None].astype(np.int32)
    pairs = products[:, :, :even].reshape(len(q), len(w), -1, 2).sum(3)
    total = np.clip(pairs, -(2**15), 2**15 - 1).sum(2) + products[:, :, even:].sum(2)
    return (total + beta).astype(np.int32)


ACCUMULATE = Exercise(
    "accumulate",
    _accumulate,
    [
        (np.array([[14, 9]], np.uint8), np.array([[3, -2]], np.int8), np.array([5], np.int32)),
        (_codes(7, 3, 12), _weights(7, 4, 12), _biases(7, 4)),
        (_codes(8, 5, 5), _weights(8, 5, 5), _biases(8, 5)),
        (_codes(9, 2, 60) // 2 + 128, np.abs(_weights(9, 3, 60)) // 2 + 60, _biases(9, 3)),
    ],
    [
        Mistake(
            "the sums overflow: NumPy keeps uint8 @ int8 in int16",
            "narrow integers stay narrow and wrap around silently, and widening the result is too late. "
            "Widen both factors: q.astype(np.int32).",
            lambda q, w, beta: q @ w.T + beta,
        ),
        Mistake(
            "codes above 127 have become negative",
            "q.astype(np.int8) reads 200 as −56. int32 holds both q and w.",
            lambda q, w, beta: q.astype(np.int8).astype(np.int32) @ w.astype(np.int32).T + beta,
        ),
        Mistake(
            "negative weights have become large",
            "w.astype(np.uint8) reads −2 as 254. int32 holds both q and w.",
            lambda q, w, beta: q.astype(np.int32) @ w.astype(np.uint8).astype(np.int32).T + beta,
        ),
        Mistake(
            "the sums are kept in a byte",
            "the accumulator has 32 bits, so that nothing is lost before the requantization.",
            lambda q, w, beta: _wrap(_accumulate(q, w, beta), np.uint8).astype(np.int32),
        ),
        Mistake(
            "the sums saturate in 16 bits",
            "the accumulator has 32 bits: no clip here.",
            lambda q, w, beta: np.clip(_accumulate(q, w, np.zeros_like(beta)), -(2**15), 2**15 - 1) + beta,
        ),
        Mistake(
            "pairs of products saturate in 16 bits",
            "that is what some processors do. Here every product and every sum has 32 bits.",
            _saturating_pairs,
        ),
        Mistake(
            "w is not transposed",
            "w has the shape (outputs, inputs), a row of q has as many numbers as there are inputs: q @ w.T.",
            lambda q, w, beta: q.astype(np.int32) @ w.astype(np.int32) + beta,
        ),
        Mistake(
            "the result is transposed",
            "a row for every picture, a column for every output: q @ w.T.",
            lambda q, w, beta: _accumulate(q, w, beta).T,
        ),
        Mistake(
            "β is missing",
            "it holds the bias and the zero point's term.",
            lambda q, w, beta: _accumulate(q, w, np.zeros_like(beta)),
        ),
        Mistake(
            "β is subtracted",
            "v = Σ w·q + β.",
            lambda q, w, beta: _accumulate(q, w, -beta),
        ),
        Mistake(
            "β is added to every product",
            "once for every output, after the sum.",
            lambda q, w, beta: _accumulate(q, w, q.shape[1] * beta),
        ),
        Mistake(
            "β goes along the pictures",
            "β has a number for every output, and those are the columns: no beta[:, None].",
            lambda q, w, beta: _accumulate(q, w, np.zeros_like(beta)) + beta[:, None],
        ),
        Mistake(
            "there is a ReLU",
            "v may be negative. The ReLU comes with the clip, in the requantization.",
            lambda q, w, beta: np.maximum(_accumulate(q, w, beta), 0),
        ),
        Mistake(
            "it is divided by the number of inputs",
            "a layer sums over its inputs.",
            lambda q, w, beta: _accumulate(q, w, beta) // q.shape[1],
        ),
        Mistake(
            "the sign of the weights is lost",
            "no abs() here.",
            lambda q, w, beta: _accumulate(q, np.abs(w), beta),
        ),
    ],
)


# (d) A multiplier and a shift


def _dyadic(M: float, bits: int) -> tuple[int, int]:
    fraction, exponent = math.frexp(M)
    m, n = round(fraction * 2**bits), bits - exponent
    return (m // 2, n - 1) if m == 2**bits else (m, n)


def _dyadic_by(whole: Callable[[float], int]) -> Callable[[float, int], tuple[int, int]]:
    def wrong(M: float, bits: int) -> tuple[int, int]:
        fraction, exponent = math.frexp(M)
        m, n = whole(fraction * 2**bits), bits - exponent
        return (m // 2, n - 1) if m == 2**bits else (m, n)

    return wrong


def _unchecked(M: float, bits: int) -> tuple[int, int]:
    fraction, exponent = math.frexp(M)
    return round(fraction * 2**bits), bits - exponent


def _reduced(M: float, bits: int) -> tuple[int, int]:
    m, n = _dyadic(M, bits)
    while m % 2 == 0:
        m, n = m // 2, n - 1
    return m, n


def _simple(M: float, bits: int) -> tuple[int, int]:
    f = Fraction(M).limit_denominator(2**bits)
    return f.numerator, f.denominator


DYADIC = Exercise(
    "dyadic",
    _dyadic,
    [
        (1 / 3, 8),
        (1 / 3, 4),
        (5.3, 8),
        (0.75, 4),
        (0.5, 8),
        (0.999, 8),
        (0.0037, 31),
        (2.3e-4, 16),
    ],
    [
        Mistake(
            "m is cut, not rounded",
            "int() cuts. The nearest m makes half the error: round().",
            _dyadic_by(math.floor),
        ),
        Mistake(
            "m is rounded up",
            "to the nearest: round().",
            _dyadic_by(math.ceil),
        ),
        Mistake(
            "m may come out as 2^bits",
            "0.999 with 8 bits: 255.7 rounds to 256, which has nine bits. Halve m then, and take 1 from n.",
            _unchecked,
        ),
        Mistake(
            "m = 2^bits was made one smaller",
            "256·2^(−8) is 128·2^(−7), with eight bits. 255·2^(−8) is another number.",
            lambda M, bits: (min(_unchecked(M, bits)[0], 2**bits - 1), _unchecked(M, bits)[1]),
        ),
        Mistake(
            "n is the same for every M",
            "n takes the exponent of M along: if M = f·2^e with ½ ≤ f < 1, then m = f·2^bits, and M = m·2^(e − bits).",
            lambda M, bits: (round(M * 2**bits), bits),
        ),
        Mistake(
            "m has one bit too many",
            "2^(bits−1) ≤ m < 2^bits. (math.frexp gives a fraction from ½ to 1, log2 with floor one from 1 to 2.)",
            lambda M, bits: (round(M * 2 ** (bits - math.floor(math.log2(M)))), bits - math.floor(math.log2(M))),
        ),
        Mistake(
            "m has one bit too few",
            "2^(bits−1) ≤ m < 2^bits: m = 128 has eight bits, m = 127 has seven.",
            lambda M, bits: _dyadic(M, bits - 1),
        ),
        Mistake(
            "powers of two come out with one bit too many",
            "if M = ½, ceil(log2(M)) is −1, and M·2^(bits+1) is 2^bits: one too large. math.frexp knows it.",
            lambda M, bits: (
                (round(M * 2 ** (bits - math.ceil(math.log2(M)))), bits - math.ceil(math.log2(M)))
                if math.log2(M) == math.floor(math.log2(M))
                else _dyadic(M, bits)
            ),
        ),
        Mistake(
            "n has the wrong sign",
            "M ≈ m·2^(−n), and the shift goes to the right by n > 0.",
            lambda M, bits: (_dyadic(M, bits)[0], -_dyadic(M, bits)[1]),
        ),
        Mistake(
            "the exponent is added, not subtracted",
            "M = f·2^e, and f·2^bits = m, so M = m·2^(e − bits). What is n?",
            lambda M, bits: (_dyadic(M, bits)[0], bits + math.frexp(M)[1]),
        ),
        Mistake(
            "m and n are swapped",
            "return (m, n).",
            lambda M, bits: _dyadic(M, bits)[::-1],
        ),
        Mistake(
            "the power is returned instead of n",
            "n is the number of places to shift, not 2^n.",
            lambda M, bits: (_dyadic(M, bits)[0], 2 ** _dyadic(M, bits)[1]),
        ),
        Mistake(
            "m has been made odd",
            "m and n were both shortened. The number is the same, but m is to have all its bits.",
            _reduced,
        ),
        Mistake(
            "it is a fraction with another denominator than a power of two",
            "a processor can shift; it does not want to divide. The denominator must be 2^n.",
            _simple,
        ),
        Mistake(
            "m is scaled by 2^bits − 1",
            "there is no highest code here. M·2^n, with a power of two.",
            lambda M, bits: (round(math.frexp(M)[0] * (2**bits - 1)), bits - math.frexp(M)[1]),
        ),
    ],
)


# (e) Requantization


def _requantize(v: Array, m: Array, n: Array, Z: int, low: int, high: int) -> Array:
    m, n = m.astype(np.int64), n.astype(np.int64)
    q = ((v * m + (np.int64(1) << (n - 1))) >> n) - Z
    return np.clip(q, low, high).astype(np.int32)


def _parts(v: Array, m: Array, n: Array) -> tuple[Array, Array]:
    """The product, and 2^n, in int64."""
    return v.astype(np.int64) * m.astype(np.int64), np.int64(1) << n.astype(np.int64)


def _requantize_by(scaled: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """Requantization with another rounding of product/2^n."""

    def wrong(v: Array, m: Array, n: Array, Z: int, low: int, high: int) -> Array:
        return np.clip(scaled(*_parts(v, m, n)) - Z, low, high).astype(np.int32)

    return wrong


def _end_by(end: Callable[[Array, int, int, int], Array]) -> Callable[..., Array]:
    """Requantization with another way from the rounded number to the code."""

    def wrong(v: Array, m: Array, n: Array, Z: int, low: int, high: int) -> Array:
        product, power = _parts(v, m, n)
        return np.asarray(end((product + power // 2) // power, Z, low, high)).astype(np.int32)

    return wrong


def _twice(product: Array, power: Array) -> Array:
    rest = np.maximum(power >> 31, 2)
    return ((product + (1 << 30) >> 31) + rest // 2) // rest


def _narrow(v: Array, m: Array, n: Array, Z: int, low: int, high: int) -> Array:
    return np.clip(((v * m + (1 << (n - 1))) >> n) - Z, low, high)


def _narrow_half(v: Array, m: Array, n: Array, Z: int, low: int, high: int) -> Array:
    return np.clip(((v * m.astype(np.int64) + (1 << (n - 1))) >> n) - Z, low, high)


def _by_rows(v: Array, m: Array, n: Array, Z: int, low: int, high: int) -> Array:
    return _requantize(v, m[:, None], n[:, None], Z, low, high)


def _accumulators(seed: int, rows: int, columns: int, bits: int, reach: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    pairs = [_dyadic(float(M), bits) for M in 160 / reach * (0.5 + rng.random(columns))]
    m, n = (np.array(x, np.int32) for x in zip(*pairs, strict=True))
    return rng.integers(-reach, reach, (rows, columns), dtype=np.int32), m, n


def _int32s(*numbers: int) -> Array:
    return np.array(numbers, np.int32)


REQUANTIZE = Exercise(
    "requantize",
    _requantize,
    [
        (_int32s(29)[None], _int32s(128), _int32s(9), 0, 0, 255),
        (_int32s(2, 6, -2, -6, 3, -5)[None], np.full(6, 128, np.int32), np.full(6, 9, np.int32), -10, 0, 255),
        (*_accumulators(10, 4, 3, 31, 300_000), -120, 0, 255),
        (*_accumulators(11, 4, 4, 31, 1_500_000), -60, 60, 255),
        (*_accumulators(12, 200, 4, 16, 2_000_000), -100, 0, 255),
        (*_accumulators(13, 3, 4, 31, 1000), 0, *INT32),
        (
            _int32s(1466, -2334, 4000, 1999, 1_000_000)[None],
            *(np.full(5, k, np.int32) for k in (1431655766, 42)),
            0,
            0,
            255,
        ),
    ],
    [
        Mistake(
            "the half is missing",
            "a shift alone rounds down. Add 2^(n−1), half of what is shifted out, before the shift. (1 or ½ is "
            "nothing in the units of the product.)",
            _requantize_by(lambda product, power: product // power),
        ),
        Mistake(
            "a whole step is added instead of a half",
            "half of 2^n is 2^(n−1).",
            _requantize_by(lambda product, power: (product + power) // power),
        ),
        Mistake(
            "the half is subtracted",
            "Int(t) = ⌊t + ½⌋.",
            _requantize_by(lambda product, power: (product - power // 2) // power),
        ),
        Mistake(
            "the product overflows: m·v has up to 62 bits",
            "int32 times int32 stays int32 in NumPy, and wraps around silently. Make m and n int64 first.",
            _narrow,
        ),
        Mistake(
            "the half overflows: n is int32, and so is 1 << (n − 1)",
            "2^40 does not fit into int32, and becomes 0 without a word. Make n int64 before you shift by it.",
            _narrow_half,
        ),
        Mistake(
            "ties go to the even number",
            "np.rint(2.5) is 2. With the half added before the shift, ties go up: (m·v + 2^(n−1)) >> n.",
            _requantize_by(lambda product, power: np.rint(product / power)),
        ),
        Mistake(
            "ties go away from zero",
            "the half is added whatever the sign of v: −½ goes up to 0.",
            _requantize_by(lambda product, power: np.sign(product) * ((np.abs(product) + power // 2) // power)),
        ),
        Mistake(
            "negative numbers are cut towards zero",
            "int(−1.4 + ½) is 0 and should be −1: >> rounds down, also below zero; int() and astype do not.",
            _requantize_by(lambda product, power: np.trunc((product + power // 2) / power)),
        ),
        Mistake(
            "it is rounded twice",
            "once to the upper half of the product and then again by the rest of the shift: a few results are lifted "
            "over a tie. One rounding: (m·v + 2^(n−1)) >> n.",
            _requantize_by(_twice),
        ),
        Mistake(
            "it is shifted by one place too few",
            "the half is 2^(n−1), but the shift is n.",
            _requantize_by(lambda product, power: (product + power // 2) // (power // 2)),
        ),
        Mistake(
            "the multiplier is missing",
            "M = m·2^(−n): multiply, then shift.",
            lambda v, m, n, Z, low, high: _requantize(v, np.ones_like(m), n, Z, low, high),
        ),
        Mistake(
            "the zero point is added",
            "r̃ = S·(q + Z), so q = Int(r/S) − Z.",
            _end_by(lambda t, Z, low, high: np.clip(t + Z, low, high)),
        ),
        Mistake(
            "the zero point is missing",
            "r = 0 has the code −Z.",
            _end_by(lambda t, Z, low, high: np.clip(t, low, high)),
        ),
        Mistake(
            "the clip is missing",
            "codes must lie in low … high; that is where a ReLU happens, too.",
            _end_by(lambda t, Z, low, high: t - Z),
        ),
        Mistake(
            "a byte has wrapped around",
            "300 becomes 44 in a byte: clip before.",
            _end_by(lambda t, Z, low, high: _wrap(t - Z, np.uint8)),
        ),
        Mistake(
            "it is clipped to 0 … 255 whatever low and high say",
            "low is −Z where a ReLU is fused, and the last layer's answers are no bytes at all: clip to low … high.",
            _end_by(lambda t, Z, low, high: np.clip(t - Z, 0, 255)),
        ),
        Mistake(
            "only the lower end is clipped",
            "what is larger than the largest code must become it.",
            _end_by(lambda t, Z, low, high: np.maximum(t - Z, low)),
        ),
        Mistake(
            "only the upper end is clipped",
            "what is smaller than low must become low: that is the ReLU.",
            _end_by(lambda t, Z, low, high: np.minimum(t - Z, high)),
        ),
        Mistake(
            "it is clipped before the zero point is subtracted",
            "low and high are codes: subtract Z, then clip.",
            _end_by(lambda t, Z, low, high: np.clip(t, low, high) - Z),
        ),
        Mistake(
            "the zero point is subtracted from the accumulator",
            "Z counts codes, v counts much smaller units: subtract it after the shift.",
            lambda v, m, n, Z, low, high: _requantize(v - np.int32(Z), m, n, 0, low, high),
        ),
        Mistake(
            "the multipliers go along the pictures",
            "there is one m and one n for every output, and those are the columns of v: no [:, None].",
            _by_rows,
        ),
        Mistake(
            "the first output's multiplier is used for all",
            "each output has a scale of its own, so a multiplier and a shift of its own.",
            lambda v, m, n, Z, low, high: _requantize(v, m[:1], n[:1], Z, low, high),
        ),
    ],
)


# (f) No overflow


def _bound(w: Array, beta: Array) -> int:
    return int((np.abs(beta.astype(np.int64)) + 255 * np.abs(w.astype(np.int64)).sum(1)).max())


def _bound_by(each: Callable[[Array, Array], Any]) -> Callable[[Array, Array], Any]:
    """The bound from other numbers than |β| + 255·Σ|w|; both come as int64."""

    def wrong(w: Array, beta: Array) -> Any:
        return int(np.max(each(w.astype(np.int64), beta.astype(np.int64))))

    return wrong


def _sums(w: Array) -> Array:
    return np.asarray(np.abs(w).sum(1))


_LONELY = np.array([[-128, 3, -128], [5, -6, 7]], np.int8)

BOUND = Exercise(
    "bound",
    _bound,
    [
        (np.array([[3, -2]], np.int8), _int32s(5)),
        (_weights(14, 4, 6), _int32s(-90_000, 300, 2000, 150_000)),
        (_weights(15, 5, 5), _biases(15, 5, 300_000)),
        (_LONELY, _int32s(10, -700)),
        (np.array([[100, 100, 100], [1, -1, 0]], np.int8), _int32s(-50, 60_000)),
    ],
    [
        Mistake(
            "the weights keep their signs",
            "a picture may give the negative weights code 0 and the positive ones 255. Sum the magnitudes.",
            _bound_by(lambda w, beta: np.abs(beta) + 255 * w.sum(1)),
        ),
        Mistake(
            "the magnitude is taken after the sum",
            "|Σ w| lets weights cancel that a picture need not let cancel: Σ|w|.",
            _bound_by(lambda w, beta: np.abs(beta) + 255 * np.abs(w.sum(1))),
        ),
        Mistake(
            "only positive weights are counted",
            "a partial sum can be large and negative, too.",
            _bound_by(lambda w, beta: np.abs(beta) + 255 * np.maximum(w, 0).sum(1)),
        ),
        Mistake(
            "the magnitude of −128 is −128 in int8",
            "np.abs cannot write 128 into int8, and says nothing: widen w first.",
            lambda w, beta: int((np.abs(beta.astype(np.int64)) + 255 * np.abs(w).sum(1, dtype=np.int64)).max()),
        ),
        Mistake(
            "the largest code is taken as 127",
            "codes are bytes without a sign: up to 255.",
            _bound_by(lambda w, beta: np.abs(beta) + 127 * _sums(w)),
        ),
        Mistake(
            "the largest code is taken as 256",
            "256 codes, but the largest is 255.",
            _bound_by(lambda w, beta: np.abs(beta) + 256 * _sums(w)),
        ),
        Mistake(
            "the codes are left out",
            "each weight is multiplied by a code of up to 255.",
            _bound_by(lambda w, beta: np.abs(beta) + _sums(w)),
        ),
        Mistake(
            "β is left out",
            "the accumulator holds β as well.",
            _bound_by(lambda w, beta: 255 * _sums(w)),
        ),
        Mistake(
            "β keeps its sign",
            "the sum may be on the same side as β: |β|.",
            _bound_by(lambda w, beta: beta + 255 * _sums(w)),
        ),
        Mistake(
            "β is multiplied by 255, too",
            "β is added once.",
            _bound_by(lambda w, beta: 255 * (np.abs(beta) + _sums(w))),
        ),
        Mistake(
            "the largest β and the largest sum come from different outputs",
            "that is a bound, but not the smallest: add within each output, then take the maximum.",
            _bound_by(lambda w, beta: np.abs(beta).max() + 255 * _sums(w).max()),
        ),
        Mistake(
            "every weight is taken as 127",
            "that holds for any weights; here we know them.",
            _bound_by(lambda w, beta: np.abs(beta) + 255 * 127 * w.shape[1]),
        ),
        Mistake(
            "the largest weight is taken for all",
            "sum the magnitudes of the weights that are there.",
            _bound_by(lambda w, beta: np.abs(beta) + 255 * np.abs(w).max(1) * w.shape[1]),
        ),
        Mistake(
            "all outputs are added up",
            "each output has an accumulator of its own: sum over axis 1, then the maximum.",
            _bound_by(lambda w, beta: np.abs(beta).sum() + 255 * np.abs(w).sum()),
        ),
        Mistake(
            "the smallest output is returned",
            "it must hold for all of them: the maximum.",
            lambda w, beta: int((np.abs(beta.astype(np.int64)) + 255 * _sums(w.astype(np.int64))).min()),
        ),
        Mistake(
            "the sum runs over the outputs",
            "w has the shape (outputs, inputs): axis 1.",
            _bound_by(lambda w, beta: np.abs(beta) + 255 * np.abs(w).sum(0)),
        ),
    ],
)


# (g) A whole network


def _run(layers: list[tuple[Any, ...]], q: Array) -> Array:
    q = q.reshape(len(q), -1)
    for w, beta, m, n, Z, low, high in layers:
        q = _requantize(_accumulate(q, w, beta), m, n, Z, low, high)
    return q


def _tiny(seed: int, sizes: tuple[int, ...], Z: int) -> list[tuple[Any, ...]]:
    """A network of layers for the cases: codes spread over the byte, the answers as they come."""
    layers = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        w, zero = _weights(seed + i, outputs, inputs), 0 if last else Z
        beta = _biases(seed + i, outputs, 3000) - (128 * w.sum(1, dtype=np.int64)).astype(np.int32)
        M = (0.5 + np.arange(outputs) / outputs) * (0.7 if last else 1 / (80 * math.sqrt(inputs)))
        m, n = (np.array(x, np.int32) for x in zip(*(_dyadic(float(k), 31) for k in M), strict=True))
        layers.append((w, beta, m, n, zero, *(INT32 if last else (-zero, 255))))
    return layers


def _changed(between: Callable[[Array], Array]) -> Callable[..., Array]:
    """Run with something done to the codes between two layers."""

    def wrong(layers: list[tuple[Any, ...]], q: Array) -> Array:
        q = q.reshape(len(q), -1)
        for w, beta, m, n, Z, low, high in layers[:-1]:
            q = between(_requantize(_accumulate(q, w, beta), m, n, Z, low, high))
        return _run(layers[-1:], q)

    return wrong


def _not_rescaled(layers: list[tuple[Any, ...]], q: Array) -> Array:
    return _accumulate(_run(layers[:-1], q), *layers[-1][:2])


def _accumulators_go_on(layers: list[tuple[Any, ...]], q: Array) -> Array:
    q = q.reshape(len(q), -1)
    for w, beta, *_ in layers[:-1]:
        q = _accumulate(q, w, beta)
    return _run(layers[-1:], q)


def _centred(layers: list[tuple[Any, ...]], q: Array) -> Array:
    q = q.reshape(len(q), -1)
    for w, beta, m, n, Z, low, high in layers:
        q = _requantize(_accumulate(q, w, beta), m, n, Z, low, high) + np.int32(Z)
    return q


def _bytes_to_the_end(layers: list[tuple[Any, ...]], q: Array) -> Array:
    return np.clip(_run(layers, q), 0, 255)


def _no_relu(layers: list[tuple[Any, ...]], q: Array) -> Array:
    return _run([(*layer[:5], min(layer[5], 0), layer[6]) for layer in layers], q)


RUN = Exercise(
    "run",
    _run,
    [
        (_tiny(20, (6, 5, 3), 0), _codes(20, 2, 1, 2, 3)),
        (_tiny(24, (4, 4, 4, 4), -30), _codes(24, 4, 4)),
        (_tiny(28, (9, 5, 4, 2), -100), _codes(28, 3, 1, 3, 3)),
    ],
    [
        Mistake(
            "the last layer is not requantized",
            "each output has a scale of its own until then, and accumulators of different scales cannot be compared: "
            "the largest of them need not be the answer.",
            _not_rescaled,
        ),
        Mistake(
            "accumulators are handed on to the next layer",
            "the next layer wants codes: requantize after every layer.",
            _accumulators_go_on,
        ),
        Mistake(
            "the zero point is added back to the codes",
            "the next layer's β knows of Z already: hand on the codes as they are.",
            _centred,
        ),
        Mistake(
            "the answers are clipped to a byte",
            "the last layer's low and high are those of int32.",
            _bytes_to_the_end,
        ),
        Mistake(
            "the answers have been made bytes",
            "only codes between layers fit into a byte; the answers are int32 and wrap around in it.",
            lambda layers, q: _wrap(_run(layers, q), np.uint8),
        ),
        Mistake(
            "low is not handed on, and the ReLU is gone",
            "requantize wants all of m, n, Z, low, high of the layer.",
            _no_relu,
        ),
        Mistake(
            "hidden codes above 127 have become negative",
            "codes are uint8: astype(np.int8) reads 200 as −56.",
            _changed(lambda q: _wrap(q, np.int8).astype(np.int32)),
        ),
        Mistake(
            "the last layer is left out",
            "go through all of the layers.",
            lambda layers, q: _run(layers[:-1], q),
        ),
        Mistake(
            "it returns after the first layer",
            "is `return` inside the loop?",
            lambda layers, q: _run(layers[:1], q),
        ),
        Mistake(
            "the last layer runs twice, or the first one never",
            "each layer once, in the order of the list.",
            lambda layers, q: _run(layers[::-1], q),
        ),
        Mistake(
            "every layer reads the network's input",
            "what a layer puts out is what the next one reads: q = requantize(…).",
            lambda layers, q: _run(layers[-1:], q),
        ),
        Mistake(
            "classes are returned",
            "return all of the answers, shape (N, outputs); argmax comes later.",
            lambda layers, q: _run(layers, q).argmax(1),
        ),
        Mistake(
            "the codes are halved between the layers",
            "nothing happens between two layers: the codes go on as they are.",
            _changed(lambda q: q // 2),
        ),
        Mistake(
            "the pixels are read in another order",
            "a picture's pixels row by row: reshape(len(q), -1).",
            lambda layers, q: _run(layers, q.reshape(len(q), -1, q.shape[-1]).transpose(0, 2, 1)),
        ),
    ],
)


# (h) Addition


def _add(q1: Array, q2: Array, Z1: int, Z2: int, m1: int, m2: int, n: int, Z: int, low: int, high: int) -> Array:
    v = m1 * (q1.astype(np.int64) + Z1) + m2 * (q2.astype(np.int64) + Z2)
    return np.clip(((v + (1 << (n - 1))) >> n) - Z, low, high).astype(np.uint8)


def _add_by(total: Callable[..., Any] | None = None, end: Callable[..., Any] | None = None) -> Callable[..., Array]:
    """Addition with another sum or another way from the sum to the code; all in int64."""

    def wrong(q1: Array, q2: Array, Z1: int, Z2: int, m1: int, m2: int, n: int, Z: int, low: int, high: int) -> Array:
        a, b = q1.astype(np.int64), q2.astype(np.int64)
        v = m1 * (a + Z1) + m2 * (b + Z2) if total is None else total(a, b, Z1, Z2, m1, m2, n)
        if end is not None:
            return np.asarray(end(v, n, Z, low, high))
        return np.clip(((v + (1 << (n - 1))) >> n) - Z, low, high).astype(np.uint8)

    return wrong


def _apart(a: Array, b: Array, Z1: int, Z2: int, m1: int, m2: int, n: int) -> Array:
    half = 1 << (n - 1)
    return (((m1 * (a + Z1) + half) >> n) + ((m2 * (b + Z2) + half) >> n)) << n


def _apart_clipped(a: Array, b: Array, Z1: int, Z2: int, m1: int, m2: int, n: int) -> Array:
    half = 1 << (n - 1)
    one, two = ((m * (q + z) + half) >> n for m, q, z in ((m1, a, Z1), (m2, b, Z2)))
    return (np.clip(one, 0, 255) + np.clip(two, 0, 255)) << n


_REAL = (496648182, 1445942572, 29)  # of the first block of the ResNet

ADD = Exercise(
    "add",
    _add,
    [
        (np.array([3], np.uint8), np.array([5], np.uint8), 0, -1, 1, 2, 1, 0, 0, 255),
        (_codes(30, 3, 4), _codes(31, 3, 4), 0, -170, *_REAL, 0, 0, 255),
        (_codes(32, 4, 5), _codes(33, 4, 5), -125, -112, 1194860238, 1309471571, 30, -64, 64, 255),
        (_codes(34, 4, 6) // 4, _codes(35, 4, 6) // 4, -20, -40, 700, 900, 10, -90, 0, 255),
    ],
    [
        Mistake(
            "the codes are added as they are",
            "the two have different scales and zero points: q₁ = 10 and q₂ = 10 are different numbers.",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: (a + b) << n),
        ),
        Mistake(
            "the scales are taken as equal",
            "(q₁ + Z₁) and (q₂ + Z₂) have different units: m₁ and m₂ bring both to the sum's.",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: (a + Z1 + b + Z2) << n),
        ),
        Mistake(
            "the zero points of the summands are missing",
            "a code q stands for S·(q + Z).",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: m1 * a + m2 * b),
        ),
        Mistake(
            "Z₁ is used for both",
            "each summand has its own zero point.",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: m1 * (a + Z1) + m2 * (b + Z1)),
        ),
        Mistake(
            "the zero points are subtracted from the codes",
            "r̃ = S·(q + Z). (With PyTorch's zp = −Z it is q − zp.)",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: m1 * (a - Z1) + m2 * (b - Z2)),
        ),
        Mistake(
            "the zero points are not multiplied",
            "m₁·(q₁ + Z₁), not m₁·q₁ + Z₁.",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: m1 * a + Z1 + m2 * b + Z2),
        ),
        Mistake(
            "the multipliers are swapped",
            "m₁ belongs to q₁.",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: m2 * (a + Z1) + m1 * (b + Z2)),
        ),
        Mistake(
            "the second summand is subtracted",
            "a sum.",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: m1 * (a + Z1) - m2 * (b + Z2)),
        ),
        Mistake(
            "the mean is taken",
            "a sum, not a mean: nothing is halved.",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: (m1 * (a + Z1) + m2 * (b + Z2)) >> 1),
        ),
        Mistake(
            "each summand is rounded by itself",
            "two roundings are worse than one: add in the fine units, then add the half and shift once.",
            _add_by(_apart),
        ),
        Mistake(
            "each summand is clipped by itself",
            "a summand may be negative, or larger than its sum: add first, clip at the end.",
            _add_by(_apart_clipped),
        ),
        Mistake(
            "the products overflow",
            "m has up to 31 bits and q + Z up to 8: int64.",
            _add_by(lambda a, b, Z1, Z2, m1, m2, n: _wrap(m1 * (a + Z1) + m2 * (b + Z2), np.int32).astype(np.int64)),
        ),
        Mistake(
            "the half is missing",
            "a shift alone rounds down: add 2^(n−1) before it.",
            _add_by(end=lambda v, n, Z, low, high: np.clip((v >> n) - Z, low, high).astype(np.uint8)),
        ),
        Mistake(
            "the half is added twice",
            "one rounding, one half.",
            _add_by(end=lambda v, n, Z, low, high: np.clip(((v + (1 << n)) >> n) - Z, low, high).astype(np.uint8)),
        ),
        Mistake(
            "the zero point of the sum is added",
            "q = Int(r/S) − Z.",
            _add_by(
                end=lambda v, n, Z, low, high: np.clip(((v + (1 << (n - 1))) >> n) + Z, low, high).astype(np.uint8)
            ),
        ),
        Mistake(
            "the zero point of the sum is missing",
            "q = Int(r/S) − Z, for the sum's own Z.",
            _add_by(end=lambda v, n, Z, low, high: np.clip((v + (1 << (n - 1))) >> n, low, high).astype(np.uint8)),
        ),
        Mistake(
            "the clip is missing",
            "300 becomes 44 in a byte: clip to low … high first.",
            _add_by(end=lambda v, n, Z, low, high: _wrap(((v + (1 << (n - 1))) >> n) - Z, np.uint8)),
        ),
        Mistake(
            "it is clipped to 0 … 255 whatever low says",
            "low is −Z where the ReLU after the addition is fused.",
            _add_by(end=lambda v, n, Z, low, high: np.clip(((v + (1 << (n - 1))) >> n) - Z, 0, 255).astype(np.uint8)),
        ),
    ],
)


EXERCISES = [ENCODE, BIAS_CODES, ACCUMULATE, DYADIC, REQUANTIZE, BOUND, RUN, ADD]


# (i) Questions

QUESTIONS = [
    question(
        "answer_1",
        25,
        {
            24: "the magnitude takes 24 bits. And the sign?",
            23: "2^23 is smaller than the bound. And the sign takes a bit, too.",
            23.2: "a whole number of bits, and one for the sign.",
            22: "that is what these pictures reached. What may another picture reach? Take the bound.",
            21: "these pictures reached that, without the sign. What may another picture reach? Take the bound.",
            32: "that is what we have. How many of them does the layer need?",
            16: "2^15 is 32,768. How large is the bound?",
        },
    ),
    question(
        "answer_2",
        "b",
        {
            "a": "the error of m is at most half a unit in m's last place. What does one more bit do to that unit?",
            "c": "a code changes when M·v lies so near to a tie that the error of M carries it over. Count again.",
            "d": "at 4 bits, a sixth of the codes change. Does your function return m with `bits` bits?",
        },
    ),
    question(
        "answer_3",
        73,
        {
            -73: "that is Z. A code q stands for S·(q + Z): which q is 0?",
            0: "code 0 stands for S·Z = −0.81, the blackest pixel. Padding is r = 0.",
            128: "that would be the middle of the byte. Which code stands for r = 0?",
            255: "that is the brightest pixel. Which code stands for r = 0?",
        },
    ),
    question(
        "answer_4",
        "c",
        {
            "a": "255·127 fits into 15 bits, but two of them do not. Are the pairs clipped before they are summed?",
            "b": "every code is made from 392 pairs. It is wrong if one of them has lost enough.",
            "d": "count pairs that changed by the clip, not pairs of large weights.",
        },
    ),
    question(
        "answer_5",
        "d",
        {
            "a": "no accumulator can overflow: that was the bound.",
            "b": "your multipliers have 31 bits: an error of 2^(−31) moves hardly one code in a million.",
            "c": "codes of the first layer differ already, and there the inputs are the same codes, one by one.",
        },
    ),
]
