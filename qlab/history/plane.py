r"""Every quantizer of the library on one plane: bits per number against mean squared error.

    rate, fixed length:   ⌈log2 N⌉ bits a code, and what its scales take
    rate, entropy-coded:  H(codes), what an ideal lossless coder would spend, and what its scales take
    distortion:           (1/n) Σ (x − x̂)²

Tables of levels are not counted: they are shared by as many numbers as one likes. Quantizers are fitted to the data
that they code, as they are when weights are quantized. Sources: Shannon 1959; Gray and Neuhoff 1998, *Quantization*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from qlab.calibration import MSE, Calibration, MinMax
from qlab.granularity import Granularity, PerBlock, PerTensor
from qlab.grids import Codebook, FloatingPoint, Grid
from qlab.powers_of_two import AdditivePowersOfTwo, PowersOfTwo
from qlab.quantizer import Quantizer

from ._check import Floats, check_integer, check_reals
from .blahut_arimoto import blahut_arimoto
from .companding import CompandedPCM
from .ecsq import ecsq_samples
from .entropy import code_entropy
from .entropy_coded import entropy_coded_uniform_samples
from .lattices import A2, D4
from .lloyd_samples import lloyd_samples
from .rate_distortion import RatePoint
from .vector_quantization import lbg

__all__ = ["PlanePoint", "every_grid", "rate_distortion_plane", "samples_rate_distortion"]

BLOCK = 64


@dataclass(frozen=True)
class PlanePoint:
    """One quantizer on the plane.

    Attributes
    ----------
    family, name : str
        Such as "uniform" and "Symmetric(bits=4), MSE".
    coding : {"fixed", "entropy"}
        How its codes are stored.
    point : RatePoint
        Bits per number; mean squared error in units of the data's mean square.

    Survey-map row: H8.
    """

    family: str
    name: str
    coding: str
    point: RatePoint

    @property
    def snr_db(self) -> float:
        """Signal over noise, −10 log10 D."""
        return float(-10 * np.log10(self.point.distortion))


def every_grid(bits: int) -> list[Grid]:
    """Return every grid of the library whose codes take `bits` bits: a new class of grid is in it by existing.

    Examples
    --------
    >>> [type(grid).__name__ for grid in every_grid(4)]
    ['Asymmetric', 'Symmetric', 'FloatingPoint', 'Codebook', 'PowersOfTwo', 'AdditivePowersOfTwo']

    Survey-map rows: H8, Q8, Q9, Q11.
    """
    check_integer(bits, "bits", 1, 16)

    def below(kind: type[Grid]) -> Iterator[type[Grid]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    return [grid for kind in below(Grid) for grid in kind.of_width(bits)]  # type: ignore[type-abstract]


def rate_distortion_plane(x: ArrayLike, bits: Iterable[int] = range(1, 9), seed: int = 1) -> list[PlanePoint]:
    """Quantize `x` by everything there is, and return where each lands.

    Parameters
    ----------
    x : array of n ≥ 1024 reals
        In the order in which blocks are formed. Only the first n − n mod 64 are used.
    bits : iterable of int
        Widths to try; each family takes those that it can have.
    seed : int
        For stochastic rounding.

    Returns
    -------
    list of PlanePoint
        Vector quantizers appear where there are at least 20 vectors for every codeword in use: with fewer, they learn
        the data by heart, and the entropy of their codes means nothing.

    Raises
    ------
    ValueError
        If there are fewer than 1024 numbers, or they are all 0, or not finite.

    Examples
    --------
    >>> from qlab.history.sources import gaussian
    >>> points = rate_distortion_plane(gaussian().sample(2048, seed=1), bits=[2])
    >>> all(p.point.gap_bits() > -0.05 for p in points)
    True

    Survey-map row: H8.
    """
    data = check_reals(x).ravel()
    if data.size < 1024:
        raise ValueError(f"x must hold at least 1024 numbers, got {data.size}")
    data = data[: data.size - data.size % BLOCK]
    power = float(np.mean(data**2))
    if power == 0:
        raise ValueError("x must hold a number other than 0, got only zeros")
    unit: Floats = data / np.sqrt(power)
    families = (_scalar, _companded, _lloyd, _entropy_coded, _vectors)
    return [point for b in bits for family in families for point in family(unit, b)]


def _both(family: str, name: str, fixed: float, coded: float, distortion: float) -> Iterator[PlanePoint]:
    yield PlanePoint(family, name, "fixed", RatePoint(fixed, distortion))
    yield PlanePoint(family, name, "entropy", RatePoint(coded, distortion))


def _family(grid: Grid) -> str:
    if isinstance(grid, PowersOfTwo | AdditivePowersOfTwo):
        return "powers of two"
    return {FloatingPoint: "floating point", Codebook: "codebook"}.get(type(grid), "uniform")


def _label(grid: Grid) -> str:
    if isinstance(grid, FloatingPoint):
        return f"E{grid.exponent_bits}M{grid.mantissa_bits}"
    if isinstance(grid, Codebook) and grid.table_bytes > 0:
        return f"Codebook of {len(grid.levels)}"
    return repr(grid)


def _scalar(x: Floats, bits: int) -> Iterator[PlanePoint]:
    """Compose every grid with every calibration and granularity here: the core's quantizers."""
    data = torch.from_numpy(x).float()
    calibrations: list[Calibration] = [MinMax(), MSE(candidates=50)]
    granularities: list[Granularity] = [PerTensor(), PerBlock(BLOCK)]
    for grid in every_grid(bits):
        for calibration in calibrations:
            for granularity in granularities:
                stored = Quantizer(grid, granularity, calibration)(data)
                side = 8 * (stored.nbytes - grid.table_bytes) / x.size - grid.width  # bits a number for scales
                where = "" if isinstance(granularity, PerTensor) else f", blocks of {BLOCK}"
                yield from _both(
                    _family(grid) + (" in blocks" if where else ""),
                    f"{_label(grid)}, {type(calibration).__name__}{where}",
                    grid.width + side,
                    code_entropy(stored.codes.numpy().ravel()) + side,
                    float((stored.dequantize().double() - data.double()).square().mean()),
                )


def _companded(x: Floats, bits: int) -> Iterator[PlanePoint]:
    if bits < 2:
        return
    top = np.abs(x).max()
    coder = CompandedPCM(bits)
    codes = coder.encode(x / top)
    error = float(np.mean((top * coder.decode(codes) - x) ** 2))
    yield from _both("companded", f"μ-law, {bits} bits", bits, code_entropy(codes), error)


def _lloyd(x: Floats, bits: int) -> Iterator[PlanePoint]:
    if 1 << bits > x.size // 20 or bits > 6:
        return
    found = [lloyd_samples(x, 1 << bits, start) for start in (None, _companded_start(x, 1 << bits))]
    error, q = min(((float(np.mean((q(x) - x) ** 2)), q) for q in found), key=lambda pair: pair[0])
    yield from _both("Lloyd–Max", f"Lloyd–Max, {1 << bits} levels", bits, code_entropy(q.encode(x)), error)


def _companded_start(x: Floats, levels: int) -> Floats:
    """Place levels in proportion to the cube root of the histogram (Panter and Dite): near the optimum for many."""
    count, edges = np.histogram(x, 100)
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(count) + 1e-3)])
    return np.interp((np.arange(levels) + 0.5) / levels, share / share[-1], edges)


def _entropy_coded(x: Floats, bits: int) -> Iterator[PlanePoint]:
    """Steps and prices that land near `bits` for a Gaussian: D ≈ 2πe/12 · 2^(−2R)."""
    for rate in (bits - 0.5, float(bits)):
        D = 2 * math.pi * math.e / 12 * 2.0 ** (-2 * rate)
        step = float(np.sqrt(12 * D))
        point = entropy_coded_uniform_samples(x, step)
        yield PlanePoint("uniform, unlimited", f"step {step:.3g} σ", "entropy", point)
        lam = float(2 * np.log(2) * D)
        if bits <= 5:
            yield PlanePoint("entropy-constrained", f"ECSQ, λ = {lam:.3g}", "entropy", ecsq_samples(x, lam).point)


def _vectors(x: Floats, bits: int) -> Iterator[PlanePoint]:
    for lattice in (A2, D4):
        d = lattice.dimension
        step = float(np.sqrt(2 * math.pi * math.e) * 2.0**-bits / lattice.volume ** (1 / d))
        rows = x.reshape(-1, d)
        found = lattice.nearest(rows, step)
        _, codes = np.unique(np.rint(found / step * 1e6).astype(np.int64), axis=0, return_inverse=True)
        if 20 * (int(codes.max()) + 1) <= len(rows):
            point = RatePoint(code_entropy(codes.ravel()) / d, float(np.mean((rows - found) ** 2)))
            yield PlanePoint("lattice", f"{lattice.name}, step {step:.3g} σ", "entropy", point)
    for d in (2, 4):
        rows, size = x.reshape(-1, d), 1 << (bits * d)
        if size <= 256 and 20 * size <= len(rows):
            q = lbg(rows, size, tolerance=1e-4)
            codes = q.encode(rows)
            error = float(np.mean((q.decode(codes) - rows) ** 2))
            yield from _both("vector (LBG)", f"LBG, {size} vectors of {d}", bits, code_entropy(codes) / d, error)


def samples_rate_distortion(x: ArrayLike, slope: float, *, points: int = 301, tolerance: float = 1e-4) -> RatePoint:
    """R(D) at one slope for numbers drawn at random from the sample `x`, by Blahut–Arimoto on its histogram.

    It bounds every code for data that are *memoryless* with this distribution; a code that uses dependence between
    neighbours may do better. The variance inside the cells is added to D, so the point lies on or just above the curve.

    Parameters
    ----------
    x : array of reals
    slope : float
        β in nats per unit of squared error; a Gaussian's D is then 1/(2β).
    points : int
        Cells of the histogram and reproduction values.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=20_000)
    >>> point = samples_rate_distortion(x, slope=2.0)  # D = 1/4, R = 1
    >>> print(round(point.distortion, 1), round(point.rate, 1))
    0.2 1.0

    Survey-map row: H8.
    """
    x = check_reals(x).ravel()
    edges = np.linspace(x.min(), x.max(), check_integer(points, "points", 3) + 1)
    cell = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, points - 1)
    count = np.bincount(cell, minlength=points)
    used = count > 0
    mean = np.bincount(cell, weights=x, minlength=points)[used] / count[used]
    square = np.bincount(cell, weights=x**2, minlength=points)[used] / count[used]
    p = count[used] / x.size
    y = np.unique(np.concatenate([(edges[1:] + edges[:-1]) / 2, mean]))
    found = blahut_arimoto(p, (mean[:, None] - y) ** 2, slope, tolerance=tolerance, steps=3000).point
    return RatePoint(found.rate, found.distortion + float(p @ np.maximum(square - mean**2, 0)))
