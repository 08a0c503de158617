"""Sums of signs: the error falls with their number, and never below what trying everything finds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab import zoo
from qlab.extreme import ABCInput, ABCWeight, HORQInput, best_signs, residual_signs, sign, spread_levels
from qlab.granularity import PerChannel
from qlab.nonuniform import alternating, greedy, shifted_signs

pytestmark = pytest.mark.row("E4")


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def squared(w, found):
    return float((w - found.dequantize()).double().square().sum())


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_no_method_beats_the_exhaustive_search_and_alternating_comes_near(seed):
    w = normal(seed, 6)
    for bases in (1, 2):
        _, _, least = best_signs(w, bases)
        errors = {f.__name__: squared(w, f(w, bases)) for f in (greedy, alternating, shifted_signs)}
        assert all(e >= least - 1e-6 for e in errors.values())
        assert errors["alternating"] <= errors["greedy"] + 1e-6
    assert least <= best_signs(w, 1)[2] + 1e-9


def test_three_bases_are_searched_too():
    w = normal(1, 5)
    least = [best_signs(w, k)[2] for k in (1, 2, 3)]
    assert least[0] > least[1] >= least[2]
    alpha, signs, error = best_signs(w, 2)
    assert float((w - alpha @ signs).square().sum()) == pytest.approx(error, abs=1e-9)
    with pytest.raises(ValueError, match="at most 9"):
        best_signs(normal(0, 10), 1)


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_each_order_of_horq_takes_n_beta_squared_away(seed, rows):
    x = normal(seed, rows, 30).double()
    beta, signs = residual_signs(x, 5)
    left = [x - (beta[:, :k, None] * signs[:, :k]).sum(1) for k in range(6)]
    for k in range(5):
        gain = left[k].square().sum(1) - left[k + 1].square().sum(1)
        torch.testing.assert_close(gain, 30 * beta[:, k] ** 2)


def test_the_error_falls_even_where_the_coefficients_rise():
    x = torch.tensor([[0.0, 0.0, 0.0, 4.0]])
    beta, signs = residual_signs(x, 2)
    assert beta.tolist() == [[1.0, 1.5]]
    assert (x - (beta[..., None] * signs).sum(1)).square().sum() == 16 - 4 * 1 - 4 * 1.5**2


def test_horq_is_the_greedy_algorithm_on_each_picture():
    x = normal(2, 4, 3, 5, 5)
    mine = HORQInput(3).module(None, None)(x)
    torch.testing.assert_close(mine, greedy(x, 3, PerChannel(0)).dequantize())
    first = HORQInput(1).module(None, None)(x)
    torch.testing.assert_close(first, sign(x) * x.abs().mean((1, 2, 3), keepdim=True))


def test_abc_weights_are_the_shifted_signs_of_the_weight_as_it_is_now():
    w = normal(3, 4, 18).requires_grad_()
    module = ABCWeight(3).module(None, w)
    found = shifted_signs(w, 3, PerChannel(0))
    torch.testing.assert_close(module(w).detach(), found.dequantize())
    up = normal(4, 4, 18)
    module(w).backward(up)
    torch.testing.assert_close(w.grad, (up * found.alphas.sum(1, keepdim=True)).float())
    moved = (w.detach() + 1).neg()
    torch.testing.assert_close(module(moved), shifted_signs(moved, 3, PerChannel(0)).dequantize())
    assert module.stored(w).codes.shape == (4, 3, 18)


@pytest.mark.slow
def test_on_real_weights_the_error_falls_with_every_base():
    w = zoo.load("convnet")[10].weight.detach()
    for find in (greedy, alternating, shifted_signs):
        errors = [squared(w, find(w, k, PerChannel(0))) for k in (1, 2, 3, 4)]
        assert errors == sorted(errors, reverse=True)


def test_abcs_levels_start_as_the_least_squares_fit_of_a_normal():
    for bases, share in ((1, 1 - 2 / torch.pi), (3, 0.23), (5, 0.21)):
        v, beta = spread_levels(bases)
        x = normal(5, 100_000)
        y = sum(b * torch.where(x + a >= 0.5, 1.0, -1.0) for a, b in zip(v, beta, strict=True))
        assert float((x - y).square().mean()) < share + 0.02


def test_abcs_thresholds_and_coefficients_learn():
    module = ABCInput(2).module(None, None)
    with torch.no_grad():
        module.v.copy_(torch.tensor([0.5, 0.2]))
        module.beta.copy_(torch.tensor([2.0, 3.0]))
    a = torch.tensor([-1.0, 0.1, 0.4, 2.0], requires_grad=True)
    y = module(a)  # signs about 0 and about 0.3
    assert y.tolist() == [-5.0, -1.0, 5.0, 5.0]
    y.sum().backward()
    assert module.beta.grad.tolist() == [2.0, 0.0]
    assert module.v.grad.tolist() == [4.0, 6.0]  # two values between 0 and 1 each, times β
    assert a.grad.tolist() == [0.0, 5.0, 5.0, 0.0]


@pytest.mark.parametrize("make", [ABCWeight, ABCInput, HORQInput])
def test_the_number_of_bases_is_checked(make):
    with pytest.raises(ValueError, match="from 1 to 8, got 9"):
        make(9)
