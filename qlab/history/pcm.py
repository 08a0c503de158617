r"""Pulse-code modulation: sample, quantize, code.

    mid-rise:  code = ⌊x/Δ⌋,        value = (code + ½)Δ
    mid-tread: code = round(x/Δ),   value = code·Δ             Δ = 2·peak/2^b

    SNR = 20 log10(2)·b + 10 log10(3/2) ≈ 6.02 b + 1.76 dB     (full-scale sine)

Each bit halves Δ and so takes the noise Δ²/12 down by four.
Sources: Reeves, French patent 852,183, filed 1938; Oliver, Pierce and Shannon 1948, *The Philosophy of PCM*; Bennett
1948, *Spectra of Quantized Signals*, section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import Floats, Ints, check_integer, check_integers, check_positive, check_reals

__all__ = ["PCM", "bits_to_codes", "codes_to_bits", "sample", "sine_snr_db", "snr_db"]


def sample(f: Callable[[Floats], Floats], rate: float, duration: float) -> tuple[Floats, Floats]:
    """Read f at t = 0, 1/rate, 2/rate, … below `duration`.

    Parameters
    ----------
    f : function of an array of times in seconds
    rate : float
        Samples per second (Hz); twice the highest frequency of f or more, or it folds back.
    duration : float
        Seconds.

    Returns
    -------
    t, x : arrays
        Times and values.

    Examples
    --------
    >>> sample(lambda t: 2 * t, rate=4.0, duration=1.0)
    (array([0.  , 0.25, 0.5 , 0.75]), array([0. , 0.5, 1. , 1.5]))

    Survey-map row: H4.
    """
    check_positive(rate, "rate")
    check_positive(duration, "duration")
    t = np.arange(int(np.ceil(rate * duration - 1e-9))) / rate
    return t, check_reals(np.asarray(f(t), dtype=np.float64), "f(t)")


@dataclass(frozen=True)
class PCM:
    """Uniform quantizer with 2^b codes from −2^(b−1) to 2^(b−1) − 1 over [−peak, peak].

    Parameters
    ----------
    bits : int
        From 1 to 24 (mid-tread: from 2).
    peak : float
        What is louder is clipped.
    kind : {"mid-rise", "mid-tread"}
        Whether zero is an edge between two values or a value itself.

    Examples
    --------
    >>> PCM(bits=2, kind="mid-rise")([-0.9, 0.1, 0.6])
    array([-0.75,  0.25,  0.75])
    >>> PCM(bits=2, kind="mid-tread")([-0.9, 0.1, 0.6])  # no code for +1: two's complement stops at +1/2
    array([-1. ,  0. ,  0.5])

    Survey-map row: H4.
    """

    bits: int
    peak: float = 1.0
    kind: Literal["mid-rise", "mid-tread"] = "mid-rise"

    def __post_init__(self) -> None:
        if self.kind not in ("mid-rise", "mid-tread"):
            raise ValueError(f'kind must be "mid-rise" or "mid-tread", got {self.kind!r}')
        check_integer(self.bits, "bits", 1 if self.kind == "mid-rise" else 2, 24)
        check_positive(self.peak, "peak")

    @property
    def step(self) -> float:
        """Δ = 2·peak/2^b."""
        return 2 * self.peak / 2**self.bits

    def encode(self, x: ArrayLike) -> Ints:
        """Codes of x."""
        t = check_reals(x) / self.step
        whole = np.floor(t) if self.kind == "mid-rise" else np.rint(t)
        half = 2 ** (self.bits - 1)
        return np.clip(whole, -half, half - 1).astype(np.int64)

    def decode(self, codes: ArrayLike) -> Floats:
        """Values of the codes."""
        codes, half = check_integers(codes), 2 ** (self.bits - 1)
        if codes.size and (codes.min() < -half or codes.max() >= half):
            raise ValueError(f"codes must be from {-half} to {half - 1}, got {codes.min()} to {codes.max()}")
        return (codes + (0.5 if self.kind == "mid-rise" else 0.0)) * self.step

    def __call__(self, x: ArrayLike) -> Floats:
        """What the receiver hears."""
        return self.decode(self.encode(x))


def codes_to_bits(codes: ArrayLike, bits: int) -> NDArray[np.uint8]:
    """Write each code as b pulses, most significant first, in two's complement.

    Returns
    -------
    array of 0 and 1, shape (number of codes · bits,)

    Examples
    --------
    >>> codes_to_bits([-2, 1], bits=2)
    array([1, 0, 0, 1], dtype=uint8)

    Survey-map row: H4.
    """
    check_integer(bits, "bits", 1, 24)
    codes, half = check_integers(codes).ravel(), 2 ** (bits - 1)
    if codes.size and (codes.min() < -half or codes.max() >= half):
        raise ValueError(f"codes must be from {-half} to {half - 1}, got {codes.min()} to {codes.max()}")
    places = np.arange(bits - 1, -1, -1)
    return ((codes[:, None] >> places) & 1).astype(np.uint8).ravel()


def bits_to_codes(pulses: ArrayLike, bits: int) -> Ints:
    """Read the codes back from their pulses.

    Examples
    --------
    >>> bits_to_codes([1, 0, 0, 1], bits=2)
    array([-2,  1])

    Survey-map row: H4.
    """
    check_integer(bits, "bits", 1, 24)
    pulses = check_integers(pulses, "pulses").ravel()
    if pulses.size % bits:
        raise ValueError(f"pulses must come in groups of {bits}, got {pulses.size}")
    if pulses.size and (pulses.min() < 0 or pulses.max() > 1):
        raise ValueError(f"pulses must be 0 or 1, got {pulses.min()} to {pulses.max()}")
    unsigned = pulses.reshape(-1, bits) @ (1 << np.arange(bits - 1, -1, -1))
    return np.where(unsigned >= 2 ** (bits - 1), unsigned - 2**bits, unsigned).astype(np.int64)


def snr_db(x: ArrayLike, received: ArrayLike) -> float:
    """10 log10(Σx²/Σ(x − x̃)²), in decibels; ∞ if nothing was lost.

    Examples
    --------
    >>> print(round(snr_db([1.0, -1.0], [0.9, -0.9]), 6))
    20.0

    Survey-map row: H4.
    """
    x, received = check_reals(x), check_reals(received, "received")
    if x.shape != received.shape:
        raise ValueError(f"x and received must have the same shape, got {x.shape} and {received.shape}")
    signal, noise = float(np.sum(x**2)), float(np.sum((x - received) ** 2))
    if signal == 0:
        raise ValueError("x must not be all zero: silence has no signal-to-noise ratio")
    return float("inf") if noise == 0 else float(10 * np.log10(signal / noise))


def sine_snr_db(bits: int) -> float:
    """20 log10(2)·b + 10 log10(3/2): the ratio of a full-scale sine's power, peak²/2, to Δ²/12.

    Examples
    --------
    >>> print(round(sine_snr_db(16), 2))  # the compact disc
    98.09

    References
    ----------
    Bennett 1948.

    Survey-map row: H4.
    """
    return float(20 * np.log10(2) * check_integer(bits, "bits", 1) + 10 * np.log10(1.5))
