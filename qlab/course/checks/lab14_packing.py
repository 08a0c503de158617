"""Lab 14, pack four bits, then make it fast: right solutions, and the mistakes that people make.

    u = q + 8,    byte_k = u_2k + 16·u_2k+1,    Σ_k q_k·x_k = Σ_k u_k·x_k − 8·Σ_k x_k,    t = max(bytes/B, operations/P)

Survey-map rows: C5, C6.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError
from numba.extending import is_jitted
from numpy.typing import NDArray

from qlab.course._running import ReturnedNothing
from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "ARRANGE",
    "DOT4",
    "EXERCISES",
    "LONGEST_ROW",
    "MADD",
    "MATVEC",
    "PACK4",
    "QUESTIONS",
    "SECONDS",
    "STORED_BYTES",
    "UNPACK4",
    "UNPACK_TWOS",
    "loop",
]

Array = NDArray[Any]


def _codes(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-8, 8, shape, dtype=np.int8)


def _bytes(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _inputs(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def _int8s(*numbers: Any) -> Array:
    return np.array(numbers, np.int8)


def _call(function: Any, *case: Any) -> Any:
    if function is None or function is ...:
        raise NotImplementedError
    answer = function(*case)
    if answer is None or answer is ...:
        raise ReturnedNothing
    return answer


def _typed(exercise: Callable[[], Exercise]) -> Callable[..., Any]:
    """Return a `use` that wants an array of exactly the solution's type, once all numbers are right."""

    def use(function: Callable[..., Any], *case: Any) -> Any:
        answer = _call(function, *case)
        if not isinstance(answer, np.ndarray):
            raise TypeError(f"return a NumPy array, got {type(answer).__name__}")
        right = exercise().solution(*case)
        if answer.dtype != right.dtype and _all_right(exercise(), function):
            raise TypeError(
                f"the numbers are right, but they must be np.{right.dtype}, got {answer.dtype}: "
                f"use .astype(np.{right.dtype})"
            )
        return answer

    return use


def _all_right(exercise: Exercise, function: Callable[..., Any]) -> bool:
    try:
        return all(
            np.array_equal(function(*copy.deepcopy(case)), exercise.solution(*copy.deepcopy(case)))
            for case in exercise.cases
        )
    except Exception:  # whatever a student's function raises, it is shown where it comes up
        return False


# (a) Two codes in a byte


def _pack4(q: Array) -> Array:
    u = q.astype(np.int64) + 8
    if u.shape[1] % 2:
        u = np.pad(u, ((0, 0), (0, 1)))
    return (u[:, ::2] | u[:, 1::2] << 4).astype(np.uint8)


def _pack_with(
    stored: Callable[[Array], Array] = lambda q: q + 8,
    join: Callable[[Array, Array], Array] = lambda a, b: a | b << 4,
    fill: Callable[[Array], Array] = lambda u: np.pad(u, ((0, 0), (0, u.shape[1] % 2))),
) -> Callable[[Array], Array]:
    """The packing with one part replaced: what is stored of a code, how two are joined, how an odd row is filled."""

    def wrong(q: Array) -> Array:
        u = fill(stored(q.astype(np.int64)))
        return np.asarray(join(u[:, ::2], u[:, 1::2])).astype(np.uint8)

    return wrong


def _halves(q: Array) -> Array:
    u = q.astype(np.int64) + 8
    half = (u.shape[1] + 1) // 2
    low, high = u[:, :half], np.pad(u[:, half:], ((0, 0), (0, u.shape[1] % 2)))
    return (low | high << 4).astype(np.uint8)


def _as_stream(q: Array) -> Array:
    return _pack4(q.reshape(1, -1)).ravel()


PACK4: Exercise = Exercise(
    "pack4",
    _pack4,
    [
        (_int8s([1, -8, 7]),),
        (_codes(0, 3, 6),),
        (_codes(1, 4, 5),),
        (np.arange(-8, 8, dtype=np.int8).reshape(1, 16),),
        (_codes(2, 2, 1),),
    ],
    [
        Mistake(
            "the first code is in the high half",
            "the first of two codes goes into the *low* half, bits 0 to 3: u₀ + 16·u₁.",
            _pack_with(join=lambda a, b: a << 4 | b),
        ),
        Mistake(
            "the codes are stored in two's complement",
            "q & 15 is the other form, the one of section 3. Here u = q + 8 is stored, so that −8 becomes 0.",
            _pack_with(stored=lambda q: q & 15, fill=lambda u: np.pad(u, ((0, 0), (0, u.shape[1] % 2)))),
        ),
        Mistake(
            "negative codes spill into the neighbour",
            "−1 is 255 in a byte: its upper half is full of ones, and they land on the other code. Add 8 first, so "
            "that each half lies in 0 … 15.",
            _pack_with(stored=lambda q: q),
        ),
        Mistake(
            "7 is added instead of 8",
            "the lowest code is −8, and must become 0. With 7 it becomes −1, and a half has no sign.",
            _pack_with(stored=lambda q: q + 7),
        ),
        Mistake(
            "16 is added instead of 8",
            "there are 16 codes, but half of them are negative: the lowest, −8, must become 0.",
            _pack_with(stored=lambda q: q + 16),
        ),
        Mistake(
            "the last code of an odd row is lost",
            "three codes need two bytes: ⌈K/2⌉. Fill the row up before you split it into pairs.",
            _pack_with(fill=lambda u: u[:, : u.shape[1] // 2 * 2]),
        ),
        Mistake(
            "the empty half holds 8",
            "filled up *before* 8 was added? The empty half is four zero bits: add 8 to the codes, then fill up u.",
            _pack_with(fill=lambda u: np.pad(u, ((0, 0), (0, u.shape[1] % 2)), constant_values=8)),
        ),
        Mistake(
            "the row is filled up at the front",
            "the empty half comes after the last code: np.pad(u, ((0, 0), (0, 1))) fills at the end.",
            _pack_with(fill=lambda u: np.pad(u, ((0, 0), (u.shape[1] % 2, 0)))),
        ),
        Mistake(
            "the first half of a row shares bytes with the second half",
            "a byte holds *neighbours*, codes 2k and 2k + 1: u[:, ::2] and u[:, 1::2].",
            _halves,
        ),
        Mistake(
            "nothing is packed: there is one code in a byte",
            "u is right. Now put two of them into each byte.",
            lambda q: (q.astype(np.int64) + 8).astype(np.uint8),
        ),
        Mistake(
            "the rows have run together",
            "each row begins with a byte of its own, and there are as many rows as before: keep the first axis.",
            _as_stream,
        ),
        Mistake(
            "the rows are filled up, and then run together",
            "there are as many rows of bytes as rows of codes: keep the first axis.",
            lambda q: _pack4(q).ravel(),
        ),
        Mistake(
            "pairs are taken down the columns",
            "two neighbours in a *row* share a byte: they meet the same input vector, one after the other.",
            lambda q: _pack4(q.T).T,
        ),
        Mistake(
            "the second code is shifted by three places",
            "a code has four bits, 0 to 3. The next one begins at bit 4: << 4, or 16 times.",
            _pack_with(join=lambda a, b: a | b << 3),
        ),
        Mistake(
            "the second code is multiplied by 15",
            "the largest code is 15, but a place further on is worth 16.",
            _pack_with(join=lambda a, b: a + 15 * b),
        ),
        Mistake(
            "the second code of every byte is lost",
            "is the shifted half a byte of its own that was never joined? u₀ | u₁ << 4.",
            _pack_with(join=lambda a, b: a),
        ),
        Mistake(
            "the two halves lie on top of each other",
            "shift the second one by 4 bits before you join them.",
            _pack_with(join=lambda a, b: a | b),
        ),
        Mistake(
            "the signs are lost",
            "no abs() here: −8 … 7 become 0 … 15.",
            _pack_with(stored=np.abs),
        ),
        Mistake(
            "the bytes have a sign",
            "133 does not fit into int8, and became −123. Make u np.uint8 before you shift it.",
            lambda q: _pack4(q).view(np.int8),
        ),
        Mistake(
            "negative codes are cut off",
            "no clip here: −8 … 7 become 0 … 15, all sixteen of them.",
            _pack_with(stored=lambda q: np.maximum(q, 0)),
        ),
    ],
    use=_typed(lambda: PACK4),
)


# (b) … and apart again


def _unpack4(data: Array, columns: int) -> Array:
    return _unpack_with()(data, columns).astype(np.int8)


def _unpack_with(
    read: Callable[[Array], Array] = lambda u: u - 8,
    low: Callable[[Array], Array] = lambda d: d & 15,
    high: Callable[[Array], Array] = lambda d: d >> 4,
    lay: Callable[[Array, Array], Array] = lambda a, b: np.stack([a, b], axis=2).reshape(len(a), -1),
    cut: Callable[[Array, int], Array] = lambda q, columns: q[:, :columns],
) -> Callable[[Array, int], Array]:
    """The unpacking with one part replaced: what a half means, how the halves are taken, laid side by side, cut."""

    def wrong(data: Array, columns: int) -> Array:
        d = data.astype(np.int64)
        return np.asarray(cut(lay(read(low(d)), read(high(d))), columns))

    return wrong


def _signed_shift(data: Array, columns: int) -> Array:
    return _unpack_with(high=lambda d: d.astype(np.int8).astype(np.int64) >> 4)(data, columns)


_PACKED = [
    (np.array([[9, 15]], np.uint8), 3),
    (_bytes(3, 3, 4), 8),
    (np.concatenate([_bytes(4, 4, 2), _bytes(5, 4, 1) & 15], axis=1), 5),
    (np.array([[0x18, 0xF0, 0x7E]], np.uint8), 6),
]

UNPACK4: Exercise = Exercise(
    "unpack4",
    _unpack4,
    _PACKED,
    [
        Mistake(
            "8 is not subtracted",
            "what is stored is u = q + 8, from 0 to 15. The code is u − 8.",
            _unpack_with(read=lambda u: u),
        ),
        Mistake(
            "7 is subtracted instead of 8",
            "u = 0 stands for −8.",
            _unpack_with(read=lambda u: u - 7),
        ),
        Mistake(
            "uint8 has no negative numbers: 1 − 8 became 249",
            "the bytes are unsigned, and so is what NumPy makes of them. Widen the half with .astype(np.int8) before "
            "you subtract.",
            lambda data, columns: _unpack4(data, columns).astype(np.uint8),
        ),
        Mistake(
            "the high half comes first",
            "code 2k is in the low half of byte k: data & 15 comes before data >> 4.",
            _unpack_with(low=lambda d: d >> 4, high=lambda d: d & 15),
        ),
        Mistake(
            "the low halves come first, then all the high ones",
            "low and high take turns: q[:, ::2] are the low halves, q[:, 1::2] the high ones.",
            _unpack_with(lay=lambda a, b: np.concatenate([a, b], axis=1)),
        ),
        Mistake(
            "the empty half has become a code",
            "a row has `columns` codes. What is beyond is filling, and it reads as −8: cut it off.",
            _unpack_with(cut=lambda q, columns: q),
        ),
        Mistake(
            "the first column is cut off, not the last",
            "the filling is at the end of the row: q[:, :columns].",
            _unpack_with(cut=lambda q, columns: q[:, q.shape[1] - columns :]),
        ),
        Mistake(
            "the last code is always cut off",
            "only where `columns` is odd is there a half to throw away: q[:, :columns].",
            _unpack_with(cut=lambda q, columns: q[:, :-1]),
        ),
        Mistake(
            "the halves are read as two's complement",
            "that is the form of the next section. Here u = 15 is the largest code, 7, and u = 0 the smallest, −8.",
            _unpack_with(read=lambda u: (u ^ 8) - 8),
        ),
        Mistake(
            "the high half has got the sign of the byte",
            "int8 >> 4 copies the sign bit downwards. Shift the uint8, and only then make it signed.",
            _signed_shift,
        ),
        Mistake(
            "the high half is not shifted down",
            "data & 240 leaves it sixteen times too large: data >> 4.",
            _unpack_with(high=lambda d: d & 240),
        ),
        Mistake(
            "the high half is not masked out of the low one",
            "a byte is u₀ + 16·u₁. Keep the four low bits only: data & 15.",
            _unpack_with(low=lambda d: d),
        ),
        Mistake(
            "the mask is 7",
            "four bits are 1111, that is 15.",
            _unpack_with(low=lambda d: d & 7, high=lambda d: d >> 4 & 7),
        ),
        Mistake(
            "the byte is divided by 15",
            "the place of the high half is worth 16: data >> 4, or data // 16.",
            _unpack_with(low=lambda d: d % 15, high=lambda d: d // 15),
        ),
        Mistake(
            "8 is subtracted from the byte, not from each half",
            "take the byte apart first. Each half has an 8 of its own.",
            lambda data, columns: _unpack_with(read=lambda u: u)(data - np.uint8(8), columns),
        ),
        Mistake(
            "the rows have run together",
            "return a matrix, shape (rows, columns).",
            lambda data, columns: _unpack4(data, columns).ravel(),
        ),
        Mistake(
            "every half comes twice",
            "np.repeat makes copies of the byte. The low half goes to one place, the high one to the next.",
            _unpack_with(lay=lambda a, b: np.repeat(a, 2, axis=1)),
        ),
    ],
    use=_typed(lambda: UNPACK4),
)


# (c) The other form


def _unpack_twos(data: Array, columns: int) -> Array:
    return _unpack_with(read=lambda n: (n ^ 8) - 8)(data, columns).astype(np.int8)


UNPACK_TWOS: Exercise = Exercise(
    "unpack_twos",
    _unpack_twos,
    [(np.array([[0xF1, 0x08]], np.uint8), 3), *_PACKED[1:], (np.array([[0x87, 0x90]], np.uint8), 4)],
    [
        Mistake(
            "the sign is missing",
            "four ones are −1 here, not 15. The upper half of the sixteen patterns, 8 … 15, stands for −8 … −1.",
            _unpack_with(read=lambda n: n),
        ),
        Mistake(
            "8 is subtracted from all of them",
            "that is the form of section 1. In two's complement 0 is 0, and only patterns from 8 on are negative.",
            _unpack_with(read=lambda n: n - 8),
        ),
        Mistake(
            "8 is subtracted where 16 should be",
            "the top bit is worth −8 instead of +8: that is 16 less.",
            _unpack_with(read=lambda n: np.where(n >= 8, n - 8, n)),
        ),
        Mistake(
            "the pattern 1000 is +8",
            "from 8 *on*: n >= 8. Four bits reach from −8 to 7, and +8 is not among them.",
            _unpack_with(read=lambda n: np.where(n > 8, n - 16, n)),
        ),
        Mistake(
            "7 has become −9",
            "0111 has no sign bit: only n >= 8 is negative.",
            _unpack_with(read=lambda n: np.where(n >= 7, n - 16, n)),
        ),
        Mistake(
            "the top bit is read as a sign alone",
            "1001 would be −1 with a sign and a magnitude. In two's complement the top bit is worth −8: −8 + 1.",
            _unpack_with(read=lambda n: np.where(n >= 8, -(n & 7), n)),
        ),
        Mistake(
            "1111 has become 0",
            "that is *one's* complement, n − 15. There are 16 patterns: subtract 16.",
            _unpack_with(read=lambda n: np.where(n >= 8, n - 15, n)),
        ),
        Mistake(
            "only the high half has its sign",
            "int8 >> 4 copies the sign bit of the byte, which is that of the high half. The low half needs it, too: "
            "shift it up to the sign bit first, and then down again.",
            lambda data, columns: _unpack_with(
                low=lambda d: d & 15, high=lambda d: d.astype(np.int8).astype(np.int64) >> 4, read=lambda n: n
            )(data, columns),
        ),
        Mistake(
            "the sign is that of the byte",
            "−1 in the low half is 1111 at bits 0 to 3. Bit 7 is the sign of the high half; bit 3 that of the low.",
            _unpack_with(read=lambda n: n, low=lambda d: np.where(d >= 128, (d & 15) - 16, d & 15)),
        ),
        Mistake(
            "the high half comes first",
            "the order is the one of before: low half, then high half.",
            _unpack_with(read=lambda n: (n ^ 8) - 8, low=lambda d: d >> 4, high=lambda d: d & 15),
        ),
        Mistake(
            "the empty half has become a code",
            "cut the row at `columns`, as before.",
            _unpack_with(read=lambda n: (n ^ 8) - 8, cut=lambda q, columns: q),
        ),
        Mistake(
            "all signs are turned round",
            "1111 is −1 and 0001 is +1.",
            _unpack_with(read=lambda n: 8 - (n ^ 8)),
        ),
        Mistake(
            "uint8 has no negative numbers: 15 − 16 became 255",
            "make the halves np.int8 before you subtract.",
            lambda data, columns: _unpack_twos(data, columns).astype(np.uint8),
        ),
    ],
    use=_typed(lambda: UNPACK_TWOS),
)


# (d) Bytes, scales included


def _stored_bytes(rows: int, columns: int, group: int) -> int:
    return rows * (math.ceil(columns / 2) + 2 * math.ceil(columns / group))


STORED_BYTES = Exercise(
    "stored_bytes",
    _stored_bytes,
    [(2, 5, 4), (4, 64, 32), (128, 784, 128), (64, 127, 32), (10, 33, 33), (3, 7, 16)],
    [
        Mistake(
            "the scales are left out",
            "without its scale a code means nothing: two bytes for every group of every row.",
            lambda rows, columns, group: rows * math.ceil(columns / 2),
        ),
        Mistake(
            "there is one scale for a row",
            "a row of `columns` weights has ⌈columns/group⌉ groups, and each has a scale.",
            lambda rows, columns, group: rows * (math.ceil(columns / 2) + 2),
        ),
        Mistake(
            "all rows share their scales",
            "a group lies within one row, so every row has scales of its own.",
            lambda rows, columns, group: rows * math.ceil(columns / 2) + 2 * math.ceil(columns / group),
        ),
        Mistake(
            "there is one scale for all",
            "a scale for every group of every row.",
            lambda rows, columns, group: rows * math.ceil(columns / 2) + 2,
        ),
        Mistake(
            "the last, shorter group has no scale",
            "five weights in groups of four are two groups, and the second needs a scale as well: round *up*.",
            lambda rows, columns, group: rows * (math.ceil(columns / 2) + 2 * (columns // group)),
        ),
        Mistake(
            "the last code of an odd row has no byte",
            "three codes need two bytes: round *up*.",
            lambda rows, columns, group: rows * (columns // 2 + 2 * math.ceil(columns / group)),
        ),
        Mistake(
            "the rows have run together",
            "every row begins with a new byte: round up within the row, and then multiply by the rows.",
            lambda rows, columns, group: math.ceil(rows * columns / 2) + 2 * rows * math.ceil(columns / group),
        ),
        Mistake(
            "groups reach from one row into the next",
            "a group ends where its row ends: round up within the row, and then multiply by the rows.",
            lambda rows, columns, group: rows * math.ceil(columns / 2) + 2 * math.ceil(rows * columns / group),
        ),
        Mistake(
            "fractions of bytes and groups are counted",
            "half a byte cannot be stored, and neither can half a scale: round both up within the row.",
            lambda rows, columns, group: rows * (columns / 2 + 2 * columns / group),
        ),
        Mistake(
            "a scale has four bytes",
            "they are stored in half precision: 16 bits.",
            lambda rows, columns, group: rows * (math.ceil(columns / 2) + 4 * math.ceil(columns / group)),
        ),
        Mistake(
            "a scale has one byte",
            "half precision is 16 bits, two bytes.",
            lambda rows, columns, group: rows * (math.ceil(columns / 2) + math.ceil(columns / group)),
        ),
        Mistake(
            "a scale has 16 bytes",
            "16 *bits* are two bytes.",
            lambda rows, columns, group: rows * (math.ceil(columns / 2) + 16 * math.ceil(columns / group)),
        ),
        Mistake(
            "every code has a byte of its own",
            "two codes share one: ⌈columns/2⌉.",
            lambda rows, columns, group: rows * (columns + 2 * math.ceil(columns / group)),
        ),
        Mistake(
            "these are bits",
            "a byte has eight of them.",
            lambda rows, columns, group: 8 * _stored_bytes(rows, columns, group),
        ),
        Mistake(
            "these are bits for each weight",
            "return the bytes of the whole matrix; the next cell divides.",
            lambda rows, columns, group: 8 * _stored_bytes(rows, columns, group) / (rows * columns),
        ),
        Mistake(
            "there are `group` scales in a row",
            "`group` is how many weights *share* a scale. How many groups does a row have?",
            lambda rows, columns, group: rows * (math.ceil(columns / 2) + 2 * group),
        ),
    ],
)


# (e) Partners side by side


def _arrange(x: Array) -> Array:
    return np.stack([np.pad(x, (0, len(x) % 2))[f::2] for f in (0, 1)])


def _filled(x: Array) -> Array:
    return np.pad(x, (0, len(x) % 2))


ARRANGE: Exercise = Exercise(
    "arrange",
    _arrange,
    [(_int8s(10, 20, 30),), (_inputs(6, 8),), (_inputs(7, 9),), (_int8s(5),), (_inputs(8, 2),)],
    [
        Mistake(
            "the first half of x is above the second half",
            "byte k holds the codes 2k and 2k + 1. So the low halves meet x₀, x₂, x₄ …: every second one, x[::2].",
            lambda x: _filled(x).reshape(2, -1),
        ),
        Mistake(
            "the two rows are exchanged",
            "the low half holds the *even* codes: row 0 is x₀, x₂, x₄ …",
            lambda x: _arrange(x)[::-1],
        ),
        Mistake(
            "the pairs are in rows, the fields in columns",
            "one row for each *half*, so that all low halves find their partners in one stretch: shape (2, ⌈K/2⌉). "
            "Transpose it.",
            lambda x: np.ascontiguousarray(_filled(x).reshape(-1, 2)),
        ),
        Mistake(
            "the last number of an odd x is lost",
            "the last byte holds a code in its low half: x₂ₖ needs its place, and the empty half gets a 0.",
            lambda x: np.ascontiguousarray(x[: len(x) // 2 * 2].reshape(-1, 2).T),
        ),
        Mistake(
            "the empty half meets the last number again",
            "the empty half of the last byte is no code. Only a 0 makes sure that it adds nothing.",
            lambda x: (
                np.stack([np.append(x, x[-1:])[:-1:2], np.append(x, x[-1:])[1::2]]) if len(x) % 2 else _arrange(x)
            ),
        ),
        Mistake(
            "the empty half meets an 8",
            "the codes have an offset of 8, the inputs have none: fill up with 0.",
            lambda x: np.ascontiguousarray(np.pad(x, (0, len(x) % 2), constant_values=8).reshape(-1, 2).T),
        ),
        Mistake(
            "the empty half meets a −8",
            "the empty half reads as code −8, but here are its *inputs*: fill up with 0.",
            lambda x: np.ascontiguousarray(np.pad(x, (0, len(x) % 2), constant_values=-8).reshape(-1, 2).T),
        ),
        Mistake(
            "x is filled up at the front",
            "the empty half is at the end of the row of weights, so the 0 comes after the last input.",
            lambda x: np.ascontiguousarray(np.pad(x, (len(x) % 2, 0)).reshape(-1, 2).T),
        ),
        Mistake(
            "both rows are in one",
            "shape (2, ⌈K/2⌉): np.stack makes two rows of two vectors, np.concatenate one long one.",
            lambda x: _arrange(x).ravel(),
        ),
        Mistake(
            "both rows hold the even numbers",
            "row 1 begins with x₁: x[1::2].",
            lambda x: np.stack([_filled(x)[::2]] * 2),
        ),
        Mistake(
            "the inputs are packed, too",
            "the inputs keep their eight bits; only their order changes.",
            lambda x: np.stack([_filled(x)[::2] & 15, _filled(x)[1::2] & 15]),
        ),
        Mistake(
            "8 is added to the inputs",
            "the offset belongs to the weights. The inputs only change their order.",
            lambda x: _arrange(x.astype(np.int64) + 8) * (_arrange(np.ones_like(x)) > 0),
        ),
        Mistake(
            "x is turned round",
            "the order within a row is that of the bytes: from the first to the last.",
            lambda x: _arrange(x)[:, ::-1],
        ),
    ],
    use=_typed(lambda: ARRANGE),
)


# (f) The product


def _matvec(data: Array, laid: Array) -> Array:
    return _product_with()(data, laid).astype(np.int32)


def _product_with(
    low: Callable[[Array], Array] = lambda d: d & 15,
    high: Callable[[Array], Array] = lambda d: d >> 4,
    correction: Callable[[Array, Array], Any] = lambda d, x: 8 * x.sum(),
    partners: Callable[[Array], Array] = lambda x: x,
    keep: Callable[[Array], Array] = lambda v: v,
) -> Callable[[Array, Array], Array]:
    """The product with one part replaced: the halves, the correction, the partners, the width of the products."""

    def wrong(data: Array, laid: Array) -> Array:
        d, x = data.astype(np.int64), laid.astype(np.int64)
        p = partners(x)
        sums = keep(low(d) * p[0]).sum(1) + keep(high(d) * p[1]).sum(1)
        return np.asarray(sums - correction(d, x))

    return wrong


def _wrap(kind: type) -> Callable[[Array], Array]:
    """Whole numbers as a narrow type keeps them: the upper bits are lost."""
    return lambda values: values.astype(kind).astype(np.int64)


def _narrow_sums(data: Array, laid: Array) -> Array:
    right = _product_with(correction=lambda d, x: 0)(data, laid)
    return _wrap(np.int16)(right) - 8 * laid.sum(dtype=np.int64)


def _each_narrow(data: Array, laid: Array) -> Array:
    low, high = ((data >> shift & 15).astype(np.int16) @ x for shift, x in zip((0, 4), laid, strict=True))
    return low.astype(np.int64) + high - 8 * laid.sum(dtype=np.int64)


_MATRIX = _bytes(9, 4, 40)

MATVEC: Exercise = Exercise(
    "matvec",
    _matvec,
    [
        (_pack4(_int8s([1, -8, 7])), _arrange(_int8s(10, 20, 30))),
        (_bytes(10, 3, 4), _inputs(10, 2, 4)),
        (_MATRIX, np.abs(_inputs(11, 2, 40) // 2).astype(np.int8) + np.int8(60)),
        (_pack4(_codes(12, 5, 9)), _arrange(_inputs(12, 9))),
        (_bytes(13, 2, 300), _inputs(13, 2, 300)),
    ],
    [
        Mistake(
            "the correction is missing",
            "these are the sums with u = q + 8. Each x came in eight times too often: subtract 8·Σx.",
            _product_with(correction=lambda d, x: 0),
        ),
        Mistake(
            "the correction is added",
            "q = u − 8, so Σ q·x = Σ u·x − 8·Σ x.",
            _product_with(correction=lambda d, x: -8 * x.sum()),
        ),
        Mistake(
            "8 is subtracted once",
            "every product has an 8·x too much, and so has the sum Σ of them: 8·Σx.",
            _product_with(correction=lambda d, x: 8),
        ),
        Mistake(
            "8 is subtracted for every weight",
            "an 8 was added to each weight, and then multiplied by its x: 8·Σx, not 8·K.",
            _product_with(correction=lambda d, x: 8 * x.size),
        ),
        Mistake(
            "Σx is subtracted, not 8·Σx",
            "u = q + 8: the offset is 8.",
            _product_with(correction=lambda d, x: x.sum()),
        ),
        Mistake(
            "the offset is taken as 7",
            "u = q + 8: the offset is 2^(b−1) = 8.",
            _product_with(correction=lambda d, x: 7 * x.sum()),
        ),
        Mistake(
            "the offset is taken as 128",
            "that is the offset of 8-bit codes. Here u = q + 8.",
            _product_with(correction=lambda d, x: 128 * x.sum()),
        ),
        Mistake(
            "the weights are summed in the correction, not the inputs",
            "the offset sits on the weights, so what it multiplies are the *inputs*: 8·Σx. No weight enters the "
            "correction.",
            _product_with(correction=lambda d, x: 8 * ((d & 15).sum(1) + (d >> 4).sum(1))),
        ),
        Mistake(
            "only half of the inputs are in the correction",
            "both rows of `laid` have an 8 too much.",
            _product_with(correction=lambda d, x: 8 * x[0].sum()),
        ),
        Mistake(
            "the correction overflows: 8·x does not fit into int8",
            "8 * laid stays int8 and wraps around without a word. Sum first (that is wide), then multiply by 8.",
            _product_with(correction=lambda d, x: _wrap(np.int8)(8 * x).sum()),
        ),
        Mistake(
            "the correction overflows: Σx was kept in int8",
            "a sum of inputs does not fit into eight bits: laid.sum() is wide.",
            _product_with(correction=lambda d, x: 8 * _wrap(np.int8)(x.sum())),
        ),
        Mistake(
            "the sums overflow: NumPy keeps uint8 @ int8 in int16",
            "narrow integers stay narrow and wrap around silently. Σ u·x has up to 15·128·K: make data and laid "
            "np.int32 before you multiply.",
            _narrow_sums,
        ),
        Mistake(
            "the sums are widened too late",
            "uint8 @ int8 has wrapped around in int16 before astype comes. Make *both factors* np.int32 first.",
            _each_narrow,
        ),
        Mistake(
            "the products are kept in a byte",
            "15·127 needs twelve bits: make data and laid np.int32 before you multiply.",
            _product_with(keep=_wrap(np.int8)),
        ),
        Mistake(
            "the halves have met each other's partners",
            "row 0 of `laid` belongs to the low halves, row 1 to the high ones.",
            _product_with(partners=lambda x: x[::-1]),
        ),
        Mistake(
            "both halves have met the same inputs",
            "row 0 of `laid` belongs to the low halves, row 1 to the high ones.",
            _product_with(partners=lambda x: x[[0, 0]]),
        ),
        Mistake(
            "the high half is not shifted down",
            "data & 240 leaves it sixteen times too large: data >> 4.",
            _product_with(high=lambda d: d & 240),
        ),
        Mistake(
            "the high half is not masked out of the low one",
            "a byte is u₀ + 16·u₁: data & 15 keeps u₀.",
            _product_with(low=lambda d: d),
        ),
        Mistake(
            "the high half has got a sign",
            "int8 >> 4 copies the sign bit downwards. u is unsigned, 0 … 15: shift the uint8, then widen.",
            _product_with(high=lambda d: d.astype(np.int8).astype(np.int64) >> 4),
        ),
        Mistake(
            "the halves are read as two's complement",
            "they hold u = q + 8, 0 … 15. Multiply with u as it is, and correct the sum.",
            _product_with(low=lambda d: (d & 15 ^ 8) - 8, high=lambda d: (d >> 4 ^ 8) - 8, correction=lambda d, x: 0),
        ),
        Mistake(
            "the offset is taken off twice",
            "either u − 8 is multiplied, and then nothing is left to correct, or u, and then 8·Σx is subtracted. (And "
            "the offset of four bits is 8, not 16.)",
            _product_with(correction=lambda d, x: 16 * x.sum()),
        ),
        Mistake(
            "uint8 has no negative numbers: 1 − 8 became 249",
            "do not subtract 8 from the weights: multiply with u, 0 … 15, and correct the sum. (And who subtracts from "
            "bytes must make them signed first.)",
            lambda data, laid: ((data & 15) - np.uint8(8)) @ laid[0] + ((data >> 4) - np.uint8(8)) @ laid[1],
        ),
        Mistake(
            "the sums are kept in a byte: NumPy keeps int8 @ int8 in int8",
            "narrow integers stay narrow and wrap around silently: make both factors np.int32 first.",
            lambda data, laid: _wrap(np.int8)(_matvec(data, laid)),
        ),
        Mistake(
            "only the low halves are multiplied",
            "every byte holds two codes: add the product of the high halves.",
            _product_with(high=lambda d: 0 * d),
        ),
        Mistake(
            "all rows are added up",
            "one number for each row: sum over axis 1, or use @.",
            lambda data, laid: np.full(1, _matvec(data, laid).sum()),
        ),
        Mistake(
            "it is divided by the number of inputs",
            "a layer sums over its inputs.",
            lambda data, laid: _matvec(data, laid) // laid.size,
        ),
    ],
    use=_typed(lambda: MATVEC),
)


# (g) Pairs that saturate


def _madd(u: Array, x: Array) -> Array:
    return _pairs()(u, x).astype(np.int16)


def _pairs(
    limit: Callable[[Array], Array] = lambda t: np.clip(t, -(2**15), 2**15 - 1),
    couple: Callable[[Array], Array] = lambda p: p.reshape(-1, 2).sum(1),
    weight: type = np.uint8,
    partner: type = np.int8,
) -> Callable[[Array, Array], Array]:
    """The pairs with one part replaced: what 16 bits do, who is whose neighbour, which factor has a sign."""

    def wrong(u: Array, x: Array) -> Array:
        return limit(couple(u.astype(weight).astype(np.int64) * x.astype(partner).astype(np.int64)))

    return wrong


MADD: Exercise = Exercise(
    "madd",
    _madd,
    [
        (np.array([200, 200, 15, 15], np.uint8), _int8s(127, 127, -128, -128)),
        (np.array([255, 255, 255, 255, 129, 128], np.uint8), _int8s(-128, -128, 127, 127, 127, 127)),
        (_bytes(14, 12), _inputs(14, 12)),
        (_bytes(15, 40) | np.uint8(128), np.repeat(_inputs(15, 20), 2)),
        (_bytes(16, 20) & np.uint8(15), _inputs(16, 20)),
    ],
    [
        Mistake(
            "16 bits wrap around here",
            "astype(np.int16) keeps the low bits: 50,800 becomes −14,736. This instruction *saturates*: clip to "
            "−32,768 … 32,767, and then make it np.int16.",
            _pairs(limit=_wrap(np.int16)),
        ),
        Mistake(
            "nothing saturates",
            "a product of two bytes always fits into 16 bits; it is the *sum of two* that may not. Clip the sums.",
            _pairs(limit=lambda t: t),
        ),
        Mistake(
            "only the upper end saturates",
            "sums below −32,768 exist as well: clip at both ends.",
            _pairs(limit=lambda t: np.minimum(t, 2**15 - 1)),
        ),
        Mistake(
            "only the lower end saturates",
            "sums above 32,767 exist as well: clip at both ends.",
            _pairs(limit=lambda t: np.maximum(t, -(2**15))),
        ),
        Mistake(
            "the lowest number is taken as −32,767",
            "two's complement has one negative number more: −2^15.",
            _pairs(limit=lambda t: np.clip(t, -(2**15) + 1, 2**15 - 1)),
        ),
        Mistake(
            "the highest number is taken as 32,768",
            "2^15 itself does not fit, and becomes −32,768: the highest is 2^15 − 1.",
            _pairs(limit=lambda t: _wrap(np.int16)(np.clip(t, -(2**15), 2**15))),
        ),
        Mistake(
            "the sums have 16 bits without a sign",
            "x may be negative, and so may the sums: int16, −32,768 … 32,767.",
            _pairs(limit=lambda t: np.clip(t, 0, 2**16 - 1)),
        ),
        Mistake(
            "the sums saturate like bytes",
            "16 bits: −32,768 … 32,767.",
            _pairs(limit=lambda t: np.clip(t, -128, 127)),
        ),
        Mistake(
            "these are no neighbours",
            "u₀x₀ + u₁x₁, u₂x₂ + u₃x₃ …: reshape(-1, 2), and sum over the last axis.",
            _pairs(couple=lambda p: p.reshape(2, -1).sum(0)),
        ),
        Mistake(
            "the pairs overlap",
            "every product is in one pair: there are half as many sums as products.",
            _pairs(couple=lambda p: p[:-1] + p[1:]),
        ),
        Mistake(
            "everything is added up",
            "only two neighbours at a time: reshape(-1, 2).sum(1).",
            _pairs(couple=lambda p: p.sum(keepdims=True)),
        ),
        Mistake(
            "the products are not added in pairs",
            "the *sum* of two neighbours is what comes out, half as many numbers as went in.",
            _pairs(couple=lambda p: p),
        ),
        Mistake(
            "the products were wrapped into bytes",
            "200·127 needs 16 bits: widen both factors before you multiply.",
            _pairs(couple=lambda p: _wrap(np.int8)(p).reshape(-1, 2).sum(1)),
        ),
        Mistake(
            "u has got a sign",
            "u is unsigned: 200 is 200, not −56. Widen it with astype(np.int32), not through int8.",
            _pairs(weight=np.int8),
        ),
        Mistake(
            "x has lost its sign",
            "x is signed: −128 is not 128. Widen it with astype(np.int32), not through uint8.",
            _pairs(partner=np.uint8),
        ),
        Mistake(
            "u and x are added",
            "multiply partner by partner, then add the two products.",
            lambda u, x: (u.astype(np.int64) + x).reshape(-1, 2).sum(1),
        ),
    ],
    use=_typed(lambda: MADD),
)


# (h) How long a row may be


def _longest_row(bits: int, accumulator: int) -> int:
    return int((2 ** (accumulator - 1) - 1) // ((2**bits - 1) * 128))


LONGEST_ROW = Exercise(
    "longest_row",
    _longest_row,
    [(4, 16), (8, 16), (8, 32), (4, 32), (2, 16), (3, 24), (5, 20)],
    [
        Mistake(
            "the accumulator is taken without a sign",
            "one of its bits is the sign: it holds −2^(a−1) … 2^(a−1) − 1.",
            lambda bits, accumulator: (2**accumulator - 1) // ((2**bits - 1) * 128),
        ),
        Mistake(
            "the largest u is taken as 2^b",
            "there are 2^b of them, but they begin at 0: the largest is 2^b − 1.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) // (2**bits * 128),
        ),
        Mistake(
            "the largest |x| is taken as 127",
            "−128 is an int8, too.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) // ((2**bits - 1) * 127),
        ),
        Mistake(
            "the largest |x| is taken as 255",
            "x has a sign: −128 … 127.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) // ((2**bits - 1) * 255),
        ),
        Mistake(
            "the codes q are summed, not the stored u",
            "what the loop adds up are u·x with u = 0 … 2^b − 1. The correction comes after the loop.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) // (2 ** (bits - 1) * 128),
        ),
        Mistake(
            "the largest code q is summed, not the stored u",
            "what the loop adds up are u·x with u = 0 … 2^b − 1. The correction comes after the loop.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) // (max(1, 2 ** (bits - 1) - 1) * 128),
        ),
        Mistake(
            "the inputs are left out",
            "every u is multiplied by an x, of magnitude up to 128.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) // (2**bits - 1),
        ),
        Mistake(
            "the weights are left out",
            "every x is multiplied by a u, up to 2^b − 1.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) // 128,
        ),
        Mistake(
            "the inputs have as many bits as the weights",
            "x is int8 whatever the weights are: |x| ≤ 128.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) // ((2**bits - 1) * 2 ** (bits - 1)),
        ),
        Mistake(
            "it is one too long: the first row that does not fit",
            "return the longest that still fits: round down, //.",
            lambda bits, accumulator: -(-(2 ** (accumulator - 1) - 1) // ((2**bits - 1) * 128)),
        ),
        Mistake(
            "it is one too short",
            "K products fit if K·(2^b − 1)·128 ≤ 2^(a−1) − 1: a sum that fills the accumulator is allowed.",
            lambda bits, accumulator: _longest_row(bits, accumulator) - 1,
        ),
        Mistake(
            "it is not a whole number",
            "a row has whole products: round down, //.",
            lambda bits, accumulator: (2 ** (accumulator - 1) - 1) / ((2**bits - 1) * 128),
        ),
        Mistake(
            "these are pairs of products",
            "count the products, not the pairs.",
            lambda bits, accumulator: _longest_row(bits, accumulator) // 2,
        ),
        Mistake(
            "this is the largest sum",
            "how many of the largest products does the accumulator hold? Divide.",
            lambda bits, accumulator: (2**bits - 1) * 128,
        ),
    ],
)


# (i) The inner loop, compiled


def loop(kind: Any) -> Any:
    """Return the compiled inner loop Σ_k (w_k & 15)·low_k + (w_k >> 4)·high_k with all sums of one NumPy type.

    Survey-map row: C6.
    """

    @numba.njit
    def dot4(w, low, high):  # type: ignore[no-untyped-def]  # compiled: pragma: no cover
        total = kind(0)
        for k in range(len(w)):
            first = kind(kind(w[k] & 15) * kind(low[k]))
            second = kind(kind(w[k] >> 4) * kind(high[k]))
            total = kind(total + kind(first + second))
        return total

    return dot4


@dataclass(frozen=True)
class _Sum:
    """A wrong sum by NumPy: what a wrong loop returns, without the second that each would take to compile."""

    term: Callable[[Array, Array, Array], Array] = lambda w, a, b: (w & 15) * a + (w >> 4) * b
    part: tuple[int | None, ...] = (None,)
    start: int = 0

    def __call__(self, w: Array, low: Array, high: Array) -> int:
        parts = (values[slice(*self.part)].astype(np.int64) for values in (w, low, high))
        return int(self.term(*parts).sum()) + self.start


@numba.njit
def _with_arrays(w, low, high):  # type: ignore[no-untyped-def]  # compiled: pragma: no cover
    return np.int32(((w & 15) * low.astype(np.int32) + (w >> 4) * high.astype(np.int32)).sum())


def _plain(w: Array, low: Array, high: Array) -> int:
    u = w.astype(np.int64)
    return int(((u & 15) * low + (u >> 4) * high).sum())


def _said(error: NumbaError) -> str:
    """What Numba says in its many lines, in one: the complaint, and the line of the function."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    complaint = next((line for line in lines if not line.startswith("Failed in nopython")), lines[0])
    call = next((f" {line[4:]}" for line in lines[:4] if line.startswith(">>> ")), "")
    found = re.search(r'File "[^"]*", line (\d+):\ndef ', str(error))
    return f"Numba cannot compile it: {complaint}{call}" + (f" (line {found[1]} of the cell)" if found else "")


def _compiled(function: Any, *case: Any) -> Any:
    """Call a compiled function; where its sum is right, ask how it was made."""
    if function is None or function is ...:
        raise NotImplementedError
    if isinstance(function, _Sum):
        return function(*case)
    if not is_jitted(function):  # a check wraps what it calls
        function = getattr(function, "__wrapped__", function)
    if not is_jitted(function):
        raise TypeError("this is no compiled function: the line @njit above it must stay")
    try:
        answer = function(*case)
    except NumbaError as error:
        raise TypeError(_said(error)) from None
    if answer is None:
        raise ReturnedNothing
    if np.ndim(answer):
        raise TypeError(f"return one number, got an array of shape {np.shape(answer)}")
    if answer == _plain(*case):
        _look_inside(function, case)
    return answer


def _look_inside(function: Any, case: tuple[Any, ...]) -> None:
    """Refuse real numbers, arrays made on the way, and another sum than int32."""
    given = tuple(numba.typeof(argument) for argument in case)
    made = function.overloads.get(given) or list(function.overloads.values())[-1]
    inside = list(getattr(made.type_annotation, "typemap", {}).values())
    returned = made.signature.return_type
    if any(isinstance(kind, types.Float) for kind in [*inside, returned]):
        raise TypeError("the sum is right, but there are real numbers on the way to it")
    if any(isinstance(kind, types.Array) and kind not in given for kind in inside):
        raise TypeError("the sum is right, but whole arrays are made on the way to it")
    if returned != types.int32:
        raise TypeError(f"the sum is right, but its type is {returned}, not int32")


def _row(seed: int, n: int) -> tuple[Array, Array, Array]:
    return (_bytes(seed, n), *_inputs(seed, 2, n))


DOT4 = Exercise(
    "dot4",
    loop(np.int32),
    [
        (np.array([9, 15], np.uint8), _int8s(10, 30), _int8s(20, 0)),
        _row(17, 5),
        _row(18, 64),
        (_bytes(19, 100) | np.uint8(0x88), *np.full((2, 100), 127, np.int8)),
        _row(20, 1),
    ],
    [
        Mistake(
            "it is not compiled",
            "the decorator @njit, one line above `def`, is what makes machine code of the loop. Without it every step "
            "goes through Python.",
            _plain,
        ),
        Mistake(
            "the sum has 64 bits",
            "for Numba `total = 0` is an int64, and int32 + int32 is one, too. Then half as many sums fit into a "
            "vector register. Begin with np.int32(0), and cast back in every step: total = np.int32(total + …).",
            loop(np.int64),
        ),
        Mistake(
            "there are real numbers on the way",
            "everything here is a whole number. Is there a 0.0, a division, a float32? Begin with np.int32(0).",
            loop(np.float32),
        ),
        Mistake(
            "arrays are made on the way",
            "`w & 15` of a whole row is an array, which is written to memory and read again. Go byte by byte: "
            "for k in range(len(w)).",
            _with_arrays,
        ),
        Mistake(
            "the sum has 16 bits",
            "100 products of up to 15·128 do not fit into 16 bits: np.int32.",
            loop(np.int16),
        ),
        Mistake(
            "the sum has 8 bits",
            "a single product, 15·127, does not fit into eight bits: np.int32.",
            loop(np.int8),
        ),
        Mistake(
            "8 is subtracted in the loop",
            "that would be one more operation for every weight. Sum u·x here; the correction comes once for each row.",
            _Sum(lambda w, a, b: ((w & 15) - 8) * a + ((w >> 4) - 8) * b),
        ),
        Mistake(
            "the halves have met each other's partners",
            "the low half, w[k] & 15, belongs to low[k], the high half to high[k].",
            _Sum(lambda w, a, b: (w & 15) * b + (w >> 4) * a),
        ),
        Mistake(
            "the high half is not shifted down",
            "w[k] & 240 is sixteen times too large: w[k] >> 4.",
            _Sum(lambda w, a, b: (w & 15) * a + (w & 240) * b),
        ),
        Mistake(
            "the high half is not masked out of the low one",
            "w[k] is u₀ + 16·u₁: w[k] & 15 keeps u₀.",
            _Sum(lambda w, a, b: w * a + (w >> 4) * b),
        ),
        Mistake(
            "only the low halves are in the sum",
            "every byte holds two codes, and adds two products: the high half has one, too.",
            _Sum(lambda w, a, b: (w & 15) * a),
        ),
        Mistake(
            "only the high halves are in the sum",
            "every byte holds two codes, and adds two products: the low half has one, too.",
            _Sum(lambda w, a, b: (w >> 4) * b),
        ),
        Mistake(
            "the second product is subtracted",
            "Σ (w & 15)·low + (w >> 4)·high.",
            _Sum(lambda w, a, b: (w & 15) * a - (w >> 4) * b),
        ),
        Mistake(
            "bytes are multiplied, and not their halves",
            "take the byte apart: w[k] & 15 and w[k] >> 4.",
            _Sum(lambda w, a, b: w * a + w * b),
        ),
        Mistake(
            "the halves are added before they are multiplied",
            "each half has an input of its own.",
            _Sum(lambda w, a, b: ((w & 15) + (w >> 4)) * (a + b)),
        ),
        Mistake(
            "the first byte is left out",
            "range(len(w)) begins at 0.",
            _Sum(
                part=(
                    1,
                    None,
                )
            ),
        ),
        Mistake(
            "the last byte is left out",
            "range(len(w)) already ends before len(w).",
            _Sum(
                part=(
                    None,
                    -1,
                )
            ),
        ),
        Mistake(
            "every second byte is left out",
            "k counts bytes here, not codes: steps of 1.",
            _Sum(
                part=(
                    None,
                    None,
                    2,
                )
            ),
        ),
        Mistake(
            "it returns after the first byte",
            "is `return` inside the loop?",
            _Sum(part=(1,)),
        ),
        Mistake(
            "only the last byte is in the sum",
            "does total begin anew in every step? total + …",
            _Sum(
                part=(
                    -1,
                    None,
                )
            ),
        ),
        Mistake(
            "the sum begins at 1",
            "begin with np.int32(0).",
            _Sum(start=1),
        ),
    ],
    use=_compiled,
)


# (j) The limit


def _seconds(weights: int, bits: int, batch: int, peak: float, bandwidth: float) -> float:
    return max(weights * bits / 8 / bandwidth, 2 * weights * batch / peak)


SECONDS = Exercise(
    "seconds",
    _seconds,
    [
        (1000, 4, 1, 1000.0, 100.0),
        (1000, 4, 4, 1000.0, 100.0),
        (4096**2, 32, 1, 150e9, 20e9),
        (4096**2, 4, 64, 150e9, 20e9),
        (3000, 8, 7, 2e4, 9e3),
        (50_000, 2, 2, 60e3, 7e3),
        (2000, 8, 1, 500.0, 5000.0),
    ],
    [
        Mistake(
            "both times are added",
            "reading and computing happen side by side: the slower of the two is what counts, max(…).",
            lambda weights, bits, batch, peak, bandwidth: weights * bits / 8 / bandwidth + 2 * weights * batch / peak,
        ),
        Mistake(
            "the faster of the two is returned",
            "nothing is ready before the *slower* one is: max(…).",
            lambda weights, bits, batch, peak, bandwidth: min(
                weights * bits / 8 / bandwidth, 2 * weights * batch / peak
            ),
        ),
        Mistake(
            "only reading is counted",
            "with a large batch the arithmetic takes longer: compare with 2·weights·batch/peak.",
            lambda weights, bits, batch, peak, bandwidth: weights * bits / 8 / bandwidth,
        ),
        Mistake(
            "only arithmetic is counted",
            "with a small batch reading the weights takes longer: compare with bytes/bandwidth.",
            lambda weights, bits, batch, peak, bandwidth: 2 * weights * batch / peak,
        ),
        Mistake(
            "bits are taken for bytes",
            "the bandwidth is in bytes per second: divide the bits by 8.",
            lambda weights, bits, batch, peak, bandwidth: max(weights * bits / bandwidth, 2 * weights * batch / peak),
        ),
        Mistake(
            "every weight is read as four bytes",
            "that is fp32. A packed weight has bits/8 bytes.",
            lambda weights, bits, batch, peak, bandwidth: max(4 * weights / bandwidth, 2 * weights * batch / peak),
        ),
        Mistake(
            "multiply and add are counted as one",
            "the peak counts both: two operations for each weight and each input vector.",
            lambda weights, bits, batch, peak, bandwidth: max(weights * bits / 8 / bandwidth, weights * batch / peak),
        ),
        Mistake(
            "the weights are read again for every input of the batch",
            "that is the point of a batch: a weight that was read serves all of its inputs.",
            lambda weights, bits, batch, peak, bandwidth: max(
                weights * batch * bits / 8 / bandwidth, 2 * weights * batch / peak
            ),
        ),
        Mistake(
            "the batch is missing in the arithmetic",
            "each input vector is multiplied with all weights: 2·weights·batch operations.",
            lambda weights, bits, batch, peak, bandwidth: max(weights * bits / 8 / bandwidth, 2 * weights / peak),
        ),
        Mistake(
            "it is the time for one input of the batch",
            "return the time of the whole batch.",
            lambda weights, bits, batch, peak, bandwidth: _seconds(weights, bits, batch, peak, bandwidth) / batch,
        ),
        Mistake(
            "fewer bits make the arithmetic faster",
            "they make the *bytes* fewer. There are as many multiplications as before, and this model takes them at "
            "the same peak.",
            lambda weights, bits, batch, peak, bandwidth: max(
                weights * bits / 8 / bandwidth, 2 * weights * batch / peak * bits / 32
            ),
        ),
        Mistake(
            "these are rates, not times",
            "a time is what is to be done, divided by how much of it can be done in a second.",
            lambda weights, bits, batch, peak, bandwidth: max(
                bandwidth / (weights * bits / 8), peak / (2 * weights * batch)
            ),
        ),
        Mistake(
            "peak and bandwidth are exchanged",
            "bytes are divided by the bandwidth, operations by the peak.",
            lambda weights, bits, batch, peak, bandwidth: max(
                weights * bits / 8 / peak, 2 * weights * batch / bandwidth
            ),
        ),
    ],
)

EXERCISES = [
    PACK4,
    UNPACK4,
    UNPACK_TWOS,
    STORED_BYTES,
    ARRANGE,
    MATVEC,
    MADD,
    LONGEST_ROW,
    DOT4,
    SECONDS,
]

QUESTIONS = [
    question(
        "question_1",
        4.25,
        {
            4: "That is the code alone. A sixty-fourth of a scale comes to it.",
            4.5: "That holds for groups of 32. Here a scale serves 64 weights.",
            20: "A weight does not have a scale of its own: 64 of them share the 16 bits.",
            5: "16 bits for 64 weights: how much is that for each of them?",
            0.25: "That is the scale's share. Add the code itself.",
            4.125: "That is a scale of 8 bits. Half precision has 16.",
            8: "16 divided by 64, and not the other way round: how many bits of the scale come to each weight?",
        },
    ),
    question(
        "question_2",
        "a",
        {
            "b": "8·Σx is the sum over the inputs that are there. What is the input beside the empty half?",
            "c": "data >> 4 of an empty half is 0, so u = 0. But u = 0 is a code like any other: −8.",
            "d": "unpack4 is told how many columns there are; matvec is not.",
        },
    ),
    question(
        "question_3",
        "d",
        {
            "a": "Compute it: two products of at most 127·128. How much is that, and what do 16 bits hold?",
            "b": "The bound holds for every order of the weights, so nobody has to choose one.",
            "c": "It is the sum of two products that must fit. How much is 2·127·128?",
        },
    ),
    question(
        "question_4",
        "c",
        {
            "a": "Look at the first table: PyTorch's product multiplies real numbers, too, and is far from this slow.",
            "b": "All loops read the same bytes: the weights are packed in every one of them.",
            "d": "The conversion costs an instruction each, but vector registers do it for many numbers at a time. If "
            "only the *sum* could be done so.",
        },
    ),
    question(
        "question_5",
        2,
        {
            8: "That is 32/4, the ratio of the bytes. Does reading still take longest with 4 bits and this batch? "
            "Compute both times.",
            1: "With 32 bits reading still takes longer than computing. Compute both times.",
            4: "Compute both times, reading and arithmetic, for 32 bits and for 4; the slower one counts each time.",
            16: "Compute both times, reading and arithmetic, for 32 bits and for 4; the slower one counts each time.",
            0.5: "How many times *faster*: the time with 32 bits over that with 4.",
        },
    ),
]
