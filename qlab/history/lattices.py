r"""Lattice quantizers: uniform quantization in several dimensions, with rounder cells than cubes.

    G = E‖x − q(x)‖² / (d · V^{2/d}),      gain over the cubic grid = 10 log10( (1/12)/G ) dB

    Z (cube) 1/12 = 0.083333      A₂ (hexagons) 5/(36√3) = 0.080188      D₄ 0.076603      E₈ 0.071682
    ball in d → ∞ dimensions: 1/(2πe) = 0.058550, 1.53 dB

V is the volume of a cell; G is the error per number for cells of volume one.
Source: Conway and Sloane 1982, *Fast Quantizing and Decoding Algorithms for Lattice Quantizers and Codes*, and
*Voronoi Regions of Lattices, Second Moments of Polytopes, and Quantization*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from ._check import Floats, check_integer, check_positive, check_reals

__all__ = ["A2", "D4", "E8", "Lattice", "Z", "ball_second_moment", "granular_gain_db"]


def granular_gain_db(second_moment: float) -> float:
    """10 log10((1/12)/G): what rounder cells save.

    Examples
    --------
    >>> print(round(granular_gain_db(5 / (36 * np.sqrt(3))), 3))  # hexagons
    0.167

    Survey-map row: H9.
    """
    return float(-10 * np.log10(12 * check_positive(second_moment, "second_moment")))


def ball_second_moment(dimension: int) -> float:
    """G of a d-dimensional ball, Γ(d/2 + 1)^{2/d}/((d + 2)π): no cell is rounder, so no quantizer does better.

    Examples
    --------
    >>> print(round(ball_second_moment(1), 6), round(ball_second_moment(2), 6))  # 1/12 and 1/(4π)
    0.083333 0.079577

    References
    ----------
    Zador 1963; Conway and Sloane 1982.

    Survey-map row: H9.
    """
    d = check_integer(dimension, "dimension", 1)
    return float(np.exp(2 / d * gammaln(d / 2 + 1)) / ((d + 2) * np.pi))


def _nearest_z(x: Floats) -> Floats:
    return np.rint(x)


def _nearest_a2(x: Floats) -> Floats:
    """Hexagonal points are two rectangular grids, 1 × √3, one shifted by half a cell: take the nearer of the two."""
    sides = np.array([1.0, np.sqrt(3)])
    a = np.rint(x / sides) * sides
    b = (np.rint(x / sides - 0.5) + 0.5) * sides
    nearer = ((x - a) ** 2).sum(axis=-1) <= ((x - b) ** 2).sum(axis=-1)
    return np.where(nearer[..., None], a, b)


def _nearest_d(x: Floats) -> Floats:
    """D_n: integers with an even sum. Round; if the sum is odd, round the worst coordinate the other way."""
    f = np.rint(x)
    error = x - f
    worst = np.abs(error).argmax(axis=-1)[..., None]
    here = np.take_along_axis(error, worst, axis=-1)
    g = f.copy()
    np.put_along_axis(g, worst, np.take_along_axis(f, worst, axis=-1) + np.where(here >= 0, 1.0, -1.0), axis=-1)
    even = (f.sum(axis=-1) % 2 == 0)[..., None]
    return np.where(even, f, g)


def _nearest_e8(x: Floats) -> Floats:
    """E₈ = D₈ ∪ (D₈ + ½): the nearer of the two."""
    a, b = _nearest_d(x), _nearest_d(x - 0.5) + 0.5
    nearer = ((x - a) ** 2).sum(axis=-1) <= ((x - b) ** 2).sum(axis=-1)
    return np.where(nearer[..., None], a, b)


@dataclass(frozen=True)
class Lattice:
    """All integer combinations of the rows of a basis, with a fast nearest-point rule.

    Parameters
    ----------
    name : str
    basis : tuple of rows
        Generator matrix, d × d.
    nearest_unit : callable
        Nearest lattice point of each row.
    second_moment : float
        Published G.

    Examples
    --------
    >>> A2.nearest([[0.4, 0.6]])  # the point (½, √3/2)
    array([[0.5      , 0.8660254]])

    Survey-map row: H9.
    """

    name: str
    basis: tuple[tuple[float, ...], ...]
    nearest_unit: Callable[[Floats], Floats]
    second_moment: float

    def __repr__(self) -> str:
        return f"Lattice({self.name})"

    @property
    def dimension(self) -> int:
        """How many numbers are coded at once."""
        return len(self.basis)

    @property
    def volume(self) -> float:
        """Volume V of a cell: |det basis|."""
        return float(abs(np.linalg.det(np.array(self.basis))))

    def nearest(self, x: ArrayLike, step: float = 1.0) -> Floats:
        """Nearest point of the lattice scaled by `step`, for each row of x, shape (n, d)."""
        x, step = check_reals(x, ndim=2), check_positive(step, "step")
        if x.shape[1] != self.dimension:
            raise ValueError(f"x must have {self.dimension} columns for {self.name}, got {x.shape[1]}")
        return step * self.nearest_unit(x / step)

    def measure_second_moment(self, samples: int, seed: int | np.random.Generator) -> float:
        """G by Monte Carlo: x uniform over a basis cell, which holds as much of every Voronoi cell as any other.

        Standard error: about G/√samples · 0.6 or less.
        """
        rng = np.random.default_rng(seed)
        x = rng.random((check_integer(samples, "samples", 1), self.dimension)) @ np.array(self.basis)
        error = ((x - self.nearest(x)) ** 2).sum(axis=1).mean()
        return float(error / (self.dimension * self.volume ** (2 / self.dimension)))


Z = Lattice("Z", ((1.0,),), _nearest_z, 1 / 12)
A2 = Lattice("A2", ((1.0, 0.0), (0.5, float(np.sqrt(3) / 2))), _nearest_a2, float(5 / (36 * np.sqrt(3))))
D4 = Lattice("D4", ((2.0, 0, 0, 0), (1.0, 1, 0, 0), (1.0, 0, 1, 0), (1.0, 0, 0, 1)), _nearest_d, 0.076603)
E8 = Lattice(
    "E8",
    (
        (2.0, 0, 0, 0, 0, 0, 0, 0),
        *(tuple(float(j == i) - float(j == i + 1) for j in range(8)) for i in range(6)),
        (0.5,) * 8,
    ),
    _nearest_e8,
    0.071682,
)
