"""An array multiplier, gate by gate: why the area of an integer multiplier grows as the square of its bits.

    a·b = Σ_i Σ_j a_i b_j 2^(i+j):   b_w·b_a AND gates, then b_w − 1 rows of b_a full adders

The first row of products needs no addition; each further row is added to the running sum by b_a full adders whose
carry ripples to the left. A float multiplies its significands in the same way; exponents, rounding and normalization
come on top.

Sources: the paper-and-pencil method; its faster layouts are Booth 1951, Wallace 1964, Baugh and Wooley 1973 (signed).
"""

from __future__ import annotations

from typing import NamedTuple

from qlab.validate import check_bits

__all__ = ["SIGNIFICAND_BITS", "Gates", "array_multiplier", "full_adder", "multiplier_gates"]

SIGNIFICAND_BITS = {"fp32": 24, "tf32": 11, "fp16": 11, "bf16": 8}
"""The bits that a float multiplies, its hidden 1 included."""


class Gates(NamedTuple):
    """What a multiplier is built of.

    Survey-map row: C1.
    """

    ands: int
    full_adders: int


def full_adder(a: int, b: int, carry: int) -> tuple[int, int]:
    """Add three bits: sum a ⊕ b ⊕ c, carry ab ∨ c(a ⊕ b).

    Examples
    --------
    >>> full_adder(1, 0, 1), full_adder(1, 1, 1)
    ((0, 1), (1, 1))

    Survey-map row: C1.
    """
    half = a ^ b
    return half ^ carry, (a & b) | (carry & half)


def multiplier_gates(weight_bits: int, activation_bits: int | None = None) -> Gates:
    """Return how many gates an array multiplier has: b_w·b_a ANDs and (b_w − 1)·b_a full adders.

    Parameters
    ----------
    weight_bits, activation_bits : int
        From 1 to 64; the second is the first where it is left out.

    Raises
    ------
    TypeError, ValueError
        If bits are not whole or out of range.

    Examples
    --------
    >>> multiplier_gates(8)
    Gates(ands=64, full_adders=56)

    Survey-map row: C1.
    """
    rows = check_bits(weight_bits, highest=64, name="weight_bits")
    columns = rows if activation_bits is None else check_bits(activation_bits, highest=64, name="activation_bits")
    return Gates(rows * columns, (rows - 1) * columns)


def array_multiplier(w: int, a: int, weight_bits: int, activation_bits: int) -> tuple[int, Gates]:
    """Multiply two unsigned codes with nothing but AND gates and full adders, and count those used.

    Parameters
    ----------
    w, a : int
        From 0 to 2^bits − 1.
    weight_bits, activation_bits : int

    Returns
    -------
    product : int
        Of weight_bits + activation_bits bits.
    gates : Gates

    Raises
    ------
    ValueError
        If a code does not fit into its bits.

    Examples
    --------
    >>> array_multiplier(13, 11, 4, 4)
    (143, Gates(ands=16, full_adders=12))

    Survey-map row: C1.
    """
    check_bits(weight_bits, highest=64, name="weight_bits")
    check_bits(activation_bits, highest=64, name="activation_bits")
    for name, code, bits in (("w", w, weight_bits), ("a", a, activation_bits)):
        if not 0 <= code < 1 << bits:
            raise ValueError(f"{name} must be a code from 0 to {(1 << bits) - 1}, got {code}")
    ands = full_adders = 0
    above = [0] * activation_bits  # the running sum, its lowest bits already done
    product, carry = 0, 0
    for i in range(weight_bits):
        row = [(w >> i & 1) & (a >> j & 1) for j in range(activation_bits)]
        ands += len(row)
        if i == 0:
            above = row
        else:
            carry = 0
            for j in range(activation_bits):
                above[j], carry = full_adder(above[j], row[j], carry)
                full_adders += 1
        product |= above[0] << i  # this bit is final
        above = [*above[1:], carry]
    for j, bit in enumerate(above):
        product |= bit << (weight_bits + j)
    return product, Gates(ands, full_adders)
