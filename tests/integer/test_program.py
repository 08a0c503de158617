"""Operations of integer programs, one by one, against exact arithmetic and PyTorch."""

import dataclasses
import typing
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from qlab import Asymmetric, Params, Quantizer
from qlab.integer import program as rooms
from qlab.integer.program import (
    Add,
    AveragePool,
    Codes,
    Concat,
    Conv2d,
    Linear,
    MaxPool,
    Operation,
    Program,
    Rescale,
    run,
    trace,
)
from qlab.integer.requantize import INT32_MAX, Requantize, requantize_by

pytestmark = pytest.mark.row("A2")

PLAIN = Requantize(np.array([1 << 30]), np.array([30]), 0, -INT32_MAX - 1, INT32_MAX)  # ×1


def floor_half(x: Fraction) -> int:
    return (x + Fraction(1, 2)).__floor__()


@pytest.mark.parametrize(
    ("channels", "out", "groups", "kernel", "stride", "padding", "dilation"),
    [
        (1, 4, 1, (3, 3), (1, 1), (1, 1), (1, 1)),
        (4, 6, 2, (3, 2), (2, 1), (1, 0), (1, 1)),
        (5, 5, 5, (3, 3), (2, 2), (1, 1), (2, 2)),
        (3, 2, 1, (1, 1), (1, 1), (0, 0), (1, 1)),
        (4, 6, 2, (3, 2), (2, 2), (0, 1, 2, 3), (1, 1)),
        (3, 3, 3, (3, 3), (2, 2), (1, 0, 0, 0), (1, 2)),
    ],
)
def test_convolution_accumulates_what_torch_does_in_exact_arithmetic(
    channels, out, groups, kernel, stride, padding, dilation
):
    rng = np.random.default_rng(0)
    w = rng.integers(-128, 128, (out, channels // groups, *kernel))
    q = rng.integers(0, 256, (3, channels, 9, 8)).astype(np.uint8)
    z, b = -37, rng.integers(-(10**6), 10**6, out)
    folded = b + z * w.reshape(out, -1).sum(1)
    op = Conv2d("y", ("x",), w, folded, PLAIN, stride, padding, dilation, groups, pad_code=-z)
    top, left, bottom, right = padding if len(padding) == 4 else 2 * padding
    h = torch.from_numpy(q.astype(np.float64) + z)  # whole numbers far below 2^53: float64 is exact
    exact = F.conv2d(
        F.pad(h, (left, right, top, bottom)),
        torch.from_numpy(w.astype(np.float64)),
        torch.from_numpy(b.astype(np.float64)),
        stride,
        0,
        dilation,
        groups,
    )
    v = op.accumulate(q)
    assert v.dtype == np.int32
    np.testing.assert_array_equal(v, exact.numpy())
    np.testing.assert_array_equal(op(q), v)


def test_two_numbers_of_padding_are_for_both_sides():
    w, q = np.arange(9).reshape(1, 1, 3, 3), np.arange(30, dtype=np.uint8).reshape(1, 1, 5, 6)
    two, four = (Conv2d("y", ("x",), w, np.zeros(1, int), PLAIN, padding=p, pad_code=7) for p in ((2, 1), (2, 1, 2, 1)))
    assert two.padding == four.padding == (2, 1, 2, 1)
    np.testing.assert_array_equal(two(q), four(q))
    assert two(q).shape == (1, 1, 7, 6)


@pytest.mark.parametrize("padding", [(1,), (1, 1, 1), (0, 0, 1, -1)])
def test_padding_that_is_none_is_refused(padding):
    with pytest.raises(ValueError, match=r"\(top, left, bottom, right\), ≥ 0, got"):
        Conv2d("y", ("x",), np.ones((1, 1, 3, 3), int), np.zeros(1, int), PLAIN, padding=padding)


def test_linear_accumulates_what_torchs_integers_do():
    rng = np.random.default_rng(1)
    w, q = rng.integers(-128, 128, (7, 50)), rng.integers(0, 256, (20, 50)).astype(np.uint8)
    b = rng.integers(-(10**6), 10**6, 7)
    op = Linear("y", ("x",), w, b, PLAIN)
    integers = torch.from_numpy(q.astype(np.int64)) @ torch.from_numpy(w).T + torch.from_numpy(b)
    np.testing.assert_array_equal(op.accumulate(q), integers.numpy())


@given(st.data())
def test_no_partial_sum_leaves_the_bound(data):
    k = data.draw(st.integers(1, 30))
    w = np.array([data.draw(st.lists(st.integers(-128, 127), min_size=k, max_size=k))])
    b = np.array([data.draw(st.integers(-(2**30), 2**30))])
    op = Linear("y", ("x",), w, b, PLAIN)
    worst = np.where(w[0] > 0, 255, 0), np.where(w[0] < 0, 255, 0)  # the largest and the smallest sum
    for q in worst:
        order = data.draw(st.permutations(range(k)))
        sums = np.cumsum([int(b[0]), *(int(w[0, i]) * int(q[i]) for i in order)])
        assert np.abs(sums).max() <= op.bound <= INT32_MAX
        assert op.accumulate(q[None].astype(np.uint8))[0, 0] == sums[-1]


def test_accumulators_that_could_overflow_cannot_be_made():
    limit = INT32_MAX // (255 * 127)  # 66311 weights of 127
    full = np.full((1, limit), 127)
    Linear("y", ("x",), full, np.array([0]), PLAIN)
    with pytest.raises(OverflowError, match=r"accumulator of 'y' may reach 2,147,51"):
        Linear("y", ("x",), np.full((1, limit + 1), 127), np.array([0]), PLAIN)
    with pytest.raises(OverflowError, match="accumulator of 'y'"):
        Linear("y", ("x",), full, np.array([30_000]), PLAIN)
    with pytest.raises(OverflowError, match="accumulator of 'y'"):
        Conv2d("y", ("x",), np.full((1, 1, 300, 300), -128), np.array([0]), PLAIN)
    with pytest.raises(OverflowError, match="fit into int32"):
        Linear("y", ("x",), np.array([[1]]), np.array([2**31]), PLAIN)
    with pytest.raises(OverflowError, match="fit into int8"):
        Linear("y", ("x",), np.array([[128]]), np.array([0]), PLAIN)
    with pytest.raises(OverflowError, match="sum of 'y'"):
        AveragePool("y", ("x",), (3000, 3000), (1, 1), 0, PLAIN)
    with pytest.raises(OverflowError, match="sum of 'y'"):
        Add("y", ("a", "b"), (2**60, 1), (0, 0), 30, 0, 0, 255)


def test_a_sum_at_the_edge_of_int32_is_right():
    limit = INT32_MAX // (255 * 127)
    op = Linear("y", ("x",), np.full((1, limit), 127), np.array([0]), PLAIN)
    q = np.full((1, limit), 255, np.uint8)
    assert int(op(q)[0, 0]) == limit * 255 * 127


scales = st.floats(1e-3, 1.0).map(lambda s: float(np.float32(s)))
zeros = st.integers(-255, 0)


@given(scales, scales, scales, zeros, zeros, zeros, st.integers(0, 255), st.integers(0, 255))
def test_addition_is_the_rounded_sum_in_the_sums_scale(s1, s2, s, z1, z2, z, q1, q2):
    ratios = [Fraction(s1) / Fraction(s), Fraction(s2) / Fraction(s)]
    n = 31 - (int(max(ratios)).bit_length())
    m = [round(r * 2**n) for r in ratios]
    add = Add("y", ("a", "b"), (m[0], m[1]), (z1, z2), n, z, 0, 255)
    got = int(add(np.array([q1], np.uint8), np.array([q2], np.uint8))[0])
    real = ratios[0] * (q1 + z1) + ratios[1] * (q2 + z2)
    ideal = min(max(floor_half(real) - z, 0), 255)
    if got != ideal:  # only where the sum is nearer to a tie than the multipliers' rounding
        tie = abs(real - floor_half(real - Fraction(1, 2)) - Fraction(1, 2))
        assert abs(got - ideal) == 1 and tie <= Fraction(510, 1 << (n + 1))


@given(scales, scales, zeros, zeros, st.lists(st.integers(0, 255), min_size=6, max_size=6))
def test_average_pooling_divides_in_the_multiplier(s1, s, z1, z, values):
    to = requantize_by([Fraction(s1) / Fraction(s) / 6], z, 0, 255)
    pool = AveragePool("y", ("x",), (2, 3), (2, 3), z1, to)
    got = int(pool(np.array(values, np.uint8).reshape(1, 1, 2, 3))[0, 0, 0, 0])
    real = Fraction(s1) * Fraction(sum(v + z1 for v in values), 6) / Fraction(s)
    ideal = min(max(floor_half(real) - z, 0), 255)
    if got != ideal:
        tie = abs(real - floor_half(real - Fraction(1, 2)) - Fraction(1, 2))
        assert abs(got - ideal) == 1 and tie <= abs(real) / 2**31


@given(scales, scales, scales, zeros, zeros, zeros, st.integers(0, 255), st.integers(0, 255))
def test_concatenation_has_one_scale_and_half_a_step_of_error(s1, s2, s, z1, z2, z, q1, q2):
    parts = []
    for name, (s_in, z_in, q) in {"a": (s1, z1, q1), "b": (s2, z2, q2)}.items():
        to = requantize_by([Fraction(s_in) / Fraction(s)], z, 0, 255)
        parts.append(Rescale(f"{name}→y", (name,), z_in, to)(np.array([[q]], np.uint8)))
    both = Codes(s, z).decode(Concat("y", ("a→y", "b→y"))(*parts))[0]
    for got, (s_in, z_in, q) in zip(both, ((s1, z1, q1), (s2, z2, q2)), strict=True):
        real = min(max(s_in * (q + z_in), s * z), s * (255 + z))
        assert abs(got - real) <= s * (0.5 + 1e-6)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1)])
def test_max_pooling_commutes_with_decoding(kernel, stride, padding):
    q = np.random.default_rng(2).integers(0, 256, (2, 3, 7, 7)).astype(np.uint8)
    codes, pair = Codes(0.1, -100), lambda v: (v, v)
    got = codes.decode(MaxPool("y", ("x",), pair(kernel), pair(stride), pair(padding))(q))
    real = F.max_pool2d(torch.from_numpy(codes.decode(q)), kernel, stride, padding)
    np.testing.assert_array_equal(got, real)


def test_codes_are_the_quantizers():
    quantizer = Quantizer(Asymmetric(8))
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 3
    params = Params(torch.tensor([0.02]), torch.tensor([-100], dtype=torch.int32))
    stored = quantizer(x, params)
    codes = Codes(float(params.scale), -100)
    np.testing.assert_array_equal(codes.encode(x.numpy()), stored.codes.numpy())
    np.testing.assert_allclose(codes.decode(stored.codes.numpy()), stored.dequantize().numpy(), rtol=1e-6)


# --- no floating point between input and output codes ----------------------------------------------------------------


def _leaves(kind):
    """Every type of number or text that a field can hold, fields of dataclasses included."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, vars(rooms))
        for field in dataclasses.fields(kind):
            yield from _leaves(hints[field.name])
    elif typing.get_origin(kind) is np.ndarray:
        yield from typing.get_args(typing.get_args(kind)[1])  # of its dtype
    elif typing.get_origin(kind) is tuple:
        for part in typing.get_args(kind):
            yield from _leaves(part)
    elif kind is not Ellipsis:
        yield kind


def _operations(kind=Operation):
    for sub in kind.__subclasses__():
        yield sub
        yield from _operations(sub)


@pytest.mark.parametrize("kind", list(_operations()), ids=lambda k: k.__name__)
def test_no_operation_can_hold_a_real_number(kind):
    assert set(_leaves(kind)) <= {str, int, np.int8, np.int32}


class Integers(np.ndarray):
    """An array that refuses to become anything but integers."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        plain = [x.view(np.ndarray) if isinstance(x, Integers) else x for x in inputs]
        if out is not None:
            kwargs["out"] = tuple(x.view(np.ndarray) if isinstance(x, Integers) else x for x in out)
        result = getattr(ufunc, method)(*plain, **kwargs)
        assert all(np.asarray(x).dtype.kind in "iub" for x in (*plain, result)), (ufunc, result)
        return result.view(Integers) if isinstance(result, np.ndarray) else result

    def astype(self, dtype, *args, **kwargs):
        assert np.dtype(dtype).kind in "iub", dtype
        return super().astype(dtype, *args, **kwargs)


def _tiny():
    to = requantize_by([Fraction(1, 300)], -3, 0, 255)
    w = np.random.default_rng(0).integers(-127, 128, (2, 1, 3, 3))
    ops = (
        Conv2d("a", ("input",), w, np.array([5, -5]), to, (1, 1), (1, 1)),
        MaxPool("b", ("a",), (2, 2), (2, 2)),
        Add("c", ("b", "b"), (3, 5), (0, 1), 3, 0, 0, 255),
        AveragePool("d", ("c",), (2, 2), (2, 2), -1, requantize_by([Fraction(1, 4)], 0, 0, 255)),
        rooms.Clamp("e", ("d",), 3, 200),
        Concat("f", ("e", "e")),
        rooms.Flatten("g", ("f",)),
        Linear("h", ("g",), np.ones((3, 4), np.int8), np.zeros(3, np.int32), PLAIN),
    )
    meaning = {name: Codes(1.0, 0) for name in ("input", *"abcdefg")} | {"h": Codes(1.0, 0, -INT32_MAX - 1, INT32_MAX)}
    program = Program(ops, (1, 4, 4), meaning)
    shapes = {k: v.shape[1:] for k, v in trace(program, np.zeros((1, 1, 4, 4), np.uint8)).items()}
    return dataclasses.replace(program, shapes=shapes)


@pytest.mark.row("A1")
def test_a_run_meets_no_real_number_and_needs_no_scale():
    program = _tiny()
    q = np.random.default_rng(3).integers(0, 256, (5, 1, 4, 4)).astype(np.uint8)
    values = trace(program, q.view(Integers))
    assert {v.dtype.kind for v in values.values()} <= {"u", "i"}
    blind = dataclasses.replace(program, codes={k: Codes(float("nan"), 0) for k in program.codes}, weight_scales={})
    np.testing.assert_array_equal(run(blind, q), run(program, q))
    np.testing.assert_array_equal(run(program, q, batch=2), run(program, q))


def test_a_program_prints_a_line_for_every_operation():
    text = str(_tiny()).splitlines()
    assert len(text) == 8 + 2
    assert text[1].startswith("a") and "conv2d(input)" in text[1] and "int8 [2, 1, 3, 3]" in text[1]
    assert "×1832519380 >>39 −Z=-3 clip 0…255" in text[1]
    assert "int32 [3]  linear(g)" in text[8]


@pytest.mark.parametrize(
    ("padding", "printed"),
    [((0, 0), "pad 0 with 9"), ((2, 2), "pad 2 with 9"), ((0, 1, 2, 3), "pad top 0 left 1 bottom 2 right 3 with 9")],
)
def test_a_convolution_prints_its_padding(padding, printed):
    op = Conv2d("y", ("x",), np.ones((1, 1, 3, 3), int), np.zeros(1, int), PLAIN, (2, 2), padding, pad_code=9)
    assert op.details.endswith(f" stride 2 {printed}")


def test_operations_do_not_change():
    op = _tiny().operations[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        op.groups = 2
    with pytest.raises(ValueError, match="read-only"):
        op.weight[0] = 0


def test_input_that_does_not_fit_is_refused():
    program = _tiny()
    with pytest.raises(TypeError, match="uint8"):
        run(program, np.zeros((1, 1, 4, 4)))
    with pytest.raises(ValueError, match="shape"):
        run(program, np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="shape"):
        run(program, np.zeros((0, 1, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="batch"):
        run(program, np.zeros((1, 1, 4, 4), np.uint8), batch=0)
    four = dataclasses.replace(program, codes={**program.codes, "input": Codes(1.0, 0, 0, 15)})
    with pytest.raises(ValueError, match="0 … 15"):
        run(four, np.full((1, 1, 4, 4), 16, np.uint8))
