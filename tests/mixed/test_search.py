"""Searches on a landscape whose best assignment is known."""

from itertools import product

import numpy as np
import pytest
import torch

from qlab.mixed.assignment import assignment_space, weight_quantizer
from qlab.mixed.dnas import DifferentiableSettings, differentiable_search
from qlab.mixed.evolution import EvolutionSettings, evolve
from qlab.mixed.haq import HAQSettings, haq, layer_states, lower_to_budget
from qlab.mixed.search import random_search
from tests.mixed.test_assignment import chain


def landscape():
    """The space of a chain, a judge that wants bits in the first and the last layer, and the best choice."""
    space = assignment_space(chain(), (1, 6, 6), (2, 3, 4, 6, 8))
    limit = space.budget(3.5)

    def judge(choice):
        return 0.9 - 0.3 * 2.0 ** -choice[0] - 0.3 * 2.0 ** -choice[2] - 0.02 * 2.0 ** -choice[1]

    fits = [c for c in product(range(5), repeat=3) if space.total(space.nbytes, c) <= limit]
    return space, limit, judge, sorted(fits, key=judge, reverse=True)


@pytest.mark.row("M4")
@pytest.mark.parametrize("seed", [0, 1])
def test_evolution_finds_the_best_and_counts(seed):
    space, limit, judge, ranked = landscape()
    asked = []
    found = evolve(lambda c: asked.append(c) or judge(c), space, limit, EvolutionSettings(evaluations=40, seed=seed))
    assert found.choice in ranked[:2] and found.value == judge(found.choice)
    assert len(asked) == len(set(asked)) == len(found.judged) <= 40
    assert all(space.total(space.nbytes, c) <= limit for c in asked)
    again = evolve(judge, space, limit, EvolutionSettings(evaluations=40, seed=seed))
    assert again.judged == found.judged


@pytest.mark.row("M4")
def test_searches_end_when_the_space_is_spent():
    space, limit, judge, ranked = landscape()
    for found in (
        evolve(judge, space, limit, EvolutionSettings(evaluations=10**6, mutation=0.5)),
        random_search(judge, space, limit, 10**6),
    ):
        assert found.choice == ranked[0] and len(found.judged) <= len(ranked)


@pytest.mark.row("M4")
def test_lowering_goes_round():
    space, limit, _, _ = landscape()
    lowered = lower_to_budget((4, 4, 4), space, limit)
    assert lowered == (1, 1, 2)  # two rounds from (4, 4, 4), then the first layers once more
    assert space.total(space.nbytes, lowered) <= limit < space.total(space.nbytes, (2, 2, 2))
    assert lower_to_budget((0, 1, 0), space, limit) == (0, 1, 0)
    with pytest.raises(ValueError, match="the fewest there are"):
        lower_to_budget((1, 1, 1), space, 1.0)


@pytest.mark.row("M4")
def test_states_of_the_layers():
    states = layer_states(chain(), assignment_space(chain(), (1, 6, 6)))
    assert states.shape == (3, 8) and states.min() == 0 and states.max() == 1
    assert states[:, 0].tolist() == [0, 0.5, 1] and states[:, 3].tolist() == [1, 0, 0]


@pytest.mark.slow
@pytest.mark.row("M4")
def test_agent_learns_what_pays():
    space, target = landscape()[0], np.array([4, 0, 3])

    def judge(choice):
        return 1 - 0.05 * float(np.abs(np.array(choice) - target).sum())

    gained = []
    for seed in range(2):
        found = haq(judge, chain(), space, 1e9, 1.0, HAQSettings(episodes=70, seed=seed))
        values = [value for _, value in found.judged]
        assert found.value >= 0.85  # within three steps of the target
        gained.append(np.mean(values[-10:]) - np.mean(values[:15]))
    assert np.mean(gained) > 0.02  # the agent's own are better than random ones
    again = [haq(judge, chain(), space, 1e9, 1.0, HAQSettings(episodes=23)).judged for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.slow
@pytest.mark.row("M4")
@pytest.mark.parametrize("gumbel", [True, False])
def test_differentiable_search_fits_and_prefers_what_matters(gumbel):
    model = chain()
    space = assignment_space(model, (1, 6, 6), (2, 8))
    x = torch.randn(256, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for p in (model[4].weight, model[6].weight):  # answers that the first layer decides, and the others keep
            p.copy_(weight_quantizer(2).fake(p))
        model[6].weight *= 10
        labels = model(x).argmax(1)
    settings = DifferentiableSettings(gumbel=gumbel, steps=60, batch=128)
    free = differentiable_search(model, x, labels, space, 1e9, settings)
    assert free.choice[0] == 1 and free.probabilities[0, 1] > 0.8  # the first layer wants its bits
    assert (np.abs(free.probabilities[1:] - 0.5) < 0.35).all()  # the others have all they need with two
    limit = space.total(space.nbytes, (1, 0, 0)) + 5
    found = differentiable_search(model, x, labels, space, limit, settings)
    assert space.total(space.nbytes, found.choice) <= limit
    assert found.probabilities.sum(1) == pytest.approx(np.ones(3))
    again = differentiable_search(model, x, labels, space, limit, settings)
    assert again.choice == found.choice and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    "make",
    [
        lambda: EvolutionSettings(parents=1),
        lambda: EvolutionSettings(mutation=0),
        lambda: HAQSettings(warmup=0),
        lambda: DifferentiableSettings(steps=0),
        lambda: random_search(lambda c: 0.0, landscape()[0], 1e9, 0),
        lambda: random_search(lambda c: 0.0, landscape()[0], 1.0),
        lambda: evolve(lambda c: 0.0, landscape()[0], 1.0),
        lambda: differentiable_search(chain(), torch.zeros(1, 1, 6, 6), torch.tensor([0]), landscape()[0], 1.0),
    ],
)
def test_refused(make):
    with pytest.raises(ValueError):
        make()


def test_the_tightest_budget_leaves_one_assignment():
    space = landscape()[0]
    least = float(space.nbytes[:, 0].sum())
    lowest = (0,) * len(space.layers)
    assert random_search(lambda c: 0.0, space, least, 1).choice == lowest
    assert lower_to_budget((1,) * len(space.layers), space, least) == lowest
    with pytest.raises(ValueError, match="the fewest there are"):
        space.check_limit(least - 1)
