"""Weights on a grid: the threshold of a lost update, where descent stalls, and its distribution at the end."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from qlab.calibration import Unscaled
from qlab.data import load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import BF16, Symmetric
from qlab.quantizer import Quantizer
from qlab.rounding import Nearest, Stochastic
from qlab.stochastic import OnGrid, descend, lost_by_nearest, stall_distance, stationary_moments
from qlab.zoo import TrainingSettings, train

pytestmark = pytest.mark.row("G2")


def stochastic(seed: int) -> Stochastic:
    return Stochastic(torch.Generator().manual_seed(seed))


def test_the_threshold_of_a_lost_update_is_half_a_step():
    scale = 2.0**-6
    w = scale * torch.randint(-50, 50, (20_000,), generator=torch.Generator().manual_seed(0)).double()
    update = 3 * scale * (torch.rand(w.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5)
    stays = scale * torch.round((w - update) / scale) == w
    assert torch.equal(stays, lost_by_nearest(update, scale))
    assert 0.3 < float(stays.double().mean()) < 0.37  # a third of the updates is below S/2 here
    assert not lost_by_nearest(torch.zeros(3), 1.0).any()


@pytest.mark.parametrize(("curvature", "lr", "scale"), [(1.0, 1 / 16, 1.0), (2.0, 1 / 64, 0.5), (0.5, 1 / 8, 0.125)])
def test_nearest_stalls_at_the_derived_distance_and_nowhere_before(curvature, lr, scale):
    distance = stall_distance(curvature, lr, scale)
    starts = scale * torch.arange(-200.0, 201.0, dtype=torch.float64)
    path = descend(starts, 0.0, Nearest(), curvature=curvature, lr=lr, scale=scale, steps=1)
    still = (path[1] == path[0]) & (starts != 0)
    far, near = starts.abs() > distance, starts.abs() < distance
    assert not still[far].any()
    assert still[near & (starts != 0)].all()
    end = descend(starts, 0.0, Nearest(), curvature=curvature, lr=lr, scale=scale, steps=1000)[-1]
    assert (end.abs() <= distance).all()
    assert (end[far].abs() > distance - scale).all()


@pytest.mark.parametrize("lr", [0.02, 0.25, 1.0])
def test_stochastic_descent_ends_as_the_optimum_rounded_stochastically(lr):
    optimum, scale, runs = 0.3, 0.125, 20_000
    start = torch.full((runs,), 1.0, dtype=torch.float64)
    end = descend(start, optimum, stochastic(1), lr=lr, scale=scale, steps=int(20 / lr))[-1]
    mean, var = stationary_moments(optimum, scale)
    low = scale * np.floor(optimum / scale)
    assert torch.isin(end, torch.tensor([low, low + scale], dtype=torch.float64)).double().mean() > 0.999
    assert abs(float(end.mean()) - mean) < norm.isf(5e-7) * (var / runs) ** 0.5 + 1e-5
    assert float(end.var()) == pytest.approx(var, rel=0.03)


def test_without_rounding_descent_is_the_closed_form():
    path = descend(torch.tensor(3.0, dtype=torch.float64), 1.0, None, lr=0.1, steps=50)
    torch.testing.assert_close(path, 1 + 2 * 0.9 ** torch.arange(51.0, dtype=torch.float64))


def two_layers() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize("granularity", [None, PerChannel(0)])
def test_a_step_ends_on_the_grid_and_the_lost_updates_are_counted(granularity):
    model = two_layers()
    quantizer = Quantizer(Symmetric(8)) if granularity is None else Quantizer(Symmetric(8), granularity)
    grid = OnGrid.of(model, {"0": quantizer}, headroom=2.0)
    placed = grid.place(model)
    assert torch.equal(placed[2].weight, model[2].weight)
    assert not torch.equal(placed[0].weight, model[0].weight)
    S = grid.quantizers["0"][1].scale
    torch.testing.assert_close(S, 2 * quantizer.calibrate(model[0].weight).scale)
    grid(placed, 0.1)
    before = placed[0].weight.detach().clone()
    step = S.expand(5)[:, None] if granularity is None else S[:, None]
    update = step * torch.linspace(-1, 1, 30).reshape(5, 6)
    with torch.no_grad():
        placed[0].weight -= update
    grid(placed, 0.2)
    lost = lost_by_nearest(update, step)
    assert torch.equal(placed[0].weight.detach() == before, lost)
    assert grid.lost == [float(lost.double().mean())]
    codes = placed[0].weight.detach() / step
    torch.testing.assert_close(codes, torch.round(codes), atol=1e-4, rtol=0)


def test_stochastic_rounding_keeps_small_updates_on_average():
    model = nn.Sequential(nn.Linear(200, 200))
    quantizer = Quantizer(Symmetric(8), rounding=stochastic(3))
    grid = OnGrid.of(model, {"0": quantizer})
    model = grid.place(model)
    before, S = model[0].weight.detach().clone(), float(grid.quantizers["0"][1].scale)
    inside = before.abs() < 120 * S
    with torch.no_grad():
        model[0].weight -= 0.1 * S
    grid(model, 0.5)
    moved = ((before - model[0].weight.detach()) / S)[inside]
    n = moved.numel()
    assert abs(float(moved.mean()) - 0.1) < norm.isf(5e-7) * (0.1 * 0.9 / n) ** 0.5 + 1e-4
    assert set(moved.round().unique().tolist()) == {0.0, 1.0}


def test_any_grid_will_do_and_bfloat16_loses_what_is_below_half_its_gap():
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    nn.init.constant_(model[0].weight, 1.0)  # the next bfloat16 below 1 is 1 − 2⁻⁸, halfway is 2⁻⁹
    grid = OnGrid.of(model, {"0": Quantizer(BF16, calibration=Unscaled())})
    with torch.no_grad():
        model[0].weight -= torch.tensor([[2.0**-10, 0.9 * 2.0**-9, 1.1 * 2.0**-9, 2.0**-8]])
    grid(model, 0.1)
    assert model[0].weight[0].tolist() == [1.0, 1.0, 1 - 2.0**-8, 1 - 2.0**-8]


def test_what_cannot_be_placed_is_refused():
    with pytest.raises(ValueError, match="headroom must be positive"):
        OnGrid.of(two_layers(), {"0": Quantizer()}, headroom=0)
    with pytest.raises(ValueError, match="quantizers must name layers among 0, 2, got 1"):
        OnGrid.of(two_layers(), {"1": Quantizer()})
    with pytest.raises(ValueError, match="lr must be positive"):
        descend(torch.tensor(1.0), 0.0, Nearest(), lr=0)


@pytest.mark.slow
def test_a_network_learns_on_its_grid_with_stochastic_rounding_and_not_with_nearest():
    data = load_train_subset()[:2000]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    settings = TrainingSettings(epochs=2, lr=0.01, momentum=0, weight_decay=0, augment=False)
    x, y = data.tensors()
    risk = {}
    for rounding in (Nearest(), stochastic(0)):
        grid = OnGrid.of(model, {"1": Quantizer(Symmetric(6), rounding=rounding)}, headroom=4)
        trained = train(grid.place(model), data, settings, after_step=grid)
        with torch.no_grad():
            risk[type(rounding)] = float(nn.functional.cross_entropy(trained(x), y))
    assert risk[Stochastic] < 0.8 * risk[Nearest]
