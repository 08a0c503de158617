"""Simulated inference: the program's operations in real numbers, with fake quantization between them.

    a = W̃∗h̃ + b̃,      ã = S_a·(q + Z_a),  q = clip( Int(a/S_a) − Z_a, low, high )

Every tensor holds real numbers that lie on a grid; every operation is PyTorch's own in floating point. This is what
a framework does when it trains or evaluates a "quantized" network, and the same function as the integer program up
to rounding: floating point rounds the sums, the program rounds the multiplier, and ties go to even here, up there.

Source: Gholami et al. 2021, section IV A and figure 6 (simulated and integer-only quantization).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

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

__all__ = ["plain_bias", "simulate", "simulate_all"]


def plain_bias(op: Conv2d | Linear, given: Codes) -> Any:
    """Return the bias's codes without the zero point's term: b_q − Z·Σ_k w_k, int64.

    Survey-map row: A2.
    """
    sums = op.weight.astype("int64").reshape(len(op.weight), -1).sum(1)
    return op.bias.astype("int64") - given.zero_point * sums


def simulate(program: Program, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the answers r̃ for real inputs x, computed in floating point.

    Parameters
    ----------
    program : Program
    x : Tensor, shape (N, C, H, W), program.shape being (C, H, W)
    dtype : torch.dtype
        float32 as frameworks do, or float64, in which all sums are exact.

    Survey-map row: A1.
    """
    return simulate_all(program, x, dtype)[program.operations[-1].name]


def simulate_all(program: Program, x: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return every tensor's real values r̃, by name.

    Survey-map row: A1.
    """
    values = {"input": _fake(x.to(dtype), program.input, program.input.low, program.input.high)}
    for op in program.operations:
        given = [program.codes[s] for s in op.sources]
        out = program.codes[op.name]
        real = _real(program, op, [values[s] for s in op.sources], given)
        values[op.name] = _fake(real, out, *_ends(op, out))
    return values


def _fake(r: Tensor, codes: Codes, low: int, high: int) -> Tensor:
    scale = torch.tensor(codes.scale, dtype=r.dtype)
    k = torch.round(r / scale).clamp(low + codes.zero_point, high + codes.zero_point)
    return k * scale


def _ends(op: Operation, out: Codes) -> tuple[int, int]:
    """Return the clamp of an operation, a fused ReLU included."""
    if isinstance(op, (Conv2d, Linear, AveragePool, Rescale)):
        return op.requantize.low, op.requantize.high
    return (op.low, op.high) if isinstance(op, (Add, Clamp)) else (out.low, out.high)


def _real(program: Program, op: Operation, h: list[Tensor], given: list[Codes]) -> Tensor:
    if isinstance(op, (Conv2d, Linear)):
        dtype = h[0].dtype
        scale = torch.from_numpy(program.weight_scales[op.name].copy()).to(dtype)
        weight = torch.from_numpy(op.weight.copy()).to(dtype) * scale.reshape(-1, *[1] * (op.weight.ndim - 1))
        bias = torch.from_numpy(plain_bias(op, given[0])).to(dtype) * scale * given[0].scale
        if isinstance(op, Linear):
            return F.linear(h[0], weight, bias)
        top, left, bottom, right = op.padding
        around = F.pad(h[0], (left, right, top, bottom))
        return F.conv2d(around, weight, bias, op.stride, 0, op.dilation, op.groups)
    if isinstance(op, Add):
        return h[0] + h[1]
    if isinstance(op, AveragePool):
        return F.avg_pool2d(h[0], op.kernel, op.stride)
    if isinstance(op, MaxPool):
        return F.max_pool2d(h[0], op.kernel, op.stride, op.padding)
    if isinstance(op, Concat):
        return torch.cat(h, 1)
    if isinstance(op, Flatten):
        return h[0].flatten(1)
    assert isinstance(op, (Rescale, Clamp))  # quantizing anew is all that they do
    return h[0]
