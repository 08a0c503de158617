r"""The rate–distortion function: no quantizer of any dimension or cleverness spends fewer bits at distortion D.

    R(D) = min I(X; Y)  over all p(y|x) with E[d(X, Y)] ≤ D

    Gaussian:  R(D) = ½ log2(σ²/D),   D(R) = σ² 2^(−2R)
    Bernoulli: R(D) = h(p) − h(D)                            (d = fraction of wrong bits)
    any X:     R(D) ≥ h(X) − ½ log2(2πe D)                   (Shannon's lower bound, squared error)

An entropy-coded uniform quantizer with small steps lies ½ log2(2πe/12) = 0.2546 bit above it, or 1.53 dB: the price
of cells that are intervals and not high-dimensional balls.
Sources: Shannon 1959, *Coding Theorems for a Discrete Source with a Fidelity Criterion*; Gish and Pierce 1968,
*Asymptotically Efficient Quantizing*; Cover and Thomas 2006, chapter 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._check import check_positive
from .entropy import entropy
from .sources import Law, Source, as_source

__all__ = [
    "SPACE_FILLING_GAP_BITS",
    "SPACE_FILLING_GAP_DB",
    "RatePoint",
    "bernoulli_rate",
    "gaussian_distortion",
    "gaussian_rate",
    "laplace_absolute_rate",
    "shannon_lower_bound",
]

SPACE_FILLING_GAP_BITS = float(0.5 * np.log2(2 * np.pi * np.e / 12))
SPACE_FILLING_GAP_DB = float(10 * np.log10(2 * np.pi * np.e / 12))


@dataclass(frozen=True)
class RatePoint:
    """A point of the plane that all quantizers share: bits per sample, and mean squared error (or other distortion).

    Survey-map row: H8.
    """

    rate: float
    distortion: float

    def gap_bits(self, variance: float = 1.0) -> float:
        """Bits above the Gaussian's R(D) = max(0, ½ log2(σ²/D))."""
        return self.rate - gaussian_rate(self.distortion, variance)


def gaussian_distortion(rate: float, variance: float = 1.0) -> float:
    """D(R) = σ² 2^(−2R): each bit is worth a factor of four, 6.02 dB.

    Examples
    --------
    >>> gaussian_distortion(2.0)
    0.0625

    References
    ----------
    Shannon 1959; Cover and Thomas 2006, theorem 10.3.2.

    Survey-map row: H8.
    """
    return check_positive(variance, "variance") * 2.0 ** (-2 * check_positive(rate, "rate", zero=True))


def gaussian_rate(distortion: float, variance: float = 1.0) -> float:
    """R(D) = max(0, ½ log2(σ²/D)).

    Examples
    --------
    >>> gaussian_rate(0.0625), gaussian_rate(2.0)
    (2.0, 0.0)

    Survey-map row: H8.
    """
    ratio = check_positive(variance, "variance") / check_positive(distortion, "distortion")
    return max(0.0, 0.5 * float(np.log2(ratio)))


def bernoulli_rate(distortion: float, p: float) -> float:
    """R(D) = h(p) − h(D) for D < min(p, 1 − p), else 0; h is the entropy of a coin, D the fraction of wrong bits.

    Examples
    --------
    A fair coin may be wrong one time in ten: the bit shrinks to about half.

    >>> print(round(bernoulli_rate(0.1, 0.5), 4))
    0.531

    References
    ----------
    Cover and Thomas 2006, theorem 10.3.1.

    Survey-map row: H8.
    """
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1, got {p}")
    D = check_positive(distortion, "distortion", zero=True)
    if min(p, 1 - p) <= D:
        return 0.0
    return entropy([p, 1 - p]) - entropy([D, 1 - D])


def laplace_absolute_rate(distortion: float, sigma: float = 1.0) -> float:
    """R(D) = max(0, log2(b/D)) for the Laplace density of scale b = σ/√2 under absolute error |x − y|.

    Examples
    --------
    >>> print(round(laplace_absolute_rate(np.sqrt(2) / 8), 6))
    2.0

    References
    ----------
    Berger 1971, *Rate Distortion Theory*.

    Survey-map row: H8.
    """
    b = check_positive(sigma, "sigma") / np.sqrt(2)
    return max(0.0, float(np.log2(b / check_positive(distortion, "distortion"))))


def shannon_lower_bound(source: Source | Law, distortion: float) -> float:
    """h(X) − ½ log2(2πe D): below every R(D) under squared error, and tight as D → 0 (exact for the Gaussian).

    Examples
    --------
    >>> from qlab.history.sources import gaussian, laplace
    >>> print(round(shannon_lower_bound(gaussian(), 0.0625), 6), round(shannon_lower_bound(laplace(), 0.0625), 4))
    2.0 1.8956

    References
    ----------
    Shannon 1948, theorem 23.

    Survey-map row: H8.
    """
    D = check_positive(distortion, "distortion")
    return max(0.0, as_source(source).differential_entropy - 0.5 * float(np.log2(2 * np.pi * np.e * D)))
