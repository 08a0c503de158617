r"""High-resolution theory: many small cells, over each of which the density is nearly flat.

    D ≈ Δ²/12                                  (uniform cells)
    D ≈ 1/(12N²) ∫ f(x)/λ(x)² dx               (Bennett: levels with point density λ, ∫λ = 1)
    D ≈ 1/(12N²) (∫ f(x)^{1/3} dx)³            (Panter–Dite: the best λ, proportional to f^{1/3})

Sources: Bennett 1948, *Spectra of Quantized Signals*; Panter and Dite 1951, *Quantization Distortion in Pulse-Count
Modulation with Nonuniform Spacing of Levels*; Gray and Neuhoff 1998.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate

from ._check import Floats, check_integer, check_positive
from .sources import Law, Source, as_source

__all__ = ["bennett_distortion", "companded_levels", "panter_dite", "panter_dite_density", "uniform_distortion"]


def uniform_distortion(step: float) -> float:
    """Δ²/12, the variance of an error spread evenly over a step.

    Examples
    --------
    >>> uniform_distortion(6.0)
    3.0

    Survey-map row: H7.
    """
    return check_positive(step, "step") ** 2 / 12


def _integral(g: Callable[[float], float], source: Source) -> float:
    """∫ g over the support, cut at the median, where sharp-peaked densities have their kink."""
    low, high = source.support
    middle = float(source.law.ppf(0.5))
    return sum(integrate.quad(g, a, b, limit=400)[0] for a, b in ((low, middle), (middle, high)))


def bennett_distortion(source: Source | Law, levels: int, density: Callable[[float], float]) -> float:
    """D ≈ 1/(12N²) ∫ f(x)/λ(x)² dx.

    Parameters
    ----------
    source : Source or frozen scipy.stats distribution
    levels : int
        N.
    density : function of one real
        λ, the fraction of levels per unit of x; it must integrate to 1 over the support of f.

    Raises
    ------
    ValueError
        If λ does not integrate to one.

    References
    ----------
    Bennett 1948; Gray and Neuhoff 1998.

    Examples
    --------
    Uniform density over the uniform source is the uniform quantizer: Δ²/12 with Δ = 1/N.

    >>> from scipy import stats
    >>> print(round(1 / bennett_distortion(stats.uniform(), 10, lambda x: 1.0), 6))
    1200.0

    Survey-map row: H7.
    """
    source, N = as_source(source), check_integer(levels, "levels", 1)
    total = _integral(density, source)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"density must integrate to 1 over the support, got {total:.6f}")

    def integrand(x: float) -> float:
        f = float(source.pdf(x))
        if f < 1e-280:  # beyond what floating point can divide
            return 0.0
        square = float(density(x)) ** 2
        if square == 0:
            raise ValueError(
                f"density must not vanish, or fall much faster than f, where f > 0; it does at x = {x:.3g}"
            )
        return f / square

    return _integral(integrand, source) / (12 * N**2)


def panter_dite(source: Source | Law, levels: int) -> float:
    """D ≈ 1/(12N²) (∫ f^{1/3})³: what the best N levels reach when N is large.

    Examples
    --------
    For the Gaussian the constant is π√3/2 ≈ 2.72, for the Laplace density 9/2:

    >>> from qlab.history.sources import gaussian, laplace
    >>> print(round(panter_dite(gaussian(), 1), 4), round(panter_dite(laplace(), 1), 4))
    2.7207 4.5

    References
    ----------
    Panter and Dite 1951.

    Survey-map row: H7.
    """
    source, N = as_source(source), check_integer(levels, "levels", 1)
    return _integral(lambda x: float(np.cbrt(source.pdf(x))), source) ** 3 / (12 * N**2)


def panter_dite_density(source: Source | Law) -> Callable[[ArrayLike], Floats]:
    """λ(x) = f(x)^{1/3} / ∫ f^{1/3}: where the best levels gather.

    Examples
    --------
    >>> from qlab.history.sources import gaussian
    >>> density = panter_dite_density(gaussian())  # the density of N(0, 3)
    >>> print(round(float(density(0.0)), 4))
    0.2303

    Survey-map row: H7.
    """
    law = as_source(source)
    total = _integral(lambda x: float(np.cbrt(law.pdf(x))), law)
    return lambda x: np.cbrt(law.pdf(x)) / total


def companded_levels(source: Source | Law, levels: int) -> Floats:
    """N levels with point density λ ∝ f^{1/3}: y_i = G⁻¹((i − ½)/N), G(x) = ∫_{−∞}^x λ.

    This is Bennett's compander: bend x by G, quantize uniformly, bend back.

    Returns
    -------
    array (N,), increasing
        G is summed by trapezoids on a grid that reaches to quantiles of 10⁻⁴⁰: about five digits.

    Examples
    --------
    >>> from scipy import stats
    >>> companded_levels(stats.uniform(), 4).round(6)
    array([0.125, 0.375, 0.625, 0.875])

    Survey-map row: H7.
    """
    source, N = as_source(source), check_integer(levels, "levels", 1)
    tail = np.logspace(-40, np.log10(0.5), 120)
    quantiles = np.concatenate([source.law.ppf(tail), source.law.isf(tail), source.support])
    corners = np.unique(quantiles[np.isfinite(quantiles)])
    x = np.unique(np.linspace(corners[:-1], corners[1:], 100))
    weight = np.cbrt(source.pdf(x))
    G = np.concatenate([[0.0], np.cumsum((weight[1:] + weight[:-1]) / 2 * np.diff(x))])
    return np.interp((np.arange(N) + 0.5) / N, G / G[-1], x)
