"""Eckart–Young's equality on real layers, exactness at full rank, and scikit-learn's truncated SVD."""

import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from torch import nn

from qlab import zoo
from qlab.neighbours import (
    break_even_rank,
    low_rank,
    low_rank_layer,
    rank_for_energy,
    singular_values,
    truncated_svd,
)

LAYERS = [
    nn.Linear(9, 6),
    nn.Conv2d(3, 8, 3, padding=1),
    nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False),
    nn.Conv2d(2, 4, 3, padding="same", padding_mode="reflect"),
]


def picture(layer):
    return torch.randn(5, 9) if isinstance(layer, nn.Linear) else torch.randn(2, layer.in_channels, 14, 14)


def effective_weight(two, layer):
    """The weight that two layers amount to, read off from their response to unit impulses."""
    if isinstance(layer, nn.Linear):
        return two[1].weight @ two[0].weight
    return torch.einsum("orij,rckl->ockilj", two[1].weight, two[0].weight).reshape(layer.weight.shape)


@pytest.mark.row("B3")
@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_full_rank_is_the_same_function(layer, scheme):
    full = len(singular_values(layer, scheme))
    two = low_rank_layer(layer, full, scheme)
    x = picture(layer)
    torch.testing.assert_close(two(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.row("B3")
@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("layer", LAYERS[:3], ids=str)
def test_error_is_the_tail_of_the_singular_values(layer, scheme):
    sigma = singular_values(layer, scheme)
    assert sigma.square().sum() == pytest.approx(layer.weight.double().square().sum().item())
    for r in (1, 2, len(sigma) - 1):
        w = effective_weight(low_rank_layer(layer, r, scheme), layer).double()
        error = (w - layer.weight.double()).square().sum().item()
        assert error == pytest.approx(sigma[r:].square().sum().item(), rel=1e-4)


@pytest.mark.row("B3")
def test_against_scikit_learn_and_random_factors():
    w = torch.randn(20, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    B, A, error = truncated_svd(w, 4)
    peer = TruncatedSVD(4, algorithm="arpack").fit(w.numpy())
    theirs = torch.from_numpy(peer.transform(w.numpy()) @ peer.components_)
    torch.testing.assert_close(B @ A, theirs)
    assert error == pytest.approx((w - theirs).norm().item())
    for seed in range(20):  # nothing of rank 4 is nearer: the best B for a random A
        a = torch.randn(4, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        b = torch.linalg.lstsq(a.T, w.T).solution.T
        assert (w - b @ a).norm() > error


@pytest.mark.row("B3")
def test_break_even():
    layer = nn.Conv2d(16, 32, 3, bias=False)
    r = break_even_rank(layer)
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    assert count(low_rank_layer(layer, int(r))) <= count(layer) < count(low_rank_layer(layer, int(r) + 1))


@pytest.mark.row("B3")
def test_a_network_keeps_the_asked_share_and_its_own_layers_where_nothing_is_saved():
    net = zoo.build("convnet", width=4)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    thin = low_rank(net, 0.7)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    replaced = 0
    for i in (0, 4, 7, 10, 15):
        sigma = singular_values(net[i])
        r = next(r for r in range(1, 99) if sigma[:r].square().sum() >= 0.7 * sigma.square().sum())
        assert isinstance(thin[i], nn.Sequential) == (r < break_even_rank(net[i]))
        replaced += isinstance(thin[i], nn.Sequential)
        assert not isinstance(thin[i], nn.Sequential) or thin[i][1].weight.shape[1] == r
    assert replaced == sum(isinstance(m, nn.Sequential) for m in thin) > 0
    full = low_rank(net, 1.0)
    assert not any(isinstance(m, nn.Sequential) for m in full)  # nothing to save
    assert sum(p.numel() for p in thin.parameters()) < sum(p.numel() for p in net.parameters())
    assert thin(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert low_rank(net, {"15": 2})[15][0].out_features == 2
    assert rank_for_energy(torch.tensor([3.0, 0.0]), 1.0) == 1


@pytest.mark.row("B3")
def test_bad_input():
    layer = nn.Linear(4, 3)
    for rank in (0, 4):
        with pytest.raises(ValueError, match=f"from 1 to 3, got {rank}"):
            low_rank_layer(layer, rank)
    with pytest.raises(TypeError, match=r"got 2\.0"):
        low_rank_layer(layer, 2.0)
    with pytest.raises(ValueError, match="scheme must be one of"):
        low_rank_layer(layer, 1, "rows")
    with pytest.raises(TypeError, match="got ReLU"):
        low_rank_layer(nn.ReLU(), 1)
    with pytest.raises(ValueError, match="groups=1"):
        low_rank_layer(nn.Conv2d(4, 4, 3, groups=4), 1)
    with pytest.raises(ValueError, match="no layer of the model"):
        low_rank(nn.Sequential(layer), {"7": 1})
    with pytest.raises(ValueError, match="finite"):
        truncated_svd(torch.full((2, 2), torch.inf), 1)
    with pytest.raises(ValueError, match="share"):
        rank_for_energy(torch.ones(3), 0.0)
