"""The packed product against PyTorch's floats, bit for bit; α and K against least squares."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from qlab import Recipe, quantize
from qlab.extreme import (
    BWN,
    SignInput,
    XNORInput,
    best_signs,
    input_scale,
    pack_signs,
    packed_matmul,
    sign,
    unpack_signs,
    with_input_scales,
    xnor_conv2d,
    xnor_linear,
)
from qlab.packing import pack

pytestmark = pytest.mark.row("E2")


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_the_packed_product_is_the_product_of_signs(seed, rows, columns, n):
    a, b = normal(seed, rows, n), normal(seed + 1, columns, n)
    expected = (sign(a) @ sign(b).T).int()
    assert torch.equal(xnor_linear(a, b), expected)
    words = pack_signs(a)
    assert words.shape == (rows, -(-n // 64))
    assert torch.equal(unpack_signs(words, n), sign(a))


@pytest.mark.parametrize("n", [1, 63, 64, 65, 128, 1000])
def test_at_the_edges_of_words(n):
    ones = torch.ones(1, n)
    assert packed_matmul(pack_signs(ones), pack_signs(ones), n).item() == n
    assert packed_matmul(pack_signs(ones), pack_signs(-ones), n).item() == -n


def test_both_forms_of_the_count_agree():
    n = 64
    a, b = pack_signs(normal(0, 1, n)), pack_signs(normal(1, 1, n))
    equal, different = (int(np.bitwise_count(word)[0, 0]) for word in (~(a ^ b), a ^ b))
    assert 2 * equal - n == n - 2 * different == packed_matmul(a, b, n).item()


def test_the_bits_lie_as_the_librarys_packing_lays_them():
    x = normal(2, 3, 128)
    peer = pack((x >= 0).flatten().int(), 1).numpy()
    assert np.array_equal(pack_signs(x).astype("<u8").view(np.uint8).ravel(), peer)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 1), (2, 0), (1, 2)])
def test_convolutions_agree_with_pytorch_padding_included(stride, padding):
    x, w = normal(3, 2, 5, 9, 8), normal(4, 7, 5, 3, 3)
    expected = F.conv2d(sign(x), sign(w), stride=stride, padding=padding).int()
    assert torch.equal(xnor_conv2d(x, w, stride, padding), expected)


def test_a_layer_of_a_quantized_network_is_alpha_times_the_packed_product():
    conv = nn.Conv2d(6, 4, 3, padding=1, bias=False)
    net = quantize(nn.Sequential(conv), Recipe(BWN(), SignInput(), dynamic=True))
    x = normal(5, 2, 6, 7, 7)
    alpha = conv.weight.detach().abs().mean((1, 2, 3))
    packed = xnor_conv2d(x, conv.weight.detach(), padding=1) * alpha[:, None, None]
    torch.testing.assert_close(net(x), packed, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pack_signs(torch.ones(3)), ValueError, "two axes"),
        (lambda: pack_signs(torch.tensor([[torch.nan]])), ValueError, "NaN"),
        (lambda: pack_signs(torch.ones(2, 2, dtype=torch.int8)), TypeError, "real numbers"),
        (lambda: packed_matmul(np.ones((1, 1)), np.ones((1, 1)), 4), TypeError, "uint64"),
        (lambda: packed_matmul(*[np.ones((1, 2), np.uint64)] * 2, 64), ValueError, "words in each row"),
        (lambda: unpack_signs(np.ones((1, 1), np.uint64), 65), ValueError, "n must lie in"),
    ],
)
def test_what_cannot_be_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_alpha_and_the_signs_are_the_best_of_all(seed):
    w = normal(seed, 6)
    found = BWN().module(None, w[None])(w[None])[0]
    _, _, least = best_signs(w, 1)
    assert float((found - w).double().square().sum()) == pytest.approx(least, rel=1e-4)


def test_the_gradient_of_bwn_is_that_of_its_equation():
    """α·sign(w) with sign(w) replaced by w + held where |w| ≤ 1: differentiate that numerically."""
    w, up = (0.8 * normal(6, 1, 9)).double(), normal(7, 1, 9).double()
    module = BWN().module(None, w)
    x = w.clone().requires_grad_()
    (module(x) * up).sum().backward()
    held, h = sign(w) - w.clamp(-1, 1), 1e-6

    def value(v):
        return float((v.abs().mean() * (v.clamp(-1, 1) + held) * up).sum())

    for i in range(9):
        step = torch.zeros_like(w)
        step[0, i] = h
        assert float(x.grad[0, i]) == pytest.approx((value(w + step) - value(w - step)) / (2 * h), abs=1e-6)


def test_a_straight_gradient_passes_as_it_is_and_the_value_stays():
    w, up = normal(6, 2, 9), normal(7, 2, 9)
    x = w.clone().requires_grad_()
    y = BWN(straight=True).module(None, w)(x)
    y.backward(up)
    torch.testing.assert_close(y.detach(), BWN().module(None, w)(w))
    assert torch.equal(x.grad, up)


def test_k_is_the_mean_of_the_magnitudes_in_each_window():
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
    a = normal(8, 2, 3, 7, 7)
    k = input_scale(a.abs().mean(1, keepdim=True), conv)
    windows = F.unfold(a, 3, padding=1, stride=2)  # zeros around the picture count as zeros
    torch.testing.assert_close(k.flatten(2), windows.abs().mean(1, keepdim=True))


def test_xnor_net_multiplies_by_alpha_and_k_and_keeps_gradients():
    conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    plain = quantize(nn.Sequential(conv), Recipe(BWN(), SignInput(), dynamic=True))
    scaled = with_input_scales(quantize(nn.Sequential(conv), Recipe(BWN(), XNORInput(), dynamic=True)))
    a = normal(9, 2, 3, 6, 6)
    x = a.clone().requires_grad_()
    torch.testing.assert_close(scaled(x), plain(a) * input_scale(a.abs().mean(1, keepdim=True), conv))
    scaled(x).sum().backward()
    assert bool(x.grad.abs().sum() > 0)
    assert scaled[0].activation_quantizer.magnitude is None  # nothing is left behind: it can be copied


def test_k_improves_the_approximation_of_a_convolution():
    """On inputs whose size differs from place to place: what K is for."""
    conv = nn.Conv2d(8, 4, 3, bias=False)
    a = normal(10, 4, 8, 10, 10) * torch.linspace(0.1, 3, 10)
    exact = conv(a).detach()

    def error(net):
        y = net(a).detach()
        return float((exact - y * (exact * y).sum() / y.square().sum()).square().mean())

    plain = quantize(nn.Sequential(conv), Recipe(BWN(), SignInput(), dynamic=True))
    scaled = with_input_scales(quantize(nn.Sequential(conv), Recipe(BWN(), XNORInput(), dynamic=True)))
    assert error(scaled) < error(plain)


def test_k_needs_an_input_that_has_it_and_a_layer_without_bias():
    with pytest.raises(ValueError, match="quantized by XNORInput"):
        with_input_scales(nn.Sequential(nn.Linear(2, 2)))
    net = quantize(nn.Sequential(nn.Linear(2, 2)), Recipe(BWN(), XNORInput(), dynamic=True))
    with pytest.raises(ValueError, match="has a bias"):
        with_input_scales(net)
