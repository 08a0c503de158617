"""Lab 8: right solutions agree with the library, PyTorch and integrals; test_checks.py has what all labs owe."""

import copy

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from qlab import Quantizer, Symmetric, zoo
from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab8_dfq as lab
from qlab.network import Recipe, quantize
from qlab.ptq import (
    absorb_bias,
    correct_bias_from_statistics,
    equalize,
    fold_batchnorm,
    input_statistics,
    linked_pairs,
    relu6_to_relu,
)
from qlab.ptq.codes import quantized_layers
from qlab.zsq import input_ranges

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_there_are_enough_of_them():
    assert len(CASES) >= 150
    assert all(len(e.mistakes) >= 2 for e in ALL)


@pytest.fixture(scope="module")
def plain():
    return relu6_to_relu(fold_batchnorm(zoo.load("separable")))


@pytest.fixture(scope="module")
def equal(plain):
    return equalize(plain)


def layers(model, pair):
    first, second = model.get_submodule(pair.first), model.get_submodule(pair.second)
    return first, second, getattr(second, "groups", 1)


@pytest.mark.row("T7")
@pytest.mark.parametrize("groups", [1, 3])
def test_folding_keeps_the_function(groups):
    conv, norm = nn.Conv2d(3, 6, 3, groups=groups), nn.BatchNorm2d(6).eval()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, -0.1]))
        norm.bias.normal_(generator=generator(1))
        norm.running_mean.normal_(generator=generator(2))
        norm.running_var.copy_(torch.tensor([1.0, 1e-6, 0.0, 4.0, 0.3, 2.0]))
        weight, bias = lab.FOLD.solution(
            conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps
        )
        x = torch.randn(2, 3, 5, 5, generator=generator(3))
        y = nn.functional.conv2d(x, weight, bias, groups=groups)
        assert torch.allclose(y, norm(conv(x)), rtol=1e-4, atol=1e-3)


@pytest.mark.row("T7")
@pytest.mark.parametrize("depthwise", [True, False])
def test_rescaling_and_absorbing_keep_the_function_of_a_pair(depthwise):
    groups = 4 if depthwise else 1
    first, second = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, groups=groups)
    with torch.no_grad():
        first.bias += 10.0  # so that ReLU never cuts
        x = torch.randn(2, 2, 6, 6, generator=generator(4))
        before = second(first(x).relu())
        r1, r2 = lab.CHANNEL_RANGES.solution(first.weight, second.weight, groups)
        s = lab.EQUALIZATION_SCALE.solution(r1, r2)
        w1, b1, w2 = lab.RESCALE.solution(first.weight, first.bias, second.weight, s, groups)
        now = lab.CHANNEL_RANGES.solution(w1, w2, groups)
        assert torch.allclose(*now)
        assert torch.allclose(now[0], (r1 * r2).sqrt())
        c, b1, b2 = lab.ABSORB.solution(torch.full((4,), 3.0), torch.full((4,), -0.5), b1, w2, second.bias, groups)
        assert torch.equal(c, torch.full((4,), 1.5))
        y = nn.functional.conv2d(x, w1, b1)
        assert y.min() > 0
        after = nn.functional.conv2d(y.relu(), w2, b2, groups=groups)
        assert torch.allclose(after, before, rtol=1e-4, atol=1e-4)


@pytest.mark.row("T7")
def test_a_network_equalized_and_absorbed_by_the_lab_is_the_librarys(plain, equal):
    model = copy.deepcopy(plain)
    for _ in range(20):
        for pair in linked_pairs(model):
            first, second, groups = layers(model, pair)
            s = lab.EQUALIZATION_SCALE.solution(
                *lab.CHANNEL_RANGES.solution(first.weight.data, second.weight.data, groups)
            )
            first.weight.data, first.bias.data, second.weight.data = lab.RESCALE.solution(
                first.weight.data, first.bias.data, second.weight.data, s, groups
            )
            known = model.get_submodule(pair.statistics)
            known.mean, known.std = known.mean / s, known.std / s
    count = 0
    for pair in linked_pairs(model):
        first, second, groups = layers(model, pair)
        assert torch.allclose(first.weight, equal.get_submodule(pair.first).weight, rtol=1e-2, atol=1e-5)
        known = model.get_submodule(pair.statistics)
        c, first.bias.data, second.bias.data = lab.ABSORB.solution(
            known.mean, known.std, first.bias.data, second.weight.data, second.bias.data, groups
        )
        count += int((c > 0).sum())
    theirs = absorb_bias(equal)
    x = torch.randn(2, 1, 28, 28, generator=generator(5))
    with torch.no_grad():
        assert torch.allclose(model(x), theirs(x), rtol=1e-3, atol=1e-3)
    assert count == lab.QUESTIONS[1].solution


@pytest.mark.row("Z1")
def test_answer_1_is_what_the_librarys_quantizer_loses(plain):
    weight = plain.get_submodule("3.body.3").weight.detach()
    codes = Quantizer(Symmetric(6))(weight).codes
    assert int((codes.flatten(1) == 0).all(1).sum()) == lab.QUESTIONS[0].solution


@pytest.mark.row("Z1")
def test_ranges_and_means_over_branches_are_the_librarys(equal):
    pixels = (-0.8, 2.0)
    found, ranges, means = lab.branches(equal), input_ranges(equal, pixels), input_statistics(equal)
    assert found.keys() == ranges.keys() - {"0"} == means.keys()
    for name, inputs in found.items():
        ends = [lab.ACTIVATION_RANGE.solution(b.beta, b.gamma, 6.0, b.relu) for b in inputs]
        low, high = (sum(end) for end in zip(*ends, strict=True))
        assert torch.allclose(low.min(), ranges[name].low)
        assert torch.allclose(high.max(), ranges[name].high)
        mean = sum(lab.RELU_MEAN.solution(b.beta, b.gamma) if b.relu else b.beta for b in inputs)
        assert torch.allclose(mean, means[name].mean, atol=1e-6)
    assert max(len(inputs) for inputs in found.values()) == 2


def test_branches_say_nothing_where_nothing_is_known():
    assert lab.branches(zoo.load("mlp")) == {}
    assert "0" not in lab.branches(fold_batchnorm(zoo.load("convnet")))


@pytest.mark.row("T5")
@pytest.mark.parametrize(("beta", "gamma"), [(0.0, 1.0), (0.7, -0.4), (-1.2, 0.9), (2.0, 0.0), (-1.0, 0.0)])
def test_the_mean_after_relu_is_the_integral(beta, gamma):
    mean = lab.RELU_MEAN.solution(torch.tensor([beta]), torch.tensor([gamma])).item()
    if gamma == 0:
        assert mean == max(beta, 0.0)
        return
    density = stats.norm(beta, abs(gamma)).pdf
    integral, _ = integrate.quad(lambda y: y * density(y), 0, np.inf)
    assert mean == pytest.approx(integral, abs=1e-5)


@pytest.mark.row("T5")
def test_biases_corrected_by_the_lab_are_the_librarys(equal):
    quantized = quantize(equal, Recipe(Quantizer(Symmetric(6))))
    theirs = correct_bias_from_statistics(quantized, equal)
    for name, inputs in lab.branches(equal).items():
        layer, before = quantized_layers(quantized)[name], equal.get_submodule(name)
        mean = sum(lab.RELU_MEAN.solution(b.beta, b.gamma) if b.relu else b.beta for b in inputs)
        bias = lab.CORRECTED_BIAS.solution(
            layer.bias.data, before.weight.data, layer.weight.data, mean, getattr(before, "groups", 1)
        )
        assert torch.allclose(bias, theirs.get_submodule(name).bias, atol=1e-4)


def test_other_right_solutions_pass():
    def fold(weight, bias, gamma, beta, mean, var, eps):
        k = gamma * (var + eps) ** -0.5
        return torch.einsum("o...,o->o...", weight, k), k * bias - k * mean + beta

    def ranges(first, second, groups):
        r1 = torch.stack([row.abs().max() for row in first])
        columns = second.unbind(1) if groups == 1 else second.unbind(0)
        return [r1, torch.stack([c.abs().max() for c in columns])]

    def scale(r1, r2):
        s = torch.sqrt(r1 * r2) / r2
        s[(r1 == 0) | (r2 == 0)] = 1
        return s

    def rescale(first, bias, second, s, groups):
        shape = (-1, *[1] * (second.dim() - 1)) if groups > 1 else (1, -1, *[1] * (second.dim() - 2))
        return (first.T / s).T if first.dim() == 2 else first / s[:, None, None, None], bias / s, second * s.view(shape)

    def absorb(beta, gamma, b1, second, b2, groups):
        c = torch.maximum(torch.zeros(()), beta - 3 * abs(gamma))
        taps = second.flatten(2).sum(2) if second.dim() > 2 else second
        return c, b1 - c, b2 + (taps @ c if groups == 1 else taps[:, 0] * c)

    def activation_range(beta, gamma, sigmas, relu):
        ends = beta - sigmas * gamma.abs(), beta + sigmas * gamma.abs()
        return tuple(map(torch.relu, ends)) if relu else ends

    def relu_mean(beta, gamma):
        g = gamma.abs().clamp(min=1e-12)
        standard = torch.distributions.Normal(0.0, 1.0)
        return beta * standard.cdf(beta / g) + g * standard.log_prob(beta / g).exp()

    def corrected(bias, weight, rounded, mean, groups):
        places = torch.ones(1, 1, 3, 3) * mean.reshape(1, -1, 1, 1)
        if weight.dim() == 2:
            return bias - (rounded @ mean - weight @ mean)
        k = weight.shape[-1]
        run = [nn.functional.conv2d(places[..., :k, :k], w, groups=groups).flatten() for w in (rounded, weight)]
        return bias - run[0] + run[1]

    written = (fold, ranges, scale, rescale, absorb, activation_range, relu_mean, corrected)
    for exercise, solution in zip(lab.EXERCISES, written, strict=True):
        check(exercise, solution)


def test_what_goes_wrong_is_answered_in_words():
    def in_place(weight, bias, gamma, beta, mean, var, eps):
        weight *= 2
        return weight, bias

    with pytest.raises(CheckFailed, match="changed its argument weight"):
        check(lab.FOLD, in_place)
    with pytest.raises(CheckFailed, match=r"must return 3 values, got a torch\.Tensor"):
        check(lab.RESCALE, lambda first, bias, second, s, groups: first)
    with pytest.raises(CheckFailed, match="nothing here yet"):
        check(lab.ABSORB, lambda *case: None)


def test_nan_of_a_dead_channel_is_named():
    with pytest.raises(CheckFailed, match="dead channels are not looked after"):
        check(lab.EQUALIZATION_SCALE, lambda r1, r2: (r1 / r2) ** 0.5)
    with pytest.raises(CheckFailed, match="γ = 0 is not looked after") as caught:
        check(
            lab.RELU_MEAN,
            lambda beta, gamma: (
                beta * torch.special.ndtr(beta / gamma.abs())
                + gamma.abs()
                * torch.distributions.Normal(0.0, 1.0, validate_args=False).log_prob(beta / gamma.abs()).exp()
            ),
        )
    assert "divided by 0" in str(caught.value)


@pytest.mark.parametrize(
    ("exercise", "solution", "words"),
    [
        (lab.FOLD, lambda w, b, g, be, m, v, e: (w * g / (v + e).sqrt(), b), "last axis"),
        (lab.CHANNEL_RANGES, lambda f, s, g: (f.abs().amax((1, 2, 3)), s.abs().amax((0, 2, 3))), "two axes"),
        (lab.EQUALIZATION_SCALE, lambda a, b: 1 if a == 0 else (a / b).sqrt(), "torch.where"),
        (lab.ABSORB, lambda be, g, b1, w, b2, k: (max(0, be - 3 * g.abs()), b1, b2), r"clamp\(min=0\)"),
        (lab.CORRECTED_BIAS, lambda b, w, r, m, g: b - (r - w) @ m, "matrix product"),
    ],
)
def test_common_crashes_are_answered_with_what_to_do(exercise, solution, words):
    with pytest.raises(CheckFailed, match=words):
        check(exercise, solution)
