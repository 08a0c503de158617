r"""A memoryless source: a density f and the partial moments of its cells.

    M_k(a, b) = ∫_a^b x^k f(x) dx,   k = 0, 1, 2

Every classical result about scalar quantization (Lloyd–Max, Panter–Dite, entropy coding) asks a density for nothing
more. Gaussian, Laplace and uniform give them in closed form; any `scipy.stats` law or plain density gives them by
quadrature. Notation: Gray and Neuhoff 1998.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate, special, stats

from ._check import Floats, check_integer, check_positive

__all__ = ["Source", "as_source", "from_pdf", "gaussian", "laplace", "uniform"]

Law = Any  # a frozen scipy.stats distribution: SciPy exports no public type for it
CellMoments = Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]


@dataclass(frozen=True)
class Source:
    """A real random variable X with density f and finite variance σ².

    Parameters
    ----------
    name : str
        How it is called on plots.
    law : frozen scipy.stats distribution
        The distribution; its `pdf`, `cdf`, `ppf`, `rvs` and `support` are at hand.
    closed_moments : callable, optional
        (a, b) → (M₀, M₁, M₂) in closed form; without it they are integrated numerically.

    Examples
    --------
    Half of a standard Gaussian lies above zero, and its mean there is √(2/π)/2 per half:

    >>> mass, first, second = gaussian().cell_moments([0.0, np.inf])
    >>> print(mass.round(4), first.round(4), second.round(4))
    [0.5] [0.3989] [0.5]

    Survey-map row: H7.
    """

    name: str
    law: Law
    closed_moments: CellMoments | None = None

    def __repr__(self) -> str:
        return f"Source({self.name})"

    @property
    def mean(self) -> float:
        """E[X]."""
        return float(self.law.mean())

    @property
    def variance(self) -> float:
        """σ² = E[(X − E[X])²]."""
        return float(self.law.var())

    @property
    def support(self) -> tuple[float, float]:
        """The interval outside which f is zero."""
        low, high = self.law.support()
        return float(low), float(high)

    @property
    def differential_entropy(self) -> float:
        """h(X) = −∫ f log2 f, in bits."""
        return float(self.law.entropy()) / np.log(2)

    def pdf(self, x: ArrayLike) -> Floats:
        """f(x)."""
        return np.asarray(self.law.pdf(np.asarray(x, dtype=float)), dtype=np.float64)

    def range(self, tail: float = 1e-12) -> tuple[float, float]:
        """An interval that holds all but `tail` of the mass on either side."""
        low, high = self.support
        low = low if np.isfinite(low) else float(self.law.ppf(tail))
        high = high if np.isfinite(high) else float(self.law.isf(tail))
        return low, high

    def cell_moments(self, edges: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """M₀, M₁, M₂ of the cells between neighbouring `edges` (non-decreasing; ±∞ allowed)."""
        edges = np.asarray(edges, dtype=np.float64)
        if edges.ndim != 1 or edges.size < 2 or np.isnan(edges).any() or (np.diff(edges) < 0).any():
            raise ValueError(f"edges must be a non-decreasing list of at least 2 numbers, got {edges}")
        a, b = np.clip(edges[:-1], *self.support), np.clip(edges[1:], *self.support)
        return (self.closed_moments or self._quadrature)(a, b)

    def _quadrature(self, a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        def integrand(t: float) -> Floats:
            return np.array([1.0, t, t * t]) * self.law.pdf(t)

        cells = [
            integrate.quad_vec(integrand, low, high, epsabs=1e-13, epsrel=1e-11)[0] if low < high else np.zeros(3)
            for low, high in zip(a, b, strict=True)
        ]
        m0, m1, m2 = np.array(cells).T
        return m0, m1, m2

    def sample(self, size: int, seed: int | np.random.Generator) -> Floats:
        """`size` independent draws."""
        check_integer(size, "size", 1)
        return np.asarray(self.law.rvs(size=size, random_state=np.random.default_rng(seed)), dtype=np.float64)


def gaussian(sigma: float = 1.0) -> Source:
    """X ~ N(0, σ²): f(x) = exp(−x²/2σ²)/(σ√2π).

    Examples
    --------
    >>> print(round(gaussian().differential_entropy, 4))  # ½ log2(2πe)
    2.0471

    Survey-map row: H7.
    """
    check_positive(sigma, "sigma")

    def moments(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        a, b = a / sigma, b / sigma
        fa, fb = np.exp(-a * a / 2) / np.sqrt(2 * np.pi), np.exp(-b * b / 2) / np.sqrt(2 * np.pi)
        # Right of zero, the upper tail is taken so that small masses keep their digits.
        m0 = np.where(a > 0, special.ndtr(-a) - special.ndtr(-b), special.ndtr(b) - special.ndtr(a))
        afa, bfb = np.where(np.isinf(a), 0.0, a) * fa, np.where(np.isinf(b), 0.0, b) * fb
        return m0, sigma * (fa - fb), sigma**2 * (m0 + afa - bfb)

    return Source(f"Gaussian σ={sigma:g}", stats.norm(scale=sigma), moments)


def laplace(sigma: float = 1.0) -> Source:
    """X with f(x) = exp(−√2|x|/σ)/(σ√2): a sharper peak and heavier tails than the Gaussian, at the same variance.

    Examples
    --------
    >>> print(round(laplace().differential_entropy, 4))  # log2(e√2)
    1.9427

    Survey-map row: H7.
    """
    check_positive(sigma, "sigma")
    width = sigma / np.sqrt(2)

    def tail(x: Floats) -> tuple[Floats, Floats, Floats]:
        """∫_x^∞ t^k e^(−t)/2 dt, for x ≥ 0."""
        e, x = np.exp(-x) / 2, np.where(np.isinf(x), 0.0, x)
        return e, e * (x + 1), e * (x * x + 2 * x + 2)

    def moments(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        a, b = a / width, b / width
        right = np.subtract(tail(np.maximum(a, 0)), tail(np.maximum(b, 0)))
        left = np.subtract(tail(np.maximum(-b, 0)), tail(np.maximum(-a, 0)))
        return left[0] + right[0], width * (right[1] - left[1]), width**2 * (left[2] + right[2])

    return Source(f"Laplace σ={sigma:g}", stats.laplace(scale=width), moments)


def uniform(sigma: float = 1.0) -> Source:
    """X ~ U(−√3σ, √3σ), the source for which the uniform quantizer is the best one.

    Examples
    --------
    >>> print(round(uniform().differential_entropy, 4))  # log2(2√3)
    1.7925

    Survey-map row: H7.
    """
    half = np.sqrt(3) * check_positive(sigma, "sigma")

    def moments(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        f = 1 / (2 * half)
        return f * (b - a), f * (b**2 - a**2) / 2, f * (b**3 - a**3) / 3

    return Source(f"uniform σ={sigma:g}", stats.uniform(loc=-half, scale=2 * half), moments)


class _Density:
    """A plain density on [low, high] behind the few methods of a scipy.stats law that `Source` uses.

    Integrals are 8-point Gauss–Legendre sums over 1024 panels; quantiles are interpolated between panels, good
    enough for starting points and samples.
    """

    def __init__(self, pdf: Callable[[float], float], low: float, high: float) -> None:
        self._given, self._bounds = pdf, (low, high)
        self._edges = np.linspace(low, high, 1025)
        nodes, weights = np.polynomial.legendre.leggauss(8)
        half = (high - low) / 2048
        self._x = (self._edges[:-1, None] + half * (1 + nodes)).ravel()
        self._f = self.pdf(self._x)
        if (self._f < 0).any() or not np.isfinite(self._f).all():
            raise ValueError("pdf must be finite and not negative")
        self._w = np.tile(half * weights, 1024) * self._f
        self.mass = float(self._w.sum())
        self._cumulative = np.concatenate([[0.0], np.cumsum(self._w.reshape(-1, 8).sum(axis=1))]) / self.mass

    def pdf(self, x: ArrayLike) -> Floats:
        return np.vectorize(self._given, otypes=[np.float64])(x)

    def ppf(self, u: ArrayLike) -> Floats:
        return np.interp(np.asarray(u, dtype=np.float64), self._cumulative, self._edges)

    def isf(self, u: ArrayLike) -> Floats:
        return self.ppf(1 - np.asarray(u))

    def mean(self) -> float:
        return float(self._w @ self._x)

    def var(self) -> float:
        return float(self._w @ (self._x - self.mean()) ** 2)

    def entropy(self) -> float:
        return float(-(self._w @ np.log(np.where(self._f > 0, self._f, 1.0))))

    def support(self) -> tuple[float, float]:
        return self._bounds

    def rvs(self, size: int, random_state: np.random.Generator) -> Floats:
        return self.ppf(random_state.random(size))


def from_pdf(pdf: Callable[[float], float], low: float, high: float, name: str = "density") -> Source:
    """Make a source from a plain density on the finite interval [low, high].

    Examples
    --------
    The triangle f(x) = 1 − |x| on [−1, 1] has variance 1/6:

    >>> print(round(from_pdf(lambda x: 1 - abs(x), -1.0, 1.0).variance, 6))
    0.166667

    Raises
    ------
    ValueError
        If the interval is not finite, or the density does not integrate to one over it.

    Survey-map row: H7.
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"low and high must be finite with low < high, got {low} and {high}")
    law = _Density(pdf, float(low), float(high))
    if abs(law.mass - 1) > 1e-5:
        raise ValueError(f"pdf must integrate to 1 over [{low}, {high}], got {law.mass:.6f}")
    return Source(name, law)


def as_source(source: Source | Law) -> Source:
    """Return `source` itself, or wrap a frozen `scipy.stats` distribution.

    Examples
    --------
    >>> as_source(stats.logistic())
    Source(logistic)

    Survey-map row: H7.
    """
    if isinstance(source, Source):
        return source
    if not all(hasattr(source, method) for method in ("pdf", "ppf", "var", "support")):
        raise TypeError(
            f"source must be a Source or a frozen continuous scipy.stats distribution, got {type(source).__name__}; "
            "for a plain density use from_pdf(pdf, low, high)"
        )
    if not np.isfinite(source.var()):
        raise ValueError(f"source must have a finite variance, got {source.var()}")
    return Source(source.dist.name, source)
