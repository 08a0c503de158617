"""Calibration: where the clipping range [α, β] comes from.

Every method sees the data as rows (one row per scale) and keeps a small *state* while batches stream by, so memory
does not grow with the number of batches:

    state = method.update(state, rows)      # once per batch; None starts
    α, β  = method.range(state, grid)       # once, at the end

Called directly, `method(rows, grid)` does both at once. Sources stand with each method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qlab.grids import Grid
from qlab.rounding import Nearest
from qlab.validate import check_bits

__all__ = [
    "ACIQ",
    "MSE",
    "Calibration",
    "Entropy",
    "Fixed",
    "MinMax",
    "MovingAverage",
    "Percentile",
    "Range",
    "Sample",
    "Unscaled",
]


class Range(NamedTuple):
    """A clipping range per row: low α and high β, each of shape (rows,).

    Survey-map row: Q5.
    """

    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Sample:
    """A bounded summary of a stream: points and how many observations each stands for, row by row.

    While few enough, the points are the data themselves and everything computed from them is exact. Beyond `limit`
    points a row they are merged into `bins` equal intervals, each kept as its mean and its count: counts, sums,
    minimum and maximum stay exact, and no point moves further than a bin's width.

    Survey-map row: Q5.
    """

    points: Tensor  # (rows, n)
    counts: Tensor  # (rows, n), float64: a float32 stops counting at 2^24
    limit: int = 1 << 18
    bins: int = 1 << 13

    @staticmethod
    def join(old: Sample | None, rows: Tensor) -> Sample:
        """Return the summary of what `old` saw and `rows`, shape (rows, n)."""
        points, counts = rows.detach(), torch.ones_like(rows, dtype=torch.float64)
        if old is None:
            new = Sample(points, counts)
        else:
            _check_rows(old.points, rows)
            new = replace(old, points=torch.cat([old.points, points], 1), counts=torch.cat([old.counts, counts], 1))
        return new if new.points.shape[1] <= new.limit else new._merged()

    def _merged(self) -> Sample:
        low = self.points.amin(1, keepdim=True)
        high = self.points.amax(1, keepdim=True)
        width = (high.double() - low.double()).clamp(min=torch.finfo(low.dtype).tiny) / (self.bins - 2)
        # The two extremes get a bin of their own, so that merging never moves them.
        place = ((self.points.double() - low) / width).long().clamp(0, self.bins - 3) + 1
        place = torch.where(self.points == low, 0, place)
        place = torch.where(self.points == high, self.bins - 1, place)
        empty = torch.zeros(self.points.shape[0], self.bins, dtype=torch.float64, device=low.device)
        counts = empty.scatter_add(1, place, self.counts)
        sums = empty.scatter_add(1, place, self.points * self.counts)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), low.double())
        means = means.to(low.dtype)
        means[:, :1], means[:, -1:] = low, high
        return replace(self, points=means, counts=counts)


def _check_rows(seen: Tensor, rows: Tensor) -> None:
    if len(seen) != len(rows):
        raise ValueError(
            f"x must fall into {len(seen)} rows as the batches before it did, got {len(rows)}: "
            "choose a granularity whose rows do not depend on the size of a batch"
        )


def _shares_codes(low: Tensor, grid: Grid) -> Tensor:
    """Whether a row's codes lie on both sides of 0: not for data ≥ 0 on a grid that can spend all of them on one."""
    if grid.has_zero_point or grid.unit_range[0] >= 0:
        return low < 0
    return torch.ones_like(low, dtype=torch.bool)


class Calibration(ABC):
    """A rule that turns data into a clipping range per row.

    Survey-map row: Q5.
    """

    @abstractmethod
    def update(self, state: Any, rows: Tensor) -> Any:
        """Return the state after one more batch, shape (rows, n); `state` is None at the start."""

    @abstractmethod
    def range(self, state: Any, grid: Grid) -> Range:
        """Return the clipping range that the data seen so far suggest for `grid`."""

    def __call__(self, rows: Tensor, grid: Grid) -> Range:
        """Calibrate on one batch."""
        return self.range(self.update(None, rows), grid)


@dataclass(frozen=True)
class MinMax(Calibration):
    """α = min r, β = max r: no clipping at all; one outlier sets the step for everybody.

    References
    ----------
    Gholami et al. 2021, section III C.

    Examples
    --------
    >>> from qlab.grids import Symmetric
    >>> MinMax()(torch.tensor([[-1.0, 0.5, 2.0]]), Symmetric(8))
    Range(low=tensor([-1.]), high=tensor([2.]))

    Survey-map row: Q5.
    """

    def update(self, state: Range | None, rows: Tensor) -> Range:
        """Widen the range by one batch."""
        low, high = rows.detach().aminmax(dim=1)
        if state is None:
            return Range(low, high)
        _check_rows(state.low, rows)
        return Range(state.low.minimum(low), state.high.maximum(high))

    def range(self, state: Range, grid: Grid) -> Range:
        """Return the range seen."""
        return state


@dataclass(frozen=True)
class MovingAverage(Calibration):
    """α ← m·α + (1 − m)·min of the batch, and likewise β: the range that batches have on average.

    Parameters
    ----------
    momentum : float
        m, in [0, 1): the weight of the past.

    References
    ----------
    Jacob et al. 2018, section 3.1 (exponential moving averages of activation ranges).

    Survey-map row: Q5.
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")

    def update(self, state: Range | None, rows: Tensor) -> Range:
        """Move the range toward one batch's."""
        low, high = rows.detach().aminmax(dim=1)
        if state is None:
            return Range(low, high)
        _check_rows(state.low, rows)
        m = self.momentum
        return Range(m * state.low + (1 - m) * low, m * state.high + (1 - m) * high)

    def range(self, state: Range, grid: Grid) -> Range:
        """Return the averaged range."""
        return state


@dataclass(frozen=True)
class Percentile(Calibration):
    """α and β cut off the outermost (100 − p) % of the data, half at each end.

    The quantile is that of the empirical distribution (the smallest value with at least that share at or below it).
    One-sided data (all ≥ 0) keep their minimum and lose their whole share at the top.

    Parameters
    ----------
    percent : float
        p, in (50, 100]: the share of the data inside the range.

    References
    ----------
    McKinstry et al. 2018, *Discovering low-precision networks close to full-precision networks*, section 3.

    Survey-map row: Q5.
    """

    percent: float = 99.9

    def __post_init__(self) -> None:
        if not 50 < self.percent <= 100:
            raise ValueError(f"percent must lie in (50, 100], got {self.percent}")

    def update(self, state: Sample | None, rows: Tensor) -> Sample:
        """Take in one batch."""
        return Sample.join(state, rows)

    def range(self, state: Sample, grid: Grid) -> Range:
        """Return the two quantiles."""
        points, order = state.points.sort(dim=1)
        share = state.counts.gather(1, order).cumsum(1)
        share = share / share[:, -1:]
        outside = 1 - self.percent / 100
        one_sided = points[:, 0] >= 0
        tail = torch.where(one_sided, outside, outside / 2).double()

        def quantile(level: Tensor) -> Tensor:
            place = torch.searchsorted(share, (level - 1e-12)[:, None]).clamp(max=points.shape[1] - 1)
            return points.gather(1, place)[:, 0]

        return Range(torch.where(one_sided, points[:, 0], quantile(tail)), quantile(1 - tail))


@dataclass(frozen=True)
class MSE(Calibration):
    """The range that minimizes Σ (r − r̃)², found by search (OMSE).

    Both ends shrink together first, over `candidates` equally spaced fractions of the full range; then, for grids with
    a zero point, each end is searched alone with the other held. Clipping costs a few values, the finer step serves all
    others.

    Parameters
    ----------
    candidates : int
        How many fractions are tried, from 1/candidates to 1.
    power : float
        2 for the squared error; the p of Σ|r − r̃|^p in general.

    References
    ----------
    Choukroun et al. 2019, *Low-bit quantization of neural networks for efficient inference*, section 3.1.

    Survey-map row: Q5.
    """

    candidates: int = 100
    power: float = 2.0

    def __post_init__(self) -> None:
        check_bits(self.candidates, 2, 10**6, name="candidates")
        if not self.power > 0:
            raise ValueError(f"power must be positive, got {self.power}")

    def update(self, state: Sample | None, rows: Tensor) -> Sample:
        """Take in one batch."""
        return Sample.join(state, rows)

    def range(self, state: Sample, grid: Grid) -> Range:
        """Return the best range found."""
        low, high = state.points.aminmax(dim=1)
        fractions = torch.arange(1, self.candidates + 1, dtype=low.dtype, device=low.device) / self.candidates
        best = self._search(state, grid, [(f * low, f * high) for f in fractions.flip(0)])
        if grid.has_zero_point:
            best = self._search(state, grid, [best, *((f * low, best.high) for f in fractions.flip(0))])
            best = self._search(state, grid, [best, *((best.low, f * high) for f in fractions.flip(0))])
        return best

    def _search(self, state: Sample, grid: Grid, ranges: list[tuple[Tensor, Tensor]]) -> Range:
        best, least = Range(*ranges[0]), self._error(state, grid, Range(*ranges[0]))
        for candidate in ranges[1:]:
            error = self._error(state, grid, Range(*candidate))
            better = error < least
            least = torch.where(better, error, least)
            best = Range(torch.where(better, candidate[0], best.low), torch.where(better, candidate[1], best.high))
        return best

    def _error(self, state: Sample, grid: Grid, clip: Range) -> Tensor:
        from qlab.quantizer import reconstruct, scales

        error = (reconstruct(state.points, scales(grid, clip), grid, Nearest()) - state.points).abs()
        reach = state.points.abs().amax(1, keepdim=True).clamp(min=torch.finfo(error.dtype).tiny)
        error /= reach  # whatever the unit, no power of this overflows or vanishes
        return (error.pow(self.power) * state.counts).sum(1, dtype=torch.float64)


@dataclass(frozen=True)
class Entropy(Calibration):
    """The threshold T whose quantized histogram keeps most of the information: argmin KL(P ‖ Q).

    P is the histogram of |r| up to T, with everything beyond T counted in its last bin; Q is the histogram clipped
    at T (what lies beyond is gone) after merging its bins into as many levels as the grid has on one side, each
    merged mass spread evenly over the bins that were not empty. The range is [−T, T] cut to the data.
    Exact zeros are left out: 0 has a code of its own, so they cost nothing, and after a ReLU their spike would drown
    everything else.

    Parameters
    ----------
    bins : int
        Bins of the histogram of |r|.

    References
    ----------
    Migacz 2017, *8-bit inference with TensorRT* (GTC talk), slides 32–40.

    Survey-map row: Q5.
    """

    bins: int = 2048

    def __post_init__(self) -> None:
        check_bits(self.bins, 8, 1 << 20, name="bins")

    def update(self, state: Sample | None, rows: Tensor) -> Sample:
        """Take in one batch."""
        return Sample.join(state, rows)

    def range(self, state: Sample, grid: Grid) -> Range:
        """Return the range of the best threshold."""
        low, high = state.points.aminmax(dim=1)
        q_min, q_max = grid.code_range
        codes = torch.where(_shares_codes(low, grid), (q_max - q_min + 1) // 2, q_max - q_min + 1).clamp(min=2)
        thresholds = torch.stack(
            [self._threshold(p, c, int(n)) for p, c, n in zip(state.points, state.counts, codes, strict=True)]
        )
        return Range(low.maximum(-thresholds), high.minimum(thresholds))

    def _threshold(self, points: Tensor, counts: Tensor, levels: int) -> Tensor:
        reach = points.abs().max()
        if reach == 0 or self.bins <= levels:
            return reach
        counts = torch.where(points == 0, 0, counts)
        place = (points.abs() / reach * self.bins).long().clamp(max=self.bins - 1)
        histogram = torch.zeros(self.bins, dtype=torch.float64, device=points.device)
        histogram = histogram.scatter_add(0, place, counts)
        ends = range(levels, self.bins + 1, max(1, levels // 16))
        divergence = torch.stack([_kl_after_merging(histogram, end, levels) for end in ends])
        return reach * (ends[int(divergence.argmin())] / self.bins)


def _kl_after_merging(histogram: Tensor, end: int, levels: int) -> Tensor:
    """KL(P ‖ Q) of `Entropy` for a threshold at bin `end`; infinite where Q has no mass under some of P's."""
    inside = histogram[:end]
    p = inside.clone()
    p[-1] += histogram[end:].sum()
    group = torch.arange(end, device=p.device) * levels // end
    occupied = (inside > 0).double()
    mass = torch.zeros(levels, dtype=p.dtype, device=p.device).scatter_add(0, group, inside)
    share = torch.zeros_like(mass).scatter_add(0, group, occupied)
    q = (mass / share.clamp(min=1))[group] * occupied
    if bool(((q == 0) & (p > 0)).any()):
        return p.new_tensor(torch.inf)
    p, q = p / p.sum(), q / q.sum()
    return torch.xlogy(p, p / q.clamp(min=torch.finfo(q.dtype).tiny)).sum()


@dataclass(frozen=True)
class ACIQ(Calibration):
    """The range that is optimal for a Laplace or a Gaussian density fitted to the data: no search.

    Clipping at ±T costs 2·∫_T^∞ (r − T)² f(r) dr, rounding T²/(3·4^b). For Laplace with scale λ = E|r − μ| the sum

        D(T) = 2λ²·e^(−T/λ) + T²/(3·4^b)     is least at     T = λ·W(3·4^b),

    with Lambert's W (T/λ = 2.83, 3.90, 5.03 at 2, 3, 4 bits). For a Gaussian the root is found numerically.
    Data without negative values have half the width to cover; on a grid that can spend all its codes there (a zero
    point, or unsigned codes) this is the same formula with one bit more.
    Exact zeros are left out of the fit: 0 has a code of its own, so they cost nothing; after a ReLU they are half of
    the data and more, and would shrink λ as much.

    Parameters
    ----------
    density : {"laplace", "gauss"}
        What is fitted: by E|r − μ| or by the standard deviation.

    References
    ----------
    Banner, Nahshan, Soudry 2019, *Post training 4-bit quantization of convolutional networks for rapid-deployment*,
    section 3 (equations 5–9).

    Survey-map rows: Q5, T6.
    """

    density: str = "laplace"

    def __post_init__(self) -> None:
        if self.density not in ("laplace", "gauss"):
            raise ValueError(f"density must be 'laplace' or 'gauss', got {self.density!r}")

    def update(self, state: Sample | None, rows: Tensor) -> Sample:
        """Take in one batch."""
        return Sample.join(state, rows)

    def range(self, state: Sample, grid: Grid) -> Range:
        """Return μ ± T, cut to the data (α = 0 and β = T for data without negative values)."""
        low, high = state.points.aminmax(dim=1)
        points, counts = state.points.double(), state.counts
        counts = torch.where(points == 0, 0, counts)
        n = counts.sum(1, keepdim=True).clamp(min=1)
        one_sided = low >= 0
        mean = torch.where(one_sided[:, None], 0.0, (points * counts).sum(1, keepdim=True) / n)
        if self.density == "laplace":
            spread = ((points - mean).abs() * counts).sum(1) / n[:, 0]
        else:
            spread = (((points - mean) ** 2 * counts).sum(1) / n[:, 0]).sqrt()
        both = _shares_codes(low, grid)
        reach = torch.where(both, self.multiplier(grid.width) * spread, self.multiplier(grid.width + 1) * spread)
        mean = mean[:, 0]
        alpha = torch.maximum(low.double(), mean - reach).to(low.dtype)
        return Range(torch.where(one_sided, low, alpha), torch.minimum(high.double(), mean + reach).to(low.dtype))

    def multiplier(self, bits: int) -> float:
        """Return T in units of the fitted spread.

        Examples
        --------
        >>> [round(ACIQ().multiplier(b), 2) for b in (2, 3, 4)]
        [2.83, 3.9, 5.03]
        """
        from scipy.optimize import brentq
        from scipy.special import lambertw
        from scipy.stats import norm

        if self.density == "laplace":
            return float(lambertw(3 * 4.0**bits).real)

        def slope(t: float) -> float:  # dD/dT = −4·∫_T^∞ (r − T) f(r) dr + 2T/(3·4^b)
            return -4 * (norm.pdf(t) - t * norm.sf(t)) + 2 * t / (3 * 4.0**bits)

        return float(brentq(slope, 1e-6, 20.0))


@dataclass(frozen=True)
class Fixed(Calibration):
    """A range that is known beforehand, such as [0, 6] after ReLU6.

    Parameters
    ----------
    low, high : float
        α and β, with α ≤ 0 ≤ β and α < β.

    Raises
    ------
    ValueError
        If the range is empty or does not hold 0.

    Survey-map row: Q5.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (self.low <= 0 <= self.high and self.low < self.high):
            raise ValueError(f"low and high must satisfy low ≤ 0 ≤ high, low < high, got {self.low}, {self.high}")

    def update(self, state: Tensor | None, rows: Tensor) -> Tensor:
        """Look only at the number of rows."""
        return rows.detach()[:, 0]

    def range(self, state: Tensor, grid: Grid) -> Range:
        """Return the fixed range for every row."""
        return Range(torch.full_like(state, self.low), torch.full_like(state, self.high))


@dataclass(frozen=True)
class Unscaled(Calibration):
    """S = 1, whatever the data: a plain cast to the grid, as hardware casts fp32 to bf16.

    Examples
    --------
    >>> from qlab import Quantizer, grids
    >>> cast = Quantizer(grids.E4M3, calibration=Unscaled())
    >>> cast(torch.tensor([0.3, 500.0])).dequantize().tolist()
    [0.3125, 448.0]

    Survey-map rows: Q5, Q11.
    """

    def update(self, state: Tensor | None, rows: Tensor) -> Tensor:
        """Look only at the number of rows."""
        return rows.detach()[:, 0]

    def range(self, state: Tensor, grid: Grid) -> Range:
        """Return the grid's own range."""
        low, high = grid.unit_range
        return Range(torch.full_like(state, low), torch.full_like(state, high))
