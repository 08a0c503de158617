"""Discrete signals resist noise: a chain of relays, as axons and repeaters are.

An analog relay passes on what it heard; noise adds up:          rms error after n relays = √n·σ
A regenerating relay passes on the nearest level, Δ apart:       P(wrong level at one relay) = 2(1 − 1/N)·Q(Δ/2σ)

with Q(z) = P(standard normal > z). As long as Δ/2 is several σ the discrete chain makes next to no error; past its
threshold it fails at once. Over n relays the level is a Markov chain, whose transition matrix Tⁿ gives the error
exactly.

The noise of nerves (Faisal et al. 2008): *thermal* noise adds to the signal, *sensory* noise grows with it, *synaptic*
transmission fails altogether now and then.

Sources: Oliver, Pierce, Shannon 1948, *The philosophy of PCM*; Faisal, Selen, Wolpert 2008, *Noise in the
nervous system*; Gholami et al. 2021, section I (quantization and neuroscience).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import simpson
from scipy.special import entr, rel_entr
from scipy.stats import norm

__all__ = [
    "Noise",
    "Sensory",
    "Synaptic",
    "Thermal",
    "analog_chain",
    "analog_information",
    "analog_rms",
    "chain_error",
    "chain_information",
    "discrete_chain",
    "evenly_spaced",
    "relay_error",
    "transition_matrix",
]

Floats = NDArray[np.floating[Any]]


class Noise(Protocol):
    """What one relay does to a signal.

    Survey-map row: B12.
    """

    def __call__(self, signal: Floats, rng: np.random.Generator) -> Floats:
        """Return the noisy signal, in the shape of the clean one."""


@dataclass(frozen=True)
class Thermal:
    """Additive Gaussian noise: s + σ·ε.

    Survey-map row: B12.
    """

    sigma: float

    def __post_init__(self) -> None:
        _check_share(self.sigma, "sigma", np.inf)

    def __call__(self, signal: Floats, rng: np.random.Generator) -> Floats:
        """Return s + σ·ε."""
        return signal + self.sigma * rng.standard_normal(signal.shape)


@dataclass(frozen=True)
class Sensory:
    """Noise in proportion to the signal: s·(1 + σ·ε).

    Survey-map row: B12.
    """

    sigma: float

    def __post_init__(self) -> None:
        _check_share(self.sigma, "sigma", np.inf)

    def __call__(self, signal: Floats, rng: np.random.Generator) -> Floats:
        """Return s·(1 + σ·ε)."""
        return signal * (1 + self.sigma * rng.standard_normal(signal.shape))


@dataclass(frozen=True)
class Synaptic:
    """Failing transmission: every one of `vesicles` is released with probability 1 − failure; s·released/expected.

    Parameters
    ----------
    failure : float
        0 ≤ failure < 1.
    vesicles : int
        Independent packets that carry the signal together: with many, the failures average out.

    Survey-map row: B12.
    """

    failure: float
    vesicles: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.failure < 1 or self.vesicles < 1:
            raise ValueError(f"failure must lie in 0 ≤ p < 1 and vesicles be at least 1, got {self}")

    def __call__(self, signal: Floats, rng: np.random.Generator) -> Floats:
        """Return s·k/(v·(1 − p)) with k binomial: right on average."""
        released = rng.binomial(self.vesicles, 1 - self.failure, signal.shape)
        return signal * released / (self.vesicles * (1 - self.failure))


def _check_share(value: float, name: str, highest: float) -> None:
    if not (0 <= value < highest):
        raise ValueError(f"{name} must be a finite number of at least 0, got {value}")


def evenly_spaced(levels: int, spacing: float = 1.0) -> Floats:
    """Return N levels, Δ apart, around zero.

    Examples
    --------
    >>> evenly_spaced(4)
    array([-1.5, -0.5,  0.5,  1.5])

    Survey-map row: B12.
    """
    if levels < 2 or not spacing > 0:
        raise ValueError(f"levels must be at least 2 and spacing above 0, got {levels} and {spacing}")
    return spacing * (np.arange(levels) - (levels - 1) / 2)


def _check_signal(signal: ArrayLike, relays: int) -> Floats:
    s = np.asarray(signal, dtype=np.float64)
    if s.ndim != 1 or s.size == 0 or not np.isfinite(s).all():
        raise ValueError(f"signal must be one non-empty axis of finite numbers, got shape {s.shape}")
    if relays < 1:
        raise ValueError(f"relays must be at least 1, got {relays}")
    return s


def analog_chain(signal: ArrayLike, relays: int, noise: Noise, rng: np.random.Generator) -> Floats:
    """Return what every relay of an analog chain hears.

    Parameters
    ----------
    signal : array, shape (samples,)
    relays : int
        n.
    noise : Noise
    rng : numpy.random.Generator

    Returns
    -------
    array, shape (n + 1, samples)
        Row 0 is the signal, row i what arrives at relay i.

    Survey-map row: B12.
    """
    heard = [_check_signal(signal, relays)]
    for _ in range(relays):
        heard.append(noise(heard[-1], rng))
    return np.stack(heard)


def discrete_chain(signal: ArrayLike, relays: int, noise: Noise, levels: ArrayLike, rng: np.random.Generator) -> Floats:
    """Return what every relay of a regenerating chain passes on: the level nearest to what it hears.

    Parameters
    ----------
    signal : array, shape (samples,)
        Quantized to the nearest level before it is sent.
    relays : int
    noise : Noise
    levels : array, shape (N,)
        Increasing.
    rng : numpy.random.Generator

    Returns
    -------
    array, shape (n + 1, samples)
        Row 0 is the quantized signal.

    Survey-map row: B12.
    """
    y = _check_levels(levels)
    edges = (y[1:] + y[:-1]) / 2
    sent = [y[np.searchsorted(edges, _check_signal(signal, relays))]]
    for _ in range(relays):
        sent.append(y[np.searchsorted(edges, noise(sent[-1], rng))])
    return np.stack(sent)


def _check_levels(levels: ArrayLike) -> Floats:
    y = np.asarray(levels, dtype=np.float64)
    if y.ndim != 1 or y.size < 2 or not (np.diff(y) > 0).all():
        raise ValueError(f"levels must be two or more increasing numbers, got {levels!r}")
    return y


def analog_rms(relays: int | NDArray[Any], sigma: float) -> Floats:
    """Return √n·σ.

    Examples
    --------
    >>> float(analog_rms(100, 0.1))
    1.0

    Survey-map row: B12.
    """
    return sigma * np.sqrt(np.asarray(relays, dtype=np.float64))


def relay_error(levels: int, spacing: float, sigma: float | NDArray[Any]) -> Floats:
    """Return 2(1 − 1/N)·Q(Δ/2σ): how often one relay passes on a wrong level, all N being equally frequent.

    References
    ----------
    Oliver et al. 1948; the inner levels can err to both sides, the outer two to one.

    Examples
    --------
    >>> print(f"{relay_error(2, 1.0, 0.1):.2e}")  # Q(5)
    2.87e-07

    Survey-map row: B12.
    """
    evenly_spaced(levels, spacing)
    s = np.asarray(sigma, dtype=np.float64)
    if not (s > 0).all():
        raise ValueError(f"sigma must be above 0, got {sigma}")
    return 2 * (1 - 1 / levels) * norm.sf(spacing / (2 * s))


def transition_matrix(levels: ArrayLike, sigma: float) -> Floats:
    """Return T[i, j] = P(a relay that is sent level i under thermal noise passes on level j).

    Parameters
    ----------
    levels : array, shape (N,)
    sigma : float

    Returns
    -------
    array, shape (N, N)
        Rows sum to one; Tⁿ is the chain of n relays.

    Survey-map row: B12.
    """
    y = _check_levels(levels)
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    edges = np.concatenate([[-np.inf], (y[1:] + y[:-1]) / 2, [np.inf]])
    return np.diff(norm.cdf((edges - y[:, None]) / sigma), axis=1)


def chain_error(levels: ArrayLike, sigma: float, relays: int) -> tuple[float, float]:
    """Return what a regenerating chain under thermal noise gets wrong after n relays, all levels equally frequent.

    Returns
    -------
    wrong : float
        P(level after n relays ≠ level sent) = 1 − trace(Tⁿ)/N.
    rms : float
        √E(level after n relays − level sent)².

    Survey-map row: B12.
    """
    y = _check_levels(levels)
    if relays < 1:
        raise ValueError(f"relays must be at least 1, got {relays}")
    power = np.linalg.matrix_power(transition_matrix(y, sigma), relays)
    off = power - np.diag(np.diag(power))
    return float(off.sum() / len(y)), float(np.sqrt((off * (y[:, None] - y) ** 2).sum() / len(y)))


def chain_information(levels: ArrayLike, sigma: float, relays: int) -> float:
    """Return the bits that a level still tells after n relays under thermal noise, all levels equally frequent.

        I = log2 N + 1/N · Σ_ij Tⁿ[i, j] · log2( Tⁿ[i, j] / Σ_k Tⁿ[k, j] )

    Parameters
    ----------
    levels : array, shape (N,)
    sigma : float
    relays : int

    Returns
    -------
    float
        Mutual information of the level sent and the level after n relays, 0 … log2 N.

    References
    ----------
    Shannon 1948, section 12.

    Examples
    --------
    >>> round(chain_information([0.0, 1.0], 0.05, 1000), 6)
    1.0

    Survey-map row: B12.
    """
    y = _check_levels(levels)
    if relays < 1:
        raise ValueError(f"relays must be at least 1, got {relays}")
    power = np.linalg.matrix_power(transition_matrix(y, sigma), relays)
    return float(np.log2(len(y)) + rel_entr(power, power.sum(0)).sum() / len(y) / np.log(2))


def analog_information(amplitude: float, sigma: float, relays: int) -> float:
    """Return the bits that an analog value, uniform in ±A, still tells after n relays under thermal noise.

        I = h(Y) − ½·log2( 2πe·n·σ² ),    Y uniform plus Gaussian

    Parameters
    ----------
    amplitude : float
        A.
    sigma : float
    relays : int

    Examples
    --------
    >>> round(analog_information(1.0, 0.001, 1) - analog_information(1.0, 0.002, 1), 2)
    1.0

    Survey-map row: B12.
    """
    if not amplitude > 0 or not sigma > 0 or relays < 1:
        raise ValueError(
            f"amplitude and sigma must be above 0, relays at least 1, got {amplitude}, {sigma} and {relays}"
        )
    s = float(analog_rms(relays, sigma))
    # the density of Y changes over a few s at ±A only: a grid fine there, and in between it is flat
    x = np.linspace(-amplitude - 10 * s, amplitude + 10 * s, int(100 * (amplitude / s + 10)) | 1)
    f = (norm.cdf((x + amplitude) / s) - norm.cdf((x - amplitude) / s)) / (2 * amplitude)
    return float(simpson(entr(f), x=x) / np.log(2) - 0.5 * np.log2(2 * np.pi * np.e * s**2))
