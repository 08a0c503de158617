"""Folding BatchNorm keeps the function, or leaves the network alone where it cannot."""

import copy

import pytest
import torch
from torch import nn

from qlab import Quantizer, Recipe, Symmetric, quantize
from qlab.network import sqnr_db
from qlab.ptq import fold_batchnorm

pytestmark = pytest.mark.row("T4", "A2")


def used(net, *shape):
    """The network in double precision and eval mode, its statistics moved away from 0 and 1."""
    torch.manual_seed(0)
    net = net.double().train()
    for module in net.modules():
        if getattr(module, "affine", False):
            nn.init.uniform_(module.weight, -2, 2)
            nn.init.uniform_(module.bias, -1, 1)
    for _ in range(20):
        net(3 * torch.randn(*shape, dtype=torch.float64) + 1)
    return net.eval()


def left(model):
    """How many BatchNorms are left."""
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


def check(net, shape, remain):
    x = torch.randn(*shape, dtype=torch.float64)
    before = copy.deepcopy(net.state_dict())
    expected = net(x)
    folded = fold_batchnorm(net)
    torch.testing.assert_close(folded(x), expected, rtol=1e-10, atol=1e-10)
    assert left(folded) == remain
    assert torch.equal(net(x), expected)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not folded.training


class Twice(nn.Module):
    """One linear layer called twice, each time before another BatchNorm: its weight cannot hold both."""

    def __init__(self):
        super().__init__()
        self.line, self.first, self.second = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.second(self.line(self.first(self.line(x))))


class SharedNorm(nn.Module):
    """One BatchNorm called twice, once without a layer before it."""

    def __init__(self):
        super().__init__()
        self.line, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.line(self.norm(x)))


class Branches(nn.Module):
    """A convolution that two users read, and a linear layer whose BatchNorm is called by keyword."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
        self.line, self.line_norm = nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4)

    def forward(self, x):
        h = self.conv(x)
        h = (h + self.norm(h)).mean((2, 3))
        return self.line_norm(input=self.line(h))


@pytest.mark.parametrize(
    ("net", "shape", "remain"),
    [
        (nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)), (30, 3), 0),
        (nn.Sequential(nn.Conv1d(2, 4, 3, bias=False), nn.BatchNorm1d(4)), (30, 2, 8), 0),
        (nn.Sequential(nn.Conv2d(4, 8, 3, groups=4, stride=2), nn.BatchNorm2d(8), nn.ReLU()), (30, 4, 8, 8), 0),
        (nn.Sequential(nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2)), (30, 1, 4, 4, 4), 0),
        (nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, affine=False)), (30, 3), 0),
        (nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, track_running_stats=False)), (30, 3), 1),
        (nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.BatchNorm1d(5)), (30, 3), 1),
        (nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 5)), (30, 3), 1),
        (Twice(), (30, 3), 2),
        (SharedNorm(), (30, 3), 1),
        (Branches(), (30, 1, 8, 8), 1),
    ],
    ids=[
        "linear",
        "conv1d",
        "depthwise",
        "conv3d",
        "no affine",
        "no statistics",
        "relu",
        "before",
        "twice",
        "shared",
        "branches",
    ],
)
def test_the_function_stays(net, shape, remain):
    check(used(net, *shape), shape, remain)


def test_single_precision():
    torch.manual_seed(1)
    net = used(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), 30, 1, 8, 8).float()
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(fold_batchnorm(net)(x), net(x), rtol=1e-5, atol=1e-5)


def test_weights_by_hand():
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0)).eval()
    values = {"0.weight": [[3.0]], "0.bias": [1.0], "1.weight": [10.0], "1.bias": [0.5]}
    net.load_state_dict(
        net.state_dict() | {k: torch.tensor(v) for k, v in values.items()} | {"1.running_var": torch.tensor([4.0])}
    )
    folded = fold_batchnorm(net)
    assert folded[0].weight.item() == 15.0  # 3·10/√4
    assert folded[0].bias.item() == 5.5  # 0.5 + (1 − 0)·10/√4


def test_training_mode_is_refused_also_of_one_batchnorm():
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    with pytest.raises(ValueError, match=r"model must be in eval mode"):
        fold_batchnorm(net)
    net.eval()[1].train()
    with pytest.raises(ValueError, match=r"'1' is in training mode"):
        fold_batchnorm(net)


def test_folding_after_quantizing_is_refused():
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)).eval()
    with pytest.raises(ValueError, match="fold first, then quantize"):
        fold_batchnorm(quantize(net, Recipe(Quantizer(Symmetric(8)))))


@pytest.mark.parametrize("name", ["convnet", "resnet", "separable"])
def test_the_shipped_networks(name):
    from qlab import zoo
    from qlab.data import load_test

    net, (x, _) = zoo.load(name), load_test()[:64].tensors()
    folded = fold_batchnorm(net)
    assert left(net) > 0
    assert left(folded) == 0
    assert sqnr_db(net(x), folded(x)) > 80
