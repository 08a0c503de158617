"""Brain damage against finite differences and closed forms; brain surgery against refitting every subset."""

from itertools import combinations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab import zoo
from qlab.neighbours import (
    hessian_diagonal,
    input_hessian,
    obs_saliency,
    optimal_brain_damage,
    optimal_brain_surgeon,
    prune_obs,
    prune_obs_path,
    sparsity,
    surgery_path,
)


def tiny(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double().eval()
        return net, torch.randn(20, 4, dtype=torch.float64), torch.randint(3, (20,))


@pytest.mark.row("B7")
def test_exact_diagonal_against_finite_differences():
    net, x, y = tiny()
    exact = hessian_diagonal(net, x, y, "hessian")
    step = 1e-4
    for name, i, j in (("0", 0, 0), ("0", 2, 3), ("2", 1, 2)):
        losses = []
        for d in (-step, 0, step):
            w = net.get_submodule(name).weight
            with torch.no_grad():
                w[i, j] += d
                losses.append(F.cross_entropy(net(x), y).item())
                w[i, j] -= d
        second = (losses[0] - 2 * losses[1] + losses[2]) / step**2
        assert exact[name][i, j].item() == pytest.approx(second, rel=1e-4, abs=1e-6)


@pytest.mark.row("B7")
def test_gauss_newton_is_exact_where_the_network_is_linear_in_the_weight():
    """The last layer's logits are linear in its weight: there the Gauss–Newton diagonal is the Hessian's own."""
    net, x, y = tiny()
    exact, gn = (hessian_diagonal(net, x, y, c, chunk=7) for c in ("hessian", "gauss_newton"))
    torch.testing.assert_close(gn["2"], exact["2"])
    assert not torch.allclose(gn["0"], exact["0"])
    p = net(x).softmax(1)  # closed form for softmax regression: h = E p(1 − p)·a²
    a = net[:2](x)
    torch.testing.assert_close(gn["2"], torch.einsum("nc,ni->ci", p * (1 - p), a**2) / len(x))


@pytest.mark.row("B7")
def test_squared_gradients_one_picture_at_a_time():
    net, x, y = tiny()
    squares = torch.zeros(3, 4, dtype=torch.float64)
    for xi, yi in zip(x, y, strict=True):
        (g,) = torch.autograd.grad(F.cross_entropy(net(xi[None]), yi[None]), net[0].weight)
        squares += g**2 / len(x)
    torch.testing.assert_close(hessian_diagonal(net, x, y, "squared_gradients", chunk=6)["0"], squares)


@pytest.mark.row("B7")
def test_saliency_predicts_the_loss_of_a_quadratic():
    """½·h·w² is the growth of the loss when w goes, if the loss is quadratic in w: here for small weights."""
    net, x, y = tiny()
    with torch.no_grad():
        net[2].weight.mul_(1e-3)
    s = optimal_brain_damage(net, x, y, "hessian")["2"][1, 2].item()
    (g,) = torch.autograd.grad(F.cross_entropy(net(x), y), net[2].weight)
    before = F.cross_entropy(net(x), y).item()
    w = net[2].weight[1, 2].item()
    with torch.no_grad():
        net[2].weight[1, 2] = 0
    growth = F.cross_entropy(net(x), y).item() - before + g[1, 2].item() * w  # less the first-order part
    assert growth == pytest.approx(s, rel=1e-2)


def refit(w, X, kept):
    """The squared error of the best weights on `kept` inputs, and those weights."""
    target = w @ X
    solution = torch.linalg.lstsq(X[kept].T, target).solution
    return (target - solution @ X[kept]).square().sum().item(), solution


@pytest.mark.row("B7")
def test_brain_surgery_of_one_weight_is_the_best_refit():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(5, 40, generator=generator, dtype=torch.float64)
    X[1] += X[0]  # correlated inputs: this is where the others can compensate
    w = torch.randn(5, generator=generator, dtype=torch.float64)
    h = 2 * X @ X.T
    s = obs_saliency(w[None], h)[0]
    for q in range(5):
        kept = [i for i in range(5) if i != q]
        error, _ = refit(w, X, kept)
        assert s[q].item() == pytest.approx(error)
    q = int(s.argmin())
    done = optimal_brain_surgeon(w[None], h, 0.2)
    kept = [i for i in range(5) if i != q]
    error, solution = refit(w, X, kept)
    assert done.mask[0].tolist() == [i != q for i in range(5)]
    torch.testing.assert_close(done.weight[0, kept], solution)
    assert done.weight[0, q] == 0
    assert done.error.item() == pytest.approx(error)


@pytest.mark.row("B7")
def test_brain_surgery_of_several_weights():
    """What is left is the best refit of the chosen inputs, and close to the best choice of all."""
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(7, 7, generator=generator, dtype=torch.float64) @ torch.randn(
        7, 60, generator=generator, dtype=torch.float64
    )
    W = torch.randn(4, 7, generator=generator, dtype=torch.float64)
    done = optimal_brain_surgeon(W, 2 * X @ X.T, 3 / 7)
    for w, new, mask, error in zip(W, done.weight, done.mask, done.error, strict=True):
        kept = mask.nonzero().flatten().tolist()
        assert len(kept) == 4
        refitted, solution = refit(w, X, kept)
        torch.testing.assert_close(new[kept], solution)
        assert error.item() == pytest.approx(refitted)
        every = sorted(refit(w, X, list(c))[0] for c in combinations(range(7), 4))
        assert every[0] - 1e-9 <= error.item() <= every[len(every) // 4]  # greedy: not always the best, never bad
        magnitude = w.abs().argsort(descending=True)[:4]
        plain = ((w - torch.zeros_like(w).scatter(0, magnitude, w[magnitude])) @ X).square().sum().item()
        assert error.item() < plain


@pytest.mark.row("B7")
def test_a_path_passes_through_what_single_operations_give():
    generator = torch.Generator().manual_seed(2)
    W, X = torch.randn(3, 6, generator=generator), torch.randn(6, 40, generator=generator)
    H = 2 * X @ X.T
    for p, done in zip((0.5, 0.0, 5 / 6), surgery_path(W, H, [0.5, 0.0, 5 / 6]), strict=True):
        alone = optimal_brain_surgeon(W, H, p)
        assert torch.equal(done.weight, alone.weight)
        assert torch.equal(done.mask, alone.mask)
        assert torch.equal(done.error, alone.error)
        assert (~done.mask).sum(1).tolist() == [round(6 * p)] * 3
    net = nn.Sequential(nn.Linear(6, 3)).eval()
    for p, pruned in zip((0.5, 1 / 3), prune_obs_path(net, [0.5, 1 / 3], [X.T]), strict=True):
        assert torch.equal(pruned[0].weight, prune_obs(net, p, [X.T])[0].weight)
        assert sparsity(pruned) == pytest.approx(p)
    with pytest.raises(ValueError, match="0 ≤ p < 1"):
        surgery_path(W, H, [0.5, 1.0])


@pytest.mark.row("B7")
def test_a_convolution_is_a_linear_layer_on_patches():
    net = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False)).eval()
    x = torch.randn(5, 2, 7, 7)
    h = input_hessian(net, [x[:2], x[2:]], damping=0.0)["0"]
    w = net[0].weight.detach().flatten(1).double()
    energy = net(x).double().square().sum(dim=(0, 2, 3))  # Σ y² = w·XXᵀ·w
    torch.testing.assert_close((w @ h * w).sum(1) / 2, energy, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.row("B7")
def test_on_a_network_the_output_changes_less_than_by_magnitude():
    net = zoo.build("mlp", hidden=(12,)).eval()
    with torch.no_grad():
        net[1].weight[:, 100:] = 0
    x = torch.randn(64, 1, 28, 28)
    x[:, :, 1:] = x[:, :, :1]  # correlated
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 6)).eval()
    from qlab.neighbours import prune

    operated, cut = prune_obs(net, 0.5, [x]), prune(net, 0.5, scope="layer")
    assert sparsity(operated) == pytest.approx(0.5)
    assert (operated(x) - net(x)).norm() < 0.3 * (cut(x) - net(x)).norm()


@pytest.mark.row("B7")
def test_bad_input():
    net, x, y = tiny()
    with pytest.raises(ValueError, match="curvature must be one of"):
        optimal_brain_damage(net, x, y, "fisher")
    with pytest.raises(ValueError, match="eval mode"):
        optimal_brain_damage(nn.Sequential(nn.Linear(4, 3)).train(), x, y)
    with pytest.raises(ValueError, match="equally long"):
        optimal_brain_damage(net, x, y[:3])
    with pytest.raises(ValueError, match="2000"):
        hessian_diagonal(nn.Sequential(nn.Linear(4, 501)).double().eval(), x, y, "hessian")
    with pytest.raises(ValueError, match="positive definite"):
        obs_saliency(torch.ones(1, 2), torch.ones(2, 2))
    with pytest.raises(ValueError, match="n × n"):
        obs_saliency(torch.ones(1, 2), torch.eye(3))
    with pytest.raises(ValueError, match="0 ≤ p < 1"):
        optimal_brain_surgeon(torch.ones(1, 2), torch.eye(2), 1.0)
    with pytest.raises(ValueError, match="none was reached"):
        input_hessian(nn.Sequential(nn.ReLU()).eval(), [x])
