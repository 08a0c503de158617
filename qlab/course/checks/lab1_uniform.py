"""Lab 1, the uniform quantizer: right solutions, and the mistakes that people make.

The notation is the survey's: Q(r) = clip(Int(r/S) − Z), r̃ = S(Q + Z).

Survey-map rows: Q2, Q3, Q4, Q5, Q7.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "BEST_RANGE",
    "DEQUANTIZE",
    "EXERCISES",
    "PER_BLOCK",
    "PER_CHANNEL",
    "QUANTIZE",
    "QUANTIZED_COPY",
    "QUESTIONS",
    "SCALE_ZERO_POINT",
    "SYMMETRIC_SCALE",
]


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# (a) Scale and zero point


def _scale_zero_point(alpha: float, beta: float, bits: int) -> tuple[float, int]:
    alpha, beta = min(alpha, 0.0), max(beta, 0.0)
    S = (beta - alpha) / (2**bits - 1) or 1.0
    return S, round(alpha / S)


def _with_steps(steps: Callable[[int], int]) -> Callable[[float, float, int], tuple[float, int]]:
    def solution(alpha: float, beta: float, bits: int) -> tuple[float, int]:
        alpha, beta = min(alpha, 0.0), max(beta, 0.0)
        S = (beta - alpha) / steps(bits) or 1.0
        return S, round(alpha / S)

    return solution


def _with_zero_point(change: Callable[[float, float, int], Any]) -> Callable[[float, float, int], tuple[float, Any]]:
    def solution(alpha: float, beta: float, bits: int) -> tuple[float, Any]:
        S, _ = _scale_zero_point(alpha, beta, bits)
        return S, change(min(alpha, 0.0), S, bits)

    return solution


def _unwidened(alpha: float, beta: float, bits: int) -> tuple[float, int]:
    S = (beta - alpha) / (2**bits - 1)
    return S, round(alpha / S)


def _unwidened_guarded(alpha: float, beta: float, bits: int) -> tuple[float, int]:
    S = (beta - alpha) / (2**bits - 1) or 1.0
    return S, round(alpha / S)


def _made_symmetric(alpha: float, beta: float, bits: int) -> tuple[float, int]:
    m = max(abs(alpha), abs(beta))
    return _scale_zero_point(-m, m, bits)


SCALE_ZERO_POINT = Exercise(
    "scale_zero_point",
    _scale_zero_point,
    [
        (-1.0, 3.0, 8),
        (-0.3, 5.1, 4),
        (-2.0, 2.2, 2),
        (-6.0, 0.1, 3),
        (0.5, 4.0, 8),
        (-6.0, -1.0, 3),
        (0.3, 0.3, 8),
        (-2.5, -2.5, 4),
        (0.0, 0.0, 8),
    ],
    [
        Mistake(
            "the zero point has PyTorch's sign",
            "this course follows the survey, Q(r) = Int(r/S) − Z, and α must get the code 0. So what is Z at r = α?",
            _with_zero_point(lambda alpha, S, bits: -round(alpha / S)),
        ),
        Mistake(
            "the scale is off by one level",
            "b bits give 2^b codes. How many steps lie between them? Think of fence posts and gaps.",
            _with_steps(lambda bits: 2**bits),
        ),
        Mistake(
            "the scale has too few steps by half",
            "2^(b−1) − 1 belongs to signed codes, which spend half of themselves on each side of 0. "
            "Here they are 0 … 2^b − 1.",
            _with_steps(lambda bits: 2 ** (bits - 1) - 1),
        ),
        Mistake(
            "the zero point is cut, not rounded",
            "int() and // drop the fraction. Int(·) rounds to the nearest whole number: round().",
            _with_zero_point(lambda alpha, S, bits: int(alpha / S)),
        ),
        Mistake(
            "the zero point is not a whole number",
            "Z is subtracted from whole numbers and must be one, or r = 0 has no exact code. Round α/S.",
            _with_zero_point(lambda alpha, S, bits: alpha / S),
        ),
        Mistake(
            "the zero point is clamped to the codes",
            "with this sign Z is zero or negative: −Z is the code of r = 0, not Z. It needs no clamp.",
            _with_zero_point(lambda alpha, S, bits: min(max(round(alpha / S), 0), 2**bits - 1)),
        ),
        Mistake(
            "the zero point is clamped to signed codes",
            "−Z is the code of r = 0 among 0 … 2^b − 1, so Z may go down to −(2^b − 1). It needs no clamp.",
            _with_zero_point(lambda alpha, S, bits: max(round(alpha / S), -(2 ** (bits - 1)))),
        ),
        Mistake(
            "the range is used as it comes, even where it leaves 0 out",
            "r = 0 must have an exact code, for padding and for ReLU. Widen [α, β] until it holds 0, then compute S.",
            _unwidened_guarded,
        ),
        Mistake(
            "the range is used as it comes, without 0 or without width",
            "two things: r = 0 must have an exact code, so widen [α, β] until it holds 0; and if α = β = 0, "
            "take S = 1.",
            _unwidened,
        ),
        Mistake(
            "a range of zero width divides by zero",
            "if α = β = 0, every S is right, and none comes out of the formula. Take S = 1.",
            lambda alpha, beta, bits: _unwidened(min(alpha, 0.0), max(beta, 0.0), bits),
        ),
        Mistake(
            "a constant tensor comes back as 0",
            "if all values are 0.3, then α = β, but the range still has to hold 0: widen it first. Only then is a "
            "width of 0 a special case.",
            lambda alpha, beta, bits: (1.0, 0) if alpha == beta else _scale_zero_point(alpha, beta, bits),
        ),
        Mistake(
            "the range is made symmetric",
            "here both ends are used as they are. max(|α|, |β|) comes later, for symmetric codes.",
            _made_symmetric,
        ),
    ],
)


# (b) Quantize


def _quantize(r: Tensor, S: float, Z: int, bits: int) -> Tensor:
    return (torch.round(r / S) - Z).clamp(0, 2**bits - 1).to(torch.int32)


def _codes(f: Callable[[Tensor, float, int], Tensor]) -> Callable[[Tensor, float, int, int], Tensor]:
    """Quantize with another formula before the clip."""
    return lambda r, S, Z, bits: f(r, S, Z).clamp(0, 2**bits - 1).to(torch.int32)


def _clipped(low: Callable[[int], int | None], high: Callable[[int], int | None]) -> Callable[..., Tensor]:
    """Quantize with another clip."""
    return lambda r, S, Z, bits: (torch.round(r / S) - Z).clamp(low(bits), high(bits)).to(torch.int32)


_WIDE = torch.cat([torch.tensor([-9.0, 9.0, 0.0]), _normal(0, 12) * 2])

QUANTIZE = Exercise(
    "quantize",
    _quantize,
    [
        (torch.tensor([-1.0, 0.0, 0.3, 0.4, 1.7, 2.0]), 0.5, -2, 3),
        (_WIDE, 0.5, -3, 3),
        (_WIDE, 0.1, -128, 8),
        (_normal(1, 3, 4), 0.25, 0, 4),
    ],
    [
        Mistake(
            "the clip is missing",
            "b bits cannot hold just any whole number. What becomes of values outside of the clipping range?",
            lambda r, S, Z, bits: (torch.round(r / S) - Z).to(torch.int32),
        ),
        Mistake(
            "only the upper end is clipped",
            "values below α have no code either: they get the smallest one.",
            _clipped(lambda bits: None, lambda bits: 2**bits - 1),
        ),
        Mistake(
            "only the lower end is clipped",
            "values above β have no code either: they get the largest one.",
            _clipped(lambda bits: 0, lambda bits: None),
        ),
        Mistake(
            "the zero point is added, as PyTorch does",
            "this course follows the survey: Q(r) = Int(r/S) − Z. (PyTorch's zero point is −Z, and it adds.)",
            _codes(lambda r, S, Z: torch.round(r / S) + Z),
        ),
        Mistake(
            "values are cut downward, not rounded",
            "floor(), //, and a cast to int of a positive number all go down: every error then has the same sign, up "
            "to a whole step. Round to the nearest.",
            _codes(lambda r, S, Z: torch.floor(r / S) - Z),
        ),
        Mistake(
            "values are cut toward zero, not rounded",
            "a cast to int drops the fraction. Round first, cast at the end.",
            _codes(lambda r, S, Z: torch.trunc(r / S) - Z),
        ),
        Mistake(
            "the largest code is off by one",
            "b bits name 2^b codes. If the first is 0, which is the last?",
            _clipped(lambda bits: 0, lambda bits: 2**bits),
        ),
        Mistake(
            "the codes are clipped to a signed range",
            "−2^(b−1) … 2^(b−1) − 1 is the range of signed codes. Here they are 0 … 2^b − 1.",
            _clipped(lambda bits: -(2 ** (bits - 1)), lambda bits: 2 ** (bits - 1) - 1),
        ),
        Mistake(
            "the clip comes before the zero point",
            "it is the code that must fit into b bits: subtract Z first, then clip.",
            lambda r, S, Z, bits: (torch.round(r / S).clamp(0, 2**bits - 1) - Z).to(torch.int32),
        ),
        Mistake(
            "the zero point is subtracted before dividing",
            "Z counts steps, r does not. Divide first: then both count steps.",
            _codes(lambda r, S, Z: torch.round((r - Z) / S)),
        ),
        Mistake(
            "r is multiplied by the scale",
            "S is the width of one step, in the units of r. How many steps fit into r?",
            _codes(lambda r, S, Z: torch.round(r * S) - Z),
        ),
        Mistake(
            "r is rounded before it is divided",
            "r has to be near a multiple of S, not near a whole number: divide, then round.",
            _codes(lambda r, S, Z: torch.round(torch.round(r) / S) - Z),
        ),
        Mistake(
            "the codes overflow their type",
            "the codes go up to 2^b − 1, that is 255 for 8 bits. Which is the largest number in torch.int8?",
            lambda r, S, Z, bits: (torch.round(r / S) - Z).clamp(0, 2**bits - 1).to(torch.int32).to(torch.int8),
        ),
    ],
)


# (c) Dequantize


def _dequantize(q: Tensor, S: float, Z: int) -> Tensor:
    return S * (q.float() + Z)


_Q = torch.arange(8, dtype=torch.int32)

DEQUANTIZE = Exercise(
    "dequantize",
    _dequantize,
    [(_Q, 0.5, -3), (_Q, 0.1, 0), (_Q.to(torch.uint8), 0.25, -3)],
    [
        Mistake(
            "the zero point is subtracted",
            "quantize subtracted Z, so the way back must add it.",
            lambda q, S, Z: S * (q.float() - Z),
        ),
        Mistake(
            "the zero point is outside of the brackets",
            "Z counts steps, as the code does: S multiplies both.",
            lambda q, S, Z: S * q.float() + Z,
        ),
        Mistake(
            "the zero point is forgotten",
            "without Z all values move by as much.",
            lambda q, S, Z: S * q.float(),
        ),
        Mistake(
            "the values are divided by the scale",
            "quantize divided by S, so the way back must multiply.",
            lambda q, S, Z: (q.float() + Z) / S,
        ),
        Mistake(
            "the result is cut to whole numbers",
            "the codes are whole numbers; the values r̃ that they stand for are real.",
            lambda q, S, Z: (S * (q.float() + Z)).to(torch.int32),
        ),
        Mistake(
            "the sum overflows the type of the codes",
            "codes may come as torch.uint8, where 0 − 3 is 253. Turn them into real numbers before you "
            "add a negative Z.",
            lambda q, S, Z: S * (q + Z),
        ),
    ],
)


# (d) Symmetric scales


def _symmetric_scale(r: Tensor, bits: int, restricted: bool = True) -> float:
    top = 2 ** (bits - 1) - 1 if restricted else (2**bits - 1) / 2
    return float(r.abs().max()) / top or 1.0


def _symmetric(
    top: Callable[[int, bool], float], size: Callable[[Tensor], Tensor] | None = None
) -> Callable[..., float]:
    """The symmetric scale with other numbers of steps, or another size of the range."""
    return lambda r, bits, restricted=True: float((size or _largest)(r)) / top(bits, restricted) or 1.0


def _largest(r: Tensor) -> Tensor:
    return r.abs().max()


def _top(bits: int, restricted: bool) -> float:
    return 2 ** (bits - 1) - 1 if restricted else (2**bits - 1) / 2


SYMMETRIC_SCALE = Exercise(
    "symmetric_scale",
    _symmetric_scale,
    [
        (torch.tensor([-4.0, 1.0, 2.0]), 4, True),
        (torch.tensor([-4.0, 1.0, 2.0]), 4, False),
        (_normal(2, 30), 8, True),
        (_normal(3, 9) - 3, 3, False),
        (_normal(4, 5, 6) + 1, 2, True),
        (torch.zeros(3), 8, True),
    ],
    [
        Mistake(
            "only the positive side is looked at",
            "the range reaches as far down as up, so the largest *magnitude* sets it: max|r|.",
            _symmetric(_top, lambda r: r.max().clamp(min=0) if bool((r == 0).all()) else r.max()),
        ),
        Mistake(
            "the average of the two ends is taken",
            "(max − min)/2 is too short if one side reaches farther: the largest *magnitude* sets the range.",
            _symmetric(_top, lambda r: (r.max() - r.min()) / 2),
        ),
        Mistake(
            "the scale is off by one level",
            "count the codes: restricted ones go up to 2^(b−1) − 1, and that last one must stand for max|r|. In the "
            "full range 2^b codes leave 2^b − 1 steps.",
            _symmetric(lambda bits, restricted: 2 ** (bits - 1)),
        ),
        Mistake(
            "the scale belongs to unsigned codes",
            "with signs, only half of the codes lie above zero.",
            _symmetric(lambda bits, restricted: 2**bits - 1),
        ),
        Mistake(
            "the restricted scale is returned for the full range, too",
            "with restricted=False the codes are −2^(b−1) … 2^(b−1) − 1: one code more, so the steps are a "
            "little smaller.",
            _symmetric(lambda bits, restricted: _top(bits, True)),
        ),
        Mistake(
            "the full-range scale is returned for the restricted range, too",
            "with restricted=True the largest code is 2^(b−1) − 1, and it must stand for max|r|.",
            _symmetric(lambda bits, restricted: _top(bits, False)),
        ),
        Mistake(
            "restricted and full range are swapped",
            "the restricted range has fewer codes, so its steps are larger.",
            _symmetric(lambda bits, restricted: _top(bits, not restricted)),
        ),
        Mistake(
            "a tensor of zeros gets the scale 0",
            "dividing by S comes next. If all values are 0, every S is right but 0: take 1.",
            lambda r, bits, restricted=True: float(r.abs().max()) / _top(bits, restricted),
        ),
    ],
)


# (e) The range with the least squared error


def _restricted(r: Tensor, T: float, bits: int, low: bool = True, high: bool = True) -> Tensor:
    """r̃ on the restricted symmetric grid with the threshold T, clipped or not."""
    top = 2 ** (bits - 1) - 1
    S = T / top
    q = torch.round(r / S)
    q = q.clamp(min=-top) if low else q
    return S * (q.clamp(max=top) if high else q)


def _search(
    pick: Callable[..., float] = min,
    low: bool = True,
    high: bool = True,
    size: Callable[[Tensor], Tensor] = _largest,
    loss: Callable[[Tensor], Tensor] = torch.square,
    answer: Callable[[float, Tensor, int], float] = lambda T, r, bits: T,
) -> Callable[[Tensor, int], float]:
    """The search for the best threshold, with one thing changed."""

    def solution(r: Tensor, bits: int) -> float:
        thresholds = [k / 100 * float(size(r)) for k in range(1, 101)]
        T = pick(thresholds, key=lambda T: abs(float(loss(_restricted(r, T, bits, low, high) - r).sum())))
        return answer(T, r, bits)

    return solution


# Nearly all magnitudes are equal and just below the first step of the widest grid: there the widest range is the worst.
_COINS = torch.cat([(0.45 + 0.01 * _normal(15, 600)) * torch.tensor([1.0, -1.0]).repeat(300), torch.tensor([1.0])])

BEST_RANGE = Exercise(
    "best_range",
    _search(),
    [
        (_normal(6, 500), 4),
        (-(_normal(7, 500) ** 3), 3),
        (torch.cat([_normal(8, 400), torch.tensor([-20.0])]), 6),
        (_normal(9, 400).abs() - 0.5, 2),
        (_COINS, 2),
    ],
    [
        Mistake(
            "the worst range is returned, not the best",
            "look for the smallest error: min, argmin, <.",
            _search(max),
        ),
        Mistake(
            "the smallest thresholds look free",
            "without the clip, small steps have no price. Clip the codes inside of the search, at both ends.",
            _search(low=False, high=False),
        ),
        Mistake(
            "only the upper end is clipped",
            "the codes are −(2^(b−1) − 1) … 2^(b−1) − 1: clip at both ends.",
            _search(low=False),
        ),
        Mistake(
            "only the lower end is clipped",
            "the codes are −(2^(b−1) − 1) … 2^(b−1) − 1: clip at both ends, and not just the negative one.",
            _search(high=False),
        ),
        Mistake(
            "the whole range is always taken",
            "T = max|r| is one of the candidates. Is the squared error smaller if you clip a little?",
            lambda r, bits: float(r.abs().max()),
        ),
        Mistake(
            "the search starts from max(r)",
            "the range is symmetric: the largest *magnitude*, max|r|, is the largest candidate.",
            _search(size=torch.max),
        ),
        Mistake(
            "the absolute error is minimized",
            "the squared error is asked for: Σ(r − r̃)². It punishes a large error much more than many small ones.",
            _search(loss=torch.abs),
        ),
        Mistake(
            "errors of opposite signs cancel",
            "square every error before you add them up.",
            _search(loss=lambda e: e),
        ),
        Mistake(
            "the scale is returned, not the threshold",
            "S = T/(2^(b−1) − 1); the function returns T.",
            _search(answer=lambda T, r, bits: T / (2 ** (bits - 1) - 1)),
        ),
        Mistake(
            "the fraction k/100 is returned",
            "multiply by max|r|: the function returns T, in the units of r.",
            _search(answer=lambda T, r, bits: T / float(_largest(r))),
        ),
        Mistake(
            "the error is returned, not the threshold",
            "which T gave this error?",
            _search(answer=lambda T, r, bits: float((_restricted(r, T, bits) - r).square().sum())),
        ),
    ],
)


# (f) One scale per channel, one scale per block


def _fake(w: Tensor, size: Tensor, bits: int, guard: bool = True, clip: bool = True) -> Tensor:
    """r̃ on the restricted symmetric grid; `size` holds the range of each scale and broadcasts against w."""
    top = 2 ** (bits - 1) - 1
    S = size / top
    S = torch.where(S > 0, S, torch.ones_like(S)) if guard else S
    q = torch.round(w / S)
    return S * (q.clamp(-top, top) if clip else q)


def _over(w: Tensor, *axes: int) -> Tensor:
    return w.abs().amax(axes, keepdim=True)


def _per_channel(w: Tensor, bits: int) -> Tensor:
    return _fake(w, _over(w, *range(1, w.dim())), bits)


def _channel_scale(w: Tensor, bits: int) -> Tensor:
    S = _over(w, *range(1, w.dim())) / (2 ** (bits - 1) - 1)
    return torch.where(S > 0, S, torch.ones_like(S))


def _full_top(w: Tensor, bits: int) -> Tensor:
    S = _over(w, *range(1, w.dim())) / 2 ** (bits - 1)
    return torch.where(S > 0, S, 1.0) * torch.round(w / torch.where(S > 0, S, 1.0))


def _unclipped_too(name: str, hint: str, size: Callable[[Tensor], Tensor]) -> list[Mistake]:
    """A mistake in the ranges, with the clip and without: right ranges need none, so many leave it out."""
    return [
        Mistake(name, hint, lambda w, bits: _fake(w, size(w), bits)),
        Mistake(name, hint, lambda w, bits: _fake(w, size(w), bits, clip=False)),
    ]


_ROWS = _normal(10, 4, 4) * torch.tensor([[1.0], [10.0], [0.1], [3.0]]) - 0.2
_KERNELS = _normal(11, 3, 4, 2, 2) * torch.tensor([1.0, 0.3, 5.0]).reshape(3, 1, 1, 1)
_DEAD = torch.cat([_normal(12, 2, 5), torch.zeros(1, 5)])

PER_CHANNEL = Exercise(
    "per_channel",
    _per_channel,
    [(_ROWS, 4), (_KERNELS, 3), (_DEAD, 8)],
    [
        *_unclipped_too(
            "there is one scale per input, not per output",
            "output channels are on axis 0 of a weight. Take the maximum over all *other* axes.",
            lambda w: _over(w, 0, *range(2, w.dim())),
        ),
        *_unclipped_too(
            "there is one scale per place along the last axis",
            "output channels are on axis 0 of a weight, not on the last. Take the maximum over all *other* axes.",
            lambda w: _over(w, *range(w.dim() - 1)),
        ),
        *_unclipped_too(
            "the scales meet the wrong axis",
            "broadcasting lines shapes up from the right: scales of shape (C,) meet the *last* axis. Keep the reduced "
            "axes as 1s: (C, 1, …), with keepdim=True or reshape.",
            lambda w: w.abs().flatten(1).amax(1),
        ),
        Mistake(
            "there is one scale for the whole tensor",
            "take the largest magnitude of each output channel on its own.",
            lambda w, bits: _fake(w, w.abs().max(), bits),
        ),
        Mistake(
            "every kernel has its own scale",
            "one scale per *output* channel: the maximum runs over the input channels as well.",
            lambda w, bits: _fake(w, _over(w, *range(min(2, w.dim() - 1), w.dim())), bits),
        ),
        *_unclipped_too(
            "only the positive side is looked at",
            "the range reaches as far down as up: take the maximum of |w|.",
            lambda w: w.amax(tuple(range(1, w.dim())), keepdim=True),
        ),
        Mistake(
            "a channel of zeros becomes nan",
            "its S is 0, and 0/0 is not a number. Where S is 0, take 1: torch.where.",
            lambda w, bits: _fake(w, _over(w, *range(1, w.dim())), bits, guard=False),
        ),
        Mistake(
            "codes are returned, not values",
            "multiply by S at the end: the function returns r̃.",
            lambda w, bits: torch.round(w / _channel_scale(w, bits)),
        ),
        Mistake(
            "the scale is off by one level",
            "the largest restricted code is 2^(b−1) − 1, and it must stand for the largest |w|.",
            _full_top,
        ),
    ],
)


def _per_block(w: Tensor, bits: int, size: int) -> Tensor:
    blocks = w.reshape(len(w), -1, size)
    return _fake(blocks, _over(blocks, 2), bits).reshape(w.shape)


def _block(w: Tensor, bits: int, size: int) -> Tensor:
    blocks = w.reshape(len(w), -1, size)
    return _fake(blocks, _over(blocks, 2), bits, guard=False).reshape(w.shape)


def _number_of_blocks(w: Tensor, bits: int, size: int) -> Tensor:
    return _fake(w.reshape(len(w), size, -1), _over(w.reshape(len(w), size, -1), 2), bits).reshape(w.shape)


def _strided(w: Tensor, bits: int, size: int) -> Tensor:
    blocks = w.reshape(len(w), size, -1)
    return _fake(blocks, _over(blocks, 1), bits).reshape(w.shape)


def _across(w: Tensor, bits: int, size: int) -> Tensor:
    blocks = w.reshape(len(w), -1, size)
    return _fake(blocks, _over(blocks, 1), bits).reshape(w.shape)


def _shared(w: Tensor, bits: int, size: int) -> Tensor:
    blocks = w.reshape(len(w), -1, size)
    return _fake(blocks, _over(blocks, 0, 2), bits).reshape(w.shape)


def _down(w: Tensor, bits: int, size: int) -> Tensor:
    return _per_block(w.T.contiguous(), bits, size).T.contiguous()


_LONG = _normal(13, 4, 12) * torch.logspace(-1, 1, 12)
_HOLE = torch.cat([_normal(14, 6, 4), torch.zeros(6, 2)], 1)

PER_BLOCK = Exercise(
    "per_block",
    _per_block,
    [(_LONG, 4, 4), (_LONG.flip(1), 3, 2), (_HOLE, 8, 2)],
    [
        Mistake(
            "the size is taken for the number of blocks",
            "`size` consecutive elements share a scale, so a row of n has n/size blocks: reshape to "
            "(rows, n/size, size).",
            _number_of_blocks,
        ),
        Mistake(
            "the elements of a block are not neighbours",
            "a block is `size` *consecutive* elements: they belong on the last axis of (rows, n/size, size).",
            _strided,
        ),
        Mistake(
            "the maximum runs over the blocks, not inside of them",
            "after the reshape to (rows, n/size, size), a block lies along the last axis.",
            _across,
        ),
        Mistake(
            "all rows share the scales of their blocks",
            "every block of every row has its own scale: reduce the last axis only.",
            _shared,
        ),
        Mistake(
            "the blocks run down the columns",
            "blocks run along the last axis, the inputs, whose products are summed up together.",
            _down,
        ),
        Mistake(
            "there is one scale for the whole row",
            "that is one scale per channel. Cut each row into blocks first.",
            lambda w, bits, size: _per_channel(w, bits),
        ),
        Mistake(
            "a block of zeros becomes nan",
            "its S is 0, and 0/0 is not a number. Where S is 0, take 1, as you did for channels.",
            _block,
        ),
    ],
)


# (g) A network


def _quantized_copy(model: nn.Module, method: Callable[[Tensor], Tensor]) -> nn.Module:
    return _replace(model, method, lambda layer: isinstance(layer, nn.Conv2d | nn.Linear))


def _replace(
    model: nn.Module,
    method: Callable[[Tensor], Tensor],
    chosen: Callable[[nn.Module], bool],
    names: tuple[str, ...] = ("weight",),
    deep: bool = True,
) -> nn.Module:
    model = copy.deepcopy(model)
    for layer in model.modules() if deep else model.children():
        for name, value in layer.named_parameters(recurse=False):
            if chosen(layer) and name in names:
                value.data = method(value.data)
    return model


def _halves(w: Tensor) -> Tensor:
    return torch.floor(2 * w) / 2


def _network(seed: int) -> nn.Sequential:
    inner = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU())
    model = nn.Sequential(nn.Conv2d(1, 2, 2), inner, nn.Flatten(), nn.Linear(3, 2)).eval()
    for i, (name, value) in enumerate(sorted(model.named_parameters())):
        value.data = _normal(seed + i, *value.shape) + (3 if name == "1.1.weight" else 0)
    return model


def _state(function: Callable[..., nn.Module], *case: Any) -> dict[str, Tensor]:
    answer = function(*case)
    if not isinstance(answer, nn.Module):
        raise TypeError(f"return the network, got {type(answer).__name__}")
    return dict(answer.state_dict())


QUANTIZED_COPY = Exercise(
    "quantized_copy",
    _quantized_copy,
    [(_network(20), _halves)],
    [
        Mistake(
            "the copy still has its old weights",
            "`w = method(w)` only gives a new tensor a name. Write it into the layer: `layer.weight.data = …`, or "
            "`copy_` under `torch.no_grad()`.",
            lambda model, method: copy.deepcopy(model),
        ),
        Mistake(
            "biases and BatchNorm are quantized, too",
            "only the weights of nn.Conv2d and nn.Linear: they are nearly all of the network, the rest stays in float.",
            lambda model, method: _replace(model, method, lambda layer: True, ("weight", "bias")),
        ),
        Mistake(
            "BatchNorm's weights are quantized, too",
            "BatchNorm has a parameter called weight as well. Ask for the type of the layer.",
            lambda model, method: _replace(model, method, lambda layer: True),
        ),
        Mistake(
            "the biases are quantized, too",
            "only the weights: there are few biases, and they are added to sums that are much finer than a "
            "weight's grid.",
            lambda model, method: _replace(
                model, method, lambda layer: isinstance(layer, nn.Conv2d | nn.Linear), ("weight", "bias")
            ),
        ),
        Mistake(
            "linear layers are left out",
            "nn.Linear has a weight as well.",
            lambda model, method: _replace(model, method, lambda layer: isinstance(layer, nn.Conv2d)),
        ),
        Mistake(
            "convolutions are left out",
            "nn.Conv2d has a weight as well.",
            lambda model, method: _replace(model, method, lambda layer: isinstance(layer, nn.Linear)),
        ),
        Mistake(
            "layers inside of other layers are left out",
            "a network may be nested: children() sees the top only, modules() everything.",
            lambda model, method: _replace(
                model, method, lambda layer: isinstance(layer, nn.Conv2d | nn.Linear), deep=False
            ),
        ),
    ],
    use=_state,
)

# What the student writes, in the lab's order.
EXERCISES = (
    SCALE_ZERO_POINT,
    QUANTIZE,
    DEQUANTIZE,
    SYMMETRIC_SCALE,
    BEST_RANGE,
    PER_CHANNEL,
    PER_BLOCK,
    QUANTIZED_COPY,
)

# The questions at the end of the lab.
QUESTIONS = (
    question(
        "answer_1",
        128,
        {
            255: "ReLU's output is never negative. Which of the 255 codes −127 … 127 can it have?",
            127: "and the code 0?",
            256: "restricted codes are −127 … 127, and half of them are for negative values.",
        },
    ),
    question(
        "answer_2",
        4,
        {
            2: "an error spread evenly over [−S/2, S/2] has the mean square S²/12. And one over [0, S]?",
            3: "S²/3 is the mean square error of truncation. Divide by that of rounding, S²/12.",
            0.25: "the other way round: by how much is truncation *worse*?",
        },
    ),
    question(
        "answer_3",
        "b",
        {
            "a": "look at where the sign of Z appears: in how many functions?",
            "c": "symmetric_scale has no zero point at all.",
        },
    ),
    question(
        "answer_4",
        4.5,
        {
            4: "the scales are stored, too: 16 bits for every block.",
            20: "32 weights share one scale.",
            4.25: "that would be blocks of 64.",
        },
    ),
)
