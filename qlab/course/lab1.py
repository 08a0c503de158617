"""The checks of Lab 1, the uniform quantizer: right solutions, and the mistakes that people make.

Survey-map rows: Q2, Q3, Q4, Q5, Q7.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qlab.course.check import Exercise, Mistake

__all__ = ["DEQUANTIZE", "EXERCISES", "PER_CHANNEL", "QUANTIZE", "RANGE", "SCALE", "SYMMETRIC"]


def scale_zero_point(alpha: float, beta: float, bits: int) -> tuple[float, int]:
    """S and Z of asymmetric codes 0 … 2^b − 1."""
    alpha, beta = min(alpha, 0.0), max(beta, 0.0)
    s = (beta - alpha) / (2**bits - 1) or 1.0
    return s, round(alpha / s)


def quantize(r: Tensor, s: float, z: int, bits: int) -> Tensor:
    """Q(r) = clip(Int(r/S) − Z, 0, 2^b − 1)."""
    return (torch.round(r / s) - z).clamp(0, 2**bits - 1)


def dequantize(q: Tensor, s: float, z: int) -> Tensor:
    """r̃ = S(Q + Z)."""
    return s * (q + z)


def symmetric_scale(r: Tensor, bits: int) -> float:
    """S of the restricted symmetric grid."""
    return float(r.abs().max()) / (2 ** (bits - 1) - 1)


def per_channel(w: Tensor, bits: int) -> Tensor:
    """r̃ with one restricted symmetric scale per output channel (axis 0)."""
    top = 2 ** (bits - 1) - 1
    s = w.abs().flatten(1).amax(1).reshape(-1, *[1] * (w.dim() - 1)) / top
    s = torch.where(s > 0, s, torch.ones_like(s))
    return s * torch.round(w / s).clamp(-top, top)


def best_range(r: Tensor, bits: int) -> float:
    """The clipping threshold k·max|r|/50, k = 1 … 50, with the least squared error (symmetric, restricted)."""
    return _search(r, bits, min)


def _search(r: Tensor, bits: int, pick: object, clip: bool = True, power: int = 2) -> float:
    top = 2 ** (bits - 1) - 1

    def error(t: float) -> float:
        s = t / top
        q = torch.round(r / s)
        q = q.clamp(-top, top) if clip else q
        return float((s * q - r).abs().pow(power).sum())

    thresholds = [float(r.abs().max()) * k / 50 for k in range(1, 51)]
    return float(pick(thresholds, key=error))  # type: ignore[operator]


def _numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _steps(denominator: object) -> object:
    """scale_zero_point with another number of steps."""

    def solution(alpha: float, beta: float, bits: int) -> tuple[float, int]:
        alpha, beta = min(alpha, 0.0), max(beta, 0.0)
        s = (beta - alpha) / denominator(bits) or 1.0  # type: ignore[operator]
        return s, round(alpha / s)

    return solution


def _no_zero(alpha: float, beta: float, bits: int) -> tuple[float, int]:
    s = (beta - alpha) / (2**bits - 1)
    return s, round(alpha / s)


def _real_zero_point(alpha: float, beta: float, bits: int) -> tuple[float, float]:
    s, _ = scale_zero_point(alpha, beta, bits)
    return s, min(alpha, 0.0) / s


def _clamped(alpha: float, beta: float, bits: int) -> tuple[float, int]:
    s, z = scale_zero_point(alpha, beta, bits)
    return s, max(z, 0)


SCALE = Exercise(
    "scale_zero_point",
    scale_zero_point,
    [(-1.0, 3.0, 8), (-0.3, 5.1, 4), (-2.0, 2.0, 2), (0.5, 4.0, 8), (-6.0, -1.0, 3), (0.0, 0.0, 8)],
    [
        Mistake(
            "the zero point has PyTorch's sign",
            "this course follows the survey, Q(r) = Int(r/S) − Z, in which α must get the code 0: so Z = Int(α/S). "
            "PyTorch adds its zero point, and zp = −Z.",
            lambda a, b, n: (scale_zero_point(a, b, n)[0], -scale_zero_point(a, b, n)[1]),
        ),
        Mistake(
            "the scale is off by one level",
            "2^b codes leave 2^b − 1 steps between them. Count the fence posts, then the gaps.",
            _steps(lambda n: 2**n),  # type: ignore[arg-type]
        ),
        Mistake(
            "the scale uses the steps of signed codes",
            "the codes here are 0 … 2^b − 1, all bits count; 2^(b−1) belongs to symmetric, signed codes.",
            _steps(lambda n: 2 ** (n - 1) - 1 or 1),  # type: ignore[arg-type]
        ),
        Mistake(
            "the range does not contain 0",
            "r = 0 must have an exact code (padding, ReLU): widen [α, β] to hold 0 before you compute S.",
            lambda a, b, n: _no_zero(a, b, n) if b != a else (1.0, 0),
        ),
        Mistake(
            "a range of zero width divides by zero",
            "if all values are 0 the width is 0. Any S is right then; S = 1 is the usual choice.",
            lambda a, b, n: _no_zero(min(a, 0.0), max(b, 0.0), n),
        ),
        Mistake(
            "the zero point is not an integer",
            "Z is subtracted from integers and must be one itself, or 0 has no exact code. Round α/S.",
            _real_zero_point,
        ),
        Mistake(
            "the zero point is clamped at 0",
            "with this sign Z is negative or 0 (it is the code of r = 0, turned around): do not clamp it to the codes.",
            _clamped,
        ),
    ],
)

_R = torch.cat([_numbers(0, 12) * 2, torch.tensor([-9.0, 9.0, 0.0, 0.25, 0.75])])
QUANTIZE = Exercise(
    "quantize",
    quantize,
    [(_R, 0.5, -3, 3), (_R, 0.1, -128, 8), (_numbers(1, 3, 4), 0.25, 0, 4)],
    [
        Mistake(
            "the clip is missing",
            "values outside the clipping range must get the outermost codes, 0 or 2^b − 1: Int(·) also truncates.",
            lambda r, s, z, b: torch.round(r / s) - z,
        ),
        Mistake(
            "the zero point is added instead of subtracted",
            "Q(r) = Int(r/S) − Z in this course; + is PyTorch's convention, where zp = −Z.",
            lambda r, s, z, b: (torch.round(r / s) + z).clamp(0, 2**b - 1),
        ),
        Mistake(
            "values are cut, not rounded (floor)",
            "Int(·) rounds to the nearest whole number; floor makes every error point the same way, by half a step.",
            lambda r, s, z, b: (torch.floor(r / s) - z).clamp(0, 2**b - 1),
        ),
        Mistake(
            "values are cut, not rounded (toward zero)",
            "a cast to int drops the fraction. Round first, then cast.",
            lambda r, s, z, b: (torch.trunc(r / s) - z).clamp(0, 2**b - 1),
        ),
        Mistake(
            "the largest code is off by one",
            "b bits name 2^b codes starting from 0, so the largest one is 2^b − 1.",
            lambda r, s, z, b: (torch.round(r / s) - z).clamp(0, 2**b),
        ),
        Mistake(
            "the codes are clipped to a signed range",
            "here the codes are 0 … 2^b − 1. The range −2^(b−1) … 2^(b−1) − 1 is for signed codes.",
            lambda r, s, z, b: (torch.round(r / s) - z).clamp(-(2 ** (b - 1)), 2 ** (b - 1) - 1),
        ),
        Mistake(
            "the clip comes before Z is subtracted",
            "clip the codes, after subtracting Z: it is the code that must fit into b bits.",
            lambda r, s, z, b: torch.round(r / s).clamp(0, 2**b - 1) - z,
        ),
        Mistake(
            "r is multiplied by the scale",
            "S is the width of a step in units of r: divide by it to count steps.",
            lambda r, s, z, b: (torch.round(r * s) - z).clamp(0, 2**b - 1),
        ),
    ],
)

_Q = torch.arange(8.0)
DEQUANTIZE = Exercise(
    "dequantize",
    dequantize,
    [(_Q, 0.5, -3), (_Q, 0.1, 0), (_Q, 2.0, 5)],
    [
        Mistake(
            "the zero point is subtracted",
            "Q subtracted Z, so going back must add it: r̃ = S(Q + Z).",
            lambda q, s, z: s * (q - z),
        ),
        Mistake("the zero point is outside the brackets", "S multiplies codes *and* Z.", lambda q, s, z: s * q + z),
        Mistake("the zero point is forgotten", "r̃ = S(Q + Z): without Z all values move.", lambda q, s, z: s * q),
    ],
)

SYMMETRIC = Exercise(
    "symmetric_scale",
    symmetric_scale,
    [(_numbers(2, 30), 8), (torch.tensor([-4.0, 1.0, 2.0]), 4), (_numbers(3, 9) - 3, 3)],
    [
        Mistake(
            "only the positive side is looked at",
            "the range is symmetric around 0, so the largest *magnitude* sets it: max|r|.",
            lambda r, b: float(r.max()) / (2 ** (b - 1) - 1),
        ),
        Mistake(
            "the scale belongs to codes up to 2^(b−1)",
            "the largest code of b signed bits is 2^(b−1) − 1, and it must stand for max|r|.",
            lambda r, b: float(r.abs().max()) / 2 ** (b - 1),
        ),
        Mistake(
            "the scale belongs to the full range",
            "2·max|r|/(2^b − 1) is the full-range choice of the survey; this exercise asks for the restricted one.",
            lambda r, b: 2 * float(r.abs().max()) / (2**b - 1),
        ),
        Mistake(
            "the scale belongs to unsigned codes",
            "with a sign there are 2^(b−1) − 1 codes above zero, not 2^b − 1.",
            lambda r, b: float(r.abs().max()) / (2**b - 1),
        ),
    ],
)


def _one_scale(w: Tensor, bits: int) -> Tensor:
    return per_channel(w.reshape(1, -1), bits).reshape(w.shape)


PER_CHANNEL = Exercise(
    "per_channel",
    per_channel,
    [(_numbers(4, 4, 4) * torch.tensor([[1.0], [10.0], [0.1], [3.0]]), 4), (_numbers(5, 3, 3, 2, 2), 3)],
    [
        Mistake(
            "the scales run along the wrong axis",
            "output channels are on axis 0 of a weight: reduce over all other axes, and give S the shape (C, 1, …).",
            lambda w, b: per_channel(w.transpose(0, 1), b).transpose(0, 1),
        ),
        Mistake(
            "there is one scale for the whole tensor",
            "take the largest magnitude of each channel, not of everything.",
            _one_scale,
        ),
        Mistake(
            "the result is codes, not values",
            "multiply by S at the end: the function returns r̃.",
            lambda w, b: torch.round(
                w / (w.abs().flatten(1).amax(1).reshape(-1, *[1] * (w.dim() - 1)) / (2 ** (b - 1) - 1))
            ),
        ),
    ],
)

RANGE = Exercise(
    "best_range",
    best_range,
    [(_numbers(6, 500), 4), (_numbers(7, 500) ** 3, 3), (torch.cat([_numbers(8, 400), torch.tensor([20.0])]), 6)],
    [
        Mistake(
            "the smallest threshold always wins",
            "without the clip a small threshold looks free: clip the codes inside the search too. And look for the "
            "smallest error, min and not max.",
            lambda r, b: _search(r, b, min, clip=False),
        ),
        Mistake(
            "the whole range is always taken",
            "max|r| is only the first candidate. Is the squared error smaller when you clip a little?",
            lambda r, b: float(r.abs().max()),
        ),
        Mistake(
            "the absolute error is minimized, not the squared one",
            "the exercise asks for Σ(r − r̃)².",
            lambda r, b: _search(r, b, min, power=1),
        ),
    ],
)

EXERCISES = (SCALE, QUANTIZE, DEQUANTIZE, SYMMETRIC, PER_CHANNEL, RANGE)
