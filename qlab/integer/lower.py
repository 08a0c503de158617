"""Lowering: from a network with fake quantization to a program of integer operations.

A recipe quantizes weights and the inputs of layers. An integer program needs more: every tensor between two
operations must have a scale. It is found going backwards, from the reader:

    1. what a layer reads has that layer's input quantizer; if several layers read it, the first one's, and the
       others get a `Rescale` in front unless they agree;
    2. maximum pooling, flattening and a ReLU on its own pass on the scale of their result to their source;
       concatenation does so with all its sources, so that the codes need only stand side by side;
    3. so the result of an addition or of an average pooling has the scale of the layer that reads it, and
    4. what only an addition or an average pooling reads has a scale of its own, calibrated on `batches`
       (sums of either sign and peaks before a mean do not fit into the result's range);
    5. answers of a last layer stay int32, with one scale for all: S = S_h·max_o S_w,o.

Simulation with the recipe alone leaves the tensors of rule 4 and shortcuts in floating point; `qlab.integer.simulate`
simulates the program.

Sources: Jacob et al. 2018, sections 2 and 3, appendix A.2; Gholami et al. 2021, section IV A.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from qlab.granularity import PerChannel, PerTensor
from qlab.grids import Asymmetric, Grid, Symmetric
from qlab.integer.graph import Step, read
from qlab.integer.program import (
    CODE_MAX,
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
    trace,
)
from qlab.integer.requantize import INT32_MAX, dyadic, requantize_by
from qlab.network import stored_weight
from qlab.ptq.graph import trace as trace_graph
from qlab.quantizer import Params, Quantizer

__all__ = ["lower"]

Pair = tuple[int, int]


def lower(
    model: nn.Module,
    batches: Iterable[Tensor],
    activation: Quantizer | None = None,
    multiplier_bits: int = 31,
) -> Program:
    """Return the integer program of a quantized network.

    Parameters
    ----------
    model : nn.Module
        BatchNorm folded (`qlab.ptq.fold_batchnorm`), then quantized (`qlab.quantize`): every layer with symmetric
        weights of 2 to 8 bits, per tensor or per channel, and static inputs of up to 8 bits, per tensor. In eval mode.
    batches : iterable of Tensor
        Inputs: for the shapes, and for the scales that the recipe does not give (rule 4 above).
    activation : Quantizer, optional
        What those tensors are quantized with; `Quantizer(Asymmetric(8))`, smallest to largest value, by default.
    multiplier_bits : int
        Bits of the multipliers m, 1 to 31.

    Returns
    -------
    Program

    Raises
    ------
    ValueError
        If the model trains, or an operation, a quantizer or a missing one cannot be lowered; the message names it.
    OverflowError
        If an accumulator could leave int32.

    References
    ----------
    Jacob et al. 2018, section 2.

    Survey-map rows: A1, A2.
    """
    if model.training:
        raise ValueError("model must be in eval mode: call model.eval() before lowering")
    quantizer = Quantizer(Asymmetric(8)) if activation is None else activation
    steps = read(model)
    sizes, measured = _measure(model, steps, batches, quantizer)
    program = _emit(steps, _assign(steps, measured), sizes, multiplier_bits)
    results = trace(program, np.full((1, *program.shape), program.input.low, np.uint8))
    return replace(program, shapes={name: value.shape[1:] for name, value in results.items()})


# --- scales -----------------------------------------------------------------------------------------------------------


def _as_uint8(grid: Grid, params: Params, where: str) -> Codes:
    """Return a quantizer's codes as uint8: signed ones move up by 128, and Z down."""
    if not isinstance(grid, (Asymmetric, Symmetric)) or grid.bits > 8 or params.scale.numel() != 1:
        raise ValueError(f"{where}: activations must be uniform, per tensor, of up to 8 bits, got {grid}")
    (low, high), scale, z = grid.code_range, float(params.scale), int(params.zero_point)
    up = 128 if low < 0 else 0
    return Codes(scale, z - up, low + up, high + up)


def _input_codes(step: Step) -> Codes:
    name, module = step.name, step.module
    if not hasattr(module, "activation_quantizer"):
        raise ValueError(f"layer {name!r}: its input is not quantized; an integer program needs every layer's input")
    holder = module.activation_quantizer
    quantizer, params = getattr(holder, "quantizer", None), getattr(holder, "params", None)
    if quantizer is None or params is None:
        raise ValueError(f"layer {name!r}: activations must be static and have a scale and a zero point, got {holder}")
    return _as_uint8(quantizer.grid, params, f"layer {name!r}")


def _measure(
    model: nn.Module, steps: list[Step], batches: Iterable[Tensor], quantizer: Quantizer
) -> tuple[dict[str, tuple[int, ...]], dict[str, Codes]]:
    """Return the shape of every tensor, and codes for those of which only an addition or a pooling could tell."""
    by_layers = {s for step in steps if step.kind == "layer" for s in step.sources}
    names = {step.node.name: step.name for step in steps}
    sizes: dict[str, tuple[int, ...]] = {}
    states: dict[str, Any] = {}

    class Watch(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            name = "input" if n.op == "placeholder" else names.get(n.name)
            if name is not None:
                sizes[name] = tuple(value.shape[1:])
                if name not in by_layers:
                    states[name] = quantizer.observe(states.get(name), value)
            return value

    interpreter = Watch(fx.GraphModule(model, trace_graph(model)))
    with torch.no_grad():
        for batch in batches:
            interpreter.run(batch)
    if not sizes:
        raise ValueError("batches must hold at least one batch of inputs, got none")
    params = {name: quantizer.params(state) for name, state in states.items()}
    return sizes, {name: _as_uint8(quantizer.grid, p, "activation") for name, p in params.items()}


def _assign(steps: list[Step], measured: Mapping[str, Codes]) -> dict[str, Codes]:
    """Return what the codes of every tensor stand for, by the rules at the head of this file."""
    wishes: dict[str, list[tuple[int, int, Codes]]] = {name: [] for name in ("input", *(s.name for s in steps))}
    codes: dict[str, Codes] = {}

    def decide(name: str) -> Codes:
        return min(wishes[name], key=lambda w: w[:2])[2] if wishes[name] else measured[name]

    for place, step in reversed(list(enumerate(steps))):
        if step is steps[-1] and step.kind == "layer":
            codes[step.name] = _answers(step)
        else:
            codes[step.name] = decide(step.name)
        wish = _input_codes(step) if step.kind == "layer" else codes[step.name]
        rank = {"layer": 0, "maxpool": 1, "flatten": 1, "relu": 1, "concat": 2}.get(step.kind)
        if rank is not None:
            for source in step.sources:
                wishes[source].append((rank, place, wish))
    codes["input"] = decide("input")
    return codes


def _answers(step: Step) -> Codes:
    weight, scale = _weight(step)
    speaking = weight.reshape(len(weight), -1).any(1) if scale.size > 1 else np.array([True])
    largest = scale[speaking].max() if speaking.any() else scale.max()
    return Codes(float(np.float32(_input_codes(step).scale) * largest), 0, -INT32_MAX - 1, INT32_MAX)


# --- operations -------------------------------------------------------------------------------------------------------


def _emit(steps: list[Step], codes: dict[str, Codes], sizes: dict[str, tuple[int, ...]], bits: int) -> Program:
    operations: list[Operation] = []
    meaning, scales = dict(codes), {}

    def rescaled(source: str, target: Codes, reader: str) -> str:
        """Return the name under which `source` can be read in the codes `target`."""
        if codes[source] == target:
            return source
        name = f"{source}→{reader}"
        ratio = Fraction(codes[source].scale) / Fraction(target.scale)
        to = requantize_by([ratio], target.zero_point, target.low, target.high, bits)
        operations.append(Rescale(name, (source,), codes[source].zero_point, to))
        meaning[name] = target
        return name

    for step in steps:
        out = codes[step.name]
        if step.kind == "layer":
            given = _input_codes(step)
            source = rescaled(step.sources[0], given, step.name)
            op, scales[step.name] = _layer(step, source, given, out, bits)
        elif step.kind == "add":
            op = _add(step, [codes[s] for s in step.sources], out, bits)
        elif step.kind == "avgpool":
            op = _mean(step, sizes[step.sources[0]], codes[step.sources[0]], out, bits)
        elif step.kind == "maxpool":
            source = rescaled(step.sources[0], out, step.name)
            kernel, stride = _window(step)
            op = MaxPool(step.name, (source,), kernel, stride, _pair(step.module.padding))
        elif step.kind == "flatten":
            op = Flatten(step.name, (rescaled(step.sources[0], out, step.name),))
        elif step.kind == "relu":
            op = Clamp(step.name, (rescaled(step.sources[0], out, step.name),), *_clamp(step, out))
        else:
            op = Concat(step.name, tuple(rescaled(s, out, step.name) for s in step.sources))
        operations.append(op)
    return Program(tuple(operations), sizes["input"], meaning, {}, scales)


def _clamp(step: Step, out: Codes) -> Pair:
    """Return the ends of the codes where a ReLU is fused: r = 0 has the code −Z, and 6 has Int(6/S) − Z."""
    if step.top is None:
        return out.low, out.high
    low = min(max(out.low, -out.zero_point), out.high)
    if math.isinf(step.top):
        return low, out.high
    six = int(np.rint(np.float32(step.top) / np.float32(out.scale))) - out.zero_point
    return low, max(low, min(out.high, six))


def _weight(step: Step) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return the codes of a layer's weight and S_w, one or one a channel."""
    stored = stored_weight(step.module)
    if stored is None:
        raise ValueError(f"layer {step.name!r}: its weight is not quantized; an integer program needs every weight")
    grid = stored.grid
    if not isinstance(grid, Symmetric) or not grid.signed or grid.bits > 8:
        raise ValueError(f"layer {step.name!r}: weights must be Symmetric, of 2 to 8 bits, got {grid}")
    if stored.granularity not in (PerTensor(), PerChannel(0)):
        raise ValueError(f"layer {step.name!r}: weights must be per tensor or per channel, got {stored.granularity}")
    return stored.codes.detach().cpu().numpy(), stored.params.scale.detach().cpu().numpy().astype(np.float32)


def _layer(step: Step, source: str, given: Codes, out: Codes, bits: int) -> tuple[Operation, NDArray[np.float32]]:
    module: Any = step.module
    weight, scale = _weight(step)
    bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().cpu().numpy().astype(np.float64)
    scale = _with_silent_channels(weight, scale, given, out)
    weight, scale = _with_weak_channels(weight, scale, bias / given.scale)
    unit = scale.astype(np.float64) * given.scale  # of the accumulator
    b = np.rint(bias / unit)
    if np.abs(b).max() > INT32_MAX:
        raise OverflowError(f"layer {step.name!r}: the bias, in units of S_w·S_h, does not fit into int32")
    folded = b.astype(np.int64) + given.zero_point * weight.astype(np.int64).reshape(len(weight), -1).sum(1)
    ratios = [Fraction(float(s)) * Fraction(given.scale) / Fraction(out.scale) for s in scale]
    to = requantize_by(ratios, out.zero_point, *_clamp(step, out), bits)
    if isinstance(module, nn.Linear):
        return Linear(step.name, (source,), weight, folded, to), scale
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        raise ValueError(f"layer {step.name!r}: padding must be numbers of zeros, got {module.padding!r}")
    padding = tuple(own + more for own, more in zip(2 * _pair(module.padding), step.zeros, strict=True))
    about = (_pair(module.stride), padding, _pair(module.dilation), module.groups, -given.zero_point)
    return Conv2d(step.name, (source,), weight, folded, to, *about), scale


def _with_silent_channels(weight: NDArray, scale: NDArray, given: Codes, out: Codes) -> NDArray[np.float32]:
    """Give channels whose weights are all 0 an S_w in which their bias is fine: S_w·S_h = S_out/256."""
    silent = ~weight.reshape(len(weight), -1).any(1)
    if not silent.any() or scale.size == 1:
        return scale
    return np.where(silent, np.float32(out.scale / given.scale / 256), scale).astype(np.float32)


def _with_weak_channels(weight: NDArray, scale: NDArray, bias: NDArray) -> tuple[NDArray, NDArray[np.float32]]:
    """Raise S_w of channels whose bias would not fit into int32: S_w ← 2^k·S_w, w ← Int(w/2^k).

    `bias` is b/S_h. A channel that training has switched off is left with weights of 10^(−9), say, and a bias. Now
    2^29 < |b|/(S_w·S_h) ≤ 2^30, and rounding K weights has moved the sum by at most K·2^7 of these units.
    """
    if scale.size == 1:
        return weight, scale
    sums = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1)
    units = np.abs(bias) / scale
    full = units + 2 * CODE_MAX * sums > INT32_MAX  # the bias, Z·Σw and Σw·q
    k = np.where(full, np.ceil(np.log2(units.clip(1)) - 30), 0).clip(0)
    power = 2.0 ** k.reshape(-1, *[1] * (weight.ndim - 1))
    return np.rint(weight / power).astype(np.int8), (scale * 2.0**k).astype(np.float32)


def _add(step: Step, given: list[Codes], out: Codes, bits: int) -> Add:
    ratios = [Fraction(c.scale) / Fraction(out.scale) for c in given]
    n = dyadic(max(ratios), bits).n
    m = [round(ratio * 2**n) for ratio in ratios]
    return Add(
        step.name,
        step.sources,
        (m[0], m[1]),
        (given[0].zero_point, given[1].zero_point),
        n,
        out.zero_point,
        *_clamp(step, out),
    )


def _mean(step: Step, size: tuple[int, ...], given: Codes, out: Codes, bits: int) -> AveragePool:
    if isinstance(step.module, nn.AdaptiveAvgPool2d):
        wanted: Any = step.module.output_size
        parts = _pair(wanted)
        if None in parts or size[1] % parts[0] or size[2] % parts[1]:
            raise ValueError(f"pool {step.name!r}: {size[1]}×{size[2]} must divide into {wanted}, windows of one size")
        kernel = stride = (size[1] // parts[0], size[2] // parts[1])
    else:
        kernel, stride = _window(step)
        if _pair(step.module.padding) != (0, 0) or step.module.divisor_override is not None:
            raise ValueError(f"pool {step.name!r}: padding and divisor_override have no integer form here")
    ratio = Fraction(given.scale) / Fraction(out.scale) / (kernel[0] * kernel[1])
    to = requantize_by([ratio], out.zero_point, *_clamp(step, out), bits)
    return AveragePool(step.name, step.sources, kernel, stride, given.zero_point, to)


def _window(step: Step) -> tuple[Pair, Pair]:
    module = step.module
    if module.ceil_mode or _pair(getattr(module, "dilation", 1)) != (1, 1):
        raise ValueError(f"pool {step.name!r}: ceil_mode and dilation have no integer form here")
    return _pair(module.kernel_size), _pair(module.stride)


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
