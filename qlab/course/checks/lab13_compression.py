"""Lab 13, Deep Compression: right solutions, and the mistakes that people make.

    d_i = p_i − p_{i−1}, 1 ≤ d ≤ 2^b, fillers where it is longer;   C_k ← mean;   ∂𝓛/∂C_k = Σ_{q_i = k} ∂𝓛/∂w_i

Survey-map rows: V1, B7, H6.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qlab.course._running import ReturnedNothing
from qlab.course.check import Exercise, Mistake, question
from qlab.history.huffman_bytes import huffman_decode, huffman_encode

__all__ = [
    "ASSIGN",
    "CENTROID_GRADIENT",
    "DECODE_LAYER",
    "ENCODE_LAYER",
    "EXERCISES",
    "PRUNE",
    "QUESTIONS",
    "TO_DISTANCES",
    "TO_POSITIONS",
    "UPDATE",
]

Array = NDArray[Any]


def _normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _call(function: Any, *case: Any) -> Any:
    if function is None or function is ...:
        raise NotImplementedError
    return function(*case)


def _arrays(*kinds: str) -> Callable[..., Any]:
    """Return a `use` that asks for one NumPy array, or for a pair of them, of integers ("i"), booleans, reals ("f")."""

    def use(function: Callable[..., Any], *case: Any) -> Any:
        answer = _call(function, *case)
        if answer is None or answer is ...:
            raise ReturnedNothing
        parts = answer if len(kinds) > 1 else (answer,)
        if len(kinds) > 1 and (not isinstance(answer, tuple | list) or len(answer) != len(kinds)):
            raise TypeError("return two arrays: distances, filler")
        words = {"i": "whole numbers", "b": "booleans", "f": "real numbers"}
        for part, kind in zip(parts, kinds, strict=True):
            if not isinstance(part, np.ndarray):
                raise TypeError(f"return a NumPy array, got {type(part).__name__}")
            if part.dtype.kind not in (kind, "u" if kind == "i" else kind):
                raise TypeError(f"the array must hold {words[kind]}, got {part.dtype}")
        return tuple(parts) if len(kinds) > 1 else answer

    return use


# (a) Pruning


def _prune(w: Array, p: float) -> Array:
    out = w.copy()
    out.flat[np.argsort(np.abs(w), axis=None)[: round(p * w.size)]] = 0
    return out


def _row_by_row(w: Array, p: float) -> Array:
    return np.stack([_prune(row, p) for row in w]) if w.ndim > 1 else _prune(w, p)


PRUNE = Exercise(
    "prune",
    _prune,
    [
        (np.array([0.5, -2.0, 0.1, 1.0], dtype=np.float32), 0.5),
        (_normal(0, 6, 7), 0.8),
        (_normal(1, 5, 5) + 0.4, 0.3),
        (_normal(2, 4, 9), 0.0),
    ],
    [
        Mistake(
            "the large weights are gone",
            "what is *small* counts least: zeros go to the beginning of the sorted sizes.",
            lambda w, p: np.where(_prune(w, 1 - p) == 0, w, 0).astype(w.dtype),
        ),
        Mistake(
            "the weights are sorted with their signs",
            "−2 is a large weight. Sort by np.abs(w).",
            lambda w, p: np.where(
                np.isin(np.arange(w.size).reshape(w.shape), np.argsort(w, axis=None)[: round(p * w.size)]), 0, w
            ).astype(w.dtype),
        ),
        Mistake(
            "p is taken for a threshold",
            "p is a share of the weights, not a size: count how many have to go.",
            lambda w, p: np.where(np.abs(w) < p, 0, w).astype(w.dtype),
        ),
        Mistake(
            "p is taken for a share of the largest weight",
            "p is a share of the *number* of weights: count how many have to go.",
            lambda w, p: np.where(np.abs(w) < p * np.abs(w).max(), 0, w).astype(w.dtype),
        ),
        Mistake(
            "the share p is kept",
            "p of the weights become zero; 1 − p are kept.",
            lambda w, p: _prune(w, 1 - p),
        ),
        Mistake(
            "each row is pruned for itself",
            "one ranking for the whole layer: some rows lose more than others.",
            _row_by_row,
        ),
        Mistake(
            "the mask is returned",
            "multiply the weights with it.",
            lambda w, p: (_prune(w, p) != 0).astype(w.dtype),
        ),
        Mistake(
            "the signs are lost",
            "the sizes decide who goes, but those who stay keep their sign.",
            lambda w, p: np.abs(_prune(w, p)),
        ),
        Mistake(
            "one weight too many is gone",
            "with n zeros to set, the weight number n of the sorted list (counted from 0) is the first that stays. "
            "Is there a ≤ that should be a <?",
            lambda w, p: _prune(w, min(1.0, (round(p * w.size) + 1) / w.size)),
        ),
        Mistake(
            "one weight too few is gone",
            "count the zeros: there must be round(p · n).",
            lambda w, p: _prune(w, max(0.0, (round(p * w.size) - 1) / w.size)) if p else w.copy(),
        ),
        Mistake(
            "the shape is gone",
            "the layer still needs it: return the array in the shape of w.",
            lambda w, p: _prune(w, p).ravel(),
        ),
        Mistake(
            "the zeros are left out",
            "pruned weights are 0, but they keep their places for now.",
            lambda w, p: _prune(w, p)[_prune(w, p) != 0],
        ),
    ],
    use=_arrays("f"),
)


# (b) Distances


def _to_distances(positions: Array, bits: int) -> tuple[Array, Array]:
    longest, last = 2**bits, -1
    distances: list[int] = []
    filler: list[bool] = []
    for p in positions:
        d = int(p) - last
        while d > longest:
            distances.append(longest)
            filler.append(True)
            d -= longest
        distances.append(d)
        filler.append(False)
        last = int(p)
    return np.array(distances), np.array(filler)


def _walk(
    positions: Array,
    bits: int,
    first: int = -1,
    longest: Callable[[int], int] = lambda b: 2**b,
    once: bool = False,
    early: bool = False,
    after: bool = False,
    rest_first: bool = False,
    add: int = 0,
    stay: bool = False,
) -> tuple[Array, Array]:
    """Wrong in the way that is asked for."""
    most, last = longest(bits), first
    distances: list[int] = []
    filler: list[bool] = []
    for p in positions:
        d = int(p) - last
        skipped: list[int] = []
        while (d > most or (early and d == most)) and not (once and skipped):
            skipped.append(most)
            d -= most
        if stay and skipped:
            d = int(p) - last
        chain = [*skipped, d]
        marks = [True] * len(skipped) + [False]
        if rest_first:
            chain = chain[::-1]
        if after:
            marks = marks[::-1]
        distances += [x + add for x in chain]
        filler += marks
        last = int(p)
    return np.array(distances), np.array(filler)


TO_DISTANCES = Exercise(
    "to_distances",
    _to_distances,
    [
        (np.array([0, 3, 14]), 3),
        (np.array([2, 3, 40, 41, 60]), 3),
        (np.array([15, 16, 48, 80]), 4),
        (np.flatnonzero(np.random.default_rng(3).random(200) < 0.1), 3),
        (np.array([0, 1, 2, 3]), 1),
    ],
    [
        Mistake(
            "the first distance is counted from 0",
            "the walk begins one place before the first weight, at −1: a weight at place 0 has the distance 1.",
            lambda p, b: _walk(p, b, first=0),
        ),
        Mistake(
            "there are no fillers",
            "b bits can say 1 … 2^b. Where the next weight is farther away, stop on the way, at a filler.",
            lambda p, b: (np.diff(p, prepend=-1), np.zeros(len(p), dtype=bool)),
        ),
        Mistake(
            "the longest distance is 2^b − 1",
            "b bits have 2^b values, and a distance of 0 never occurs: 1 … 2^b fit (the file will hold d − 1).",
            lambda p, b: _walk(p, b, longest=lambda bits: 2**bits - 1),
        ),
        Mistake(
            "there is a filler where none is needed",
            "a distance of exactly 2^b still fits. Only longer ones need a filler.",
            lambda p, b: _walk(p, b, early=True),
        ),
        Mistake(
            "there is never more than one filler",
            "a gap may be longer than two strides: go on until what is left fits (while, not if).",
            lambda p, b: _walk(p, b, once=True),
        ),
        Mistake(
            "the way to the filler is not taken off",
            "after a filler, go on *from there*: the distance that is left is shorter by 2^b.",
            lambda p, b: _walk(p, b, stay=True),
        ),
        Mistake(
            "the positions came back",
            "store how far it is from one to the next, not where each is.",
            lambda p, b: (p.copy(), np.zeros(len(p), dtype=bool)),
        ),
        Mistake(
            "the flags are turned round",
            "filler is True where *no* weight is.",
            lambda p, b: (_to_distances(p, b)[0], ~_to_distances(p, b)[1]),
        ),
        Mistake(
            "the filler stands behind its weight",
            "first the fillers on the way, then the weight.",
            lambda p, b: _walk(p, b, after=True),
        ),
        Mistake(
            "the short stride comes first",
            "take strides of 2^b as long as the weight is farther away; the short rest leads to the weight.",
            lambda p, b: _walk(p, b, rest_first=True),
        ),
        Mistake(
            "1 is taken off already",
            "return the distances themselves, 1 … 2^b. The file will hold d − 1, later.",
            lambda p, b: _walk(p, b, add=-1),
        ),
        Mistake(
            "the first weight is missing",
            "np.diff alone has one number less than there are weights: prepend the −1.",
            lambda p, b: _walk(p[1:], b, first=int(p[0])),
        ),
        Mistake(
            "the longest distance is b",
            "b is a number of bits. How many values have they?",
            lambda p, b: _walk(p, b, longest=lambda bits: bits),
        ),
        Mistake(
            "the longest distance is 2b",
            "each bit doubles the number of values: 2**b, not 2*b.",
            lambda p, b: _walk(p, b, longest=lambda bits: 2 * bits) if b > 2 else _to_distances(p, b),
        ),
    ],
    use=_arrays("i", "b"),
)


# (c) … and back


def _to_positions(distances: Array, filler: Array) -> Array:
    return np.asarray((np.cumsum(distances) - 1)[~filler])


TO_POSITIONS = Exercise(
    "to_positions",
    _to_positions,
    [
        (np.array([1, 3, 8, 3]), np.array([False, False, True, False])),
        _to_distances(np.array([4, 5, 40, 70]), 3),
        _to_distances(np.flatnonzero(np.random.default_rng(4).random(300) < 0.1), 3),
        (np.array([2, 2]), np.array([False, False])),
    ],
    [
        Mistake(
            "all places are too high by one",
            "the walk begins at −1, not at 0.",
            lambda d, f: np.cumsum(d)[~f],
        ),
        Mistake(
            "the fillers are among them",
            "a filler is a stop on the way, not a weight: leave it out at the end.",
            lambda d, f: np.cumsum(d) - 1,
        ),
        Mistake(
            "the fillers went before the walk",
            "their strides count as well: add up first, and then leave them out.",
            lambda d, f: np.cumsum(d[~f]) - 1,
        ),
        Mistake(
            "only the fillers are left",
            "~filler chooses the weights.",
            lambda d, f: (np.cumsum(d) - 1)[f],
        ),
        Mistake(
            "the distances came back",
            "a place is the sum of all strides up to it: np.cumsum.",
            lambda d, f: d[~f],
        ),
        Mistake(
            "each place is one stride behind",
            "the stride to a weight belongs to its own place: the sum includes it.",
            lambda d, f: (np.cumsum(d) - d)[~f],
        ),
        Mistake(
            "1 is taken off each stride",
            "−1 is where the walk begins; take it off once, not at each stride.",
            lambda d, f: np.cumsum(d - 1)[~f],
        ),
        Mistake(
            "it is the last place only",
            "np.cumsum keeps all the sums on the way; np.sum only the last.",
            lambda d, f: np.array([d.sum() - 1]),
        ),
    ],
    use=_arrays("i"),
)


# (d) The nearest centroid


def _assign(w: Array, centroids: Array) -> Array:
    nearest = np.abs(w[..., None] - centroids).argmin(-1) + 1
    return np.where(w == 0, 0, nearest)


_SHARED = [
    (np.array([0.0, 1.1, -0.8, 0.0, 2.6], dtype=np.float32), np.array([-1.0, 1.0, 2.5], dtype=np.float32)),
    (_prune(_normal(5, 8, 9), 0.6), np.array([-1.5, -0.6, 0.5, 1.7], dtype=np.float32)),
    (_prune(_normal(6, 7, 5), 0.5), np.array([-0.9, 0.1, 1.1], dtype=np.float32)),
]

ASSIGN = Exercise(
    "assign",
    _assign,
    _SHARED,
    [
        Mistake(
            "the numbers begin at 0",
            "0 means pruned. The first centroid is number 1.",
            lambda w, c: np.where(w == 0, 0, _assign(np.where(w == 0, 1e-9, w), c) - 1),
        ),
        Mistake(
            "the pruned weights are numbered like the others",
            "a zero was pruned: it gets the number 0 and stays zero.",
            lambda w, c: np.abs(w[..., None] - c).argmin(-1) + 1,
        ),
        Mistake(
            "the farthest centroid is taken",
            "nearest is smallest distance: argmin.",
            lambda w, c: np.where(w == 0, 0, np.abs(w[..., None] - c).argmax(-1) + 1),
        ),
        Mistake(
            "the difference keeps its sign",
            "the smallest difference is the most negative one. Take its size, or its square.",
            lambda w, c: np.where(w == 0, 0, (w[..., None] - c).argmin(-1) + 1),
        ),
        Mistake(
            "the sizes are compared",
            "|w| and |c| forget the signs, and −1 is not near to 1. Take the size of the *difference*.",
            lambda w, c: np.where(w == 0, 0, np.abs(np.abs(w[..., None]) - np.abs(c)).argmin(-1) + 1),
        ),
        Mistake(
            "the next larger centroid is taken",
            "np.searchsorted finds between which two a weight lies, not which of the two is nearer.",
            lambda w, c: np.where(w == 0, 0, np.minimum(np.searchsorted(c, w), len(c) - 1) + 1),
        ),
        Mistake(
            "the next smaller centroid is taken",
            "rounding down is not rounding to the nearest: compare both neighbours.",
            lambda w, c: np.where(w == 0, 0, np.maximum(np.searchsorted(c, w) - 1, 0) + 1),
        ),
        Mistake(
            "the pruned weights have the number −1",
            "0 is the number of what was pruned.",
            lambda w, c: np.where(w == 0, -1, _assign(w, c)),
        ),
        Mistake(
            "the shape is gone",
            "one number for each weight, in the shape of w.",
            lambda w, c: _assign(w, c).ravel(),
        ),
        Mistake(
            "only the numbers of kept weights are there",
            "one number for each weight, 0 for a pruned one: the places come later.",
            lambda w, c: _assign(w, c)[w != 0],
        ),
    ],
    use=_arrays("i"),
)


# (e) The mean of a cluster


def _update(w: Array, numbers: Array, centroids: Array) -> Array:
    members = [w[numbers == k + 1] for k in range(len(centroids))]
    return np.array([m.mean() if m.size else c for m, c in zip(members, centroids, strict=True)], dtype=np.float32)


def _each(of: Callable[[Array], Any], empty: Callable[[float], float] = lambda c: c, first: int = 1) -> Any:
    def update(w: Array, q: Array, c: Array) -> Array:
        parts = [w[q == k + first] for k in range(len(c))]
        return np.array([of(x) if x.size else empty(old) for x, old in zip(parts, c, strict=True)], dtype=np.float32)

    return update


_CODED = [(w, _assign(w, c), c) for w, c in _SHARED] + [
    (
        np.array([[0.0, 2.0], [2.4, -1.0]], dtype=np.float32),
        np.array([[0, 3], [3, 1]]),
        np.array([-1.2, 0.7, 2.5], dtype=np.float32),
    )
]

UPDATE = Exercise(
    "update",
    _update,
    _CODED,
    [
        Mistake(
            "the numbers are shifted by one",
            "centroid c[k] belongs to the weights numbered k + 1: 0 means pruned.",
            _each(lambda x: x.mean(), first=0),
        ),
        Mistake(
            "it is the sum",
            "divide by how many weights there are in the cluster.",
            _each(lambda x: x.sum()),
        ),
        Mistake(
            "it is the median",
            "the squared error is least at the mean.",
            _each(np.median),
        ),
        Mistake(
            "it is the middle between the smallest and the largest",
            "the squared error is least at the mean of all weights of the cluster.",
            _each(lambda x: (x.min() + x.max()) / 2),
        ),
        Mistake(
            "an empty cluster becomes 0",
            "a centroid that nobody is nearest to stays where it is.",
            _each(lambda x: x.mean(), empty=lambda c: 0.0),
        ),
        Mistake(
            "an empty cluster becomes NaN",
            "the mean of nothing is 0/0. A centroid that nobody is nearest to stays where it is.",
            _each(lambda x: x.mean(), empty=lambda c: np.nan),
        ),
        Mistake(
            "an empty cluster has disappeared",
            "there must come out as many centroids as went in; one that nobody is nearest to stays where it is.",
            lambda w, q, c: np.array([w[q == k].mean() for k in np.unique(q[q > 0])], dtype=np.float32),
        ),
        Mistake(
            "it is divided by the number of all weights",
            "the mean of a cluster: divide by the number of *its* weights.",
            lambda w, q, c: np.array(
                [w[q == k + 1].sum() / w.size if (q == k + 1).any() else c[k] for k in range(len(c))], dtype=np.float32
            ),
        ),
        Mistake(
            "it is divided by the number of kept weights",
            "the mean of a cluster: divide by the number of *its* weights.",
            lambda w, q, c: np.array(
                [w[q == k + 1].sum() / (q > 0).sum() if (q == k + 1).any() else c[k] for k in range(len(c))],
                dtype=np.float32,
            ),
        ),
        Mistake(
            "the sizes are averaged",
            "a cluster of negative weights has a negative mean: no np.abs here.",
            _each(lambda x: np.abs(x).mean()),
        ),
        Mistake(
            "the centroids came back as they were",
            "move each one to the mean of the weights with its number.",
            lambda w, q, c: c.copy(),
        ),
        Mistake(
            "there is one for the pruned weights, too",
            "zeros are no cluster: as many centroids come out as went in.",
            lambda w, q, c: np.concatenate([np.zeros(1, np.float32), _update(w, q, c)]),
        ),
    ],
    use=_arrays("f"),
)


# (f) The gradient of a centroid


def _gradient(grad: Array, numbers: Array, k: int) -> Array:
    return np.array([grad[numbers == j + 1].sum() for j in range(k)], dtype=grad.dtype)


def _overwritten(g: Array, q: Array, k: int) -> Array:
    out = np.zeros(k + 1, dtype=g.dtype)
    out[q.ravel()] += g.ravel()
    return out[1:]


_GRADIENTS = [
    (np.array([[1.0, 2.0], [-5.0, 0.5]], dtype=np.float32), np.array([[1, 1], [0, 2]]), 2),
    (_normal(7, 6, 8), np.random.default_rng(8).integers(0, 5, (6, 8)), 4),
    (_normal(9, 20), np.random.default_rng(10).integers(0, 3, 20), 3),
]

CENTROID_GRADIENT = Exercise(
    "centroid_gradient",
    _gradient,
    _GRADIENTS,
    [
        Mistake(
            "it is the mean",
            "the loss changes by the sum of what all its weights change: the chain rule adds, it does not average.",
            lambda g, q, k: np.array([g[q == j + 1].mean() if (q == j + 1).any() else 0 for j in range(k)], g.dtype),
        ),
        Mistake(
            "each gradient overwrites the last",
            "out[q] += g writes to each place *once*, however often it occurs in q. Use np.add.at, np.bincount, or a "
            "loop over the centroids.",
            _overwritten,
        ),
        Mistake(
            "the numbers are shifted by one",
            "number 0 is what was pruned. Entry k of the answer belongs to the weights numbered k + 1.",
            lambda g, q, k: np.array([g[q == j].sum() for j in range(k)], dtype=g.dtype),
        ),
        Mistake(
            "the pruned weights have an entry",
            "they stay zero, whatever their gradient: leave out number 0.",
            lambda g, q, k: np.array([g[q == j].sum() for j in range(k + 1)], dtype=g.dtype),
        ),
        Mistake(
            "the sign is turned round",
            "that is the step, not the gradient: the minus comes later, when the centroid moves.",
            lambda g, q, k: -_gradient(g, q, k),
        ),
        Mistake(
            "the sizes are added",
            "gradients of opposite sign cancel: that is what sharing a value means.",
            lambda g, q, k: _gradient(np.abs(g), q, k),
        ),
        Mistake(
            "squares are added",
            "the chain rule adds the gradients themselves.",
            lambda g, q, k: _gradient(g**2, q, k),
        ),
        Mistake(
            "each centroid gets all the gradients",
            "only those of the weights with its own number.",
            lambda g, q, k: np.full(k, g.sum(), dtype=g.dtype),
        ),
        Mistake(
            "weights are counted, gradients are not added",
            "np.bincount counts, unless you give it weights=: the gradients.",
            lambda g, q, k: np.bincount(q.ravel(), minlength=k + 1)[1:].astype(g.dtype),
        ),
        Mistake(
            "it is divided by the number of all weights",
            "the chain rule adds: no division.",
            lambda g, q, k: _gradient(g, q, k) / g.size,
        ),
        Mistake(
            "a centroid without weights is missing",
            "there are k centroids, and k numbers come out: 0 for one that no weight has (np.bincount has minlength).",
            lambda g, q, k: np.bincount(q.ravel(), weights=g.ravel())[1:].astype(g.dtype),
        ),
    ],
    use=_arrays("f"),
)


# (g) A layer as bytes


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _streams(q: Array, bits: int) -> tuple[Array, Array]:
    flat = q.ravel()
    at = np.flatnonzero(flat)
    distances, filler = _to_distances(at, bits)
    codes = np.zeros(len(distances), dtype=np.int64)
    codes[~filler] = flat[at]
    return codes, distances


def _encode(numbers: Array, centroids: Array, bits: int) -> bytes:
    codes, distances = _streams(numbers, bits)
    return (
        struct.pack("<I", len(centroids))
        + centroids.astype("<f4").tobytes()
        + _sized(huffman_encode(codes))
        + _sized(huffman_encode(distances - 1))
    )


def _encoded(
    codes: Callable[[Array, Array], Array] = lambda codes, distances: codes,
    distances: Callable[[Array], Array] = lambda d: d - 1,
    table: str = "<f4",
    order: Any = "C",
) -> Callable[[Array, Array, int], bytes]:
    def encode(q: Array, c: Array, bits: int) -> bytes:
        found, d = _streams(np.ravel(q, order=order), bits)
        head = struct.pack("<I", len(c)) + c.astype(table).tobytes()
        return head + _sized(huffman_encode(codes(found, d))) + _sized(huffman_encode(distances(d)))

    return encode


def _carried(codes: Array, distances: Array) -> Array:
    out = codes.copy()
    for i in range(1, len(out)):
        out[i] = out[i] or out[i - 1]
    return out


def _parsed(function: Callable[..., Any], q: Array, c: Array, bits: int) -> dict[str, Any]:
    """Read what came by the layout, part by part."""
    data = _call(function, q, c, bits)
    if data is None or data is ...:
        raise ReturnedNothing
    if not isinstance(data, bytes | bytearray):
        raise TypeError(f"return bytes, got {type(data).__name__}")
    at, found = 0, {}

    def take(n: int, what: str) -> bytes:
        nonlocal at
        if at + n > len(data):
            raise ValueError(f"{what}: {n} bytes were to come, {len(data) - at} are left")
        at += n
        return bytes(data[at - n : at])

    (n,) = struct.unpack("<I", take(4, "number of centroids"))
    found["number of centroids"] = n
    if n != len(c):
        return found | dict.fromkeys(("centroids", "codes", "distances − 1", "bytes left over"), "not read")
    found["centroids"] = np.frombuffer(take(4 * n, "centroids"), "<f4")
    for what in ("codes", "distances − 1"):
        (size,) = struct.unpack("<I", take(4, f"length of the stream of {what}"))
        stream = take(size, f"stream of {what}, by the length in front of it")
        try:
            found[what] = huffman_decode(stream)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
    return found | {"bytes left over": len(data) - at}


def _some(seed: int, *shape: int) -> Array:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.2, rng.integers(1, 5, shape), 0)


_LAYERS = [
    (np.array([[0, 2, 0, 1], [0, 0, 0, 2]]), np.array([-0.5, 0.25], dtype=np.float32), 1),
    (_some(11, 12, 15), _normal(13, 4), 3),
    (np.array([[1, 2, 3]]), _normal(14, 3), 4),
]

ENCODE_LAYER = Exercise(
    "encode_layer",
    _encode,
    _LAYERS,
    [
        Mistake(
            "the fillers have no code",
            "the decoder reads code and distance side by side: a filler has a code, too, and it is 0.",
            _encoded(codes=lambda codes, d: codes[codes > 0]),
        ),
        Mistake(
            "all zeros are coded",
            "only the weights that are kept, and the fillers: the distances say where they are.",
            lambda q, c, b: (
                struct.pack("<I", len(c))
                + c.astype("<f4").tobytes()
                + _sized(huffman_encode(q))
                + _sized(huffman_encode(_streams(q, b)[1] - 1))
            ),
        ),
        Mistake(
            "the fillers repeat the code before them",
            "a filler is a zero: its code is 0.",
            _encoded(codes=_carried),
        ),
        Mistake(
            "the codes begin at 0",
            "0 is for the fillers: the codes stay 1 … k.",
            _encoded(codes=lambda codes, d: np.maximum(codes - 1, 0)),
        ),
        Mistake(
            "the distances are stored as they are",
            "the layout says d − 1, so that b bits would do.",
            _encoded(distances=lambda d: d),
        ),
        Mistake(
            "2 is taken off the distances",
            "d − 1, once: did to_distances take off another?",
            _encoded(distances=lambda d: d - 2),
        ),
        Mistake(
            "the places are stored, not the distances",
            "the second stream holds the distances, minus 1.",
            _encoded(distances=lambda d: np.cumsum(d) - 1),
        ),
        Mistake(
            "the order of the two streams is exchanged",
            "first the codes, then the distances.",
            lambda q, c, b: (
                struct.pack("<I", len(c))
                + c.astype("<f4").tobytes()
                + _sized(huffman_encode(_streams(q, b)[1] - 1))
                + _sized(huffman_encode(_streams(q, b)[0]))
            ),
        ),
        Mistake(
            "the columns come first",
            "q.ravel() goes along the rows. Was the array transposed, or flattened in Fortran's order?",
            _encoded(order="F"),
        ),
        Mistake(
            "the centroids have another byte order",
            '"<f4" is little-endian: the byte that counts least comes first.',
            _encoded(table=">f4"),
        ),
        Mistake(
            "the centroids are all zero",
            "the decoder knows only what is in the bytes: write the values of c.",
            lambda q, c, b: (
                struct.pack("<I", len(c))
                + np.zeros(len(c), "<f4").tobytes()
                + _sized(huffman_encode(_streams(q, b)[0]))
                + _sized(huffman_encode(_streams(q, b)[1] - 1))
            ),
        ),
        Mistake(
            "the number of centroids counts the zero",
            "the zero is not stored: its code, 0, says it all. Store len(c).",
            lambda q, c, b: struct.pack("<I", len(c) + 1) + _encode(q, c, b)[4:],
        ),
        Mistake(
            "the length is stored with the high byte first",
            'struct.pack("<I", n): little-endian.',
            lambda q, c, b: struct.pack(">I", len(c)) + _encode(q, c, b)[4:],
        ),
        Mistake(
            "something follows the last stream",
            "nothing comes behind the stream of distances.",
            lambda q, c, b: _encode(q, c, b) + b"\0",
        ),
    ],
    use=_parsed,
)


# (h) … and back


def _decode(data: bytes, shape: tuple[int, ...]) -> Array:
    return _decoded()(data, shape)


def _decoded(
    table: Callable[[Array], Array] = lambda c: np.concatenate([np.zeros(1, np.float32), c]),
    code: Callable[[Array], Array] = lambda codes: codes,
    stride: int = 1,
    start: int = -1,
    drop_first: bool = False,
    order: Any = "C",
    dtype: Any = np.float32,
    background: Callable[[Array], float] = lambda c: 0.0,
    fillers: bool = False,
) -> Callable[[bytes, tuple[int, ...]], Array]:
    def decode(data: bytes, shape: tuple[int, ...]) -> Array:
        (n,) = struct.unpack_from("<I", data)
        c = np.frombuffer(data, "<f4", n, 4)
        at = 4 + 4 * n
        (size,) = struct.unpack_from("<I", data, at)
        codes = huffman_decode(data[at + 4 : at + 4 + size])
        distances = huffman_decode(data[at + 8 + size :]) + stride
        kept = codes > 0
        places = (np.cumsum(distances[kept]) + start) if drop_first else (np.cumsum(distances) + start)[kept]
        w = np.full(int(np.prod(shape)), background(c), dtype=dtype)
        values = table(c)[code(codes[kept])]
        inside = (places >= 0) & (places < w.size)
        w[places[inside]] = values[inside]
        if fillers:
            w[(np.cumsum(distances) + start)[~kept]] = c[-1]
        return w.reshape(shape, order=order)

    return decode


_FILES = [(_encode(q, c, bits), q.shape) for q, c, bits in _LAYERS[:2]] + [
    (_encode(np.array([[3, 0], [1, 0], [2, 1]]), _normal(15, 3), 2), (3, 2)),
]

DECODE_LAYER = Exercise(
    "decode_layer",
    _decode,
    _FILES,
    [
        Mistake(
            "the centroids are shifted by one",
            "code 1 is the first centroid, c[0].",
            _decoded(table=lambda c: np.concatenate([c, c[-1:]])),
        ),
        Mistake(
            "the fillers have become weights",
            "code 0 is a filler, and c[0 − 1] is the *last* centroid in Python: nothing complains. Leave the fillers "
            "at zero.",
            _decoded(fillers=True),
        ),
        Mistake(
            "the distances are too short by one",
            "the file holds d − 1: add the 1 again.",
            _decoded(stride=0),
        ),
        Mistake(
            "all places are too high by one",
            "the walk begins at −1, not at 0.",
            _decoded(start=0),
        ),
        Mistake(
            "the fillers went before the walk",
            "their strides count as well: add up first, and then leave them out.",
            _decoded(drop_first=True),
        ),
        Mistake(
            "the columns are filled first",
            "reshape(shape) fills row by row, as ravel() went.",
            _decoded(order="F"),
        ),
        Mistake(
            "the pruned weights are no zeros",
            "begin with np.zeros, and write what the file holds.",
            _decoded(background=lambda c: float(c[0])),
        ),
        Mistake(
            "the codes are in the place of the weights",
            "look them up: code k stands for c[k − 1].",
            _decoded(table=lambda c: np.arange(len(c) + 1, dtype=np.float32)),
        ),
        Mistake(
            "the shape is gone",
            "the layer's shape is the second argument.",
            lambda data, shape: _decode(data, shape).ravel(),
        ),
        Mistake(
            "the centroids are in the reverse order",
            "in the order in which they were written.",
            _decoded(table=lambda c: np.concatenate([np.zeros(1, np.float32), c[::-1]])),
        ),
        Mistake(
            "the centroids have lost their signs",
            '"<f4" has a sign: nothing is to be done with it.',
            _decoded(table=lambda c: np.concatenate([np.zeros(1, np.float32), np.abs(c)])),
        ),
    ],
    use=_arrays("f"),
)

EXERCISES = [PRUNE, TO_DISTANCES, TO_POSITIONS, ASSIGN, UPDATE, CENTROID_GRADIENT, ENCODE_LAYER, DECODE_LAYER]

QUESTIONS = [
    question(
        "question_1",
        17,
        {
            16: "2 to the power of 16 is 65,536. Is that enough for 100,352 places?",
            16.6: "A whole number of bits, please: round up.",
            100352: "That is how many places there are. How many bits does a number from 0 to 100,351 need?",
            4: "That is what a distance needs. And a place, counted from the beginning?",
        },
    ),
    question(
        "question_2",
        "c",
        {
            "a": "Fewer bits mean shorter strides. What happens where the next weight is farther away?",
            "b": "Look at the last column: how much does it change from 6 bits to 8?",
            "d": "The weights are as many in all lines, but not the fillers: look at the first line.",
        },
    ),
    question(
        "question_3",
        "b",
        {
            "a": "gzip works on bytes of any kind, also of files that are text to nobody.",
            "c": "It is lossless all the same. Look at which of the four bytes of a float repeat, and which do not.",
            "d": "The file is long enough: 438,000 bytes.",
        },
    ),
    question(
        "question_4",
        "d",
        {
            "a": "The gradients are right: the check said so. Think about how many of them are added.",
            "b": "The loss has a slope at these centroids like anywhere else.",
            "c": "The numbers of the weights stay as they are in both.",
        },
    ),
]
