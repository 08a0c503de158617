"""ReLU6 with a ceiling per channel: equalization passes through it and changes nothing, where ReLU would."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab import zoo
from qlab.data import load_test
from qlab.ptq import (
    CappedReLU,
    absorb_bias,
    clipped_normal,
    equalize,
    fold_batchnorm,
    input_statistics,
    linked_pairs,
    relu6_to_capped,
)
from qlab.ptq.graph import Normal
from qlab.zsq import input_ranges, prepare

pytestmark = pytest.mark.row("T7", "Z1")


@pytest.fixture(scope="module")
def separable():
    return fold_batchnorm(zoo.load("separable"))


@pytest.fixture(scope="module")
def pictures():
    return load_test()[:64].tensors()[0]


def test_one_ceiling_is_relu6_and_many_are_hardtanh_by_channel():
    x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 5
    assert torch.equal(CappedReLU(torch.tensor([6.0]))(x), F.relu6(x))
    tops = torch.tensor([1.0, 6.0, 20.0])
    wanted = torch.stack([F.hardtanh(x[:, c], 0.0, float(t)) for c, t in enumerate(tops)], 1)
    assert torch.equal(CappedReLU(tops)(x), wanted)
    assert torch.equal(CappedReLU(tops)(x[:, :, 0, 0]), wanted[:, :, 0, 0])


def test_equalization_is_exact_through_ceilings(separable, pictures):
    capped = relu6_to_capped(separable)
    assert len(linked_pairs(capped)) > len(linked_pairs(separable))
    assert torch.equal(capped(pictures), separable(pictures))
    state = copy.deepcopy(separable.state_dict())
    even = equalize(capped)
    wanted, found = separable(pictures), even(pictures)
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert all(torch.equal(v, state[k]) for k, v in separable.state_dict().items())
    tops = [m.top for m in even.modules() if isinstance(m, CappedReLU)]
    assert sum(len(t) > 1 for t in tops) == sum(len(p.ceilings) for p in linked_pairs(even)) > 0
    for pair in linked_pairs(even):  # what equalization is for
        rows = even.get_submodule(pair.first).weight.flatten(1).abs().amax(1)
        second = even.get_submodule(pair.second)
        columns = second.weight.flatten(1) if second.weight.shape[1] == 1 else second.weight.transpose(0, 1).flatten(1)
        assert torch.allclose(rows[rows > 0], columns.abs().amax(1)[rows > 0], rtol=0.02)


def test_ceilings_move_with_an_absorbed_bias():
    first, second, known = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(3)
    with torch.no_grad():
        known.bias.fill_(5.0)
        known.weight.copy_(torch.tensor([0.1, 0.2, 0.1]))
    x = torch.randn(64, 2, 1, 1, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():  # statistics that are those of x: 5 − 3·0.2 > 0 for every channel
        known.running_mean.copy_(first(x).mean((0, 2, 3)))
        known.running_var.copy_(first(x).var((0, 2, 3), unbiased=False))
    model = fold_batchnorm(nn.Sequential(first, known, nn.ReLU6(), second).eval())
    capped = relu6_to_capped(model)
    moved = absorb_bias(capped)
    assert torch.allclose(moved[2].top, torch.tensor([6 - 4.7, 6 - 4.4, 6 - 4.7]), atol=1e-5)
    assert (moved[0].bias < capped[0].bias).all()
    inside = (capped[:2](x) > 4.7).flatten(1).all(1)  # where no channel falls below what was moved
    assert inside.float().mean() > 0.9
    assert torch.allclose(moved(x)[inside], model(x)[inside], atol=1e-5)


def test_statistics_and_ranges_read_the_ceilings(separable):
    capped = relu6_to_capped(separable)
    wanted, found = input_statistics(separable), input_statistics(capped)
    assert wanted.keys() == found.keys()
    assert all(torch.allclose(found[k].mean, wanted[k].mean, atol=1e-6) for k in wanted)
    same = input_ranges(separable, (-1.0, 1.0))
    assert {k: (float(r.low), float(r.high)) for k, r in input_ranges(capped, (-1.0, 1.0)).items()} == {
        k: (float(r.low), float(r.high)) for k, r in same.items()
    }
    mean, std = torch.tensor([1.0, 4.0]), torch.tensor([2.0, 1.0])
    both = clipped_normal(Normal(mean, std), torch.tensor([3.0, 4.5]))
    alone = [clipped_normal(Normal(mean[i : i + 1], std[i : i + 1]), t) for i, t in enumerate((3.0, 4.5))]
    assert torch.allclose(both.mean, torch.cat([a.mean for a in alone]))
    assert torch.allclose(both.std, torch.cat([a.std for a in alone]))


def test_padding_between_layers_is_seen_through():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 2, 3, stride=2)
    )
    folded = fold_batchnorm(model.eval())
    assert [(p.first, p.second) for p in linked_pairs(folded)] == [("0", "4")]
    x = torch.randn(2, 1, 9, 9)
    assert torch.allclose(equalize(folded)(x), folded(x), atol=1e-5)
    with torch.no_grad():
        folded[1].mean += 20  # even where every value is large, the border is 0
    assert float(input_ranges(folded, (-1.0, 1.0))["4"].low) == 0
    assert "4" in input_statistics(folded)


def test_preparing_with_ceilings_changes_less_than_with_relu(separable, pictures):
    model = zoo.load("separable")
    wanted = separable(pictures)
    with torch.no_grad():
        errors = [(prepare(model, absorb=False, capped=c)(pictures) - wanted).square().mean() for c in (True, False)]
    assert errors[0] < 1e-3 * errors[1]
