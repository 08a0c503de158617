"""Grids: which values exist.

A grid is a sorted set of numbers in units of the scale S, numbered by whole numbers k. It answers two questions:
`index(t)` — which k is near the real number t, and `level(k)` — which number is k. With them every scalar quantizer of
the course is the same two lines (Gholami et al. 2021, equations 2 and 3):

    Q(r) = clip( Int(r/S) − Z, q_min, q_max ),      r̃ = S·level( Q(r) + Z ).

For uniform grids level(k) = k, and this is the survey's Q(r) = Int(r/S) − Z, r̃ = S(Q(r) + Z) to the letter.
PyTorch, ONNX and TFLite write round(r/S) + zp instead: their zero point is zp = −Z.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from qlab.rounding import Rounding
from qlab.validate import check_bits

__all__ = [
    "BF16",
    "E2M1",
    "E2M3",
    "E3M2",
    "E4M3",
    "E5M2",
    "FP16",
    "NF4",
    "Asymmetric",
    "Codebook",
    "FloatingPoint",
    "Grid",
    "Symmetric",
]


class Grid(ABC):
    """A sorted set of representable numbers in units of S, numbered by whole numbers.

    Survey-map rows: Q2, Q8, Q9, Q11.
    """

    @property
    @abstractmethod
    def code_range(self) -> tuple[int, int]:
        """The smallest and the largest code, (q_min, q_max)."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Bits that a stored code takes."""

    @property
    @abstractmethod
    def unit_range(self) -> tuple[float, float]:
        """The clipping range that makes S = 1."""

    @abstractmethod
    def scale(self, low: Tensor, high: Tensor) -> Tensor:
        """Return S for the clipping range [low, high] (unprotected against zero ranges)."""

    def zero_point(self, low: Tensor, scale: Tensor) -> Tensor:
        """Return the integer Z for ranges that start at `low`; zero for every grid but the asymmetric one."""
        return torch.zeros_like(scale, dtype=torch.int32)

    @property
    def has_zero_point(self) -> bool:
        """Whether Z must be stored."""
        return False

    @property
    def table_bytes(self) -> int:
        """Bytes of the table of levels that must travel with the codes."""
        return 0

    @classmethod
    def of_width(cls, bits: int) -> tuple[Grid, ...]:
        """Return the grids of this kind whose codes take `bits` bits; plots of all quantizers ask every class."""
        return ()

    def index(self, t: Tensor, rounding: Rounding) -> Tensor:
        """Return the whole number of the level that `rounding` picks for t = r/S (unclipped)."""
        return rounding(t)

    def level(self, k: Tensor) -> Tensor:
        """Return the number that k stands for, in units of S."""
        return k


@dataclass(frozen=True)
class Asymmetric(Grid):
    """Uniform codes 0 … 2^b − 1 with a zero point: S = (β − α)/(2^b − 1), Z = Int(α/S).

    The range is widened to include 0, so that r = 0 has an exact code: zero padding and ReLU stay exact.

    Parameters
    ----------
    bits : int
        Bits per code, 1 to 16.

    References
    ----------
    Gholami et al. 2021, equation 3 and section III C; Jacob et al. 2018, equation 1 (there Z has the other sign).

    Examples
    --------
    >>> grid = Asymmetric(8)
    >>> grid.scale(torch.tensor(-1.0), torch.tensor(4.1))
    tensor(0.0200)

    Survey-map rows: Q2, Q4.
    """

    bits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits))

    @classmethod
    def of_width(cls, bits: int) -> tuple[Grid, ...]:
        """Return the asymmetric grid of `bits` bits."""
        return (cls(bits),)

    @property
    def code_range(self) -> tuple[int, int]:
        """(0, 2^b − 1)."""
        return 0, (1 << self.bits) - 1

    @property
    def width(self) -> int:
        """Bits that a stored code takes."""
        return self.bits

    @property
    def has_zero_point(self) -> bool:
        """Whether Z must be stored."""
        return True

    @property
    def unit_range(self) -> tuple[float, float]:
        """The clipping range that makes S = 1."""
        return 0.0, float((1 << self.bits) - 1)

    def scale(self, low: Tensor, high: Tensor) -> Tensor:
        """Return (β − α)/(2^b − 1), each end divided first so that a range near the largest float does not overflow."""
        steps = (1 << self.bits) - 1
        return high.clamp(min=0) / steps - low.clamp(max=0) / steps

    def zero_point(self, low: Tensor, scale: Tensor) -> Tensor:
        """Return Z = Int(α/S)."""
        return torch.round(low.clamp(max=0) / scale).to(torch.int32)


@dataclass(frozen=True)
class Symmetric(Grid):
    """Uniform codes around zero, Z = 0.

    ============ ====================== ==========================
    choice       codes                  S
    ============ ====================== ==========================
    restricted   ±(2^(b−1) − 1)         max(|α|, |β|)/(2^(b−1) − 1)
    full range   −2^(b−1) … 2^(b−1) − 1 2·max(|α|, |β|)/(2^b − 1)
    unsigned     0 … 2^b − 1            β/(2^b − 1)
    ============ ====================== ==========================

    Parameters
    ----------
    bits : int
        Bits per code: 2 to 16, or 1 to 16 if unsigned.
    restricted : bool
        Leave out the code −2^(b−1), so that the codes are symmetric.
    signed : bool
        False for data without negative values (after ReLU): negative inputs clip to 0.

    Raises
    ------
    ValueError
        If `bits` is out of range. One signed bit would leave the single level 0: use ``Codebook((-1, 1))`` for ±S.

    References
    ----------
    Gholami et al. 2021, section III C.

    Examples
    --------
    >>> Symmetric(8).code_range, Symmetric(8, restricted=False).code_range
    ((-127, 127), (-128, 127))

    Survey-map row: Q4.
    """

    bits: int = 8
    restricted: bool = True
    signed: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits))
        if self.signed and self.bits == 1:
            raise ValueError(
                "bits must be an integer from 2 to 16 for signed symmetric codes, got 1 (only the level 0 "
                "would be left); for ±S use Codebook((-1.0, 1.0)), for {0, S} use signed=False"
            )

    @classmethod
    def of_width(cls, bits: int) -> tuple[Grid, ...]:
        """Return the restricted signed grid of `bits` bits; of one bit there is none."""
        return (cls(bits),) if bits > 1 else ()

    @property
    def code_range(self) -> tuple[int, int]:
        """The smallest and the largest code."""
        if not self.signed:
            return 0, (1 << self.bits) - 1
        half = 1 << (self.bits - 1)
        return (1 - half if self.restricted else -half), half - 1

    @property
    def width(self) -> int:
        """Bits that a stored code takes."""
        return self.bits

    @property
    def unit_range(self) -> tuple[float, float]:
        """The clipping range that makes S = 1."""
        if not self.signed:
            return 0.0, float((1 << self.bits) - 1)
        largest = (1 << (self.bits - 1)) - 1 if self.restricted else ((1 << self.bits) - 1) / 2
        return -float(largest), float(largest)

    def scale(self, low: Tensor, high: Tensor) -> Tensor:
        """Return max(|α|, |β|) over the largest level (only β if unsigned)."""
        reach = torch.maximum(-low, high) if self.signed else high
        return reach.clamp(min=0) / self.unit_range[1]


@dataclass(frozen=True)
class FloatingPoint(Grid):
    """A floating-point format as a non-uniform grid: sign, exponent, mantissa.

    The magnitude with bit pattern k = E·2^m + M (exponent field E, mantissa field M) is

        value(k) = 2^(e_min)·M/2^m          if E = 0 (subnormal),
        value(k) = 2^(E − bias)·(1 + M/2^m) otherwise,     bias = 2^(e−1) − 1, e_min = 1 − bias.

    Bit patterns of positive floats are in the order of their values, so ±k is a code as good as any integer's:
    q = ±k with the magnitude's own bit pattern. (−0 is never produced; values past the top saturate.)

    Parameters
    ----------
    exponent_bits, mantissa_bits : int
        e and m.
    top : int
        The bit pattern of the largest finite magnitude (formats differ in what they reserve for infinity and NaN).

    References
    ----------
    IEEE 754-2019, section 3.4; Micikevicius et al. 2022, *FP8 formats for deep learning*, table 1;
    Rouhani et al. 2023, *OCP Microscaling formats*, section 5.3.

    Examples
    --------
    >>> E2M1.level(torch.arange(8))
    tensor([0.0000, 0.5000, 1.0000, 1.5000, 2.0000, 3.0000, 4.0000, 6.0000],
           dtype=torch.float64)

    Survey-map row: Q11.
    """

    exponent_bits: int
    mantissa_bits: int
    top: int

    def __post_init__(self) -> None:
        check_bits(self.exponent_bits, 1, 8, name="exponent_bits")
        check_bits(self.mantissa_bits, 1, 10, name="mantissa_bits")
        check_bits(self.top, 1, (1 << (self.exponent_bits + self.mantissa_bits)) - 1, name="top")

    @classmethod
    def of_width(cls, bits: int) -> tuple[Grid, ...]:
        """Return the named formats of `bits` bits."""
        return tuple(grid for grid in (FP16, BF16, E5M2, E4M3, E3M2, E2M3, E2M1) if grid.width == bits)

    @property
    def _e_min(self) -> int:
        return 2 - (1 << (self.exponent_bits - 1))

    @property
    def code_range(self) -> tuple[int, int]:
        """±top."""
        return -self.top, self.top

    @property
    def width(self) -> int:
        """1 + e + m bits."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def unit_range(self) -> tuple[float, float]:
        """± the largest finite value."""
        largest = float(self.level(torch.tensor(self.top)))
        return -largest, largest

    def scale(self, low: Tensor, high: Tensor) -> Tensor:
        """Return max(|α|, |β|) over the largest finite value."""
        return torch.maximum(-low, high).clamp(min=0) / self.unit_range[1]

    def index(self, t: Tensor, rounding: Rounding) -> Tensor:
        """Return ±k: round in units of the last mantissa bit of t's own exponent, then number the result."""
        t = t.double()
        exponent = (torch.frexp(t).exponent - 1).clamp(min=self._e_min)  # frexp's mantissa lies in [1/2, 1)
        k = rounding(torch.ldexp(t, self.mantissa_bits - exponent))
        return k + torch.sign(t) * ((exponent - self._e_min) << self.mantissa_bits)

    def level(self, k: Tensor) -> Tensor:
        """Return sign(k)·value(|k|), exactly, in float64."""
        k = k.to(torch.int64)
        exponent_field = k.abs() >> self.mantissa_bits
        mantissa = k.abs() - (exponent_field << self.mantissa_bits)
        normal = (exponent_field > 0).to(torch.int64)
        significand = mantissa + (normal << self.mantissa_bits)
        exponent = torch.maximum(exponent_field, torch.ones_like(k)) - 1 + self._e_min - self.mantissa_bits
        return torch.ldexp((torch.sign(k) * significand).double(), exponent)


FP16 = FloatingPoint(5, 10, top=0x7BFF)  # largest 65504
BF16 = FloatingPoint(8, 7, top=0x7F7F)  # largest 3.39e38
E5M2 = FloatingPoint(5, 2, top=0x7B)  # largest 57344
E4M3 = FloatingPoint(4, 3, top=0x7E)  # largest 448: only the last pattern is NaN
E3M2 = FloatingPoint(3, 2, top=0x1F)  # fp6, largest 28
E2M3 = FloatingPoint(2, 3, top=0x1F)  # fp6, largest 7.5
E2M1 = FloatingPoint(2, 1, top=0x7)  # fp4, largest 6


@dataclass(frozen=True)
class Codebook(Grid):
    """A non-uniform grid written out: any sorted list of levels; a code is a place in the list.

    Between two neighbouring levels the place is interpolated linearly and then rounded, so "nearest" picks the nearer
    level and "stochastic" stays unbiased, with no code of its own.

    Parameters
    ----------
    levels : tuple of float
        Strictly increasing, 2 to 65536 of them, in units of S.

    Raises
    ------
    ValueError
        If there are fewer than two levels, or they do not increase, or one is not finite.

    References
    ----------
    Gholami et al. 2021, section III F, equation 7.

    Examples
    --------
    >>> from qlab.rounding import Nearest
    >>> Codebook((-1.0, 0.0, 4.0)).index(torch.tensor([1.9, 2.1, -7.0]), Nearest())
    tensor([1., 2., 0.], dtype=torch.float64)

    Survey-map rows: Q8, Q9.
    """

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(float(v) for v in self.levels))
        increasing = all(a < b for a, b in zip(self.levels, self.levels[1:], strict=False))
        if not 2 <= len(self.levels) <= 1 << 16 or not increasing or not all(map(math.isfinite, self.levels)):
            raise ValueError(f"levels must be 2 to 65536 finite, strictly increasing numbers, got {self.levels[:8]}")

    @classmethod
    def of_width(cls, bits: int) -> tuple[Grid, ...]:
        """Return the published tables of `bits` bits."""
        return (NF4,) if bits == 4 else ()

    @property
    def code_range(self) -> tuple[int, int]:
        """(0, N − 1)."""
        return 0, len(self.levels) - 1

    @property
    def width(self) -> int:
        """⌈log2 N⌉ bits."""
        return (len(self.levels) - 1).bit_length()

    @property
    def table_bytes(self) -> int:
        """Four bytes a level."""
        return 4 * len(self.levels)

    @property
    def unit_range(self) -> tuple[float, float]:
        """From the lowest level to the highest."""
        return self.levels[0], self.levels[-1]

    def scale(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the smallest S that covers the range: max(α/level_0, β/level_N−1) over the ends that it needs.

        Where no level is 0, data that are all 0 get the smallest S there is, so that they come back as good as 0.
        """
        needed = torch.full_like(high, 0.0 if 0.0 in self.levels else torch.finfo(high.dtype).tiny)
        if self.levels[-1] > 0:
            needed = torch.maximum(needed, high / self.levels[-1])
        if self.levels[0] < 0:
            needed = torch.maximum(needed, low / self.levels[0])
        return needed

    def index(self, t: Tensor, rounding: Rounding) -> Tensor:
        """Return the place in the list that `rounding` picks."""
        levels = torch.tensor(self.levels, dtype=torch.float64, device=t.device)
        t = t.double().clamp(levels[0], levels[-1]).contiguous()
        left = torch.searchsorted(levels, t, right=True).sub_(1).clamp_(0, len(self.levels) - 2)
        return rounding(left + (t - levels[left]) / (levels[left + 1] - levels[left]))

    def level(self, k: Tensor) -> Tensor:
        """Look the levels up, in float64."""
        table = torch.tensor(self.levels, dtype=torch.float64, device=k.device)
        return table[k.to(torch.int64)]


# The 16 levels of QLoRA's 4-bit NormalFloat: quantiles of the normal distribution, with an exact zero.
# Dettmers et al. 2023, appendix E. qlab.history rebuilds them from the normal's quantile function in a test.
NF4 = Codebook(
    (
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    )
)
