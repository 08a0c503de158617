"""Lab 12's right solutions agree with the library and with PyTorch; see test_checks.py for what all labs owe."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab12_binary as lab
from qlab.extreme import BWN, TWN, hard_tanh, pack_signs, packed_matmul, sign
from qlab.gradients import instead

ALL = [*lab.EXERCISES, *lab.QUESTIONS]


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_there_are_enough_of_them():
    assert sum(len(e.mistakes) for e in ALL) >= 118
    assert all(len(e.mistakes) >= 3 for e in ALL)
    hints = [m.hint for e in lab.EXERCISES for m in e.mistakes]
    assert len(set(hints)) > 0.85 * len(hints)


@pytest.mark.row("E1")
def test_the_sign_and_its_gradient_are_the_librarys():
    x, grad = 2 * normal(0, 200), normal(1, 200)
    assert torch.equal(lab.SIGN.solution(x), sign(x))
    leaf = x.clone().requires_grad_()
    y = instead(hard_tanh(leaf), sign(leaf))
    y.backward(grad)
    out = lab.BINARIZE.use(lab.BINARIZE.solution, x, grad)
    assert torch.allclose(out["value"], y.detach())
    assert torch.equal(out["gradient"], leaf.grad)


@pytest.mark.row("E2")
@pytest.mark.row("E3")
@pytest.mark.parametrize("shape", [(5, 30), (4, 3, 3, 3)])
def test_scale_and_ternary_weights_are_the_librarys(shape):
    w = normal(2, *shape)
    alpha = lab.BEST_ALPHA.solution(w).reshape(-1, *[1] * (w.ndim - 1))
    assert torch.allclose(alpha * sign(w), BWN().module(None, w)(w))
    assert torch.allclose(lab.TERNARIZE.solution(w), TWN().module(None, w)(w))


@pytest.mark.row("E2")
@pytest.mark.parametrize("n", [1, 8, 63, 64, 100])
def test_bits_and_products_are_the_librarys(n):
    a, b = sign(normal(3, 4, n)), sign(normal(4, 3, n))
    packed = lab.PACK.solution(a)
    words = pack_signs(a).astype("<u8").view(np.uint8)
    assert np.array_equal(packed, words[:, : packed.shape[1]])
    product = lab.PRODUCT.solution(packed, lab.PACK.solution(b), n)
    assert np.array_equal(product, packed_matmul(pack_signs(a), pack_signs(b), n))
    assert np.array_equal(product, (a @ b.T).numpy())


@pytest.mark.row("E1")
def test_the_threshold_is_batchnorm_and_sign():
    norm = nn.BatchNorm1d(40).eval()
    with torch.no_grad():
        norm.weight.copy_(normal(5, 40))
        norm.bias.copy_(normal(6, 40))
        norm.running_mean.copy_(5 * normal(7, 40))
        norm.running_var.copy_(10 * normal(8, 40) ** 2 + 1)
    std = (norm.running_var + norm.eps).sqrt()
    mine = lab.FOLD.use(lab.FOLD.solution, norm.weight.detach(), norm.bias.detach(), norm.running_mean, std)
    p = torch.arange(-30.0, 31)
    peer = sign(norm(p[:, None].expand(-1, 40))).T
    assert torch.equal(torch.where(mine, 1.0, -1.0), peer)


@pytest.mark.row("E1")
def test_the_layer_is_the_product_of_signs_with_clipped_gradients():
    w, x, grad = 0.9 * normal(9, 4, 7), 1.4 * normal(10, 6, 7), normal(11, 6, 4)
    out = lab.BINARY_LINEAR.use(lab.BINARY_LINEAR.solution, w, x, grad)
    assert torch.allclose(out["output"], sign(x) @ sign(w).T)
    assert torch.allclose(out["gradient of weight"], (grad.T @ sign(x)) * (w.abs() <= 1), atol=1e-5)
    assert torch.allclose(out["gradient of x"], (grad @ sign(w)) * (x.abs() <= 1), atol=1e-5)
    assert torch.equal(out["weight afterwards"], w)


class OwnFunction(torch.autograd.Function):
    """Another right way: both directions written out."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return sign(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return torch.where(x.abs() <= 1, grad, torch.zeros_like(grad))


class OwnLayer(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs).uniform_(-0.2, 0.2))

    def forward(self, x):
        return OwnFunction.apply(x) @ OwnFunction.apply(self.weight).T


def test_other_right_solutions_pass():
    def by_hand(signs):
        bits = np.zeros((len(signs), -(-signs.shape[1] // 8) * 8), np.uint8)
        bits[:, : signs.shape[1]] = (signs.numpy() + 1) / 2
        return (bits.reshape(len(signs), -1, 8) << np.arange(8)).sum(-1).astype(np.uint8)

    def row_by_row(a, b, n):
        return np.array(
            [[n - 2 * sum(int(x ^ y).bit_count() for x, y in zip(r, c, strict=True)) for c in b] for r in a]
        )

    def with_xnor(a, b, n):
        """Count what is equal, and take the unused bits off again."""
        width = 8 * a.itemsize * a.shape[1]
        return 2 * (np.bitwise_count(~(a[:, None] ^ b)).sum(-1).astype(int) - (width - n)) - n

    def loop(w):
        rows = []
        for v in w.flatten(1):
            big = v.abs() > 0.7 * v.abs().mean()
            rows.append(torch.where(big, v.sign() * v[big].abs().mean(), torch.zeros_like(v)))
        return torch.stack(rows).reshape(w.shape)

    def cut(gamma, beta, mean, std):
        edge, up = mean - beta * std / gamma, ~(gamma < 0)
        return (torch.floor(edge) + (up & (edge != torch.floor(edge)))).int(), up

    check(lab.SIGN, lambda x: 2.0 * (x >= 0) - 1)
    check(lab.BINARIZE, OwnFunction.apply)
    check(lab.BINARIZE, lambda x: F.hardtanh(x) - F.hardtanh(x).detach() + sign(x).detach())
    check(lab.BEST_ALPHA, lambda w: torch.stack([v.abs().mean() for v in w]))
    check(lab.TERNARIZE, loop)
    check(lab.PACK, by_hand)
    check(lab.PRODUCT, row_by_row)
    check(lab.PRODUCT, with_xnor)
    check(lab.BINARY_LINEAR, OwnLayer)
    check(lab.FOLD, cut)


class NoParameter(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = torch.randn(outputs, inputs)


class Turned(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))


class NotSquare(OwnLayer):
    def forward(self, x):
        return OwnFunction.apply(x) @ OwnFunction.apply(self.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "wrong", "words"),
    [
        (lab.SIGN, ..., "nothing here yet"),
        (lab.SIGN, lambda x: None, "is `return` missing"),
        (lab.SIGN, lambda x: x.sign_(), "changed its argument x"),
        (lab.SIGN, lambda x: 1 if x >= 0 else -1, "more than one value"),
        (lab.BINARIZE, lambda x: sign(x).numpy(), "a tensor must come out"),
        (lab.BINARIZE, lambda x: sign(x).requires_grad_(), "no gradient comes back|expected|None"),
        (lab.BEST_ALPHA, lambda w: w.abs().mean((1, 2, 3)), "works for convolutions only"),
        (lab.TERNARIZE, lambda w: w * torch.nan, "expected"),
        (lab.PACK, lambda signs: signs, "return a NumPy array"),
        (lab.PACK, lambda signs: (signs.numpy() > 0).astype(int), "dtype np.uint8, got int64"),
        (lab.PRODUCT, lambda a, b, n: a @ b, "mismatch|core dimension|expected"),
        (lab.PRODUCT, lambda a, b, n: n - 2.0 * np.bitwise_count(a[:, None] ^ b).sum(-1), "integer type"),
        (lab.BINARY_LINEAR, OwnLayer(3, 2), "the class BinaryLinear itself"),
        (lab.BINARY_LINEAR, nn.Linear, "there is a bias"),
        (lab.BINARY_LINEAR, NoParameter, "must have one nn.Parameter"),
        (lab.BINARY_LINEAR, Turned, r"weight must be \(outputs, inputs\)"),
        (lab.BINARY_LINEAR, NotSquare, "the weight is not transposed"),
        (lab.FOLD, lambda gamma, beta, mean, std: mean, "return two tensors: threshold, up"),
        (lab.FOLD, lambda gamma, beta, mean, std: (mean, gamma > 0), "threshold must be of an integer type"),
        (lab.FOLD, lambda gamma, beta, mean, std: (mean.long(), gamma), "up of booleans"),
        (lab.QUESTIONS[2], 57, "Each bit that differs"),
    ],
)
def test_what_often_goes_wrong_is_answered_in_words(exercise, wrong, words):
    with pytest.raises(CheckFailed, match=words):
        check(exercise, wrong)
