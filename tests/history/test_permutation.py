"""Twins of a network compute the same; units are found again; statistics of a mixture are measured anew."""

import itertools

import pytest
import torch
from torch import nn

from qlab import data, zoo
from qlab.history.networks import mean_loss, weight_distance
from qlab.history.permutation import match_units, permute_units, renew_statistics, unit_correlation


def some(n=200):
    return data.load_test()[:n]


def shuffled(model, seed=0):
    """Orders for all hidden layers of a chain."""
    g = torch.Generator().manual_seed(seed)
    layers = [(n, m) for n, m in model.named_children() if isinstance(m, (nn.Linear, nn.Conv2d))]
    return {name: torch.randperm(len(m.weight), generator=g) for name, m in layers[:-1]}


def flattened_with_places():
    """A ConvNet whose last layer reads four places of every channel, and whose layers have biases."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10)
        ).eval()


@pytest.mark.row("H11")
@pytest.mark.parametrize("which", ["mlp", "ensemble", "places"])
def test_a_twin_is_the_same_function_and_is_found_out(which):
    make = {"mlp": lambda: zoo.load("mlp"), "ensemble": lambda: zoo.load_ensemble()[0], "places": flattened_with_places}
    model = make[which]()
    orders = shuffled(model)
    twin = permute_units(model, orders)
    torch.testing.assert_close(zoo.predict(twin, some()), zoo.predict(model, some()), rtol=1e-4, atol=1e-4)
    assert weight_distance(model, twin) > 0.3
    found = match_units(model, twin, some())
    assert weight_distance(model, permute_units(twin, found)) < 1e-6
    assert all(torch.equal(orders[k][found[k]], torch.arange(len(orders[k]))) for k in orders)


@pytest.mark.row("H11")
def test_matching_is_the_best_of_all_orders():
    a, b = (zoo.build("mlp", hidden=(5,), seed=s).eval() for s in (0, 1))
    c = unit_correlation(a, b, some())["1"]
    best = max(itertools.permutations(range(5)), key=lambda p: sum(c[i, j] for i, j in enumerate(p)))
    assert match_units(a, b, some())["1"].tolist() == list(best)
    x = some().tensors()[0].flatten(1)
    h, k = (net[1](x).detach().double().T for net in (a, b))
    torch.testing.assert_close(c, torch.corrcoef(torch.cat([h, k]))[:5, 5:])


@pytest.mark.row("H11")
def test_correlation_is_taken_after_batchnorm():
    model = zoo.load_ensemble()[0]
    caught = []
    hook = model[1].register_forward_hook(lambda m, i, o: caught.append(o.movedim(1, 0).flatten(1)))
    zoo.predict(model, some())
    hook.remove()
    c = unit_correlation(model, model, some())["0"]
    torch.testing.assert_close(c, torch.corrcoef(caught[0].double()))


@pytest.mark.row("H11")
def test_renewed_statistics_are_those_of_the_pictures():
    model = zoo.load_ensemble()[0]
    before = model[1].running_mean.clone()
    new = renew_statistics(model, some(), batch_size=50)
    first = model[0](some().tensors()[0])
    torch.testing.assert_close(new[1].running_mean, first.mean((0, 2, 3)))
    assert torch.equal(model[1].running_mean, before)
    assert not new.training
    assert new[1].momentum == model[1].momentum
    assert mean_loss(new, some()) < 1.5 * mean_loss(model, some())


@pytest.mark.row("H11")
def test_bad_input():
    model = zoo.load_ensemble()[0]
    with pytest.raises(ValueError, match="branches"):
        permute_units(zoo.load("resnet"), {})
    with pytest.raises(ValueError, match="must name hidden layers"):
        permute_units(model, {"15": torch.arange(10)})
    with pytest.raises(ValueError, match="permutation of 0"):
        permute_units(model, {"0": torch.zeros(8, dtype=torch.int64)})
    with pytest.raises(ValueError, match="grouped"):
        permute_units(nn.Sequential(nn.Conv2d(2, 2, 1, groups=2)), {})
