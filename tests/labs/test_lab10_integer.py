"""Lab 10's right solutions agree with the library and with brute force; see test_checks.py for what all labs owe."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnxruntime as ort
import pytest
import torch

from qlab import Asymmetric, PerChannel, Quantizer, Recipe, Symmetric, quantize, zoo
from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab10_integer as lab
from qlab.data import load_calibration, load_test
from qlab.integer import Codes, Requantize, dyadic, lower, program_to_onnx, run, trace
from qlab.integer.program import Add, Linear
from qlab.network import stored_weight
from qlab.ptq import fold_batchnorm

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def test_there_are_enough_of_them():
    assert len(CASES) >= 150
    assert all(len(e.mistakes) >= 3 for e in ALL)


@pytest.mark.row("A1")
def test_the_codes_are_the_librarys_and_torchs():
    for r, S, Z in lab.ENCODE.cases:
        mine = lab.ENCODE.solution(r, S, Z)
        assert np.array_equal(mine, Codes(S, Z).encode(r))
        theirs = torch.fake_quantize_per_tensor_affine(torch.from_numpy(r).float(), S, -Z, 0, 255)
        assert np.array_equal(mine, np.rint(theirs.numpy() / S) - Z)


@pytest.mark.row("A2")
def test_the_sum_stands_for_the_layers_real_output():
    b, S_w, S_h, w, Z = lab.BIAS_CODES.cases[3]
    q = np.random.default_rng(0).integers(0, 256, (7, w.shape[1]), dtype=np.uint8)
    v = lab.ACCUMULATE.solution(q, w, lab.BIAS_CODES.solution(b, S_w, S_h, w, Z))
    real = (S_h * (q.astype(float) + Z)) @ (S_w[:, None] * w).T + b
    assert v.dtype == np.int32
    assert (np.abs(S_w * S_h * v - real) <= 0.5001 * S_w * S_h).all()


@pytest.mark.row("A2")
@pytest.mark.parametrize("bits", [4, 8, 31])
def test_the_multiplier_is_the_nearest_of_all(bits):
    rng = np.random.default_rng(bits)
    for M in [*np.exp(rng.uniform(-14, 3, 25)) % 2 ** (bits - 2), 0.25, 0.5, 0.7499]:
        m, n = lab.DYADIC.solution(float(M), bits)
        assert (m, n) == (dyadic(Fraction(float(M)), bits).m, dyadic(Fraction(float(M)), bits).n)
        assert 2 ** (bits - 1) <= m < 2**bits
        if bits <= 4:
            best = min(
                abs(Fraction(k, 1) / Fraction(2) ** s - Fraction(float(M)))
                for k in range(2 ** (bits - 1), 2**bits)
                for s in range(-5, 40)
            )
            assert abs(Fraction(m, 1) / Fraction(2) ** n - Fraction(float(M))) == best


@pytest.mark.row("A2")
def test_requantization_and_addition_are_the_librarys_and_exact():
    for v, m, n, Z, low, high in lab.REQUANTIZE.cases:
        mine = lab.REQUANTIZE.solution(v, m, n, Z, low, high)
        assert np.array_equal(mine, Requantize(m, n, Z, low, high)(v))
        for (i, o), x in itertools.islice(np.ndenumerate(v), 40):
            exact = math.floor(Fraction(int(m[o]) * int(x), 2 ** int(n[o])) + Fraction(1, 2)) - Z
            assert mine[i, o] == min(max(exact, low), high)
    for q1, q2, Z1, Z2, m1, m2, n, Z, low, high in lab.ADD.cases:
        theirs = Add("y", ("a", "b"), (m1, m2), (Z1, Z2), n, Z, low, high)(q1, q2)
        assert np.array_equal(lab.ADD.solution(q1, q2, Z1, Z2, m1, m2, n, Z, low, high), theirs)


@pytest.mark.row("A2")
def test_the_bound_holds_for_every_picture_and_every_order_and_is_reached():
    w, beta = np.array([[3, -2, 100], [-128, 5, -128]], np.int8), np.array([-400, -7], np.int32)
    largest = 0
    for q in itertools.product((0, 1, 255), repeat=3):
        for o in range(2):
            terms = [int(beta[o]), *(int(a) * b for a, b in zip(w[o], q, strict=True))]
            for order in itertools.permutations(terms):
                largest = max(largest, *map(abs, itertools.accumulate(order)))
    assert largest <= lab.BOUND.solution(w, beta)
    one_sided = np.array([[-3, -2]], np.int8), np.array([-4], np.int32)
    assert lab.BOUND.solution(*one_sided) == abs(255 * -3 + 255 * -2 - 4)
    halve = Requantize(np.array([1]), np.array([1]), 0, 0, 255)
    for w, beta in lab.BOUND.cases:
        if w.min() > -128:
            assert lab.BOUND.solution(w, beta) == Linear("y", ("x",), w, beta, halve).bound


def test_other_right_solutions_pass():
    check(lab.ENCODE, lambda r, S, Z: np.round(np.asarray(r) / S - Z).clip(0, 255).astype("uint8"))
    check(
        lab.BIAS_CODES,
        lambda b, S_w, S_h, w, Z_h: (np.round(b / S_w / S_h).astype(int) + (w.astype(int) * Z_h).sum(axis=1)).astype(
            "i4"
        ),
    )
    check(lab.ACCUMULATE, lambda q, w, beta: np.einsum("nk,ok->no", q.astype("i4"), w.astype("i4")) + beta)
    check(
        lab.ACCUMULATE,
        lambda q, w, beta: (q[:, None, :].astype(np.int64) * w).sum(-1) + beta,
    )

    def by_logarithm(M, bits):
        n = bits - 1 - math.floor(math.log2(M))
        m = round(M * 2**n)
        return (m, n) if m < 2**bits else (m >> 1, n - 1)

    def by_loop(M, bits):
        n = 0
        while round(M * 2**n) < 2 ** (bits - 1):
            n += 1
        return round(M * 2**n), n

    check(lab.DYADIC, by_logarithm)
    check(lab.DYADIC, by_loop)

    def with_integers(v, m, n, Z, low, high):
        code = [
            [
                min(max(((int(m[o]) * int(x) + 2 ** (int(n[o]) - 1)) // 2 ** int(n[o])) - Z, low), high)
                for o, x in enumerate(r)
            ]
            for r in v
        ]
        return np.array(code)

    check(lab.REQUANTIZE, with_integers)
    check(
        lab.BOUND,
        lambda w, beta: max(abs(int(b)) + 255 * sum(abs(int(x)) for x in r) for r, b in zip(w, beta, strict=True)),
    )

    def recursive(layers, q):
        if not layers:
            return q
        w, beta, *rest = layers[0]
        v = lab.ACCUMULATE.solution(q.reshape(len(q), -1), w, beta)
        return recursive(layers[1:], lab.REQUANTIZE.solution(v, *rest))

    check(lab.RUN, recursive)
    check(
        lab.ADD,
        lambda a, b, Z1, Z2, m1, m2, n, Z, low, high: np.clip(
            (m1 * a.astype(np.int64) + m2 * b.astype(np.int64) + (m1 * Z1 + m2 * Z2 + 2 ** (n - 1))) // 2**n - Z,
            low,
            high,
        ).astype("u1"),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("exercise", "attempt", "words"),
    [
        (lab.ENCODE, lambda r, S, Z: np.clip(np.rint(r / S) - Z, 0, 255), "must be of an integer type, got float64"),
        (lab.ENCODE, lambda r, S, Z: [0], "expected"),
        (
            lab.BIAS_CODES,
            lambda b, S_w, S_h, w, Z_h: b / (S_w * S_h) + Z_h * w,
            "stopped with (OverflowError|ValueError)|its shape",
        ),
        (lab.ACCUMULATE, lambda q, w, beta: q @ w + beta, "stopped with ValueError"),
        (lab.ACCUMULATE, lambda q, w, beta: np.add(beta, 1, out=beta), "changed its argument beta"),
        (lab.DYADIC, lambda M, bits: round(M * 2**bits), "expected"),
        (lab.DYADIC, lambda M, bits: (math.frexp(M)[0] * 2**bits, bits - math.frexp(M)[1]), "expected"),
        (lab.BOUND, lambda w, beta: 255 * np.abs(w).sum(1) + np.abs(beta), "its shape|expected"),
        (lab.BOUND, lambda w, beta: max(255 * w), "stopped with OverflowError"),
        (lab.RUN, lambda layers, q: [layer for layer in layers] and None, "is `return` missing"),
        (lab.RUN, lambda layers, q: q @ layers[0][0].T, "stopped with ValueError"),
        (
            lab.ADD,
            lambda a, b, Z1, Z2, m1, m2, n, Z, low, high: (m1 * (a + Z1) + m2 * (b + Z2)) >> n,
            "stopped with OverflowError",
        ),
    ],
)
def test_what_goes_wrong_in_other_ways_is_answered_in_words(exercise, attempt, words):
    with pytest.raises(CheckFailed, match=words):
        check(exercise, attempt)


@pytest.fixture(scope="module")
def networks():
    recipe = Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8)))
    calibration = load_calibration(128).tensors()[0]
    models = {n: quantize(fold_batchnorm(zoo.load(n)), recipe, [calibration]) for n in ("mlp", "resnet")}
    return models, {n: lower(m, [calibration]) for n, m in models.items()}


def layers_of(model, program, bits=31):
    """The MLP's layers from the lab's own functions, as its notebook makes them."""
    layers, read = [], {k: model.get_submodule(k).activation_quantizer.params for k in ("1", "3", "5")}
    for k, follower in (("1", "3"), ("3", "5"), ("5", None)):
        layer = model.get_submodule(k)
        w = stored_weight(layer).codes.numpy()
        S_w = stored_weight(layer).params.scale.numpy().astype(float)
        S_h, Z_h = float(read[k].scale), int(read[k].zero_point)
        beta = lab.BIAS_CODES.solution(layer.bias.detach().numpy().astype(float), S_w, S_h, w, Z_h)
        S_a = float(read[follower].scale) if follower else float(np.float32((S_w * S_h).max()))
        Z_a = int(read[follower].zero_point) if follower else 0
        ends = (-Z_a, 255) if follower else lab.INT32
        pairs = [lab.DYADIC.solution(float(M), bits) for M in S_w * S_h / S_a]
        m, n = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
        layers.append((w, beta, m, n, Z_a, *ends))
    return layers


@pytest.mark.row("A1", "A2")
@pytest.mark.slow
def test_the_whole_mlp_is_the_librarys_program_and_onnx_runtimes(networks):
    model, program = (part["mlp"] for part in networks)
    x = load_test()[:300].tensors()[0].numpy()
    q = lab.ENCODE.solution(x, program.input.scale, program.input.zero_point)
    mine = lab.RUN.solution(layers_of(model, program), q)
    assert np.array_equal(mine, run(program, q))
    session = ort.InferenceSession(program_to_onnx(program, "integer"), providers=["CPUExecutionProvider"])
    assert np.array_equal(mine, session.run(None, {"input": q})[0])


@pytest.mark.row("A2")
@pytest.mark.slow
def test_the_answers_to_the_questions(networks):
    model, program = (part["mlp"] for part in networks)
    layers = layers_of(model, program)
    x = load_test()[:500].tensors()[0].numpy()
    q = program.input.encode(x)
    flat = q.reshape(len(q), -1)
    w, beta, m, n, *rest = layers[0]

    bound = lab.BOUND.solution(w, beta)
    assert lab.QUESTIONS[0].solution == bound.bit_length() + 1

    v = lab.ACCUMULATE.solution(flat, w, beta)
    ours = lab.REQUANTIZE.solution(v, m, n, *rest)
    share = {}
    for bits in (4, 12):
        _, _, m_bits, n_bits, *_ = layers_of(model, program, bits)[0]
        share[bits] = (lab.REQUANTIZE.solution(v, m_bits, n_bits, *rest) != ours).mean()
    assert lab.QUESTIONS[1].solution == "b"
    assert 1.6 < (share[4] / share[12]) ** (1 / 8) < 2.4

    assert lab.QUESTIONS[2].solution == -program.input.zero_point == networks[1]["resnet"].operations[0].pad_code

    wrong = lab.REQUANTIZE.solution(lab._saturating_pairs(flat[:40], w, beta), m, n, *rest)
    assert lab.QUESTIONS[3].solution == "c"
    assert 0.06 < (wrong != ours[:40]).mean() < 0.16

    real = model[:3](torch.from_numpy(x)).detach().numpy()
    codes = program.codes["1"]
    near = m * 0.5**n * v.astype(float)
    near = np.abs(near - np.floor(near) - 0.5)
    differ = codes.encode(real) != ours
    assert lab.QUESTIONS[4].solution == "d"
    assert (near[differ] < 1e-3).all() and differ.mean() < 1e-4


@pytest.mark.row("A2")
@pytest.mark.slow
def test_padding_with_code_zero_would_be_wrong(networks):
    """What question 3 warns of."""
    program = networks[1]["resnet"]
    q = program.input.encode(load_test()[:20].tensors()[0].numpy())
    first = replace(program.operations[0], pad_code=0)
    other = trace(replace(program, operations=(first, *program.operations[1:])), q)
    assert (other["0"] != trace(program, q)["0"]).mean() > 0.03
