"""Product, activation-aware, residual and additive quantization, each against what it must equal in a special case."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import nn

from qlab import zoo
from qlab.data import load_calibration
from qlab.vector import (
    activation_aware,
    additive_quantize,
    blocks,
    codewords_of,
    input_rows,
    product_quantize,
    residual_quantize,
    second_moments,
    share,
    weighted_error,
    with_codewords,
)
from qlab.vector.additive import fit_books, reassign
from qlab.vector.product import spread_start


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(w, code):
    return float((w - code.decode()).double().square().sum())


@pytest.mark.row("V2")
def test_one_subspace_is_kmeans_of_rows():
    w = normal(0, 200, 6)
    x = w.double().numpy()
    peer = KMeans(8, init=x[spread_start(x, 8, seed=3)], n_init=1, max_iter=500, tol=0).fit(x)
    code = product_quantize(w, 6, 8, shared=False, seed=3, steps=500)
    assert error(w, code) == pytest.approx(peer.inertia_, rel=1e-3)
    same = product_quantize(w, 6, 8, seed=3, steps=500)
    assert torch.equal(same.decode(), code.decode())


@pytest.mark.row("V2")
def test_blocks_of_one_are_weight_sharing():
    w = normal(1, 30, 40)
    best = min(error(w, product_quantize(w, 1, 4, seed=s, steps=500)) for s in range(4))
    centroids, codes = share(w, 2)
    assert best == pytest.approx(float((w - centroids[codes - 1]).double().square().sum()), rel=0.01)


@pytest.mark.row("V2")
def test_the_best_of_all_partitions_is_found_on_a_tiny_case():
    w = torch.tensor([[0.1, 0.0], [0.9, 1.1], [0.0, 0.2], [3.0, -2.0], [1.2, 1.0], [2.8, -2.1]])
    v = w.double().numpy()
    best = np.inf
    for labels in itertools.product(range(3), repeat=6):
        parts = [v[np.array(labels) == k] for k in range(3)]
        best = min(best, sum(((p - p.mean(0)) ** 2).sum() for p in parts if len(p)))
    assert min(error(w, product_quantize(w, 2, 3, seed=s)) for s in range(5)) == pytest.approx(best, rel=1e-5)


@pytest.mark.row("V2")
def test_each_place_has_its_own_codebook_if_asked():
    w = torch.cat([normal(2, 100, 2), 10 * normal(3, 100, 2)], 1)
    code = product_quantize(w, 2, 8, shared=False)
    assert code.books.shape == (1, 16, 2) and code.code_bits == 3
    assert code.codes.reshape(100, 2)[:, 1].min() >= 8 > code.codes.reshape(100, 2)[:, 0].max()
    halves = [error(w[:, i : i + 2], product_quantize(w[:, i : i + 2], 2, 8, seed=i // 2)) for i in (0, 2)]
    assert error(w, code) == pytest.approx(sum(halves), rel=1e-4)
    assert code.nbytes() == 200 * 3 // 8 + 32 * 2


@pytest.mark.row("V2")
@pytest.mark.parametrize("rate", [1, 2])
def test_no_code_beats_shannon_on_what_it_has_not_seen(rate):
    """Rate R = log2(k)/d on fresh Gaussian numbers: D ≥ 2^(−2R), and vectors are better than scalars."""
    train, fresh = normal(4, 3000, 2), normal(5, 3000, 2)
    found = []
    for d in (1, 2):
        book = product_quantize(train, d, 2 ** (rate * d), steps=200).books[0]
        v = fresh.reshape(-1, d)
        found.append(float((v - book[torch.cdist(v, book).argmin(1)]).square().mean()))
    assert 4.0**-rate < found[1] < found[0] * 1.02


@pytest.mark.row("V2")
@pytest.mark.parametrize(("w", "d"), [(torch.ones(4), 2), (torch.ones(2, 3), 2), (torch.ones(2, 4), 0)])
def test_blocks_that_do_not_fit_are_refused(w, d):
    with pytest.raises(ValueError, match="size must"):
        blocks(w, d)


@pytest.mark.row("V2")
def test_too_few_different_blocks_are_told():
    with pytest.raises(ValueError, match="at least 4 different rows, got 1"):
        product_quantize(torch.ones(8, 2), 2, 4)


@pytest.mark.row("V2")
def test_rows_are_what_a_convolution_multiplies():
    conv, x = nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False), normal(6, 2, 3, 9, 9)
    rows = input_rows(conv, x)
    y = (rows @ conv.weight.flatten(1).T).reshape(2, -1, 5).transpose(1, 2)
    assert torch.allclose(y, conv(x).flatten(2), atol=1e-5)
    with pytest.raises(ValueError, match="in one group"):
        input_rows(nn.Conv2d(4, 4, 3, groups=4), x)


@pytest.mark.row("V2")
def test_with_one_moment_it_is_kmeans_of_what_the_inputs_see():
    """Stock et al.: (v − c)ᵀG(v − c) = ‖Lᵀv − Lᵀc‖², so that scikit-learn can do it."""
    w, g = normal(7, 300, 4), torch.tensor([[2.0, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 3, -1], [0, 0, -1, 0.6]])
    code = activation_aware(w, g[None], 8, steps=300)
    root = np.linalg.cholesky(g.double().numpy() + 1e-4 * float(g.trace()) / 4 * np.eye(4))
    seen = w.double().numpy() @ root
    peer = KMeans(8, init=code.books[0].double().numpy() @ root, n_init=1, tol=0).fit(seen)
    assert weighted_error(w, code.decode(), g[None]) == pytest.approx(peer.inertia_, rel=0.01)
    assert np.allclose(peer.cluster_centers_, code.books[0].double().numpy() @ root, atol=0.05)


@pytest.mark.row("V2")
def test_equal_moments_are_product_quantization():
    w = normal(8, 100, 6)
    plain = [error(w, product_quantize(w, 2, 8, seed=s)) for s in range(5)]
    aware = [error(w, activation_aware(w, torch.eye(2)[None], 8, seed=s)) for s in range(5)]
    assert min(aware) == pytest.approx(min(plain), rel=0.03)


@pytest.mark.row("V2")
def test_the_m_step_is_the_minimum():
    """No codeword can be moved so that the weighted error falls: its gradient, by autograd, is zero."""
    w, x = normal(9, 60, 6), normal(10, 50, 6) * torch.tensor([1, 3, 0.2, 1, 2, 0.5])
    moments = second_moments(x, 2)
    code = activation_aware(w, moments, 4, steps=300)
    books = code.books.double().clone().requires_grad_()
    e = (w.double() - books[0][code.codes[0]].reshape(w.shape)).reshape(60, 3, 2)
    ridge = 1e-4 * moments.diagonal(dim1=1, dim2=2).sum(1).mean() / 2 * torch.eye(2, dtype=torch.double)
    loss = torch.einsum("rmi,mij,rmj->", e, moments + ridge, e)
    loss.backward()
    assert books.grad.abs().max() < 1e-3 * loss.item()


@pytest.mark.slow
@pytest.mark.row("V2")
def test_it_sees_outputs_that_plain_codewords_do_not():
    layer = zoo.load("mlp")[1]
    x = load_calibration(128).tensors()[0].flatten(1)
    w, moments = layer.weight.detach()[:32], second_moments(x, 8)
    codes = [product_quantize(w, 8, 16), activation_aware(w, moments, 16)]
    ours = [weighted_error(w, code.decode(), moments) for code in codes]
    assert ours[1] < 0.9 * ours[0]
    assert error(w, codes[1]) > error(w, codes[0])
    with pytest.raises(ValueError, match="moments must be of shape"):
        activation_aware(w, moments[:3], 16)


@pytest.mark.row("V3")
def test_each_stage_lowers_the_error_and_the_first_is_product_quantization():
    w = normal(11, 60, 16)
    errors = [error(w, residual_quantize(w, 4, 8, t)) for t in range(1, 6)]
    assert all(b < a for a, b in itertools.pairwise(errors))
    assert errors[0] == error(w, product_quantize(w, 4, 8))


@pytest.mark.row("V3")
def test_fitting_together_is_never_worse_and_is_least_squares():
    w = normal(12, 80, 8)
    start, better = residual_quantize(w, 4, 8, 3), additive_quantize(w, 4, 8, 3)
    assert error(w, better) < error(w, start)
    v, codes = w.reshape(-1, 4).double().numpy(), start.codes.numpy()
    books = fit_books(v, codes, 8)
    one_hot = np.concatenate([np.eye(8)[c] for c in codes], 1)
    peer = one_hot @ np.linalg.lstsq(one_hot, v, rcond=None)[0]
    assert np.allclose(sum(b[c] for b, c in zip(books, codes, strict=True)), peer)
    again = reassign(v, books, codes)
    costs = [((v - sum(b[c] for b, c in zip(books, q, strict=True))) ** 2).sum() for q in (codes, again)]
    assert costs[1] <= costs[0]


@pytest.mark.row("V3")
def test_a_sum_of_two_grids_is_found_exactly():
    """Every sum of one of 4 and one of 2 vectors, far apart: 8 points from 6 codewords, no error."""
    a, b = 10 * normal(13, 4, 3), 0.1 * normal(14, 2, 3)
    w = (a[:, None] + b).reshape(8, 3)
    code = additive_quantize(w, 3, 4, 2)
    assert error(w, code) < 1e-6


@pytest.mark.row("V2")
@pytest.mark.row("V3")
def test_the_module_computes_with_codes_and_trains_codewords():
    model = zoo.build("convnet", width=4)
    w = model[4].weight.detach()
    code = residual_quantize(w, 9, 4, 2)
    new = with_codewords(model, {"4": code})
    assert torch.equal(new[4].weight, code.decode()) and torch.equal(model[4].weight, w)
    (new[4].weight * 2).sum().backward()
    part = codewords_of(new[4])
    assert torch.allclose(part.books.grad, torch.full((2, 4, 9), 2.0))  # the mean over a codeword's blocks
    with pytest.raises(ValueError, match="shape of a layer"):
        with_codewords(model, {"7": code})


@pytest.mark.row("V2")
def test_bytes_by_hand():
    code = product_quantize(normal(15, 10, 12), 4, 5)
    assert code.code_bits == 3
    assert code.nbytes() == -(-30 * 3 // 8) + 5 * 4 * 2
    assert code.bits_per_weight() == 8 * code.nbytes() / 120
