"""The law of random search against enumeration, binomials and the search itself; the front against its definition."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from qlab.neighbours import all_candidates, candidate_bytes, pareto_front, random_search_ranks, search, tabular


@pytest.mark.row("B5")
@pytest.mark.parametrize(("feasible", "trials", "space"), [(5, 2, 7), (7, 3, 7), (3, 7, 7), (2, 1, 7), (7, 6, 7)])
def test_against_all_draws(feasible, trials, space):
    best = [min(draw) for draw in combinations(range(space), trials)]
    expected = [best.count(k) / comb(space, trials) for k in range(feasible)]
    assert random_search_ranks(feasible, trials, space) == pytest.approx(expected)


@pytest.mark.row("B5")
def test_closed_forms():
    n, space = 40, 450
    p = random_search_ranks(space, n)
    assert p[0] == pytest.approx(n / space)
    assert p.sum() == pytest.approx(1)
    assert p @ np.arange(1, space + 1) == pytest.approx((space + 1) / (n + 1))
    assert p[:10].sum() == pytest.approx(1 - comb(space - 10, n) / comb(space, n))


@pytest.mark.slow
@pytest.mark.row("B5")
def test_the_search_obeys_it():
    """The mean of 60 real random searches is where the law says, within four standard errors."""
    budget, n = 8192, 30
    feasible = sorted((tabular(c) for c in all_candidates() if candidate_bytes(c) <= budget), reverse=True)
    p = random_search_ranks(len(feasible), n, 450)
    found = [search(budget=budget, trials=n, sampler="random", seed=s).best.value for s in range(60)]
    mean = p @ np.array(feasible) / p.sum()
    assert abs(np.mean(found) - mean) < 4 * np.std(found) / 60**0.5


@pytest.mark.row("B5")
def test_front_is_what_its_definition_says():
    rng = np.random.default_rng(0)
    costs, values = rng.integers(0, 12, 80).tolist(), rng.integers(0, 12, 80).tolist()
    front = pareto_front(costs, values)
    for i in range(80):
        beaten = any(
            costs[j] <= costs[i] and values[j] >= values[i] and (costs[j], values[j]) != (costs[i], values[i])
            for j in range(80)
        )
        twin = any((costs[j], values[j]) == (costs[i], values[i]) for j in range(i))
        assert (i in front) == (not beaten and not twin)
    assert [costs[i] for i in front] == sorted(costs[i] for i in front)


@pytest.mark.row("B5")
def test_refuses():
    with pytest.raises(ValueError, match=r"got 5 and 9"):
        random_search_ranks(5, 9)
    with pytest.raises(ValueError, match=r"got 5 and 2"):
        random_search_ranks(5, 2, 4)
    with pytest.raises(ValueError, match="as many as costs"):
        pareto_front([1], [])
