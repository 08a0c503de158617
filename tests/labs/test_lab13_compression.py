"""Lab 13's right solutions agree with the library and with definitions; see test_checks.py for what all labs owe."""

import struct

import numpy as np
import pytest
import torch
from torch.nn.utils import prune as peer

from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab13_compression as lab
from qlab.history.huffman_bytes import huffman_decode, huffman_encode
from qlab.vector import SharedWeight, share, streams, to_relative

ALL = [*lab.EXERCISES, *lab.QUESTIONS]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_there_are_enough_of_them():
    assert sum(len(e.mistakes) for e in ALL) >= 100
    assert all(len(e.mistakes) >= 3 for e in ALL)
    hints = [m.hint for e in lab.EXERCISES for m in e.mistakes]
    assert len(set(hints)) > 0.85 * len(hints)


@pytest.mark.row("B7")
@pytest.mark.parametrize("p", [0.0, 0.35, 0.9])
def test_pruning_is_pytorchs(p):
    w = normal(0, 13, 11)
    layer = torch.nn.Linear(11, 13)
    layer.weight.data = torch.from_numpy(w.copy())
    peer.l1_unstructured(layer, "weight", amount=round(p * w.size))
    assert np.array_equal(lab.PRUNE.solution(w, p), layer.weight.detach().numpy())


@pytest.mark.row("V1")
@pytest.mark.parametrize("bits", [1, 3, 6])
def test_distances_are_the_librarys_and_lead_back(bits):
    places = np.flatnonzero(normal(1, 400) > 1.2)
    distances, filler = lab.TO_DISTANCES.solution(places, bits)
    theirs = to_relative(places, bits)
    assert np.array_equal(distances, theirs[0]) and np.array_equal(filler, theirs[1])
    assert np.array_equal(lab.TO_POSITIONS.solution(distances, filler), places)


@pytest.mark.row("V1")
def test_both_halves_of_kmeans_end_where_the_librarys_ends():
    w = lab.PRUNE.solution(normal(2, 30, 20), 0.5)
    c = np.linspace(w.min(), w.max(), 8, dtype=np.float32)
    for _ in range(200):
        c = lab.UPDATE.solution(w, lab.ASSIGN.solution(w, c), c)
    theirs, codes = share(torch.from_numpy(w), 3)
    mine = lab.ASSIGN.solution(w, c)
    used = np.unique(mine[mine > 0]) - 1
    assert np.allclose(c[used], theirs.numpy(), atol=1e-5)
    assert np.array_equal(np.searchsorted(used, mine[mine > 0] - 1) + 1, codes.numpy()[mine > 0])


@pytest.mark.row("V1")
def test_the_gradient_is_autograds():
    w = torch.from_numpy(lab.PRUNE.solution(normal(3, 12, 9), 0.4))
    part = SharedWeight(*share(w, 2))
    grad = normal(4, 12, 9)
    part(w).backward(torch.from_numpy(grad))
    mine = lab.CENTROID_GRADIENT.solution(grad, part.codes.numpy(), 4)
    assert np.allclose(mine, part.centroids.grad.numpy(), atol=1e-5)


@pytest.mark.row("V1")
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_layer_is_the_librarys_streams_and_decodes_exactly(bits):
    w = torch.from_numpy(lab.PRUNE.solution(normal(5, 16, 25), 0.8))
    part = SharedWeight(*share(w, 3))
    c = part.centroids.detach().numpy()
    data = lab.ENCODE_LAYER.solution(part.codes.numpy(), c, bits)
    theirs = streams(part, bits)
    assert data.endswith(huffman_encode(theirs.distances - 1))
    assert huffman_encode(theirs.codes) in data
    assert np.array_equal(lab.DECODE_LAYER.solution(data, (16, 25)), part(w).detach().numpy())


def test_other_right_solutions_pass():
    def by_threshold(w, p):
        n = round(p * w.size)
        return np.where(np.abs(w) < np.sort(np.append(np.abs(w).ravel(), np.inf))[n], 0, w)

    def one_by_one(w, centroids):
        out = np.zeros(w.shape, dtype=np.int32)
        for at in np.ndindex(*w.shape):
            if w[at] != 0:
                out[at] = 1 + min(range(len(centroids)), key=lambda k: (w[at] - centroids[k]) ** 2)
        return out

    def counted(w, numbers, centroids):
        n = np.bincount(numbers.ravel(), minlength=len(centroids) + 1)[1:]
        total = np.bincount(numbers.ravel(), w.ravel(), len(centroids) + 1)[1:]
        return np.where(n > 0, total / np.maximum(n, 1), centroids)

    def walk_back(distances, filler):
        at, out = -1, []
        for d, f in zip(distances, filler, strict=True):
            at += d
            if not f:
                out.append(at)
        return np.array(out)

    def adding(grad, numbers, k):
        out = np.zeros(k + 1, grad.dtype)
        np.add.at(out, numbers, grad)
        return out[1:]

    def in_a_row(numbers, centroids, bits):
        codes, distances, run = [], [], 0
        flat = numbers.ravel()
        for q in flat[: np.flatnonzero(flat)[-1] + 1]:
            run += 1
            if q or run == 2**bits:
                codes.append(int(q))
                distances.append(run - 1)
                run = 0
        out = struct.pack("<I", len(centroids)) + centroids.astype("<f4").tobytes()
        for stream in (codes, distances):
            data = huffman_encode(stream)
            out += len(data).to_bytes(4, "little") + data
        return bytearray(out)

    def step_by_step(data, shape):
        n = int.from_bytes(data[:4], "little")
        table = np.append(np.float32(0), np.frombuffer(data[4 : 4 + 4 * n], np.float32))
        size = int.from_bytes(data[4 + 4 * n : 8 + 4 * n], "little")
        codes = huffman_decode(data[8 + 4 * n : 8 + 4 * n + size])
        at, w = -1, np.zeros(shape, np.float32)
        for code, d in zip(codes, huffman_decode(data[12 + 4 * n + size :]), strict=True):
            at += d + 1
            w.flat[at] = table[code]
        return w

    check(lab.PRUNE, by_threshold)
    check(lab.TO_DISTANCES, to_relative)
    check(lab.TO_POSITIONS, walk_back)
    check(lab.ASSIGN, one_by_one)
    check(lab.UPDATE, counted)
    check(lab.CENTROID_GRADIENT, adding)
    check(lab.CENTROID_GRADIENT, lambda g, q, k: np.bincount(q.ravel(), g.ravel(), k + 1)[1:])
    check(lab.ENCODE_LAYER, in_a_row)
    check(lab.DECODE_LAYER, step_by_step)


def zero_in_place(w, p):
    w[np.abs(w) < p] = 0
    return w


@pytest.mark.parametrize(
    ("exercise", "wrong", "words"),
    [
        (lab.PRUNE, ..., "nothing here yet"),
        (lab.PRUNE, lambda w, p: None, "is `return` missing"),
        (lab.PRUNE, zero_in_place, "changed its argument w"),
        (lab.PRUNE, lambda w, p: torch.from_numpy(w.copy()), "return a NumPy array, got Tensor"),
        (lab.TO_DISTANCES, lambda p, b: np.diff(p, prepend=-1), "return two arrays: distances, filler"),
        (lab.TO_DISTANCES, lambda p, b: (np.diff(p, prepend=-1), p * 0), "must hold booleans, got int64"),
        (lab.TO_DISTANCES, lambda p, b: ([1], [True]), "return a NumPy array, got list"),
        (lab.TO_POSITIONS, lambda d, f: np.cumsum(d)[~f] - 1.0, "must hold whole numbers, got float64"),
        (lab.TO_POSITIONS, lambda d, f: d[f == 0].cumsum() - 1, "fillers went before the walk"),
        (lab.ASSIGN, lambda w, c: c[np.abs(w[..., None] - c).argmin(-1)], "whole numbers, got float32"),
        (lab.ASSIGN, lambda w, c: np.abs(w - c).argmin(), "broadcast|NumPy array"),
        (lab.UPDATE, lambda w, q, c: list(c), "return a NumPy array, got list"),
        (lab.CENTROID_GRADIENT, lambda g, q, k: np.full(k, np.nan), "was something divided by 0"),
        (lab.ENCODE_LAYER, lambda q, c, b: "text", "return bytes, got str"),
        (lab.ENCODE_LAYER, lambda q, c, b: b"", "number of centroids: 4 bytes were to come, 0 are left"),
        (lab.ENCODE_LAYER, lambda q, c, b: struct.pack("<I", len(c)) + c.tobytes(), "length of the stream of codes"),
        (
            lab.ENCODE_LAYER,
            lambda q, c, b: struct.pack("<I", len(c)) + c.astype(float).tobytes() + huffman_encode(q),
            r"codes: data must start with",
        ),
        (lab.DECODE_LAYER, lambda data, shape: huffman_decode(data), "must start with"),
        (lab.DECODE_LAYER, lambda data, shape: np.zeros(shape, dtype=int), "must hold real numbers, got int64"),
        (lab.QUESTIONS[0], 16, "Is that enough"),
    ],
)
def test_what_often_goes_wrong_is_answered_in_words(exercise, wrong, words):
    with pytest.raises(CheckFailed, match=words):
        check(exercise, wrong)
