r"""Blahut–Arimoto: the rate–distortion function of any source, as numbers.

    q(y|x) ∝ q(y) exp(−β d(x, y)),      q(y) ← Σ_x p(x) q(y|x)

Each line minimizes I(X; Y) + β E[d] (in nats) over one side while the other is held. A slope β > 0 is chosen, and the
point of the curve with dR/dD = −β comes out. Blahut's bound tells when to stop: with c(y) = Σ_x p(x) exp(−βd)/Z(x),
the excess is at most max_y ln c(y) − Σ_y q(y) c(y) ln c(y).
Sources: Blahut 1972, *Computation of Channel Capacity and Rate-Distortion Functions*; Arimoto 1972.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from ._check import Floats, check_integer, check_pmf, check_positive, check_reals
from .rate_distortion import RatePoint
from .sources import Law, Source, as_source

__all__ = ["BlahutArimoto", "blahut_arimoto", "source_rate_distortion"]


@dataclass(frozen=True, eq=False)
class BlahutArimoto:
    """A point of R(D), the distribution q(y) of the reproduction that reaches it, and how far off it may be (bits).

    Survey-map row: H8.
    """

    point: RatePoint
    output: Floats
    excess: float
    steps: int


def blahut_arimoto(
    p: ArrayLike, distortion: ArrayLike, slope: float, *, tolerance: float = 1e-6, steps: int = 20_000
) -> BlahutArimoto:
    """R(D) of a discrete source at slope β.

    Parameters
    ----------
    p : array (n,)
        Probabilities of the source symbols.
    distortion : array (n, m)
        d(x, y) ≥ 0.
    slope : float
        β in nats per unit of distortion: large β means small D.
    tolerance : float
        Stop once rate + β·D is proven to lie within this many bits of its minimum.
    steps : int
        Stop after so many; `excess` tells what was reached.

    Returns
    -------
    BlahutArimoto

    Examples
    --------
    A fair coin: D = 1/(1 + e^β), and R = 1 − h(D).

    >>> found = blahut_arimoto([0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], slope=np.log(9))
    >>> print(round(found.point.distortion, 6), round(found.point.rate, 4))
    0.1 0.531

    Survey-map row: H8.
    """
    p, d = check_pmf(p), check_reals(distortion, "distortion", ndim=2)
    if len(d) != p.size or (d < 0).any():
        raise ValueError(f"distortion must be non-negative with one row per symbol ({p.size}), got shape {d.shape}")
    beta = check_positive(slope, "slope")
    nearest = d.min(axis=1, keepdims=True)  # taken out of the exponent, so that it cannot underflow everywhere
    A = np.exp(-beta * (d - nearest))
    q = np.full(d.shape[1], 1 / d.shape[1])
    excess, done = np.inf, 0
    for done in range(1, check_integer(steps, "steps", 1) + 1):  # noqa: B007
        Z = A @ q
        c = (p / Z) @ A
        log_c = np.log(np.maximum(c, 1e-300))
        excess = float((log_c.max() - q @ (c * log_c)) / np.log(2))
        if excess < tolerance:
            break
        q = q * c
        q /= q.sum()
    Z = A @ q
    joint = p[:, None] * A * q / Z[:, None]
    D = float(np.sum(joint * d))
    marginal = joint.sum(axis=0)
    information = np.sum(xlogy(joint, joint)) - np.sum(xlogy(p, p)) - np.sum(xlogy(marginal, marginal))
    return BlahutArimoto(RatePoint(max(0.0, float(information / np.log(2))), D), marginal, excess, done)


def source_rate_distortion(
    source: Source | Law, slope: float, *, points: int = 301, tolerance: float = 1e-4, steps: int = 3000
) -> BlahutArimoto:
    """R(D) of a density under squared error, on a grid.

    The source is cut into `points` cells, each replaced by its mean; the variance inside the cells is added to D
    again, so the result lies on or just above the true curve.

    Parameters
    ----------
    slope : float
        β in nats per unit of squared error; the Gaussian's D is then 1/(2β).
    points : int
        Cells and reproduction values; their spacing should be small against √D.

    Examples
    --------
    >>> from qlab.history.sources import gaussian
    >>> point = source_rate_distortion(gaussian(), slope=2.0).point  # D = 1/4, R = 1
    >>> print(round(point.distortion, 2), round(point.rate, 2))
    0.25 1.0

    Survey-map row: H8.
    """
    source = as_source(source)
    edges = np.linspace(*source.range(1e-7), check_integer(points, "points", 3) + 1)
    m0, m1, m2 = source.cell_moments(edges)
    m0, m1, m2 = m0[m0 > 0], m1[m0 > 0], m2[m0 > 0]
    x, y = m1 / m0, (edges[1:] + edges[:-1]) / 2
    found = blahut_arimoto(m0 / m0.sum(), (x[:, None] - y) ** 2, slope, tolerance=tolerance, steps=steps)
    inside = float(np.sum(m2 - m1**2 / m0))
    point = RatePoint(found.point.rate, found.point.distortion + inside)
    return BlahutArimoto(point, found.output, found.excess, found.steps)
