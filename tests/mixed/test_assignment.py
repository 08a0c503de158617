"""Assignments: bytes against the network that is really quantized, fronts against brute force."""

import numpy as np
import pytest
import torch
from torch import nn

from qlab.mixed.assignment import Assignment, assignment_space, pareto_front
from qlab.network import quantize, report


def chain() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5), nn.ReLU(), nn.Linear(5, 4)
        ).eval()


@pytest.mark.slow
@pytest.mark.row("M3")
def test_bytes_are_those_of_the_quantized_network():
    model = chain()
    space = assignment_space(model, (1, 6, 6), (2, 3, 8))
    assignment = Assignment(("0", "4", "6"), (3, 2, 8))
    quantized = quantize(model, assignment.recipe(), [torch.randn(4, 1, 6, 6)])
    assert space.total(space.nbytes, space.choice(assignment)) == sum(line.nbytes for line in report(quantized))
    assert [line.nbytes for line in report(quantized)] == [11 + 12, 60 + 20, 20 + 16]  # by hand
    assert space.assignment(space.choice(assignment)) == assignment
    assert space.total(space.bops, (0, 0, 0)) == (27 * 16 + 240 + 20) * 2 * 8
    assert space.budget(8) == space.nbytes[:, 2].sum()
    assert space.all_choices().shape == (27, 3)
    assert space.all_choices()[5].tolist() == [0, 1, 2]


@pytest.mark.row("M5")
def test_front_as_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(30):
        cost, loss = rng.integers(0, 6, (2, 12))
        front = pareto_front(cost, loss)

        def bettered(i, cost=cost, loss=loss):
            return any(
                cost[j] <= cost[i] and loss[j] <= loss[i] and (cost[j], loss[j]) != (cost[i], loss[i])
                for j in range(12)
            )

        points = {(cost[i], loss[i]) for i in range(12) if not bettered(i)}
        assert {(cost[i], loss[i]) for i in front} == points
        assert len(front) == len(points)
        assert (np.diff(cost[front]) > 0).all() and (np.diff(loss[front]) < 0).all()


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda: Assignment(("a",), (2, 3)), "one for each"),
        (lambda: Assignment(("a", "a"), (2, 3)), "one for each"),
        (lambda: Assignment(("a",), (0,)), "bits must be an integer"),
        (lambda: assignment_space(nn.Linear(2, 2), (2,), (4, 2)), "must rise"),
        (lambda: assignment_space(nn.ReLU(), (2,)), "with none"),
        (lambda: pareto_front([1.0], [1.0, 2.0]), "one shape"),
        (lambda: pareto_front([1.0], [np.nan]), "finite"),
    ],
)
def test_refused_in_words(run, words):
    with pytest.raises(ValueError, match=words):
        run()
