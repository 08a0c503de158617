r"""Huffman's code: the shortest prefix code for symbols of known frequency.

    join the two rarest, repeat  ⇒  code lengths ℓ_i,   Σ 2^(−ℓ_i) = 1,   H ≤ L = Σ p_i ℓ_i < H + 1

A canonical code keeps only the lengths: codewords are numbered in order of (length, symbol), so a file needs to store
no tree: see `huffman_bytes`.
Sources: Huffman 1952, *A Method for the Construction of Minimum-Redundancy Codes*; canonical codes: Schwartz and
Kallick 1964, *Generating a Canonical Prefix Encoding*.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._check import Ints, check_integers, check_pmf

__all__ = [
    "HuffmanCode",
    "canonical_codes",
    "code_lengths",
    "huffman_code",
]

LONGEST = 57  # a codeword and the 7 bits before it in its byte fit into 64 bits


def code_lengths(counts: ArrayLike) -> Ints:
    """Depth of every symbol in Huffman's tree.

    Parameters
    ----------
    counts : array (n,) of positive integers

    Returns
    -------
    array (n,)
        Codeword lengths in bits. A lone symbol needs no bits: its length is 0.

    Raises
    ------
    ValueError
        If a count is not positive, or there are none.

    References
    ----------
    Huffman 1952. Ties are broken in the order in which nodes were made, so the result is reproducible.

    Examples
    --------
    >>> code_lengths([8, 4, 2, 2])  # −log2 of 1/2, 1/4, 1/8, 1/8
    array([1, 2, 3, 3])

    Survey-map row: H6.
    """
    counts = check_integers(counts, "counts")
    if counts.ndim != 1 or counts.size == 0 or counts.min() <= 0:
        raise ValueError("counts must be a list of at least one positive integer")
    n = counts.size
    heap = [(int(c), i) for i, c in enumerate(counts)]
    heapq.heapify(heap)
    parent = [0] * (2 * n - 1)
    for node in range(n, 2 * n - 1):
        (a, i), (b, j) = heapq.heappop(heap), heapq.heappop(heap)
        parent[i] = parent[j] = node
        heapq.heappush(heap, (a + b, node))
    depth = [0] * (2 * n - 1)
    for node in range(2 * n - 3, -1, -1):  # the root is the last node made; children come before parents
        depth[node] = depth[parent[node]] + 1
    return np.array(depth[:n], dtype=np.int64)


def canonical_codes(lengths: ArrayLike) -> Ints:
    """Number the codewords in order of (length, symbol): next = (last + 1) << (growth in length).

    Raises
    ------
    ValueError
        If no complete prefix code has these lengths (Kraft: Σ 2^(−ℓ) must be 1).

    Examples
    --------
    >>> [f"{c:0{n}b}" for c, n in zip(canonical_codes([2, 1, 3, 3]), [2, 1, 3, 3])]
    ['10', '0', '110', '111']

    Survey-map row: H6.
    """
    lengths = check_integers(lengths, "lengths")
    if lengths.size == 0 or lengths.min() < 0 or lengths.max() > LONGEST:
        raise ValueError(f"lengths must be from 0 to {LONGEST}, got {lengths}")
    if sum(1 << (LONGEST - int(n)) for n in lengths) != 1 << LONGEST:
        raise ValueError("lengths must satisfy Kraft's equality Σ 2^(−length) = 1")
    codes, code, last = np.zeros(lengths.size, dtype=np.int64), 0, 0
    for i in np.argsort(lengths, kind="stable"):
        code <<= int(lengths[i]) - last
        codes[i], last = code, int(lengths[i])
        code += 1
    return codes


@dataclass(frozen=True, eq=False)
class HuffmanCode:
    """Symbols (increasing), the lengths of their codewords, and the codewords as integers.

    Survey-map row: H6.
    """

    symbols: Ints
    lengths: Ints
    codes: Ints

    def words(self) -> dict[int, str]:
        """The code as a table to read: symbol → string of 0 and 1."""
        rows = zip(self.symbols.tolist(), self.lengths.tolist(), self.codes.tolist(), strict=True)
        return {s: f"{c:0{n}b}" if n else "" for s, n, c in rows}

    def mean_length(self, p: ArrayLike) -> float:
        """L = Σ p_i ℓ_i in bits per symbol, p in the order of `symbols`."""
        p = check_pmf(p)
        if p.size != self.symbols.size:
            raise ValueError(f"p must have one entry per symbol ({self.symbols.size}), got {p.size}")
        return float(p @ self.lengths)


def huffman_code(codes: ArrayLike) -> HuffmanCode:
    """Design the canonical Huffman code for the frequencies found in `codes`.

    Examples
    --------
    >>> huffman_code([0, 0, 0, 0, 1, 1, -5, 7]).words()
    {-5: '110', 0: '0', 1: '10', 7: '111'}

    Survey-map row: H6.
    """
    codes = check_integers(codes)
    if codes.size == 0:
        raise ValueError("codes must not be empty: there is nothing to count")
    symbols, counts = np.unique(codes, return_counts=True)
    lengths = code_lengths(counts)
    return HuffmanCode(symbols, lengths, canonical_codes(lengths))
