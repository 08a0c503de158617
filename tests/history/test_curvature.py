"""The Fisher factor against the library's Gauss–Newton diagonal, dense algebra, and measured divergences."""

import pytest
import torch
from torch import nn

from qlab import data, zoo
from qlab.history.curvature import fisher_factor, fisher_spectrum, move_weights
from qlab.history.networks import mean_divergence, weight_vector
from qlab.neighbours.saliency import hessian_diagonal
from qlab.network import quantizable_layers


def some(n=12):
    return data.load_test()[:n]


@pytest.mark.row("H11")
def test_diagonal_is_gauss_newton():
    net = zoo.load_ensemble()[0]
    x, y = some().tensors()
    expected = torch.cat([d.flatten() for d in hessian_diagonal(net, x, y).values()])
    G = fisher_factor(net, x, chunk=5)
    assert G.shape == (120, len(weight_vector(net)))
    torch.testing.assert_close(G.square().sum(0), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.row("H11")
def test_spectrum_against_the_dense_matrix():
    net = zoo.build("mlp", hidden=()).eval()  # softmax regression: 7840 weights; few pictures keep F small
    x = some(4).tensors()[0]
    G = fisher_factor(net, x)
    values, vectors = fisher_spectrum(net, x, top=2)
    singular = torch.linalg.svdvals(G) ** 2
    torch.testing.assert_close(values, singular, rtol=1e-3, atol=1e-5 * float(singular[0]))
    for value, u in zip(values, vectors, strict=False):
        torch.testing.assert_close(G.T @ (G @ u), value * u, rtol=1e-3, atol=1e-4 * float(value))
        assert float(u.norm()) == pytest.approx(1, abs=1e-5)
    assert int((values > 1e-5 * values[0]).sum()) <= 4 * 9  # N·(C − 1)


@pytest.mark.row("H11")
@pytest.mark.slow
def test_divergence_is_half_the_quadratic_form():
    net = zoo.load_ensemble()[0].double()
    images = some(25)
    x = images.tensors()[0]
    values, top = fisher_spectrum(net.float(), x)
    G = fisher_factor(net, x)
    g = torch.Generator().manual_seed(0)
    random = torch.randn(top.shape[1], generator=g)
    for direction in (top[0], random / random.norm()):
        delta = 0.02 * direction
        expected = 0.5 * float((G @ delta).square().sum())
        measured = mean_divergence(net, move_weights(net, delta), images)
        back = mean_divergence(net, move_weights(net, -delta), images)
        assert (measured + back) / 2 == pytest.approx(expected, rel=0.1)
    assert 0.5 * 0.02**2 * float(values[0]) == pytest.approx(
        0.5 * float((G @ (0.02 * top[0])).square().sum()), rel=1e-3
    )


@pytest.mark.row("H11")
def test_moving_and_back():
    net = zoo.load("mlp")
    delta = torch.randn(len(weight_vector(net)), generator=torch.Generator().manual_seed(0))
    moved = move_weights(net, delta)
    torch.testing.assert_close(weight_vector(moved) - weight_vector(net), delta, atol=1e-6, rtol=1e-4)
    first = next(iter(quantizable_layers(net).values())).weight
    assert torch.equal(first, zoo.load("mlp")[1].weight)
    with pytest.raises(ValueError, match="shape"):
        move_weights(net, delta[:-1])
    with pytest.raises(ValueError, match="eval mode"):
        fisher_factor(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2))
