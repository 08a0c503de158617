"""A network as a program of integer operations, in the order in which they run.

Every tensor between two operations is an array of uint8 codes (the answers: int32). Codes stand for real numbers by

    r̃ = S·(q + Z),

but no operation knows S: it has gone into multipliers and shifts when the network was lowered (`qlab.integer.lower`).
With the real numbers on the left and the integers that do the same on the right:

    a = W∗h + b                     v = Σ_k w_k·q_k + b_q,     b_q = Int(b/(S_w·S_h)) + Z_h·Σ_k w_k
    a in units of its own scale     q_a = clip( Int(M·v) − Z_a, low, high ),   M = S_w·S_h/S_a ≈ m·2^(−n)
    relu, relu6                     low = −Z_a; high = Int(6/S_a) − Z_a
    h₁ + h₂                         Int(M₁·(q₁ + Z₁) + M₂·(q₂ + Z₂)) with one common shift
    mean of k values                M = S_h/(k·S_a), v = Σ q + k·Z_h
    maximum, flatten, concat        on the codes as they are
    zeros around a picture          the code −Z of r = 0, as many on each side as the convolution says

The accumulator v is int32. Its bound |b_q| + 255·Σ|w| holds for every partial sum in every order; an operation whose
bound does not fit into int32 cannot be made.

Sources: Jacob et al. 2018, sections 2.2–2.4 and appendix A.2 (addition, concatenation); Gholami et al. 2021,
section IV A and figure 6.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from qlab.integer.requantize import Requantize, check_bound, frozen

__all__ = [
    "Add",
    "AveragePool",
    "Clamp",
    "Codes",
    "Concat",
    "Conv2d",
    "Flatten",
    "Linear",
    "MaxPool",
    "Operation",
    "Program",
    "Rescale",
    "run",
    "trace",
]

CODE_MAX = 255  # of uint8
Pair = tuple[int, int]


@dataclass(frozen=True)
class Codes:
    """What the integers of a tensor stand for: r̃ = S·(q + Z). For reading them; `run` never looks here.

    Attributes
    ----------
    scale : float
        S, a float32 number.
    zero_point : int
        Z.
    low, high : int
        The smallest and the largest code.

    Survey-map rows: A1, A2.
    """

    scale: float
    zero_point: int
    low: int = 0
    high: int = CODE_MAX

    def encode(self, r: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return Q(r) = clip(Int(r/S) − Z): the sensor's business, before the program starts.

        Examples
        --------
        >>> Codes(0.5, -2).encode(np.array([0.0, 1.0, -9.0]))
        array([2, 4, 0], dtype=uint8)
        """
        k = np.rint(np.asarray(r, np.float32) / np.float32(self.scale)) - self.zero_point
        return np.clip(k, self.low, self.high).astype(np.uint8)

    def decode(self, q: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return r̃ = S·(q + Z)."""
        return self.scale * (np.asarray(q).astype(np.float64) + self.zero_point)


@dataclass(frozen=True, eq=False)
class Operation(ABC):
    """One line of a program: integers in, integers out.

    Attributes
    ----------
    name : str
        Of the result.
    sources : tuple of str
        The names of what it reads.

    Survey-map row: A2.
    """

    name: str
    sources: tuple[str, ...]

    @abstractmethod
    def __call__(self, *q: NDArray[np.uint8]) -> NDArray:
        """Return the result's codes for the sources' codes, shape (N, …)."""

    @property
    def details(self) -> str:
        """What stands on its line of the program after the name."""
        return ""


def _weight(op: Conv2d | Linear) -> None:
    object.__setattr__(op, "weight", frozen(op.weight, np.int8))
    object.__setattr__(op, "bias", frozen(op.bias, np.int32))
    if op.bias.shape != (len(op.weight),):
        raise ValueError(f"bias must have shape ({len(op.weight)},), got {op.bias.shape}")
    check_bound(op.bound, f"accumulator of {op.name!r}")


def _bound(weight: NDArray[np.int8], bias: NDArray[np.int32]) -> int:
    reach = CODE_MAX * np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1)
    return int((np.abs(bias.astype(np.int64)) + reach).max())


def _about(op: Conv2d | Linear) -> str:
    return f"int8 {list(op.weight.shape)}  |v|≤{op.bound}  {op.requantize}"


def _patches(q: NDArray, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> NDArray:
    """Return the windows that a kernel sees: a view of shape (N, C, out_h, out_w, kernel_h, kernel_w)."""
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    windows = sliding_window_view(q, spans, axis=(2, 3))
    return windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _pad(q: NDArray, padding: tuple[int, ...], code: int) -> NDArray:
    top, left, bottom, right = padding
    if not any(padding):
        return q
    return np.pad(q, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=code)


@dataclass(frozen=True, eq=False)
class Conv2d(Operation):
    """v = Σ w·q + b_q over channels and window; then requantize.

    Attributes
    ----------
    weight : int8, shape (out, in/groups, height, width)
    bias : int32, shape (out,)
        b_q, the zero point's term included.
    requantize : Requantize
    stride, dilation : (int, int)
    padding : (int, int, int, int)
        Rows and columns around the picture: top, left, bottom, right. Two numbers, (height, width), are given to both
        sides.
    groups : int
    pad_code : int
        −Z of the input: the code of r = 0.

    Raises
    ------
    ValueError
        If the padding is not two or four whole numbers from 0 up.
    OverflowError
        If an accumulator could leave int32.

    References
    ----------
    Jacob et al. 2018, equations 7 and 9, section 2.4.

    Survey-map row: A2.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    requantize: Requantize
    stride: Pair = (1, 1)
    padding: tuple[int, ...] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pad_code: int = 0

    def __post_init__(self) -> None:
        if len(self.padding) not in (2, 4) or min(self.padding) < 0:
            raise ValueError(f"padding must be (height, width) or (top, left, bottom, right), ≥ 0, got {self.padding}")
        object.__setattr__(self, "padding", (2 * tuple(self.padding))[:4])
        _weight(self)

    @property
    def bound(self) -> int:
        """The largest |v|, for any codes, at any moment of the summation: max |b_q| + 255·Σ|w|."""
        return _bound(self.weight, self.bias)

    def accumulate(self, q: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return v in int32, shape (N, out, height, width)."""
        kernel = (self.weight.shape[2], self.weight.shape[3])
        windows = _patches(_pad(q, self.padding, self.pad_code), kernel, self.stride, self.dilation)
        count, _, high, wide = windows.shape[:4]
        # (N, groups, in/groups · kernel, pixels): one row of pixels for every weight
        columns = windows.transpose(0, 1, 4, 5, 2, 3).astype(np.int32).reshape(count, self.groups, -1, high * wide)
        w = self.weight.astype(np.int32).reshape(self.groups, -1, columns.shape[2])
        v = np.stack([np.einsum("nkp,ok->nop", columns[:, g], w[g]) for g in range(self.groups)], axis=1)
        return v.reshape(count, -1, high, wide) + self.bias[:, None, None]

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray:
        """Return the output's codes."""
        return self.requantize(self.accumulate(q[0]))

    @property
    def details(self) -> str:
        """Weight, strides, bound, requantization."""
        pads = str(self.padding[0]) if len(set(self.padding)) == 1 else "top {} left {} bottom {} right {}"
        around = f" stride {self.stride[0]} pad {pads.format(*self.padding)} with {self.pad_code}"
        return _about(self) + around + (f" groups {self.groups}" if self.groups > 1 else "")


@dataclass(frozen=True, eq=False)
class Linear(Operation):
    """v = Σ_k w_ok·q_k + b_q; then requantize.

    Attributes
    ----------
    weight : int8, shape (out, in)
    bias : int32, shape (out,)
    requantize : Requantize

    Raises
    ------
    OverflowError
        If an accumulator could leave int32.

    Examples
    --------
    >>> halve = Requantize(np.array([1]), np.array([1]), 0, 0, 255)
    >>> layer = Linear("y", ("x",), np.array([[2, -1]]), np.array([10]), halve)
    >>> layer.accumulate(np.array([[7, 3]], np.uint8)), layer(np.array([[7, 3]], np.uint8))
    (array([[21]], dtype=int32), array([[11]], dtype=uint8))

    Survey-map row: A2.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    requantize: Requantize

    def __post_init__(self) -> None:
        _weight(self)

    @property
    def bound(self) -> int:
        """The largest |v|, for any codes, at any moment of the summation."""
        return _bound(self.weight, self.bias)

    def accumulate(self, q: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return v in int32, shape (N, out)."""
        return np.einsum("nk,ok->no", q.astype(np.int32), self.weight.astype(np.int32)) + self.bias

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray:
        """Return the output's codes."""
        return self.requantize(self.accumulate(q[0]))

    @property
    def details(self) -> str:
        """Weight, bound, requantization."""
        return _about(self)


@dataclass(frozen=True, eq=False)
class Add(Operation):
    """Both rescaled to the sum's scale, one rounding: clip( (m₁·(q₁ + Z₁) + m₂·(q₂ + Z₂) + 2^(n−1)) >> n − Z ).

    Attributes
    ----------
    multipliers : (int, int)
        m₁, m₂: S₁/S and S₂/S in units of 2^(−n).
    zero_points : (int, int)
        Z₁, Z₂.
    shift : int
        n, common to both.
    zero_point, low, high : int
        Of the sum.

    Raises
    ------
    OverflowError
        If the int64 sum could overflow.

    References
    ----------
    Jacob et al. 2018, appendix A.2.

    Examples
    --------
    >>> add = Add("y", ("a", "b"), (1, 2), (0, -1), 1, 0, 0, 255)  # a/2 + (b − 1)
    >>> add(np.array([3], np.uint8), np.array([5], np.uint8))
    array([6], dtype=uint8)

    Survey-map row: A2.
    """

    multipliers: Pair
    zero_points: Pair
    shift: int
    zero_point: int
    low: int
    high: int

    def __post_init__(self) -> None:
        terms = [abs(m) * (CODE_MAX + abs(z)) for m, z in zip(self.multipliers, self.zero_points, strict=True)]
        check_bound(sum(terms) + (1 << self.shift), f"sum of {self.name!r}", 2**63 - 1)

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the codes of the sum."""
        (m1, m2), (z1, z2) = self.multipliers, self.zero_points
        v = m1 * (q[0].astype(np.int64) + z1) + m2 * (q[1].astype(np.int64) + z2)
        total = ((v + (1 << (self.shift - 1))) >> self.shift) - self.zero_point
        return np.clip(total, self.low, self.high).astype(np.uint8)

    @property
    def details(self) -> str:
        """Multipliers, shift and clamp."""
        (m1, m2), (z1, z2) = self.multipliers, self.zero_points
        return f"{m1}(q₁{z1:+d}) + {m2}(q₂{z2:+d})  >>{self.shift} −Z={self.zero_point} clip {self.low}…{self.high}"


@dataclass(frozen=True, eq=False)
class AveragePool(Operation):
    """v = Σ q + k·Z over windows of k values; then requantize by S_h/(k·S_a): the division is part of the multiplier.

    Attributes
    ----------
    kernel, stride : (int, int)
    zero_point : int
        Z of the input.
    requantize : Requantize

    Survey-map row: A2.
    """

    kernel: Pair
    stride: Pair
    zero_point: int
    requantize: Requantize

    def __post_init__(self) -> None:
        count = self.kernel[0] * self.kernel[1]
        check_bound(count * (CODE_MAX + abs(self.zero_point)), f"sum of {self.name!r}")

    def accumulate(self, q: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return v in int32."""
        count = self.kernel[0] * self.kernel[1]
        return _patches(q, self.kernel, self.stride).sum((4, 5), dtype=np.int32) + np.int32(count * self.zero_point)

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray:
        """Return the codes of the means."""
        return self.requantize(self.accumulate(q[0]))

    @property
    def details(self) -> str:
        """Window and requantization."""
        high, wide = self.kernel
        return f"{high}×{wide} stride {self.stride[0]}, sum {high * wide * self.zero_point:+d}  {self.requantize}"


@dataclass(frozen=True, eq=False)
class MaxPool(Operation):
    """The largest code of every window: S > 0, so the order of codes is the order of values. Padding never wins.

    Attributes
    ----------
    kernel, stride, padding : (int, int)

    Survey-map row: A2.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the maxima."""
        return _patches(_pad(q[0], 2 * self.padding, 0), self.kernel, self.stride).max((4, 5))

    @property
    def details(self) -> str:
        """Window."""
        return f"{self.kernel[0]}×{self.kernel[1]} stride {self.stride[0]} pad {self.padding[0]}"


@dataclass(frozen=True, eq=False)
class Rescale(Operation):
    """The same values in another scale: v = q + Z, requantized by S_h/S_a.

    Attributes
    ----------
    from_zero_point : int
        Z of the source.
    requantize : Requantize

    Survey-map row: A2.
    """

    from_zero_point: int
    requantize: Requantize

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray:
        """Return the codes in the new scale."""
        return self.requantize(q[0].astype(np.int32) + np.int32(self.from_zero_point))

    @property
    def details(self) -> str:
        """Requantization."""
        return f"q{self.from_zero_point:+d}  {self.requantize}"


@dataclass(frozen=True, eq=False)
class Clamp(Operation):
    """A ReLU or ReLU6 that no operation before it could take along: min(max(q, low), high).

    Survey-map row: A2.
    """

    low: int
    high: int

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the clamped codes."""
        return np.clip(q[0], self.low, self.high).astype(np.uint8)

    @property
    def details(self) -> str:
        """The ends."""
        return f"clip {self.low}…{self.high}"


@dataclass(frozen=True, eq=False)
class Concat(Operation):
    """Codes of one scale side by side, along the channels.

    References
    ----------
    Jacob et al. 2018, appendix A.3.

    Survey-map row: A2.
    """

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return all channels."""
        return np.concatenate(q, axis=1)


@dataclass(frozen=True, eq=False)
class Flatten(Operation):
    """(N, …) to (N, features).

    Survey-map row: A2.
    """

    def __call__(self, *q: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the same codes."""
        return q[0].reshape(len(q[0]), -1)


@dataclass(frozen=True, eq=False)
class Program:
    """Operations in order, and what their results stand for.

    Attributes
    ----------
    operations : tuple of Operation
        All that `run` needs.
    shape : tuple of int
        Of one input.
    codes : mapping of name to Codes
        What "input" and every result stand for.
    shapes : mapping of name to shape
        Of one result.
    weight_scales : mapping of name to float32 array
        S_w of every layer, one or one a channel: for simulation and for export.

    Survey-map rows: A1, A2.
    """

    operations: tuple[Operation, ...]
    shape: tuple[int, ...]
    codes: Mapping[str, Codes]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    weight_scales: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def input(self) -> Codes:
        """What the input's codes stand for."""
        return self.codes["input"]

    @property
    def output(self) -> Codes:
        """What the answers stand for."""
        return self.codes[self.operations[-1].name]

    def __str__(self) -> str:
        """Return one line per operation."""
        wide = max(len(op.name) for op in self.operations)
        lines = [f"{'input':<{wide}} = uint8 {list(self.shape)}  {_reading(self.input)}"]
        for op in self.operations:
            dtype = "uint8" if self.codes[op.name].high <= CODE_MAX else "int32"
            made = f"{type(op).__name__.lower()}({', '.join(op.sources)})"
            lines.append(f"{op.name:<{wide}} = {dtype} {list(self.shapes[op.name])}  {made}  {op.details}".rstrip())
        lines.append(f"{'answer':<{wide}} : {_reading(self.output)}")
        return "\n".join(lines)


def _reading(codes: Codes) -> str:
    return f"r = {codes.scale:.6g}·(q {codes.zero_point:+d}), {codes.low}…{codes.high}"


def trace(program: Program, q: NDArray[np.uint8]) -> dict[str, NDArray]:
    """Return every tensor of the program for input codes q: integers by integers, and nothing else.

    Parameters
    ----------
    program : Program
    q : uint8, shape (N, C, H, W), program.shape being (C, H, W)

    Raises
    ------
    TypeError, ValueError
        If q does not hold uint8 codes of the input's range and shape.

    Survey-map rows: A1, A2.
    """
    q = np.asanyarray(q)
    if q.dtype != np.uint8:
        raise TypeError(f"q must hold uint8 codes (program.input.encode(pictures) makes them), got {q.dtype}")
    if q.shape[1:] != tuple(program.shape) or len(q) == 0:
        raise ValueError(f"q must have shape (N, {', '.join(map(str, program.shape))}), got {q.shape}")
    if not program.input.low <= int(q.min()) <= int(q.max()) <= program.input.high:
        raise ValueError(f"q must lie in {program.input.low} … {program.input.high}, got {q.min()} … {q.max()}")
    values: dict[str, NDArray] = {"input": q}
    for op in program.operations:
        values[op.name] = op(*(values[source] for source in op.sources))
    return values


def run(program: Program, q: NDArray[np.uint8], batch: int = 64) -> NDArray:
    """Return the answers' codes for input codes q.

    Parameters
    ----------
    program : Program
    q : uint8, shape (N, C, H, W), program.shape being (C, H, W)
    batch : int
        Pictures at a time; the answers do not depend on it.

    Returns
    -------
    int32 (or uint8, if the network does not end in a layer), shape (N, …)

    References
    ----------
    Jacob et al. 2018, section 2; Gholami et al. 2021, section IV A.

    Survey-map rows: A1, A2.
    """
    check = np.asanyarray(q)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    last = program.operations[-1].name
    parts = [trace(program, check[i : i + batch])[last] for i in range(0, max(len(check), 1), batch)]
    return np.concatenate(parts)
