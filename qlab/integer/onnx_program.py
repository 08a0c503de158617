"""A program of integer operations as an ONNX model, in three forms.

========= ============================================== ============================================================
form      a layer becomes                                what the standard fixes
========= ============================================== ============================================================
integer   ConvInteger or MatMulInteger, Add, then        everything: all are integer operations, so every tensor of
          int64 Mul, Add, Mod, Sub, Div, Clip            every conforming engine is equal to ours to the last integer
qlinear   QLinearConv                                    sums are exact; the requantization multiplies by a float32 and
                                                         rounds ties to even, so codes near a tie may differ by one
qdq       DequantizeLinear, Conv, Relu, QuantizeLinear   nothing but the rounding of each float32 operation; an engine
                                                         may fuse the pattern into integer kernels
========= ============================================== ============================================================

⌊v/2^n⌋ is written (v − (v mod 2^n))/2^n, since ONNX's Div cuts towards zero. ONNX writes zp = −Z.

Weights may be stored as uint8 with zero point 128 instead of int8 with zero point 0: the same integers. It matters
on x86 processors without VNNI: u8·s8 products are summed in pairs in int16, which saturates; u8·u8 ones are not.

Source: ONNX operator set 21 (ConvInteger, MatMulInteger, QLinearConv, QuantizeLinear, Mod).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qlab.integer.program import (
    Add,
    AveragePool,
    Clamp,
    Codes,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    MaxPool,
    Operation,
    Program,
    Rescale,
)
from qlab.integer.requantize import Requantize
from qlab.integer.simulate import plain_bias

__all__ = ["program_to_onnx"]

Form = Literal["integer", "qlinear", "qdq"]


class _Writer:
    """Collects nodes and constants."""

    def __init__(self, program: Program, form: Form, unsigned_weights: bool) -> None:
        self.program, self.form, self.unsigned = program, form, unsigned_weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, op: Conv2d | Linear, values: NDArray, shape: tuple[int, ...] = ()) -> list[str]:
        """Return the names of the weight's codes and of their zero points, as many as `shape` says."""
        up, kind = (128, np.uint8) if self.unsigned else (0, np.int8)
        codes = self.constant(f"{op.name}.weight", (values.astype(np.int16) + up).astype(kind))
        return [codes, self.constant(f"{op.name}.weight.zp", np.full(shape, up, kind))]

    def zero_point(self, name: str, codes: Codes) -> str:
        return self.constant(f"{name}.zp", np.uint8(-codes.zero_point))

    def dequantized(self, op: Operation, place: int) -> str:
        """Return source `place` of `op` as real numbers."""
        source = op.sources[place]
        codes = self.program.codes[source]
        name = f"{op.name}.in{place}"
        about = [self.constant(f"{name}.scale", np.float32(codes.scale)), self.zero_point(name, codes)]
        return self.node("DequantizeLinear", [source, *about], name)

    def quantized(self, op: Operation, real: str, low: int, high: int) -> str:
        """Quantize `real` as the result of `op`; a fused ReLU clips before."""
        codes = self.program.codes[op.name]
        if (low, high) != (0, 255):
            ends = [np.float32(codes.scale) * np.float32(end + codes.zero_point) for end in (low, high)]
            names = [self.constant(f"{op.name}.{k}", e) for k, e in zip(("low", "high"), ends, strict=True)]
            real = self.node("Clip", [real, *names], f"{op.name}.clipped")
        about = [self.constant(f"{op.name}.scale", np.float32(codes.scale)), self.zero_point(op.name, codes)]
        return self.node("QuantizeLinear", [real, *about], op.name)

    def requantized(self, op: Operation, v: str, by: Requantize, rank: int) -> str:
        """Write clip((m·v + 2^(n−1)) >> n − Z) in int64 operations."""
        column = (-1, *[1] * (rank - 2))
        m, n = (x.astype(np.int64).reshape(column) for x in (by.multiplier, by.shift))
        product = self.node("Mul", [self.wide(v), self.constant(f"{op.name}.m", m)], f"{op.name}.product")
        return self.shifted(op, product, n, by.zero_point, by.low, by.high, by.dtype)

    def shifted(self, op: Operation, v: str, n: Any, z: int, low: int, high: int, dtype: Any) -> str:
        from onnx import helper

        name, divisor = op.name, np.int64(1) << np.asarray(n, np.int64)
        power = self.constant(f"{name}.2^n", divisor)
        rounded = self.node("Add", [v, self.constant(f"{name}.half", divisor >> 1)], f"{name}.rounded")
        rest = self.node("Mod", [rounded, power], f"{name}.rest")
        whole = self.node("Sub", [rounded, rest], f"{name}.whole")
        index = self.node("Div", [whole, power], f"{name}.index")
        moved = self.node("Sub", [index, self.constant(f"{name}.Z", np.int64(z))], f"{name}.moved")
        ends = [self.constant(f"{name}.{k}", np.int64(v)) for k, v in (("low", low), ("high", high))]
        clipped = self.node("Clip", [moved, *ends], f"{name}.clipped")
        return self.node("Cast", [clipped], name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def wide(self, v: str) -> str:
        from onnx import TensorProto

        return self.node("Cast", [v], f"{v}.int64", to=TensorProto.INT64)

    def single(self, v: str, name: str) -> str:
        from onnx import TensorProto

        return self.node("Cast", [v], name, to=TensorProto.FLOAT)


def program_to_onnx(
    program: Program,
    form: Form = "integer",
    unsigned_weights: bool = True,
    outputs: list[str] | None = None,
    inputs: list[str] | None = None,
    path: str | Path | None = None,
) -> bytes:
    """Return `program`, or a part of it, as an ONNX model whose input "input" holds uint8 codes.

    Parameters
    ----------
    program : Program
    form : {"integer", "qlinear", "qdq"}
        See the table at the head of this file. The answers are int32 codes in the integer form, and their real values
        r̃ in float32 in the other two.
    unsigned_weights : bool
        Store weights as uint8 with zero point 128 (integers that no known kernel saturates), or as int8.
    outputs : list of str, optional
        Results to return, by their names in the program; by default the answers.
    inputs : list of str, optional
        Results that are fed as inputs instead of being computed, to look at a few operations alone.
    path : path, optional
        Also write the model there (atomically).

    Returns
    -------
    bytes
        The serialized model, operator set 21.

    Raises
    ------
    ValueError
        If there is no such form, or no such result, or the outputs need more than the inputs.

    Survey-map rows: A1, F1.
    """
    from onnx import TensorProto, checker, helper

    if form not in ("integer", "qlinear", "qdq"):
        raise ValueError(f'form must be "integer", "qlinear" or "qdq", got {form!r}')
    last = program.operations[-1].name
    wanted = [last] if outputs is None else list(outputs)
    if odd := [name for name in wanted if name not in program.shapes]:
        raise ValueError(f"outputs must be names of results, got {odd}; they are {', '.join(program.shapes)}")
    fed = ["input"] if inputs is None else list(inputs)
    writer = _Writer(program, form, unsigned_weights)
    for op in _between(program, fed, wanted):
        _write(writer, op)
    about = helper.make_tensor_value_info
    results = []
    for name in wanted:
        kind = TensorProto.UINT8
        if program.codes[name].high > 255:
            kind = TensorProto.INT32 if form == "integer" else TensorProto.FLOAT
        results.append(about(name, kind, ["batch", *program.shapes[name]]))
    graph = helper.make_graph(
        writer.nodes,
        "qlab",
        [about(n, TensorProto.UINT8, ["batch", *{"input": program.shape, **program.shapes}[n]]) for n in fed],
        results,
        writer.constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(proto)
    data = bytes(proto.SerializeToString())
    if path is not None:
        temporary = Path(f"{path}.tmp")
        temporary.write_bytes(data)
        os.replace(temporary, path)
    return data


def _between(program: Program, inputs: list[str], outputs: list[str]) -> list[Operation]:
    """Return the operations that lead from `inputs` to `outputs`, in order."""
    by_name = {op.name: op for op in program.operations}
    needed, waiting = set(), [name for name in outputs if name not in inputs]
    while waiting:
        name = waiting.pop()
        if name not in by_name:
            raise ValueError(f"inputs must hold all that the outputs need, got {inputs}, but {name!r} is needed")
        if name not in needed:
            needed.add(name)
            waiting += [source for source in by_name[name].sources if source not in inputs]
    return [op for op in program.operations if op.name in needed]


def _write(w: _Writer, op: Operation) -> None:
    if isinstance(op, (Conv2d, Linear)):
        _layer(w, op)
    elif isinstance(op, MaxPool):
        k, s, p = list(op.kernel), list(op.stride), list(op.padding)
        w.node("MaxPool", [*op.sources], op.name, kernel_shape=k, strides=s, pads=[*p, *p])
    elif isinstance(op, Flatten):
        w.node("Flatten", [*op.sources], op.name, axis=1)
    elif isinstance(op, Concat):
        w.node("Concat", [*op.sources], op.name, axis=1)
    elif isinstance(op, Clamp):
        ends = [w.constant(f"{op.name}.{k}", np.uint8(v)) for k, v in (("low", op.low), ("high", op.high))]
        w.node("Clip", [*op.sources, *ends], op.name)
    elif w.form == "integer":
        _integer(w, op)
    else:
        _real(w, op)


def _geometry(op: Conv2d) -> dict[str, Any]:
    return {
        "kernel_shape": list(op.weight.shape[2:]),
        "strides": list(op.stride),
        "pads": list(op.padding),
        "dilations": list(op.dilation),
        "group": op.groups,
    }


def _layer(w: _Writer, op: Conv2d | Linear) -> None:
    answers = w.program.codes[op.name].high > 255
    if w.form == "integer":
        w.requantized(op, _accumulator(w, op), op.requantize, op.weight.ndim)
    elif answers and w.form == "qlinear":  # no operator of the standard gives int32 and takes a bias
        given = w.program.codes[op.sources[0]]
        scale = w.program.weight_scales[op.name] * np.float32(given.scale)
        column = scale.reshape(-1, *[1] * (op.weight.ndim - 2))
        real = w.single(_accumulator(w, op), f"{op.name}.float")
        w.node("Mul", [real, w.constant(f"{op.name}.scale", column)], op.name)
    elif w.form == "qlinear":
        _qlinear(w, op)
    else:
        _qdq(w, op, answers)


def _accumulator(w: _Writer, op: Conv2d | Linear) -> str:
    """Write v = Σ w·(q + Z) + bias in int32."""
    given = w.program.codes[op.sources[0]]
    zero = w.zero_point(f"{op.name}.in", given)
    bias = plain_bias(op, given).astype(np.int32)
    if isinstance(op, Linear):
        weight, wz = w.weight(op, op.weight.T)
        sums = w.node("MatMulInteger", [op.sources[0], weight, zero, wz], f"{op.name}.sums")
    else:
        weight, wz = w.weight(op, op.weight)
        sums = w.node("ConvInteger", [op.sources[0], weight, zero, wz], f"{op.name}.sums", **_geometry(op))
        bias = bias[:, None, None]
    return w.node("Add", [sums, w.constant(f"{op.name}.bias", bias)], f"{op.name}.v")


def _qlinear(w: _Writer, op: Conv2d | Linear) -> None:
    """Write QLinearConv; a linear layer is a 1×1 convolution of a picture of one pixel."""
    given, out = w.program.codes[op.sources[0]], w.program.codes[op.name]
    linear = isinstance(op, Linear)
    scale = w.program.weight_scales[op.name]
    weight, wz = w.weight(op, op.weight[:, :, None, None] if linear else op.weight, scale.shape)
    source = op.sources[0]
    if linear:
        axes = w.constant(f"{op.name}.axes", np.array([2, 3]))
        source = w.node("Unsqueeze", [source, axes], f"{op.name}.pixel")
    inputs = [
        source,
        w.constant(f"{op.name}.in.scale", np.float32(given.scale)),
        w.zero_point(f"{op.name}.in", given),
        weight,
        w.constant(f"{op.name}.weight.scale", scale),
        wz,
        w.constant(f"{op.name}.scale", np.float32(out.scale)),
        w.zero_point(op.name, out),
        w.constant(f"{op.name}.bias", plain_bias(op, given).astype(np.int32)),
    ]
    low, high = op.requantize.low, op.requantize.high
    narrow = (low, high) != (0, 255)
    name = f"{op.name}.wide" if narrow or linear else op.name
    last = w.node("QLinearConv", inputs, name, **({} if linear else _geometry(op)))  # type: ignore[arg-type]
    if linear:
        last = w.node("Flatten", [last], f"{op.name}.flat" if narrow else op.name, axis=1)
    if narrow:
        ends = [w.constant(f"{op.name}.{k}", np.uint8(v)) for k, v in (("low", low), ("high", high))]
        w.node("Clip", [last, *ends], op.name)


def _qdq(w: _Writer, op: Conv2d | Linear, answers: bool) -> None:
    given, scale = w.program.codes[op.sources[0]], w.program.weight_scales[op.name]
    weight, zp = w.weight(op, op.weight, scale.shape)
    parts = [weight, w.constant(f"{op.name}.weight.scale", scale), zp]
    real = w.node("DequantizeLinear", parts, f"{op.name}.weight.real", axis=0)
    unit = np.broadcast_to(scale * np.float32(given.scale), op.bias.shape)
    parts = [
        w.constant(f"{op.name}.bias", plain_bias(op, given).astype(np.int32)),
        w.constant(f"{op.name}.bias.scale", unit),
    ]
    bias = w.node("DequantizeLinear", parts, f"{op.name}.bias.real", axis=0)
    inputs = [w.dequantized(op, 0), real, bias]
    name = op.name if answers else f"{op.name}.real"
    if isinstance(op, Linear):
        result = w.node("Gemm", inputs, name, transB=1)
    else:
        result = w.node("Conv", inputs, name, **_geometry(op))
    if not answers:
        w.quantized(op, result, op.requantize.low, op.requantize.high)


def _integer(w: _Writer, op: Operation) -> None:
    from onnx import TensorProto

    source, rank = op.sources[0], len(w.program.shapes[op.name]) + 1
    if isinstance(op, Add):
        terms = []
        for place, (m, z) in enumerate(zip(op.multipliers, op.zero_points, strict=True)):
            name = f"{op.name}.{place}"
            q = w.node("Cast", [op.sources[place]], f"{name}.int64", to=TensorProto.INT64)
            real = w.node("Add", [q, w.constant(f"{name}.Z", np.int64(z))], f"{name}.moved")
            terms.append(w.node("Mul", [real, w.constant(f"{name}.m", np.int64(m))], f"{name}.term"))
        total = w.node("Add", terms, f"{op.name}.v")
        w.shifted(op, total, op.shift, op.zero_point, op.low, op.high, np.uint8)
    elif isinstance(op, AveragePool):  # the sum of a window is a depth-wise convolution with ones
        channels = w.program.shapes[op.name][0]
        ones = w.constant(f"{op.name}.ones", np.ones((channels, 1, *op.kernel), np.uint8))
        zero = w.constant(f"{op.name}.in.zp", np.uint8(-op.zero_point))
        about = {"kernel_shape": list(op.kernel), "strides": list(op.stride), "group": channels}
        w.requantized(op, w.node("ConvInteger", [source, ones, zero], f"{op.name}.v", **about), op.requantize, rank)
    else:
        assert isinstance(op, Rescale)
        q = w.node("Cast", [source], f"{op.name}.int32", to=TensorProto.INT32)
        moved = w.node("Add", [q, w.constant(f"{op.name}.in.Z", np.int32(op.from_zero_point))], f"{op.name}.v")
        w.requantized(op, moved, op.requantize, rank)


def _real(w: _Writer, op: Operation) -> None:
    real = [w.dequantized(op, place) for place in range(len(op.sources))]
    if isinstance(op, Add):
        w.quantized(op, w.node("Add", real, f"{op.name}.real"), op.low, op.high)
    elif isinstance(op, AveragePool):
        k, s = list(op.kernel), list(op.stride)
        mean = w.node("AveragePool", real, f"{op.name}.real", kernel_shape=k, strides=s)
        w.quantized(op, mean, op.requantize.low, op.requantize.high)
    else:
        assert isinstance(op, Rescale)
        w.quantized(op, real[0], op.requantize.low, op.requantize.high)
