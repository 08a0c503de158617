r"""Entropy-constrained scalar quantization: Lloyd's algorithm, with a price λ for every bit.

    minimize D + λH,    D = E[(X − y_i)²],    H = −Σ p_i log2 p_i

    x goes to the i with the least (x − y_i)² + λℓ_i,    ℓ_i = −log2 p_i
    y_i ← E[X | cell i],    p_i ← P(cell i)

Rare levels must be paid for, so their cells shrink and some vanish. At small λ the cells come out nearly uniform; at
large λ a wide cell, the "dead zone", forms where the density is highest.
Source: Chou, Lookabaugh and Gray 1989, *Entropy-Constrained Vector Quantization*; in one dimension: Berger 1972,
*Optimum Quantizers and Permutation Codes*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._check import Floats, check_integer, check_positive, check_reals
from .rate_distortion import RatePoint
from .scalar_quantizer import ScalarQuantizer
from .sources import Law, Source, as_source

__all__ = ["ECSQ", "ecsq", "ecsq_samples", "lower_envelope"]


@dataclass(frozen=True, eq=False)
class ECSQ:
    """The quantizer, its rate and distortion, and D + λH after every iteration.

    Survey-map rows: H5, H8.
    """

    quantizer: ScalarQuantizer
    point: RatePoint
    objective: tuple[float, ...]


def lower_envelope(levels: Floats, cost: Floats) -> tuple[list[int], Floats]:
    """Which i minimize (x − y_i)² + cost_i somewhere, and the thresholds between them.

    (x − y_i)² + cost_i and its right neighbour meet at t = (y_i + y_j)/2 + (cost_j − cost_i)/(2(y_j − y_i)); a level
    whose interval would be empty is dropped.

    Examples
    --------
    The middle level is dear, so it loses its customers:

    >>> lower_envelope(np.array([-1.0, 0.0, 1.0]), np.array([0.0, 2.0, 0.0]))
    ([0, 2], array([0.]))

    Survey-map rows: H5, H8.
    """
    kept, thresholds = [0], [-np.inf]
    for j in range(1, len(levels)):
        while True:
            i = kept[-1]
            t = (levels[i] + levels[j]) / 2 + (cost[j] - cost[i]) / (2 * (levels[j] - levels[i]))
            if t > thresholds[-1]:
                break
            kept.pop()
            thresholds.pop()
        kept.append(j)
        thresholds.append(t)
    return kept, np.array(thresholds[1:])


class _Samples:
    """Numbers that answer `cell_moments` like a source does."""

    def __init__(self, x: Floats) -> None:
        self.x = np.sort(x.ravel())
        self.sums = np.array([np.concatenate([[0.0], np.cumsum(self.x**k)]) for k in range(3)]) / self.x.size

    def cell_moments(self, edges: Floats) -> tuple[Floats, Floats, Floats]:
        ends = np.concatenate([[0], np.searchsorted(self.x, edges[1:-1]), [self.x.size]])
        m0, m1, m2 = np.diff(self.sums[:, ends], axis=1)
        return m0, m1, m2


def _iterate(data: Source | _Samples, y: Floats, lam: float, tolerance: float, steps: int) -> ECSQ:
    cost, objective = np.zeros(len(y)), []
    for _ in range(steps):
        kept, t = lower_envelope(y, cost)
        m0, m1, m2 = data.cell_moments(np.concatenate([[-np.inf], t, [np.inf]]))
        alive = m0 > 1e-15
        while not alive.all():  # empty cells leave; their neighbours share what they had
            kept = [k for k, a in zip(kept, alive, strict=True) if a]
            inner, t = lower_envelope(y[kept], cost[kept])
            kept = [kept[k] for k in inner]
            m0, m1, m2 = data.cell_moments(np.concatenate([[-np.inf], t, [np.inf]]))
            alive = m0 > 1e-15
        y, cost = m1 / m0, -lam * np.log2(m0)
        point = RatePoint(float(-np.sum(m0 * np.log2(m0))) + 0.0, float(np.sum(m2 - m1**2 / m0)))
        objective.append(point.distortion + lam * point.rate)
        if len(objective) > 1 and objective[-2] - objective[-1] <= tolerance * abs(objective[-1]):
            break
    return ECSQ(ScalarQuantizer(t, y), point, tuple(objective))


def _starts(low: float, high: float, mean: float, sigma: float, lam: float) -> list[Floats]:
    """Uniform levels to begin with, a level or a threshold on the mean.

    Their step is the one of high rate, where dD/dR = −2 ln2·Δ²/12 = −λ, so Δ = √(6λ/ln 2); also σ, if that is less.
    """
    wanted = float(np.sqrt(6 * lam / np.log(2)))
    found: list[Floats] = []
    for step in {wanted, min(wanted, sigma)}:
        for shift in (0.0, 0.5):
            first, last = np.ceil((low - mean) / step - shift), np.floor((high - mean) / step - shift)
            if last - first > 20_000:
                raise ValueError(f"lam must be larger: {lam} asks for {last - first:.0f} levels")
            if last >= first:
                found.append(mean + step * (np.arange(first, last + 1) + shift))
    return found


def _best(data: Source | _Samples, starts: list[Floats], lam: float, tolerance: float, steps: int) -> ECSQ:
    check_integer(steps, "steps", 1)
    return min((_iterate(data, y, lam, tolerance, steps) for y in starts), key=lambda e: e.objective[-1])


def ecsq(source: Source | Law, lam: float, *, tolerance: float = 1e-10, steps: int = 2000) -> ECSQ:
    """Entropy-constrained quantizer of a density at the price λ.

    Parameters
    ----------
    source : Source or frozen scipy.stats distribution
    lam : float
        λ: squared error that one bit is worth.
    tolerance : float
        Stop when an iteration lowers D + λH by less than this fraction.
    steps : int
        The most iterations.

    Returns
    -------
    ECSQ

    Examples
    --------
    About one bit for a Gaussian: the entropy-coded quantizer leaves less error than the sign bit does (0.3634).

    >>> from qlab.history.sources import gaussian
    >>> found = ecsq(gaussian(), 0.45)
    >>> print(found.point.rate < 1.0, found.point.distortion < 0.3634)
    True True

    Survey-map rows: H5, H8.
    """
    source, lam = as_source(source), check_positive(lam, "lam")
    low, high = source.range(1e-10)
    starts = _starts(low, high, source.mean, float(np.sqrt(source.variance)), lam)
    return _best(source, starts, lam, tolerance, steps)


def ecsq_samples(samples: ArrayLike, lam: float, *, tolerance: float = 1e-10, steps: int = 2000) -> ECSQ:
    """Entropy-constrained quantizer of numbers, with the entropy of the codes that occur.

    Examples
    --------
    Bits so dear that one level is best: the mean, for no bits at all.

    >>> found = ecsq_samples([0.0, 1.0, 2.0], lam=10.0)
    >>> found.quantizer.levels, found.point.rate
    (array([1.]), 0.0)

    Survey-map rows: H5, H8.
    """
    x, lam = check_reals(samples, "samples").ravel(), check_positive(lam, "lam")
    if x.min() == x.max():
        return ECSQ(ScalarQuantizer([], x[:1]), RatePoint(0.0, 0.0), (0.0,))
    centre = float(x.mean())
    x = x - centre
    found = _best(_Samples(x), _starts(x.min(), x.max(), 0.0, float(x.std()), lam), lam, tolerance, steps)
    q = found.quantizer
    moved = ScalarQuantizer(np.asarray(q.thresholds) + centre, np.asarray(q.levels) + centre)
    return ECSQ(moved, found.point, found.objective)
