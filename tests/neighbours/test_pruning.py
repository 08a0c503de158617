"""Masks against torch.nn.utils.prune, and what a mask must do to gradients, copies and quantizers."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as peer

from qlab import PerChannel, Quantizer, Recipe, Symmetric, quantize, report, zoo
from qlab.neighbours import bake, csr_bytes, magnitude, mask_of, prune, random_sparse, sparsity, to_csr


def weights(model):
    return {
        name: m.weight.detach().clone() for name, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))
    }


@pytest.mark.row("B7")
@pytest.mark.parametrize("p", [0.0, 0.3, 0.9])
def test_global_magnitude_equals_pytorchs(p):
    net = zoo.build("convnet", width=4)
    ours = prune(net, p)
    layers = [(m, "weight") for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    peer.global_unstructured(layers, pruning_method=peer.L1Unstructured, amount=p)
    theirs = weights(net)
    assert all(torch.equal(w, theirs[name]) for name, w in weights(ours).items())


@pytest.mark.row("B7")
def test_layer_magnitude_equals_pytorchs():
    net = zoo.build("mlp", hidden=(20, 10))
    ours = prune(net, 0.6, scope="layer")
    for m in net.modules():
        if isinstance(m, nn.Linear):
            peer.l1_unstructured(m, "weight", 0.6)
    theirs = weights(net)
    assert all(torch.equal(w, theirs[name]) for name, w in weights(ours).items())


@pytest.mark.row("B7")
def test_the_argument_is_left_alone_and_pruned_weights_stay_at_zero_while_training():
    net = zoo.build("mlp", hidden=(8,))
    before = weights(net)
    pruned = prune(net, 0.5)
    assert all(torch.equal(w, before[name]) for name, w in weights(net).items())
    zeros = {name: w == 0 for name, w in weights(pruned).items()}
    optimizer = torch.optim.SGD(pruned.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for _ in range(5):
        loss = nn.functional.cross_entropy(pruned(torch.randn(16, 1, 28, 28)), torch.randint(10, (16,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = weights(pruned)
    assert all(torch.equal(after[name] == 0, z) for name, z in zeros.items())
    assert any(not torch.equal(after[name], before[name] * ~z) for name, z in zeros.items())  # the others moved


@pytest.mark.row("B7")
def test_pruning_again_keeps_what_was_pruned():
    net = prune(zoo.build("mlp", hidden=(8,)), 0.5)
    again = prune(net, 0.75, {n: torch.rand_like(s) for n, s in magnitude(net).items()})
    assert sparsity(again) == pytest.approx(0.75, abs=1e-3)
    for layer, old in ((again[1], net[1]), (again[3], net[3])):
        assert not (mask_of(layer) & ~mask_of(old)).any()


@pytest.mark.row("B7")
def test_masks_and_quantizers_compose():
    net = quantize(prune(zoo.build("mlp", hidden=(8,)), 0.5), Recipe(Quantizer(Symmetric(8), PerChannel(0))))
    assert sparsity(net) >= 0.5
    assert all(30 < line.sqnr < 60 for line in report(net))
    plain = bake(net)
    assert not any(nn.utils.parametrize.is_parametrized(m) for m in plain.modules())
    x = torch.randn(2, 1, 28, 28)
    assert torch.equal(plain(x), net(x))


@pytest.mark.row("B7")
def test_sparse_products_and_their_bytes():
    w = random_sparse(50, 70, 0.9)
    csr = to_csr(w)
    x = torch.randn(70, 3)
    torch.testing.assert_close(csr @ x, w @ x)
    parts = (csr.values(), csr.col_indices().int(), csr.crow_indices().int())
    assert csr_bytes(50, len(csr.values())) == sum(t.numel() * t.element_size() for t in parts)
    assert (w == 0).float().mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.row("B7")
def test_bad_input():
    net = zoo.build("mlp", hidden=(8,))
    with pytest.raises(ValueError, match=r"0 ≤ p < 1, got 1\.0"):
        prune(net, 1.0)
    with pytest.raises(ValueError, match="scope must be"):
        prune(net, 0.5, scope="channel")
    with pytest.raises(ValueError, match="'2' is not"):
        prune(net, 0.5, {"2": torch.zeros(3)})
    with pytest.raises(ValueError, match="finite"):
        prune(net, 0.5, {"1": torch.full((8, 784), torch.nan)})
    with pytest.raises(ValueError, match="at least one layer"):
        prune(net, 0.5, {})
    with pytest.raises(ValueError, match="with none"):
        sparsity(nn.ReLU())
    with pytest.raises(ValueError, match="must be a matrix"):
        to_csr(torch.zeros(3))
