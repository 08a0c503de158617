"""Network, bits and arithmetic unit, chosen together or in turn; the whole space is known, so every answer is exact.

A chip spends an area A on multiply–accumulate units for weights of b bits and activations of 8:

    a(b) = a_mult·b/8 + a_add          a_mult = 282 µm² (int8), a_add = 137 µm² (int32) at 45 nm
    time(c, b) = MACs(c)·a(b)/A        in cycles: narrower units are smaller, so there are more of them

    together              max accuracy(c, b)  over networks c and bits b with time(c, b) ≤ budget
    network for 8 bits    the same with b = 8
    network, then bits    the most accurate network first, and then the fewest bits that cost it at most `drop`;
                          if that does not fit, the next network

Sources: areas, Horowitz 2014, as the survey's figure 7; that a multiplier's area grows with the product of its widths
is the usual model of an array multiplier. The space and its accuracies: `search_space`, `search_table`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from qlab.hardware.cost import layer_costs, total_cost
from qlab.hardware.energy import ADD_UM2, MULTIPLY_UM2
from qlab.neighbours.search import all_candidates, tabular
from qlab.neighbours.search_space import Candidate, build_candidate
from qlab.validate import check_bits

__all__ = ["STRATEGIES", "chip_cycles", "choose", "unit_area"]

STRATEGIES = ("network for 8 bits", "network, then bits", "together")
"""In which order network and bits are chosen."""


def unit_area(bits: int) -> float:
    """Return a(b) in µm²: a multiplier of b × 8 bits and an adder of 32.

    Examples
    --------
    >>> unit_area(8), unit_area(2)
    (419.0, 207.5)

    Survey-map row: F2.
    """
    check_bits(bits, 1, 8)
    return MULTIPLY_UM2["int8"] * bits / 8 + ADD_UM2["int32"]


@cache
def _macs(block: str, kernel: int, width: int, depth: int) -> int:
    network = build_candidate(Candidate(block, kernel, width, depth, 8)).eval()
    return total_cost(layer_costs(network, (1, 28, 28))).macs


def chip_cycles(candidate: Candidate, area: float = 1e5) -> float:
    """Return the cycles of one picture on a chip whose units are made for the candidate's bits.

    Parameters
    ----------
    candidate : Candidate
    area : float
        A in µm²; units work in every cycle, memory is free: a lower bound.

    Survey-map row: F2.
    """
    c = candidate
    return _macs(c.block, c.kernel, c.width, c.depth) * unit_area(c.bits) / area


def choose(
    strategy: str,
    budget: float,
    cost: Callable[[Candidate], float] = chip_cycles,
    accuracy: Callable[[Candidate], float] = tabular,
    drop: float = 0.01,
) -> Candidate | None:
    """Return the candidate that a strategy finds within a budget, or None if nothing fits.

    Parameters
    ----------
    strategy : str
        One of `STRATEGIES`.
    budget : float
        In the unit of `cost`.
    cost, accuracy : functions of a candidate
        By default modelled cycles, and accuracy on validation pictures.
    drop : float
        For "network, then bits": how much accuracy fewer than 8 bits may cost, 0 … 1.

    Raises
    ------
    ValueError
        If there is no such strategy.

    Survey-map row: F2.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {'; '.join(STRATEGIES)}, got {strategy!r}")
    fitting = [c for c in all_candidates() if cost(c) <= budget]
    if strategy == "network for 8 bits":
        fitting = [c for c in fitting if c.bits == 8]
    if not fitting:
        return None
    if strategy != "network, then bits":
        return max(fitting, key=accuracy)
    for full in sorted((c for c in all_candidates() if c.bits == 8), key=accuracy, reverse=True):
        good = [c for c in all_candidates() if _shape(c) == _shape(full) and accuracy(c) >= accuracy(full) - drop]
        small = min(good, key=cost)
        if cost(small) <= budget:
            return small
    return None


def _shape(c: Candidate) -> tuple[str, int, int, int]:
    return c.block, c.kernel, c.width, c.depth
