"""Choices against brute force over the whole space, and against each other."""

import pytest

from qlab.hardware.cost import layer_costs, total_cost
from qlab.neighbours import all_candidates, build_candidate, tabular
from qlab.neighbours.codesign import STRATEGIES, chip_cycles, choose, unit_area
from qlab.neighbours.search_space import Candidate


@pytest.mark.slow
@pytest.mark.row("F2")
@pytest.mark.parametrize("budget", [100.0, 500.0, 3000.0])
def test_together_is_the_best_of_the_space_and_never_below_the_others(budget):
    best = max(tabular(c) for c in all_candidates() if chip_cycles(c) <= budget)
    found = {s: choose(s, budget) for s in STRATEGIES}
    assert tabular(found["together"]) == best
    assert all(chip_cycles(c) <= budget and tabular(c) <= best for c in found.values() if c)
    assert found["network for 8 bits"].bits == 8


@pytest.mark.row("F2")
def test_network_then_bits_by_hand():
    """Two networks, A the better one: its cheapest bits within the drop, or else B's."""
    space = [Candidate("standard", 3, w, 1, b) for w in (4, 8) for b in (2, 4, 8)]
    scores = {(8, 8): 0.9, (8, 4): 0.895, (8, 2): 0.5, (4, 8): 0.8, (4, 4): 0.795, (4, 2): 0.3}

    def accuracy(c):
        plain = c.block == "standard" and c.kernel == 3 and c.depth == 1
        return scores.get((c.width, c.bits), 0.0) if plain else 0.0

    cost = {c: c.width * c.bits for c in space}
    for budget, expected in ((32.0, (8, 4)), (31.0, (4, 4)), (64.0, (8, 4))):
        found = choose("network, then bits", budget, lambda c: cost.get(c, 1e9), accuracy)
        assert (found.width, found.bits) == expected


@pytest.mark.row("F2")
def test_cycles_are_macs_times_area():
    c = Candidate("separable", 5, 8, 2, 4)
    macs = total_cost(layer_costs(build_candidate(c).eval(), (1, 28, 28))).macs
    assert chip_cycles(c, area=1000.0) == pytest.approx(macs * (282 * 4 / 8 + 137) / 1000)
    assert unit_area(2) < unit_area(4) < unit_area(8)


@pytest.mark.row("F2")
def test_nothing_fits_and_nothing_is_unknown():
    assert all(choose(s, 1.0) is None for s in STRATEGIES)
    with pytest.raises(ValueError, match="strategy must be one of"):
        choose("guess", 100.0)
    with pytest.raises(ValueError, match="bits must be"):
        unit_area(9)
