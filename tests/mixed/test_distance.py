"""Distances from the front, by hand and on the shipped tables; the table of methods against runs made again."""

import numpy as np
import pytest

from qlab.mixed.comparison import BUDGETS, METHODS, methods_table, run_method, uniform_choice
from qlab.mixed.distance import distance, hypervolume, oracle
from qlab.mixed.ground_truth import ground_truth


@pytest.mark.row("M5")
def test_area_by_hand_and_by_counting():
    assert hypervolume([1, 2, 9, 1], [0.5, 0.75, 1.0, -1.0], worst_cost=4, floor=0) == 2.0
    assert hypervolume([5], [1.0], worst_cost=4, floor=0) == 0
    rng = np.random.default_rng(0)
    cost, gain = rng.integers(0, 10, (2, 8))
    cells = sum(any((cost <= i) & (gain > j)) for i in range(10) for j in range(2, 10))
    assert hypervolume(cost, gain, worst_cost=10, floor=2) == cells


@pytest.mark.row("M5")
def test_distance_on_the_mlp():
    truth = ground_truth("mlp")
    limit = truth.space.budget(3.0)
    best = max((i for i in range(125) if truth.nbytes[i] <= limit), key=lambda i: truth.accuracy[i])
    choice = tuple(truth.space.all_choices()[best])
    at_best = distance(truth, choice, limit)
    assert at_best.lost == 0 and at_best.better == 0 and at_best.accuracy == truth.accuracy[best]
    low = distance(truth, (0, 0, 0), limit)
    assert low.lost == pytest.approx(truth.accuracy[best] - truth.accuracy[0])
    assert low.better == np.mean(truth.accuracy[truth.nbytes <= limit] > truth.accuracy[0])
    assert truth.nbytes[truth.index(oracle(truth, limit))] <= limit
    assert uniform_choice(truth, limit) == (1, 1, 1)
    with pytest.raises(ValueError, match="must fit"):
        distance(truth, (4, 4, 4), limit)
    for refuse in (oracle, uniform_choice):
        with pytest.raises(ValueError, match="the fewest there are"):
            refuse(truth, 1.0)


@pytest.mark.slow
@pytest.mark.row("M5")
def test_shipped_table_of_methods():
    runs = methods_table()
    seen = {(r.network, r.method) for r in runs}
    assert seen == {(n, m) for n in ("mlp", "convnet") for m in METHODS} - {("mlp", "KL, distilled")}
    assert {r.mean_bits for r in runs} == set(BUDGETS)
    for network in ("mlp", "convnet"):
        truth = ground_truth(network)
        for r in (r for r in runs if r.network == network):
            choice = [truth.space.choices.index(int(b)) for b in r.bits.split("-")]
            far = distance(truth, choice, truth.space.budget(r.mean_bits))
            assert (far.nbytes, far.accuracy) == (r.nbytes, pytest.approx(r.accuracy))
            assert far.lost == pytest.approx(r.lost, abs=1e-4)


@pytest.mark.slow
@pytest.mark.row("M5")
@pytest.mark.parametrize("method", ["KL", "HAWQ-V2", "evolution"])
def test_run_made_again(method):
    old = next(r for r in methods_table() if (r.network, r.method, r.mean_bits) == ("mlp", method, 2.25))
    new = run_method("mlp", method, 2.25, 0)
    assert new.accuracy == pytest.approx(old.accuracy, abs=0.03)  # another machine may round a tie otherwise
    assert new.nbytes <= ground_truth("mlp").space.budget(2.25)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be one of"):
        run_method("mlp", "guess", 3.0, 0)
