r"""Companding: bend the signal, quantize uniformly, bend it back.

    μ-law: F(x) = sgn(x) ln(1 + μ|x|)/ln(1 + μ)
    A-law: F(x) = sgn(x) A|x|/(1 + ln A)               for |x| < 1/A
    A-law: F(x) = sgn(x) (1 + ln(A|x|))/(1 + ln A)     for 1/A ≤ |x| ≤ 1

Speech is mostly quiet. A uniform quantizer spends its codes on peaks that seldom come; a logarithmic one keeps
the ratio of signal to noise nearly the same from whisper to shout.
Sources: Smith 1957, *Instantaneous Companding of Quantized Signals*; ITU-T G.711 (μ = 255, A = 87.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._check import Floats, Ints, check_positive, check_reals
from .pcm import PCM

__all__ = ["CompandedPCM", "a_law", "a_law_inverse", "mu_law", "mu_law_inverse"]


def _unit(x: ArrayLike, name: str) -> Floats:
    x = check_reals(x, name)
    if np.abs(x).max() > 1:
        raise ValueError(f"{name} must lie in [−1, 1], got {np.abs(x).max()} in magnitude; divide by the peak first")
    return x


def mu_law(x: ArrayLike, mu: float = 255.0) -> Floats:
    """F(x) = sgn(x) ln(1 + μ|x|)/ln(1 + μ), from [−1, 1] onto itself.

    Examples
    --------
    A hundredth of the peak gets almost a quarter of the range:

    >>> mu_law([0.0, 0.01, 1.0]).round(3)
    array([0.   , 0.228, 1.   ])

    Survey-map row: H4.
    """
    x, mu = _unit(x, "x"), check_positive(mu, "mu")
    return np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)


def mu_law_inverse(y: ArrayLike, mu: float = 255.0) -> Floats:
    """F⁻¹(y) = sgn(y) ((1 + μ)^|y| − 1)/μ.

    Examples
    --------
    >>> mu_law_inverse(mu_law([-0.3, 0.01])).round(12)
    array([-0.3 ,  0.01])

    Survey-map row: H4.
    """
    y, mu = _unit(y, "y"), check_positive(mu, "mu")
    return np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu


def _check_A(A: float) -> float:
    if check_positive(A, "A") < 1:
        raise ValueError(f"A must be at least 1, got {A}")
    return float(A)


def a_law(x: ArrayLike, A: float = 87.6) -> Floats:
    """Linear below 1/A, logarithmic above, from [−1, 1] onto itself.

    Examples
    --------
    >>> a_law([0.0, 1 / 87.6, 1.0]).round(3)  # the bend lies at 1/(1 + ln A)
    array([0.   , 0.183, 1.   ])

    Survey-map row: H4.
    """
    x, A = _unit(x, "x"), _check_A(A)
    t = A * np.abs(x)
    return np.sign(x) * np.where(t < 1, t, 1 + np.log(np.maximum(t, 1))) / (1 + np.log(A))


def a_law_inverse(y: ArrayLike, A: float = 87.6) -> Floats:
    """The inverse of `a_law`.

    Examples
    --------
    >>> a_law_inverse(a_law([-0.3, 0.001])).round(12)
    array([-0.3  ,  0.001])

    Survey-map row: H4.
    """
    y, A = _unit(y, "y"), _check_A(A)
    t = np.abs(y) * (1 + np.log(A))
    return np.sign(y) * np.where(t < 1, t, np.exp(np.maximum(t, 1) - 1)) / A


@dataclass(frozen=True)
class CompandedPCM:
    """Compress, quantize uniformly (mid-rise) with b bits, expand.

    Parameters
    ----------
    bits : int
        From 1 to 24.
    law : {"mu", "A"}
    peak : float
        What is louder is clipped.

    Examples
    --------
    Eight bits for a tone 40 dB below the peak: companding keeps what the uniform grid loses.

    >>> from qlab.history.pcm import snr_db
    >>> quiet = 0.01 * np.sin(np.arange(10_000.0))
    >>> print(round(snr_db(quiet, PCM(8)(quiet)), 1), round(snr_db(quiet, CompandedPCM(8)(quiet)), 1))
    9.3 34.1

    Survey-map row: H4.
    """

    bits: int
    law: Literal["mu", "A"] = "mu"
    peak: float = 1.0

    def __post_init__(self) -> None:
        if self.law not in ("mu", "A"):
            raise ValueError(f'law must be "mu" or "A", got {self.law!r}')
        check_positive(self.peak, "peak")
        PCM(self.bits)

    def encode(self, x: ArrayLike) -> Ints:
        """Codes of x, from −2^(b−1) to 2^(b−1) − 1."""
        compress = mu_law if self.law == "mu" else a_law
        return PCM(self.bits).encode(compress(np.clip(check_reals(x) / self.peak, -1, 1)))

    def decode(self, codes: ArrayLike) -> Floats:
        """Values of the codes."""
        expand = mu_law_inverse if self.law == "mu" else a_law_inverse
        values = PCM(self.bits).decode(codes)
        return expand(values) * self.peak if values.size else values

    def __call__(self, x: ArrayLike) -> Floats:
        """What the receiver hears."""
        return self.decode(self.encode(x))
