"""Lab 14's right solutions agree with the library, ONNX and brute force; see test_checks.py for what all labs owe."""

from itertools import product as every

import numpy as np
import onnx
import pytest
import torch
from ml_dtypes import int4
from numba import njit

from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab14_packing as lab
from qlab.hardware.kernels import pack_matrix, product
from qlab.hardware.kernels.weights import longest
from qlab.hardware.roofline import Roofline
from qlab.packing import pack, packed_bytes

ALL = [*lab.EXERCISES, *lab.QUESTIONS]


def codes(seed, *shape):
    return np.random.default_rng(seed).integers(-8, 8, shape, dtype=np.int8)


def inputs(seed, *shape):
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def compiled(term, kind=np.int32):
    term = njit(term)

    @njit
    def dot4(w, low, high):
        total = kind(0)
        for k in range(len(w)):
            total = kind(total + term(np.int32(w[k]), np.int32(low[k]), np.int32(high[k])))
        return total

    return dot4


def test_there_are_enough_of_them():
    assert sum(len(e.mistakes) for e in ALL) >= 150
    assert all(len(e.mistakes) >= 3 for e in ALL)
    for exercise in ALL:
        hints = [m.hint for m in exercise.mistakes]
        assert len(set(hints)) > 0.75 * len(hints)


@pytest.mark.row("C5")
@pytest.mark.parametrize("shape", [(1, 1), (3, 6), (4, 31)])
def test_bytes_are_the_librarys_and_come_apart_again(shape):
    q = codes(0, *shape)
    data = lab.PACK4.solution(q)
    for row, stored in zip(q, data, strict=True):
        assert np.array_equal(stored, pack(torch.from_numpy(row) + 8, bits=4).numpy())
    assert np.array_equal(data, pack_matrix(torch.from_numpy(q), 4).data[: shape[0], : data.shape[1]])
    assert np.array_equal(lab.UNPACK4.solution(data, shape[1]), q)


@pytest.mark.row("C5")
def test_the_other_form_is_that_of_onnx():
    q = codes(1, 5, 12)
    raw = np.frombuffer(onnx.numpy_helper.from_array(q.astype(int4)).raw_data, np.uint8).reshape(5, 6)
    assert np.array_equal(lab.UNPACK_TWOS.solution(raw, 12), q)
    assert np.array_equal(lab.PACK4.solution(q) ^ 0x88, raw)


@pytest.mark.row("C5")
@pytest.mark.parametrize(("rows", "columns", "group"), [(1, 1, 1), (3, 10, 4), (7, 65, 32)])
def test_bytes_are_counted_one_by_one(rows, columns, group):
    scales = len({(i, k // group) for i in range(rows) for k in range(columns)})
    assert lab.STORED_BYTES.solution(rows, columns, group) == rows * packed_bytes(columns, 4) + 2 * scales


@pytest.mark.row("C6")
@pytest.mark.parametrize("columns", [1, 8, 37])
def test_products_are_the_librarys(columns):
    q, x = codes(2, 6, columns), inputs(3, columns)
    data, laid = lab.PACK4.solution(q), lab.ARRANGE.solution(x)
    theirs = product(pack_matrix(torch.from_numpy(q), 4), torch.from_numpy(x), "numpy").numpy()
    assert np.array_equal(lab.MATVEC.solution(data, laid), theirs)
    sums = [lab.DOT4.solution(row, *laid) - 8 * int(x.astype(int).sum()) for row in data]
    assert sums == theirs.tolist() == (q.astype(int) @ x.astype(int)).tolist()


@pytest.mark.row("C6")
def test_pairs_saturate_one_by_one():
    u, x = np.random.default_rng(4).integers(0, 256, 400, dtype=np.uint8), inputs(5, 400)
    expected = [
        max(-(2**15), min(2**15 - 1, int(u[k]) * int(x[k]) + int(u[k + 1]) * int(x[k + 1]))) for k in range(0, 400, 2)
    ]
    assert lab.MADD.solution(u, x).tolist() == expected
    assert {2**15 - 1, -(2**15)} <= set(expected)


@pytest.mark.row("C6")
def test_the_longest_row_fits_and_one_more_does_not():
    assert [lab.LONGEST_ROW.solution(bits, 32) for bits in (2, 4, 8)] == [longest(bits) for bits in (2, 4, 8)]
    for bits, width in every((2, 3, 4, 8), (16, 20, 32)):
        k, u = lab.LONGEST_ROW.solution(bits, width), 2**bits - 1
        assert all(-(2 ** (width - 1)) <= k * u * x <= 2 ** (width - 1) - 1 for x in (-128, 127))
        assert -(k + 1) * u * 128 < -(2 ** (width - 1))


@pytest.mark.row("C6")
def test_the_limit_is_the_roofline():
    roof = Roofline(150.0, ((2**20, 90.0), (2**27, 20.0)))
    for bits, batch in every((2, 4, 8, 32), (1, 5, 40, 300)):
        n = 4096**2
        operations = 2 * n * batch
        rate = 1e9 * roof.attainable(operations / (n * bits / 8))
        assert np.isclose(lab.SECONDS.solution(n, bits, batch, 150e9, 20e9), operations / rate)
    q5 = lab.SECONDS.solution(10**6, 32, 8, 96e9, 12e9) / lab.SECONDS.solution(10**6, 4, 8, 96e9, 12e9)
    assert q5 == pytest.approx(lab.QUESTIONS[4].solution)


def test_the_compiled_solution_gives_numbers_of_32_bits():
    """A solution and a student that fail in the same way would look equal: so see that it does not fail."""
    w, low, high = lab.DOT4.cases[0]
    assert lab.DOT4.use(lab.DOT4.solution, w, low, high) == 540
    assert lab.DOT4.solution.nopython_signatures[0].return_type.name == "int32"


def test_other_right_solutions_pass():
    def by_bytes(q):
        rows = [(row + 8).tolist() + [0] * (q.shape[1] % 2) for row in q]
        return np.array([[r[k] + 16 * r[k + 1] for k in range(0, len(r), 2)] for r in rows], np.uint8)

    def by_divmod(data, columns):
        high, low = np.divmod(data, 16)
        return np.dstack([low, high]).reshape(len(data), -1)[:, :columns].astype(np.int8) - np.int8(8)

    def by_shifts(data, columns):
        out = np.empty((len(data), 2 * data.shape[1]), np.int8)
        out[:, ::2] = (data << 4).view(np.int8) >> 4
        out[:, 1::2] = data.view(np.int8) >> 4
        return out[:, :columns]

    def unpacked(data, laid):
        q = lab.UNPACK4.solution(data, 2 * data.shape[1]).astype(np.int32)
        return q[:, ::2] @ laid[0].astype(np.int32) + q[:, 1::2] @ laid[1].astype(np.int32)

    @njit
    def in_two_loops(w, low, high):
        total = np.int32(0)
        for k in range(w.size):
            total = np.int32(total + np.int32(w[k] % 16) * np.int32(low[k]))
        for k in range(w.size):
            total = np.int32(total + np.int32(w[k] // 16) * np.int32(high[k]))
        return total

    check(lab.PACK4, by_bytes)
    check(lab.UNPACK4, by_divmod)
    check(lab.UNPACK_TWOS, by_shifts)
    check(lab.STORED_BYTES, lambda r, c, g: r * (packed_bytes(c, 4) + 2 * len(range(0, c, g))))
    check(lab.ARRANGE, lambda x: np.resize(np.append(x, np.int8(0)), len(x) + len(x) % 2).reshape(-1, 2).T)
    check(lab.MATVEC, unpacked)
    check(lab.MADD, lambda u, x: np.clip(u[::2] * 1.0 * x[::2] + u[1::2] * 1.0 * x[1::2], -32768, 32767).astype("i2"))
    check(lab.LONGEST_ROW, lambda b, a: int(2 ** (a - 1) / ((2**b - 1) * 128)))
    check(lab.DOT4, in_two_loops)
    check(lab.DOT4, lab.loop(np.int32))


@pytest.mark.parametrize(
    ("dot4", "words"),
    [
        (compiled(lambda w, a, b: (w & 15) * a + (w >> 4) * b, np.int16), "the sum has 16 bits"),
        (compiled(lambda w, a, b: (w & 15) * a + (w >> 4) * b, np.float64), "real numbers on the way"),
        (compiled(lambda w, a, b: ((w & 15) - 8) * a + ((w >> 4) - 8) * b), "8 is subtracted in the loop"),
        (compiled(lambda w, a, b: (w & 15) * b + (w >> 4) * a), "met each other's partners"),
        (compiled(lambda w, a, b: (w & 15) * a), "only the low halves"),
    ],
)
def test_the_seeded_sums_are_those_of_compiled_loops(dot4, words):
    with pytest.raises(CheckFailed, match=words):
        check(lab.DOT4, dot4)


@njit
def _blank(w, low, high):
    raise NotImplementedError()


@njit
def _no_return(w, low, high):
    np.int32(0)


@njit
def _through_reals(w, low, high):
    total = 0.0
    for k in range(len(w)):
        total += (w[k] & 15) * low[k] + (w[k] >> 4) * high[k]
    return np.int32(total)


@njit
def _plus_equals(w, low, high):
    total = np.int32(0)
    for k in range(len(w)):
        total += (w[k] & 15) * low[k] + (w[k] >> 4) * high[k]
    return total


@njit
def _numpy_style(w, low, high):
    return ((w & 15) * low + (w >> 4) * high).sum()


@njit
def _by_dot(w, low, high):
    return np.dot(w & 15, low) + np.dot(w >> 4, high)


@njit
def _misspelt(w, low, high):
    return np.int32(totl)  # noqa: F821


@njit
def _product_array(w, low, high):
    return (w & 15) * low


def in_place(q):
    q += 8
    return lab.PACK4.solution(q)


@pytest.mark.parametrize(
    ("exercise", "wrong", "words"),
    [
        (lab.PACK4, ..., "nothing here yet"),
        (lab.PACK4, lambda q: None, "is `return` missing"),
        (lab.PACK4, in_place, "changed its argument q"),
        (lab.PACK4, lambda q: lab.PACK4.solution(q).tolist(), "return a NumPy array, got list"),
        (lab.PACK4, lambda q: lab.PACK4.solution(q).astype(int), r"must be np.uint8, got int64: use"),
        (lab.PACK4, lambda q: q[:, ::2] + np.uint8(8) | q[:, 1::2] + np.uint8(8) << 4, "Fill the row up before"),
        (lab.PACK4, lambda q: lab.PACK4.solution(q).astype(np.int8), "the bytes have a sign"),
        (lab.MATVEC, lambda d, x: ((d & 15) - 8) @ x[0] + ((d >> 4) - 8) @ x[1], "uint8 has no negative numbers"),
        (
            lab.MATVEC,
            lambda d, x: ((d & 15).astype("i1") - 8) @ x[0] + ((d >> 4).astype("i1") - 8) @ x[1],
            "int8 @ int8 in int8",
        ),
        (lab.UNPACK4, lambda d, c: lab.UNPACK4.solution(d, c).astype(float), "must be np.int8, got float64"),
        (lab.UNPACK4, lambda d, c: (np.dstack([d & 15, d >> 4]).reshape(len(d), -1) - 8)[:, :c], "1 − 8 became 249"),
        (lab.UNPACK_TWOS, lambda d, c: np.dstack([d & 15, d >> 4]).reshape(len(d), -1)[:, :c], "sign is missing"),
        (lab.UNPACK_TWOS, lambda d, c: lab.UNPACK4.solution(d, c), "the form of section 1"),
        (lab.ARRANGE, lambda x: np.stack([x[::2], x[1::2]]), "same shape"),
        (lab.MATVEC, lambda d, x: (d & 15) @ x[0] + (d >> 4) @ x[1] - 8 * x.sum(), "keeps uint8 @ int8 in int16"),
        (lab.MATVEC, lambda d, x: lab.MATVEC.solution(d, x).astype(float), "must be np.int32, got float64"),
        (lab.MADD, lambda u, x: (u * x).reshape(-1, 2).sum(1).astype(np.int16), "16 bits wrap around"),
        (lab.LONGEST_ROW, lambda b, a: 2 ** (a - 1) / ((2**b - 1) * 128), "expected|whole number"),
        (lab.DOT4, _blank, "nothing here yet"),
        (lab.DOT4, ..., "nothing here yet"),
        (lab.DOT4, _no_return, "is `return` missing"),
        (lab.DOT4, _plus_equals, "the sum has 64 bits"),
        (lab.DOT4, _plus_equals.py_func, "it is not compiled"),
        (lab.DOT4, _through_reals, "real numbers on the way"),
        (lab.DOT4, _numpy_style, "arrays are made on the way"),
        (lab.DOT4, _by_dot, "Numba cannot compile it: No implementation of function"),
        (lab.DOT4, _misspelt, "Numba cannot compile it: NameError: name 'totl' is not defined"),
        (lab.DOT4, _product_array, r"return one number, got an array of shape \(2,\)"),
        (lab.SECONDS, lambda n, b, N, P, B: n * b / 8 / B + 2 * n * N / P, "both times are added"),
        (lab.QUESTIONS[0], 4.5, "groups of 32"),
        (lab.QUESTIONS[4], 8, "ratio of the bytes"),
    ],
)
def test_what_often_goes_wrong_is_answered_in_words(exercise, wrong, words):
    with pytest.raises(CheckFailed, match=words):
        check(exercise, wrong)
