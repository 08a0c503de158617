"""Where the weights are that are left: the distance from one to the next, and a filler zero where it is too long.

    d_i = p_i − p_{i−1}  (p_{−1} = −1),       stored in b bits: 1 ≤ d ≤ 2^b
    d > 2^b:   store a zero at distance 2^b, as a filler, and go on from there

Positions would need log2(n) bits each; distances are small, and their frequencies are far from equal, so that an
entropy coder shortens them further. In a layer with a share s of weights left, distances are nearly geometric:
H ≈ h₂(s)/s bits, h₂ the entropy of a coin.
Source: Han, Mao, Dally 2016, *Deep compression*, section 2 and figure 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qlab.history._check import Ints, check_integers
from qlab.validate import check_bits

__all__ = ["from_relative", "index_entropy", "to_relative"]


def to_relative(positions: ArrayLike, bits: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Return distances from 1 to 2^b, fillers among them, and which of them are fillers.

    Parameters
    ----------
    positions : array (n,) of integers
        Strictly increasing, from 0.
    bits : int
        b, 1 to 16.

    Returns
    -------
    distances : array (n + fillers,) of integers from 1 to 2^b
    fillers : array of bool
        True where a zero stands at that place.

    Raises
    ------
    ValueError
        If positions do not increase, or begin below 0.

    References
    ----------
    Han et al. 2016, figure 2.

    Examples
    --------
    >>> to_relative([0, 3, 14], bits=3)  # 11 = 8 + 3: a filler at 11
    (array([1, 3, 8, 3]), array([False, False,  True, False]))

    Survey-map row: V1.
    """
    p = check_integers(positions, "positions")
    if p.ndim != 1 or (p.size and (p[0] < 0 or (np.diff(p) <= 0).any())):
        raise ValueError("positions must be a list of increasing integers from 0")
    longest = 1 << check_bits(bits)
    d = np.diff(p, prepend=-1)
    extra = (d - 1) // longest  # fillers before each
    distances = np.full(int((extra + 1).sum()), longest, dtype=np.int64)
    fillers = np.ones(distances.size, dtype=bool)
    at = np.cumsum(extra + 1) - 1
    distances[at], fillers[at] = d - extra * longest, False
    return distances, fillers


def from_relative(distances: ArrayLike, fillers: ArrayLike) -> Ints:
    """Undo `to_relative`.

    Raises
    ------
    ValueError
        If a distance is below 1, or there are not as many fillers as distances.

    Examples
    --------
    >>> from_relative([1, 3, 8, 3], [False, False, True, False])
    array([ 0,  3, 14])

    Survey-map row: V1.
    """
    d, skip = check_integers(distances, "distances"), np.asarray(fillers, dtype=bool)
    if d.shape != skip.shape or d.ndim != 1:
        raise ValueError(f"fillers must be as many as distances, got {skip.shape} and {d.shape}")
    if d.size and d.min() < 1:
        raise ValueError(f"distances must be at least 1, got {d.min()}")
    return np.asarray(np.cumsum(d) - 1, dtype=np.int64)[~skip]


def index_entropy(share: float) -> float:
    """Return h₂(s)/s, the bits per kept weight that tell where it is, if a coin decided which are kept.

    Parameters
    ----------
    share : float
        s, the share of weights that are left, 0 < s ≤ 1.

    Examples
    --------
    >>> round(index_entropy(0.1), 2)
    4.69

    Survey-map row: V1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in 0 < s ≤ 1, got {share}")
    rest = 1 - share
    return float(-np.log2(share) - (rest / share * np.log2(rest) if rest > 0 else 0.0))
