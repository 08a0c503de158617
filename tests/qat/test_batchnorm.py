"""BatchNorm and oscillations, on networks small enough to follow by hand."""

import pytest
import torch
from torch import nn

from qlab.data import load_train_subset
from qlab.grids import Symmetric
from qlab.network import Recipe, quantize
from qlab.qat import OscillationTracker, dampening, freeze_batchnorm, reestimate_batchnorm
from qlab.quantizer import Quantizer
from qlab.zoo import TrainingSettings, build, train

pytestmark = pytest.mark.row("T4")


def test_reestimated_statistics_are_the_mean_over_batches():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    batches = [torch.randn(16, 3) + i for i in range(3)]
    found = reestimate_batchnorm(network, batches)
    with torch.no_grad():
        outputs = [network[0](b) for b in batches]
    torch.testing.assert_close(found[1].running_mean, torch.stack([o.mean(0) for o in outputs]).mean(0))
    torch.testing.assert_close(found[1].running_var, torch.stack([o.var(0) for o in outputs]).mean(0))
    assert network[1].running_mean.abs().sum() == 0  # left alone
    assert not found.training and not found[1].training
    assert found[1].momentum == network[1].momentum


def test_frozen_batchnorm_computes_as_in_evaluation_also_while_training():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    network[1].running_mean.fill_(0.3)
    network[1].running_var.fill_(2.0)
    frozen = freeze_batchnorm(network).train()
    x = torch.randn(4, 1, 6, 6)
    torch.testing.assert_close(frozen(x), network.eval()(x))
    frozen(x).sum().backward()
    assert frozen[1].weight.grad is not None  # γ and β still learn
    torch.testing.assert_close(frozen[1].running_mean, torch.full((2,), 0.3))


@pytest.mark.parametrize("call", [lambda m: reestimate_batchnorm(m, [torch.ones(1, 2)]), freeze_batchnorm])
def test_a_network_without_batchnorm_is_refused(call):
    with pytest.raises(ValueError, match="BatchNorm"):
        call(nn.Sequential(nn.Linear(2, 2)))


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match="batches"):
        reestimate_batchnorm(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), [])


def one_weight():
    layer = nn.Sequential(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        layer[0].weight.copy_(torch.tensor([[0.2, 1.0]]))
    return quantize(layer, Recipe(Quantizer(Symmetric(3))))  # S = 1/3: the first weight has code 1 (0.6)


def move(network, to):
    with torch.no_grad():
        network[0].parametrizations.weight.original[0, 0] = to


def test_an_oscillation_is_a_change_of_code_against_the_last_one():
    network = one_weight()
    tracker = OscillationTracker(momentum=0.5)
    for value in (0.2, 0.1, 0.2, 0.2, 0.1, 0.5, 0.9):  # codes 1, 0, 1, 1, 0, 2, 3 (0.5/S = 1.5, to even)
        move(network, value)
        tracker(network, 0.0)
    # changes: −, + (back), none, − (back), + (back), + (on): o = 0, 1, 0, 1, 1, 0
    f = 0.0
    for o in (0, 1, 0, 1, 1, 0):
        f = 0.5 * o + 0.5 * f
    assert float(tracker.frequency["0"][0, 0]) == pytest.approx(f)
    assert float(tracker.frequency["0"][0, 1]) == 0
    assert tracker.oscillating(above=0.1) == 0.5


def test_a_weight_that_oscillates_is_held_at_its_usual_level():
    network = one_weight()
    tracker = OscillationTracker(momentum=0.3, threshold=0.4)
    for i in range(12):
        move(network, 0.2 if i % 3 else 0.1)
        tracker(network, 0.0)
    assert bool(tracker.frozen["0"][0, 0]) and not bool(tracker.frozen["0"][0, 1])
    held = float(network[0].parametrizations.weight.original.detach()[0, 0])
    assert held == pytest.approx(1 / 3, abs=1e-6)  # code 1, two times of three
    move(network, 0.0)
    tracker(network, 0.0)
    assert float(network[0].parametrizations.weight.original[0, 0]) == held


def test_dampening_is_the_squared_distance_to_the_level_and_pulls_towards_it():
    network = one_weight()
    value = dampening(network, 2.0)
    assert float(value) == pytest.approx(2 * (1 / 3 - 0.2) ** 2, rel=1e-5)
    value.backward()
    assert float(network[0].parametrizations.weight.original.grad[0, 0]) < 0  # a step against it goes up, to 1/3


def test_dampening_needs_quantized_weights():
    with pytest.raises(ValueError, match="quantized"):
        dampening(nn.Linear(2, 2), 1.0)


@pytest.mark.parametrize("momentum", [0.0, 1.5])
def test_a_bad_momentum_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum"):
        OscillationTracker(momentum)


@pytest.mark.slow
def test_penalty_and_after_step_see_the_progress_of_training():
    seen, after = [], []
    data = load_train_subset()[:256]
    train(
        build("mlp"),
        data,
        TrainingSettings(epochs=2, batch_size=64, lr=0.01, augment=False),
        penalty=lambda model, done: seen.append(done) or torch.zeros(()),
        after_step=lambda model, done: after.append(done),
    )
    assert seen == after == [i / 8 for i in range(1, 9)]
