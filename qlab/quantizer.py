"""The quantizer: a grid, a granularity, a calibration and a rounding, composed.

    S, Z = scales(grid, [α, β])                                    calibration meets the grid
    Q(r) = clip( Int(r/S) − Z, q_min, q_max )                      `encode`
    r̃    = S·level( Q(r) + Z )                                     `decode`

The functions on rows below *are* the definition; `qlab.fused` holds a faster form of the uniform case, and a test
holds both equal bit for bit. Source: Gholami et al. 2021, sections III B–E, equations 2 and 3.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qlab import fused
from qlab.calibration import Calibration, MinMax, Range
from qlab.gradients import ClippedStraightThrough, Gradient
from qlab.granularity import Granularity, PerTensor
from qlab.grids import Codebook, Grid, Symmetric
from qlab.packing import pack, packed_bytes, unpack
from qlab.rounding import Nearest, Rounding
from qlab.serialize import from_dict, to_dict
from qlab.validate import check_finite, check_real

__all__ = [
    "Params",
    "QuantizedTensor",
    "Quantizer",
    "decode",
    "encode",
    "from_torch_zero_point",
    "reconstruct",
    "scales",
    "to_torch_zero_point",
]


class Params(NamedTuple):
    """Scale S (real, positive) and zero point Z (int32) of every row, each of shape (rows,).

    Survey-map row: Q2.
    """

    scale: Tensor
    zero_point: Tensor


def to_torch_zero_point(zero_point: Tensor) -> Tensor:
    """Return the zero point as PyTorch, ONNX and TFLite write it: q = round(r/S) + zp, hence zp = −Z.

    Examples
    --------
    >>> to_torch_zero_point(torch.tensor([-128, 0]))
    tensor([128,   0])

    Survey-map row: Q2.
    """
    return -zero_point


def from_torch_zero_point(zp: Tensor) -> Tensor:
    """Return the survey's zero point for PyTorch's zp: Z = −zp.

    Survey-map row: Q2.
    """
    return -zp


def scales(grid: Grid, clip: Range) -> Params:
    """Return S and Z for a clipping range per row.

    Two rules keep S usable: a range of zero width (all data are 0) gets S = 1, since any scale is right; and S is never
    below the smallest normal number of its dtype, where r/S would overflow.

    Raises
    ------
    ValueError
        If the outermost levels would overflow: the range reaches to within half a step of the largest float.

    Survey-map rows: Q2, Q4.
    """
    low, high = (end.float() if end.dtype in (torch.float16, torch.bfloat16) else end for end in clip)
    s = grid.scale(low, high)
    s = torch.where(s > 0, s.clamp(min=torch.finfo(s.dtype).tiny), torch.ones_like(s))
    z = grid.zero_point(low, s)
    ends = torch.tensor(grid.code_range, device=s.device) + z[:, None]
    if not torch.isfinite((s[:, None] * grid.level(ends)).to(s.dtype)).all():
        raise ValueError(
            f"clip must leave room for half a step inside ±{torch.finfo(s.dtype).max:.3g}, the largest {s.dtype}; "
            f"got {float(low.min()):.3g} … {float(high.max()):.3g}"
        )
    return Params(s, z)


def _columns(rows: Tensor, p: Params) -> tuple[Tensor, Tensor, Tensor]:
    s, z = p.scale[:, None], p.zero_point[:, None]
    return rows.to(torch.promote_types(rows.dtype, s.dtype)), s, z


def encode(rows: Tensor, p: Params, grid: Grid, rounding: Rounding) -> Tensor:
    """Return codes Q(r) = clip(Int(r/S) − Z, q_min, q_max) as whole numbers in a floating-point dtype.

    Parameters
    ----------
    rows : Tensor, shape (rows, n)
    p : Params, shape (rows,) each

    Survey-map row: Q2.
    """
    r, s, z = _columns(rows, p)
    return (grid.index(r / s, rounding) - z).clamp(*grid.code_range)


def decode(codes: Tensor, p: Params, grid: Grid) -> Tensor:
    """Return r̃ = S·level(q + Z) for codes of shape (rows, n).

    Survey-map row: Q3.
    """
    level = grid.level(codes + p.zero_point[:, None])
    return (p.scale[:, None] * level).to(p.scale.dtype)


def reconstruct(rows: Tensor, p: Params, grid: Grid, rounding: Rounding) -> Tensor:
    """Return r̃ for r: encode, then decode, in the dtype of `rows`.

    Survey-map row: Q3.
    """
    return decode(encode(rows, p, grid, rounding), p, grid).to(rows.dtype)


def _check_count(p: Params, granularity: Granularity, shape: tuple[int, ...]) -> None:
    count = granularity.count(shape)
    if p.scale.shape != (count,) or p.zero_point.shape != (count,):
        raise ValueError(
            f"params must hold {count} scales and zero points for shape {shape} under {granularity}, "
            f"got {tuple(p.scale.shape)} and {tuple(p.zero_point.shape)}"
        )


def _code_dtype(grid: Grid) -> torch.dtype:
    """The smallest integer type that holds every code."""
    for dtype in (torch.uint8, torch.int8, torch.uint16, torch.int16):
        limits = torch.iinfo(dtype)
        if limits.min <= grid.code_range[0] and grid.code_range[1] <= limits.max:
            return dtype
    return torch.int32


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Integer codes with what is needed to read them; immutable.

    Attributes
    ----------
    codes : Tensor of integers
        q, in the shape of the original tensor.
    params : Params
        S and Z, one per row of the granularity.
    grid, granularity
        How to read the codes.
    dtype : torch.dtype
        The type of the original, and of what `dequantize` returns.

    Survey-map rows: Q2, Q3, C5.
    """

    codes: Tensor
    params: Params
    grid: Grid
    granularity: Granularity
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        _check_count(self.params, self.granularity, tuple(self.codes.shape))

    @property
    def shape(self) -> torch.Size:
        """Shape of the original tensor."""
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """True bytes: packed codes, a scale a row, zero points packed like codes, the table of levels."""
        scale = self.params.scale
        zero_points = packed_bytes(scale.numel(), self.grid.width) if self.grid.has_zero_point else 0
        return packed_bytes(self.codes.numel(), self.grid.width) + scale.nbytes + zero_points + self.grid.table_bytes

    @property
    def bits_per_value(self) -> float:
        """Bits per element, overhead included."""
        return 8 * self.nbytes / self.codes.numel()

    def dequantize(self, out: Tensor | None = None) -> Tensor:
        """Return r̃ = S·level(q + Z), in the original's shape and dtype (into `out` if given)."""
        fast = fused.decode(self, out)
        if fast is not None:
            return fast
        rows = self.granularity.rows(self.codes.to(torch.int32))
        values = self.granularity.unrows(decode(rows, self.params, self.grid), tuple(self.shape)).to(self.dtype)
        return values if out is None else fused.check_out(out, self.codes, self.dtype).copy_(values)

    def pack(self) -> Tensor:
        """Return the codes packed in bytes, as q − q_min."""
        return pack(self.codes.to(torch.int32) - self.grid.code_range[0], self.grid.width)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: packed codes, scales, packed −Z if there are any; the rest as metadata. Atomic.

        Raises
        ------
        ValueError
            If a zero point that did not come from calibration is no code of the grid, so that it cannot be packed.
        """
        from safetensors.torch import save

        tensors = {"codes": self.pack().cpu(), "scale": self.params.scale.detach().cpu().contiguous()}
        z, lowest = self.params.zero_point.cpu(), -self.grid.code_range[1] if self.grid.has_zero_point else 0
        if not lowest <= int(z.min()) <= int(z.max()) <= 0:
            raise ValueError(f"zero points must lie in −{-lowest} … 0 on {self.grid}, got {z.min()} … {z.max()}")
        if self.grid.has_zero_point:
            tensors["zero_point"] = pack(-z, self.grid.width)
        about = {
            "grid": to_dict(self.grid),
            "granularity": to_dict(self.granularity),
            "shape": list(self.shape),
            "dtype": str(self.dtype).removeprefix("torch."),
        }
        path = Path(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(save(tensors, metadata={"qlab": json.dumps(about)}))
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    @staticmethod
    def load(path: str | Path) -> QuantizedTensor:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file was not written by `save`.
        """
        from safetensors import safe_open

        with safe_open(str(path), framework="pt") as file:
            about = (file.metadata() or {}).get("qlab")
            if about is None:
                raise ValueError(f"path must name a file written by QuantizedTensor.save, got {path}")
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        facts, scale = json.loads(about), tensors["scale"]
        grid = from_dict(facts["grid"])
        zero_point = torch.zeros(scale.shape, dtype=torch.int32)
        if grid.has_zero_point:
            zero_point = -unpack(tensors["zero_point"], grid.width, scale.numel())
        count = torch.Size(facts["shape"]).numel()
        codes = (unpack(tensors["codes"], grid.width, count) + grid.code_range[0]).to(_code_dtype(grid))
        return QuantizedTensor(
            codes.reshape(facts["shape"]),
            Params(scale, zero_point),
            grid,
            from_dict(facts["granularity"]),
            getattr(torch, facts["dtype"]),
        )


class _Fake(torch.autograd.Function):
    """r̃ going forward; `Quantizer.gradient` coming back. Only x is kept: what was inside is computed again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quantizer: Quantizer, p: Params) -> Tensor:
        ctx.save_for_backward(x, p.scale, p.zero_point)
        ctx.quantizer = quantizer
        return quantizer._forward(x, p, None)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, scale, zero_point = ctx.saved_tensors
        return ctx.quantizer._backward(grads[0], x, Params(scale, zero_point)), None, None


@dataclass(frozen=True)
class Quantizer:
    """A scalar quantizer as the composition of independent choices.

    Parameters
    ----------
    grid : Grid
        Which values exist.
    granularity : Granularity
        Which elements share a scale.
    calibration : Calibration
        Where the clipping range comes from.
    rounding : Rounding
        How a value meets the grid.
    gradient : Gradient
        What `fake` lets flow back.

    Raises
    ------
    TypeError, ValueError
        On integer, empty, NaN or infinite input, and where the granularity does not fit the shape.

    References
    ----------
    Gholami et al. 2021, sections III B–G.

    Examples
    --------
    >>> q = Quantizer(Symmetric(4))
    >>> x = torch.tensor([-1.4, 0.1, 0.3, 0.7])
    >>> q(x).codes
    tensor([-7,  0,  2,  4], dtype=torch.int8)
    >>> q(x).dequantize()
    tensor([-1.4000,  0.0000,  0.4000,  0.8000])

    Survey-map rows: Q2, Q3, Q4, Q5, Q7.
    """

    grid: Grid = field(default_factory=Symmetric)
    granularity: Granularity = field(default_factory=PerTensor)
    calibration: Calibration = field(default_factory=MinMax)
    rounding: Rounding = field(default_factory=Nearest)
    gradient: Gradient = field(default_factory=ClippedStraightThrough)

    def __post_init__(self) -> None:
        for name, kind in (
            ("grid", Grid),
            ("granularity", Granularity),
            ("calibration", Calibration),
            ("rounding", Rounding),
            ("gradient", Gradient),
        ):
            if not isinstance(value := getattr(self, name), kind) or isinstance(value, type):
                raise TypeError(f"{name} must be a {kind.__name__}, got {value!r}")

    def calibrate(self, x: Tensor) -> Params:
        """Return S and Z for the data `x`."""
        return scales(self.grid, self.calibration(self._data(x), self.grid))

    def observe(self, state: Any, x: Tensor) -> Any:
        """Return the calibration's state after one more batch of a stream (None starts it)."""
        return self.calibration.update(state, self._data(x))

    def params(self, state: Any) -> Params:
        """Return S and Z for what `observe` has seen."""
        if state is None:
            raise ValueError("state must come from observe(None, x): nothing has been observed yet")
        return scales(self.grid, self.calibration.range(state, self.grid))

    def quantize(self, x: Tensor, params: Params | None = None, out: Tensor | None = None) -> QuantizedTensor:
        """Return the integer codes of `x`, with given (static) parameters or its own.

        Parameters
        ----------
        x : Tensor of reals
        params : Params, optional
            Static S and Z; by default the data calibrate themselves (dynamic).
        out : Tensor of integers, optional
            Where to put the codes, of the shape of `x`.
        """
        params = self._params_for(x, params)
        codes = fused.encode(x, self, params, _code_dtype(self.grid), out)
        if codes is None:
            check_finite(x)
            rows = encode(self.granularity.rows(x.detach()), params, self.grid, self.rounding)
            codes = self.granularity.unrows(rows.to(torch.int32), tuple(x.shape)).to(_code_dtype(self.grid))
            codes = codes.contiguous() if out is None else fused.check_out(out, x, codes.dtype).copy_(codes)
        return QuantizedTensor(codes, params, self.grid, self.granularity, x.dtype)

    __call__ = quantize

    def fake(self, x: Tensor, params: Params | None = None, out: Tensor | None = None) -> Tensor:
        """Return r̃ in floating point, with the gradient that `gradient` defines.

        Parameters
        ----------
        x : Tensor of reals
        params : Params, optional
            Static S and Z; by default the data calibrate themselves.
        out : Tensor, optional
            Where to put the result; not while a gradient is recorded.
        """
        params = self._params_for(x, params)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self._forward(x.detach(), params, out)
        if out is not None:
            raise ValueError("out must be None while a gradient is recorded: autograd keeps its own result")
        return _Fake.apply(x, self, params)

    def with_(self, **changes: Any) -> Quantizer:
        """Return a copy with some choices replaced: ``q.with_(rounding=Floor())``."""
        return replace(self, **changes)

    def _data(self, x: Tensor) -> Tensor:
        """Return the rows that calibration looks at: 16-bit floats are too coarse to average, count and search in."""
        rows = self.granularity.rows(check_finite(check_real(x)).detach())
        return rows.float() if rows.dtype.itemsize == 2 else rows

    def _params_for(self, x: Tensor, params: Params | None) -> Params:
        if params is None:
            return self.calibrate(x)
        _check_count(params, self.granularity, tuple(check_real(x).shape))
        low, high = params.scale.detach().aminmax()
        if not 0 < low <= high < torch.inf:
            raise ValueError(f"params.scale must be positive and finite, got {low:.3g} … {high:.3g}")
        return params

    def _forward(self, x: Tensor, p: Params, out: Tensor | None) -> Tensor:
        fast = fused.fake(x, self, p, out)
        if fast is not None:
            return fast
        rows = reconstruct(self.granularity.rows(check_finite(x)), p, self.grid, self.rounding)
        values = self.granularity.unrows(rows, tuple(x.shape))
        return values if out is None else fused.check_out(out, x, x.dtype).copy_(values)

    def _backward(self, grad: Tensor, x: Tensor, p: Params) -> Tensor:
        fast = fused.backward(grad, x, self, p)
        if fast is not None:
            return fast
        r, s, z = _columns(self.granularity.rows(x), p)
        free = self.grid.index(r / s, Nearest()) - z
        inside = (free >= self.grid.code_range[0]) & (free <= self.grid.code_range[1])
        if isinstance(self.grid, Codebook):  # its index never leaves the list: compare the values
            edges = self.grid.level(torch.tensor(self.grid.code_range, device=x.device))
            inside = (r / s >= edges[0]) & (r / s <= edges[1])
        return self.gradient(grad, self.granularity.unrows(inside, tuple(x.shape)))
