r"""A scalar quantizer: N cells, N output values.

    q(x) = y_i   if   t_{i−1} ≤ x < t_i,        D = Σ_i ∫_{t_{i−1}}^{t_i} (x − y_i)² f(x) dx

Uniform, Lloyd–Max and entropy-constrained quantizers differ only in where they put t and y.
Source: Gray and Neuhoff 1998, *Quantization*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._check import Floats, Ints, check_integers, check_reals
from .entropy import entropy
from .sources import Law, Source, as_source

__all__ = ["ScalarQuantizer"]


@dataclass(frozen=True, eq=False)
class ScalarQuantizer:
    """N output values y_1 < … < y_N and the N − 1 thresholds t between them.

    Parameters
    ----------
    thresholds : array of N − 1 reals, increasing
    levels : array of N reals, increasing

    Raises
    ------
    ValueError
        If the lengths do not fit or the order is wrong.

    Examples
    --------
    One bit for a Gaussian: the sign, sent back as ±√(2/π), leaves 1 − 2/π of the variance.

    >>> from qlab.history.sources import gaussian
    >>> sign = ScalarQuantizer([0.0], [-np.sqrt(2 / np.pi), np.sqrt(2 / np.pi)])
    >>> sign.encode([-3.0, 0.1]), sign([-3.0, 0.1]).round(3)
    (array([0, 1]), array([-0.798,  0.798]))
    >>> print(round(sign.distortion(gaussian()), 4))
    0.3634

    Survey-map row: H7.
    """

    thresholds: ArrayLike
    levels: ArrayLike

    def __post_init__(self) -> None:
        levels = check_reals(self.levels, "levels", ndim=1)
        thresholds = np.zeros(0) if levels.size == 1 else check_reals(self.thresholds, "thresholds", ndim=1)
        if np.size(self.thresholds) != levels.size - 1:
            raise ValueError(
                f"thresholds must be one fewer than levels, got {np.size(self.thresholds)} and {levels.size}"
            )
        for name, values in (("thresholds", thresholds), ("levels", levels)):
            if (np.diff(values) <= 0).any():
                raise ValueError(f"{name} must increase strictly, got {values}")
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @property
    def edges(self) -> Floats:
        """The thresholds with −∞ and ∞ at their ends."""
        return np.concatenate([[-np.inf], np.asarray(self.thresholds), [np.inf]])

    def encode(self, x: ArrayLike) -> Ints:
        """Codes 0 … N − 1."""
        return np.searchsorted(np.asarray(self.thresholds), check_reals(x), side="right").astype(np.int64)

    def decode(self, codes: ArrayLike) -> Floats:
        """Output values of the codes."""
        codes, levels = check_integers(codes), np.asarray(self.levels)
        if codes.size and (codes.min() < 0 or codes.max() >= levels.size):
            raise ValueError(f"codes must be from 0 to {levels.size - 1}, got {codes.min()} to {codes.max()}")
        return levels[codes]

    def __call__(self, x: ArrayLike) -> Floats:
        """q(x)."""
        return self.decode(self.encode(x))

    def probabilities(self, source: Source | Law) -> Floats:
        """How often each code occurs."""
        return as_source(source).cell_moments(self.edges)[0]

    def distortion(self, source: Source | Law) -> float:
        """Mean squared error D on the source."""
        m0, m1, m2 = as_source(source).cell_moments(self.edges)
        y = np.asarray(self.levels)
        return float(np.sum(m2 - 2 * y * m1 + y * y * m0))

    def rate(self, source: Source | Law) -> float:
        """Entropy of the codes in bits per sample: what an ideal lossless coder would spend."""
        p = np.maximum(self.probabilities(source), 0)
        return entropy(p / p.sum())
