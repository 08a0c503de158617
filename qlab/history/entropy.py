r"""Shannon's measure of information, in bits.

    H(p) = −Σ p_i log2 p_i,     H(p, q) = −Σ p_i log2 q_i,     D(p‖q) = H(p, q) − H(p) ≥ 0

The rate of a quantizer is the entropy of its codes, not the logarithm of how many codes there are: no lossless coder
needs more than H + 1 bits per symbol on average, and none manages with less than H.
Source: Shannon 1948, *A Mathematical Theory of Communication*, sections 6 and 9; Kullback and Leibler 1951.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from ._check import Floats, Ints, check_integers, check_pmf

__all__ = ["code_entropy", "cross_entropy", "entropy", "kl_divergence", "pmf"]


def pmf(codes: ArrayLike) -> tuple[Ints, Floats]:
    """Count the codes: the distinct symbols in increasing order, and how often each occurs as a fraction.

    Raises
    ------
    TypeError
        If `codes` does not hold integers.
    ValueError
        If it is empty: nothing has no distribution.

    Examples
    --------
    >>> pmf([3, -1, 3, 3])
    (array([-1,  3]), array([0.25, 0.75]))

    Survey-map row: H5.
    """
    codes = check_integers(codes)
    if codes.size == 0:
        raise ValueError("codes must not be empty, got shape " + str(codes.shape))
    symbols, counts = np.unique(codes, return_counts=True)
    return symbols, counts / codes.size


def entropy(p: ArrayLike) -> float:
    """H(p) = −Σ p_i log2 p_i in bits, with 0·log 0 = 0.

    Examples
    --------
    >>> entropy([0.5, 0.25, 0.25])
    1.5

    References
    ----------
    Shannon 1948, section 6.

    Survey-map row: H5.
    """
    p = check_pmf(p)
    return float(-np.sum(xlogy(p, p)) / np.log(2)) + 0.0


def code_entropy(codes: ArrayLike) -> float:
    """Entropy of the empirical distribution of `codes`, in bits per symbol.

    Examples
    --------
    Four codes occur, so fixed length needs 2 bits; their entropy is less.

    >>> code_entropy([0, 0, 0, 0, 1, 1, 2, 3])
    1.75

    Survey-map row: H5.
    """
    return entropy(pmf(codes)[1])


def cross_entropy(p: ArrayLike, q: ArrayLike) -> float:
    """H(p, q) = −Σ p_i log2 q_i: what a code made for q spends on symbols from p (∞ if q misses one).

    Examples
    --------
    >>> cross_entropy([0.5, 0.5], [0.75, 0.25]) > entropy([0.5, 0.5])
    True

    Survey-map row: H5.
    """
    p, q = check_pmf(p), check_pmf(q, "q")
    if p.shape != q.shape:
        raise ValueError(f"p and q must have the same length, got {p.size} and {q.size}")
    if ((q == 0) & (p > 0)).any():
        return float("inf")
    return float(-np.sum(xlogy(p, np.where(p > 0, q, 1.0))) / np.log(2)) + 0.0


def kl_divergence(p: ArrayLike, q: ArrayLike) -> float:
    """D(p‖q) = Σ p_i log2(p_i/q_i): the bits lost by believing q where p is true.

    Examples
    --------
    >>> kl_divergence([1.0, 0.0], [0.5, 0.5])
    1.0

    References
    ----------
    Kullback and Leibler 1951, *On Information and Sufficiency*.

    Survey-map row: H5.
    """
    return cross_entropy(p, q) - entropy(p)
