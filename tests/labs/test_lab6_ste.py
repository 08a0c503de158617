"""Lab 6's right solutions agree with the library and with PyTorch; see test_checks.py for what all labs owe."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab import Quantizer, Symmetric
from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab6_ste as lab
from qlab.qat import LSQ
from qlab.quantizer import Params

ALL = [*lab.EXERCISES, *lab.QUESTIONS]


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def learned_step(scale, bits):
    """The library's own staircase with a straight-through gradient for r and for S."""
    start = Params(torch.tensor([scale]), torch.zeros(1, dtype=torch.int32))
    return LSQ(Quantizer(Symmetric(bits)), gradient_scale=False).module(start, torch.zeros(2))


def test_there_are_enough_of_them():
    assert sum(len(e.mistakes) for e in ALL) >= 120
    assert all(len(e.mistakes) >= 2 for e in ALL)


@pytest.mark.row("T1")
@pytest.mark.parametrize("bits", [2, 3, 5])
def test_the_staircase_and_its_estimator_are_the_librarys(bits):
    r, grad = normal(bits, 200), normal(9, 200)
    staircase = learned_step(0.3, bits)
    x = r.clone().requires_grad_()
    y = staircase(x)
    y.backward(grad)
    assert torch.allclose(lab.FAKE_QUANTIZE.solution(r, 0.3, bits), y.detach())
    for exercise in (lab.STRAIGHT_THROUGH, lab.STE):
        out = exercise.use(exercise.solution, r, 0.3, bits, grad)
        assert torch.allclose(out["value"], y.detach())
        assert torch.allclose(out["gradient"], x.grad)
    assert torch.allclose(lab.STEP_GRADIENT.solution(r, 0.3, bits, grad), staircase.scale.grad, rtol=1e-4)


@pytest.mark.row("T1")
def test_pytorchs_clip_is_half_a_step_wider():
    r = torch.tensor([0.1, 0.9, 1.2, 1.4, 1.6, -1.2, -1.7])
    x = r.clone().requires_grad_()
    y = torch.fake_quantize_per_tensor_affine(x, 1.0, 0, -1, 1)
    y.sum().backward()
    ours = lab.STE.use(lab.STE.solution, r, 1.0, 2, torch.ones(7))
    assert torch.equal(ours["value"], y.detach())
    assert (x.grad - ours["gradient"]).tolist() == [0, 0, 1, 1, 0, 1, 0]


@pytest.mark.row("T2")
def test_the_gradient_of_the_step_is_the_slope_with_the_rounding_error_held():
    r, grad, S, bits, q, h = normal(1, 50).double(), normal(2, 50).double(), 0.41, 3, 3, 1e-6
    t = (r / S).clamp(-q, q)
    e = torch.round(t) - t

    def held(s):
        return (grad * s * ((r / s).clamp(-q, q) + e)).sum()

    slope = (held(S + h) - held(S - h)) / (2 * h)
    assert lab.STEP_GRADIENT.solution(r, S, bits, grad) == pytest.approx(slope.item(), rel=1e-6)


@pytest.mark.row("T1")
def test_a_step_is_that_of_an_optimizer():
    w, x, y = normal(3, 4, 6), normal(4, 10, 6), torch.arange(10) % 4
    staircase = learned_step(0.5, 2)
    latent = nn.Parameter(w.clone())
    optimizer = torch.optim.SGD([latent], lr=0.3)
    F.cross_entropy(F.linear(x, staircase(latent)), y).backward()
    optimizer.step()
    assert torch.allclose(lab.TRAIN_STEP.solution(w, x, y, lab.ternary_ste, 0.3), latent.detach(), atol=1e-6)


class AnotherFunction(torch.autograd.Function):
    """Another right way: a mask from the clipped value, and a gradient chosen with where."""

    @staticmethod
    def forward(ctx, r, scale, bits):
        top = (2 ** (bits - 1) - 1) * scale
        ctx.save_for_backward(r)
        ctx.top = top
        return torch.round(r.clamp(-top, top) / scale) * scale

    @staticmethod
    def backward(ctx, grad):
        (r,) = ctx.saved_tensors
        return torch.where((r > -ctx.top) & (r < ctx.top), grad, torch.zeros_like(grad)), None, None


class OwnParameter(nn.Module):
    """Another right way: weight and bias of its own."""

    def __init__(self, layer, quantizer):
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        self.conv = {"stride": layer.stride, "padding": layer.padding} if isinstance(layer, nn.Conv2d) else None
        self.quantizer = quantizer

    def forward(self, x):
        w = self.quantizer(self.weight)
        return F.linear(x, w, self.bias) if self.conv is None else F.conv2d(x, w, self.bias, **self.conv)


def test_other_right_solutions_pass():
    def own_scale(r, scale, bits):
        t = (r / scale).clamp(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
        return scale * (t + (torch.round(t) - t).detach())

    def backward(w, x, y, quantizer, lr):
        w = w.detach().clone().requires_grad_(True)
        F.cross_entropy(F.linear(x, quantizer(w)), y).backward()
        with torch.no_grad():
            w -= lr * w.grad
        return w.detach()

    def by_autograd(r, scale, bits, grad):
        s = torch.tensor(scale, requires_grad=True)
        t = (r / s).clamp(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
        return torch.autograd.grad((grad * s * (t + (torch.round(t) - t).detach())).sum(), s)[0]

    check(lab.STRAIGHT_THROUGH, AnotherFunction)
    check(lab.STE, own_scale)
    check(lab.STE, lambda r, scale, bits: AnotherFunction.apply(r, scale, bits))
    check(lab.TRAIN_STEP, backward)
    check(lab.QUANTIZED, OwnParameter)
    check(lab.STEP_GRADIENT, by_autograd)


class Blank(torch.autograd.Function):
    @staticmethod
    def forward(ctx, r, scale, bits):
        return r.clone()

    @staticmethod
    def backward(ctx, grad):
        raise NotImplementedError()


class SavesNumbers(torch.autograd.Function):
    @staticmethod
    def forward(ctx, r, scale, bits):
        ctx.save_for_backward(r, scale, bits)
        return r.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad, None, None


class ForgetsTheTuple(torch.autograd.Function):
    @staticmethod
    def forward(ctx, r, scale, bits):
        ctx.save_for_backward(r)
        return torch.round(r / scale).clamp(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) * scale

    @staticmethod
    def backward(ctx, grad):
        return grad * (ctx.saved_tensors.abs() <= 1), None, None


class NoModule:
    def __init__(self, layer, quantizer):
        self.layer = copy.deepcopy(layer)


class Forgetful(nn.Module):
    """Its attributes are set before nn.Module is."""

    def __init__(self, layer, quantizer):
        self.layer = copy.deepcopy(layer)


@pytest.mark.parametrize(
    ("exercise", "wrong", "words"),
    [
        (lab.STRAIGHT_THROUGH, ..., "nothing here yet"),
        (lab.STRAIGHT_THROUGH, Blank, "nothing here yet"),
        (lab.STRAIGHT_THROUGH, lambda r, scale, bits: r, "hand over the class itself"),
        (lab.STRAIGHT_THROUGH, SavesNumbers, "takes tensors only"),
        (lab.STRAIGHT_THROUGH, ForgetsTheTuple, "is a tuple, also if there is one tensor in it"),
        (lab.STE, lambda r, scale, bits: None, "is `return` missing"),
        (lab.STE, lambda r, scale, bits: r.detach().requires_grad_(), "no gradient can come back"),
        (lab.TRAIN_STEP, lambda w, x, y, quantizer, lr: w - lr * w.grad, "only the tensor that requires_grad_"),
        (lab.STE, lambda r, scale, bits: r.detach().numpy(), "a tensor must come out, got ndarray"),
        (lab.STE, lambda r, scale, bits: 0 * (r / 0), "something divided by 0"),
        (lab.TRAIN_STEP, lambda w, x, y, quantizer, lr: w.sub_(lr), "changed its argument w"),
        (lab.QUANTIZED, lab.QUANTIZED.solution(nn.Linear(4, 3), lab.ternary), "the class Quantized itself"),
        (lab.QUANTIZED, NoModule, "inherits from nn.Module, got NoModule"),
        (lab.QUANTIZED, Forgetful, r"super\(\).__init__|before Module.__init__"),
    ],
)
def test_what_often_goes_wrong_is_answered_in_words(exercise, wrong, words):
    with pytest.raises(CheckFailed, match=words):
        check(exercise, wrong)
