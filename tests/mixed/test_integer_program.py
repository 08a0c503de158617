"""The integer program against brute force, and what it refuses."""

from itertools import product

import numpy as np
import pytest

from qlab.mixed import Budget, integer_program


def brute_force(harm, budgets):
    """The least harm of all choices that fit; None if none does."""
    layers, choices = harm.shape
    values = [
        sum(harm[i, b] for i, b in enumerate(choice))
        for choice in product(range(choices), repeat=layers)
        if all(sum(t.costs[i, b] for i, b in enumerate(choice)) <= t.limit for t in budgets)
    ]
    return min(values, default=None)


@pytest.mark.row("M3")
@pytest.mark.parametrize("seed", range(8))
def test_as_brute_force_under_two_budgets(seed):
    rng = np.random.default_rng(seed)
    layers, choices = rng.integers(1, 6), rng.integers(1, 5)
    harm = rng.exponential(size=(layers, choices)) * 10.0 ** rng.integers(-9, 9)
    nbytes = rng.integers(1, 10**6, (layers, choices))
    latency = rng.exponential(1e-3, (layers, choices))
    limits = [t.min(1).sum() + rng.random() * (t.max(1).sum() - t.min(1).sum()) for t in (nbytes, latency)]
    budgets = [Budget(nbytes, limits[0]), Budget(latency, limits[1], "ms")]
    best = brute_force(harm, budgets)
    if best is None:
        with pytest.raises(ValueError, match="together"):
            integer_program(harm, budgets)
        return
    choice = integer_program(harm, budgets)
    assert all(b.used(choice) <= b.limit for b in budgets)
    assert sum(harm[i, b] for i, b in enumerate(choice)) == pytest.approx(best, rel=1e-9)


@pytest.mark.row("M3")
def test_a_budget_met_exactly_is_met():
    table = [[25, 50], [50, 100]]
    assert integer_program([[9.0, 1.0], [5.0, 1.0]], [Budget(table, 150)]) == (1, 1)
    assert integer_program([[9.0, 1.0], [5.0, 1.0]], [Budget(table, 149.999)]) == (1, 0)
    assert integer_program([[9.0, 1.0], [5.0, 1.0]], [Budget(table, 75)]) == (0, 0)


@pytest.mark.parametrize(
    ("harm", "table", "limit", "words"),
    [
        ([[1.0, 2.0]], [[3.0, 4.0]], 2.0, "the cheapest choice costs 3, more than the limit 2"),
        ([[1.0, np.nan]], [[3.0, 4.0]], 5.0, "harm must be finite"),
        ([[1.0, 2.0]], [[3.0], [4.0]], 9.0, r"harm's shape \(1, 2\), got \(2, 1\)"),
        ([1.0, 2.0], [[3.0, 4.0]], 9.0, "harm must have shape"),
        ([[1.0, 2.0]], [[-3.0, 4.0]], 9.0, "must not be negative"),
        ([[1.0, 2.0]], [[3.0, 4.0]], np.inf, "limit of bytes must be finite"),
    ],
)
def test_refused_in_words(harm, table, limit, words):
    with pytest.raises(ValueError, match=words):
        integer_program(harm, [Budget(table, limit)])


def test_no_budget_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        integer_program([[1.0]], [])
