"""Perturbation against the networks that `quantize` makes, curvature against the exact Hessian."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from qlab.mixed.assignment import assignment_space, weight_quantizer
from qlab.mixed.hawq import hawq_allocate, hawq_order, monotone_choices, top_eigenvalues
from qlab.mixed.hawq_v2 import hawq_v2_sensitivity, hutchinson_traces
from qlab.mixed.hessian import hessian_product
from qlab.mixed.sensitivity import divergence_sensitivity, loss_sensitivity, noise_sensitivity, weight_errors
from qlab.network import Recipe, quantize, report
from tests.mixed.test_assignment import chain


def tiny():
    """A network of 38 weights in float64, so that its Hessian can be written down."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1)).double().eval()
        model[4] = nn.Linear(3, 3).double()
        x, y = torch.randn(30, 4, dtype=torch.float64), torch.randint(3, (30,))
    return model, x, y


def exact_blocks(model, x, y):
    """The Hessian of the mean cross-entropy, written down by PyTorch; its diagonal blocks."""
    names = ["0.weight", "2.weight", "4.weight"]
    weights = [model.get_parameter(n).detach() for n in names]

    def loss(*w):
        return F.cross_entropy(functional_call(model, dict(zip(names, w, strict=True)), (x,)), y)

    full = torch.autograd.functional.hessian(loss, tuple(weights))
    return full, [full[i][i].reshape(w.numel(), w.numel()) for i, w in enumerate(weights)]


@pytest.mark.slow
@pytest.mark.row("M1")
def test_perturbation_is_quantizing_one_layer():
    model = chain()
    space = assignment_space(model, (1, 6, 6), (2, 4))
    x, y = torch.randn(600, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(600) % 4
    kl, rise = divergence_sensitivity(model, x, space), loss_sensitivity(model, x, y, space)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for i, name in enumerate(space.names):
        for j, bits in enumerate(space.choices):
            others = {n: None for n in space.names if n != name}
            changed = quantize(model, Recipe(weight_quantizer(bits), layers=others))(x)
            p, q = model(x).detach().log_softmax(1), changed.detach().log_softmax(1)
            assert kl[i, j] == pytest.approx(
                float(F.kl_div(q, p, log_target=True, reduction="batchmean")), rel=1e-3, abs=1e-7
            )
            assert rise[i, j] == pytest.approx(float(F.nll_loss(q, y) - F.nll_loss(p, y)), rel=1e-3, abs=1e-6)
    assert all((before[k] == v).all() for k, v in model.state_dict().items())
    for i, line in enumerate(report(quantize(model, Recipe(weight_quantizer(2))))):
        assert noise_sensitivity(model, space)[i, 0] == pytest.approx(10 ** (-line.sqnr / 10), rel=1e-5)


@pytest.mark.slow
@pytest.mark.row("M2")
def test_products_with_the_hessian():
    model, x, y = tiny()
    full, _ = exact_blocks(model, x, y)
    weights, product = hessian_product(model, x, y)
    v = [torch.randn(w.shape, dtype=w.dtype, generator=torch.Generator().manual_seed(i)) for i, w in enumerate(weights)]
    for i, Hv in enumerate(product(v)):
        exact = sum(torch.einsum("abcd,cd->ab", full[i][j], v[j]) for j in range(3))
        assert torch.allclose(Hv, exact, atol=1e-12)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.slow
@pytest.mark.row("M2")
def test_eigenvalue_and_trace_of_the_exact_hessian():
    model, x, y = tiny()
    _, blocks = exact_blocks(model, x, y)
    exact = [torch.linalg.eigvalsh(b) for b in blocks]
    top = top_eigenvalues(model, x, y, steps=300, tolerance=1e-9)
    assert top == pytest.approx([float(e[e.abs().argmax()]) for e in exact], rel=1e-3)
    traces = hutchinson_traces(model, x, y, samples=1200, seed=1)
    right = np.array([float(b.trace()) for b in blocks])
    assert (np.abs(traces.mean - right) < 4 * traces.error).all()
    assert (traces.error < 0.3 * np.abs(right)).all()  # else the line before says nothing
    alone = hutchinson_traces(model, x, y, samples=300, names=["4"])
    noise = 2 * (blocks[2].square().sum() - blocks[2].diagonal().square().sum())
    assert alone.error[0] == pytest.approx(float((noise / 300).sqrt()), rel=0.15)
    assert abs(alone.mean[0] - right[2]) < 4 * alone.error[0]
    half, whole = (hutchinson_traces(model, x, y, samples=n, seed=2).error for n in (100, 400))
    assert half / whole == pytest.approx([2, 2, 2], rel=0.3)


@pytest.mark.slow
@pytest.mark.row("M2")
def test_v2_is_twice_the_expected_rise_of_the_quadratic():
    model, x, y = tiny()
    _, blocks = exact_blocks(model, x, y)
    space = assignment_space(model.float(), (4,), (2, 4))
    omega = hawq_v2_sensitivity(model, [float(b.trace()) for b in blocks], space)
    errors = weight_errors(model, space)
    generator = torch.Generator().manual_seed(0)
    for i, H in enumerate(blocks):
        sigma = np.sqrt(errors[i, 0] / len(H))
        d = sigma * torch.randn(20000, len(H), generator=generator, dtype=torch.float64)
        assert omega[i, 0] == pytest.approx(float(torch.einsum("ni,ij,nj->n", d, H, d).mean()), rel=0.1, abs=1e-4)


@pytest.mark.slow
@pytest.mark.row("M2")
def test_hawq_keeps_its_order():
    model = chain()
    space = assignment_space(model, (1, 6, 6), (2, 4, 8))  # 27, 240, 20 weights
    assert hawq_order([2.7, 2.4, 4.0], space).tolist() == [2, 0, 1]
    allowed = monotone_choices(space, [2, 0, 1])
    assert len(allowed) == 10  # C(3 + 3 − 1, 3)
    assert all(c[2] >= c[0] >= c[1] for c in allowed)
    limit = space.budget(3.0)
    choice = hawq_allocate(model, [2.7, 2.4, 4.0], space, limit)
    assert space.total(space.nbytes, choice) <= limit and choice[2] >= choice[0] >= choice[1]
    omega = np.array([2.7, 2.4, 4.0])[:, None] * weight_errors(model, space)
    fitting = [c for c in allowed if space.total(space.nbytes, c) <= limit]
    assert space.total(omega, choice) == min(space.total(omega, c) for c in fitting)


def test_refused_in_words():
    model, x, y = tiny()
    space = assignment_space(model.float(), (4,), (2, 4))
    model, x = model.double(), x
    with pytest.raises(ValueError, match="samples must be at least 2"):
        hutchinson_traces(model, x, y, samples=1)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        top_eigenvalues(model, x, y, steps=0)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        hawq_v2_sensitivity(model, [1.0], space)
    with pytest.raises(ValueError, match="the fewest there are"):
        hawq_allocate(model, [1, 1, 1], space, 1.0)
    with pytest.raises(ValueError, match="must not be empty"):
        divergence_sensitivity(model, x[:0], space)
    model.train()
    for run in (lambda: hessian_product(model, x, y), lambda: divergence_sensitivity(model, x, space)):
        with pytest.raises(ValueError, match="eval mode"):
            run()
