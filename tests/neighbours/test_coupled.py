"""CLIP-Q against its definition written with loops; orders keep their sparsity and bits; the table is complete."""

import pytest
import torch

from qlab import zoo
from qlab.data import load_test
from qlab.neighbours import coupled, make_coupled_table, sparsity
from qlab.neighbours.clip_q import ClipQ
from qlab.neighbours.coupled import ORDERS, CoupledRun, compress_in_order, coupled_table, run_coupled
from qlab.network import Recipe, quantizable_layers, quantize, stored_weight


def by_loops(w, p, bits):
    """Section 3.1, element by element."""
    size = w.abs()
    t = float(size.sort().values[round(p * len(w)) - 1]) if round(p * len(w)) else 0.0
    n, top = 2 ** (bits - 1) - 1, float(size.max())
    groups = {}
    for i, v in enumerate(w.tolist()):
        if abs(v) > t or (p == 0 and v):
            k = next(k for k in range(1, n + 1) if abs(v) <= t + (top - t) * k / n + 1e-6)
            groups.setdefault((v > 0, k), []).append(i)
    out = torch.zeros_like(w)
    for members in groups.values():
        out[members] = w[members].mean()
    return out


@pytest.mark.row("F3")
@pytest.mark.parametrize(("p", "bits"), [(0.5, 2), (0.8, 3), (0.0, 4)])
def test_clip_q_is_its_definition(p, bits):
    w = torch.randn(200, generator=torch.Generator().manual_seed(bits))
    module = ClipQ(p, bits).module(None, w)
    assert torch.allclose(module(w), by_loops(w, p, bits), atol=1e-6)
    assert int((module(w) == 0).sum()) == round(p * 200)
    assert torch.allclose(module.stored(w).dequantize(), module(w))
    assert module.stored(w).grid.width <= bits


@pytest.mark.row("F3")
def test_pruned_weights_hear_the_gradient_and_can_come_back():
    w = torch.tensor([0.1, -0.2, 1.0, 3.0], requires_grad=True)
    module = ClipQ(0.5, 2).module(None, w)
    up = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (module(w) * up).sum().backward()
    assert torch.equal(w.grad, up)
    moved = w.detach() + torch.tensor([2.0, 0.0, -0.9, 0.0])
    assert module(moved)[0] > 0 and module(moved)[2] == 0
    assert torch.equal(module(torch.zeros(4)), torch.zeros(4))
    assert torch.equal(module.stored(torch.zeros(4)).dequantize(), torch.zeros(4))


@pytest.mark.row("F3")
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="sparsity must lie"):
        ClipQ(1.0, 3)
    with pytest.raises(ValueError, match="bits must be"):
        ClipQ(0.5, 1)
    with pytest.raises(TypeError, match="for weights"):
        ClipQ(0.5, 2).module(None, None)
    with pytest.raises(ValueError, match="order must be one of"):
        compress_in_order("quantize", 2, 0.9, False)


@pytest.mark.slow
@pytest.mark.row("F3")
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_ends_with_its_zeros_and_bits(order, monkeypatch):
    monkeypatch.setattr(coupled, "_fit", lambda model, *rest: model)
    made = compress_in_order(order, 3, 0.8, taught=True)
    assert 0.799 < sparsity(made) < 0.96
    assert all(stored_weight(layer).grid.width <= 3 for layer in quantizable_layers(made).values())


@pytest.mark.row("F3")
def test_the_original_is_quantizable_as_it_is():
    model = quantize(zoo.load("mlp"), Recipe(weight=ClipQ(0.8, 3)))
    assert sparsity(model) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.slow
@pytest.mark.row("F3")
def test_a_line_of_the_table_comes_out_again():
    stored = next(r for r in coupled_table() if r[:5] == ("prune, then quantize", 2, 0.9, 0, 0))
    again = run_coupled(*stored[:5], test=load_test()[:2000])
    assert again.accuracy == pytest.approx(stored.accuracy, abs=0.04)
    assert again.nbytes == pytest.approx(stored.nbytes, rel=0.05)


@pytest.mark.row("F3")
def test_the_table_holds_every_run_once():
    runs = coupled_table()
    assert sorted(run[:5] for run in runs) == sorted(make_coupled_table.jobs())
    assert all(isinstance(run, CoupledRun) and 0.05 < run.accuracy < 1 for run in runs)
