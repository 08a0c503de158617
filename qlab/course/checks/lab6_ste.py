"""Lab 6, the straight-through estimator: right solutions, and the mistakes that people make.

    r̃ = S·clip(Int(r/S), −q, q),  q = 2^(b−1) − 1;     ∂r̃/∂r := 1 for |r| ≤ q·S, else 0;     w ← w − η·∂L/∂w

Survey-map rows: T1, T2.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from qlab.course._running import ReturnedNothing
from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "EXERCISES",
    "FAKE_QUANTIZE",
    "FINITE_DIFFERENCE",
    "QUANTIZED",
    "QUESTIONS",
    "STE",
    "STEP_GRADIENT",
    "STRAIGHT_THROUGH",
    "TRAIN_STEP",
]


def _normal(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _q(bits: int) -> int:
    return int(2 ** (bits - 1) - 1)


def _called(thing: Any, *names: str) -> Any:
    """Name the arguments of a case, as messages show them."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    thing.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])
    return thing


# (a) Fake quantization


def _fake(r: Tensor, scale: float, bits: int) -> Tensor:
    q = _q(bits)
    return scale * torch.round(r / scale).clamp(-q, q)


FAKE_QUANTIZE = Exercise(
    "fake_quantize",
    _fake,
    [
        (torch.tensor([0.1, 0.26, -0.4, 2.0, -0.9]), 0.5, 2),
        (_normal(0, 12), 0.4, 3),
        (_normal(1, 5, 7), 0.9, 2),
        (3 * _normal(2, 20), 0.37, 4),
    ],
    [
        Mistake(
            "the clip is missing",
            "b bits have the codes −q … q only. Where does 2.0 go, if S = 0.5 and q = 1?",
            lambda r, scale, bits: scale * torch.round(r / scale),
        ),
        Mistake(
            "the codes are returned",
            "multiply by S again: the network goes on with real numbers. That is why it is called fake.",
            lambda r, scale, bits: torch.round(r / scale).clamp(-_q(bits), _q(bits)),
        ),
        Mistake(
            "r is multiplied by S, and divided afterwards",
            "r/S counts in steps of S. Divide first, and multiply at the end.",
            lambda r, scale, bits: torch.round(r * scale).clamp(-_q(bits), _q(bits)) / scale,
        ),
        Mistake(
            "it is rounded down",
            "Int goes to the nearest whole number, floor to the one below.",
            lambda r, scale, bits: scale * torch.floor(r / scale).clamp(-_q(bits), _q(bits)),
        ),
        Mistake(
            "the fraction is cut off",
            ".int() and .long() cut towards zero. Use torch.round, which goes to the nearest.",
            lambda r, scale, bits: scale * torch.trunc(r / scale).clamp(-_q(bits), _q(bits)),
        ),
        Mistake(
            "there is one code too many at both ends",
            "q = 2^(b−1) − 1. With 2 bits that is 1, and the codes are −1, 0, 1.",
            lambda r, scale, bits: scale * torch.round(r / scale).clamp(-_q(bits) - 1, _q(bits) + 1),
        ),
        Mistake(
            "the codes are those of two's complement",
            "−2^(b−1) is a code of b bits, but not one of ours: the codes are symmetric, −q … q.",
            lambda r, scale, bits: scale * torch.round(r / scale).clamp(-_q(bits) - 1, _q(bits)),
        ),
        Mistake(
            "there are twice as many codes",
            "2^b codes are shared by both sides of zero: q = 2^(b−1) − 1.",
            lambda r, scale, bits: scale * torch.round(r / scale).clamp(1 - 2**bits, 2**bits - 1),
        ),
        Mistake(
            "the negative codes are gone",
            "clip from −q to q, not from 0.",
            lambda r, scale, bits: scale * torch.round(r / scale).clamp(0, _q(bits)),
        ),
        Mistake(
            "r is clipped before it is divided",
            "−q and q are codes. Clip what is counted in codes, r/S, not r.",
            lambda r, scale, bits: scale * torch.round(r.clamp(-_q(bits), _q(bits)) / scale),
        ),
        Mistake(
            "the clip comes after the multiplication",
            "−q and q are codes: clip first, then multiply by S.",
            lambda r, scale, bits: (scale * torch.round(r / scale)).clamp(-_q(bits), _q(bits)),
        ),
        Mistake(
            "it is not rounded",
            "clipping only cuts the ends. The steps come from Int.",
            lambda r, scale, bits: scale * (r / scale).clamp(-_q(bits), _q(bits)),
        ),
        Mistake(
            "Python's round is used",
            "it knows numbers, not tensors. torch.round does.",
            lambda r, scale, bits: scale * round(r / scale),
        ),
        Mistake(
            "it stretches r to 2^b − 1 steps over its range",
            "the scale is given. Do not take another one from the largest value.",
            lambda r, scale, bits: torch.round(r / (s := r.abs().max() / _q(bits))) * s,
        ),
    ],
)


# (b) The true gradient


def _difference(f: Callable[[Tensor], Tensor], r: Tensor, eps: float) -> Tensor:
    return (f(r + eps) - f(r - eps)) / (2 * eps)


def square(r: Tensor) -> Tensor:
    """Return r²."""
    return r**2


def cube(r: Tensor) -> Tensor:
    """Return r³."""
    return r**3


def staircase(r: Tensor) -> Tensor:
    """Return r, rounded to whole numbers from −3 to 3."""
    return _fake(r, 1.0, 3)


def _autograd(f: Callable[[Tensor], Tensor], r: Tensor, eps: float) -> Tensor:
    x = r.clone().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0]


FINITE_DIFFERENCE = Exercise(
    "finite_difference",
    _difference,
    [
        (square, torch.tensor([0.0, 3.0, -1.0], dtype=torch.float64), 0.1),
        (cube, _normal(3, 6, dtype=torch.float64), 0.2),
        (staircase, torch.tensor([0.2, 0.45, 0.7, 1.52, -2.4, 5.0], dtype=torch.float64), 0.1),
        (staircase, 2 * _normal(4, 4, 5, dtype=torch.float64), 0.05),
    ],
    [
        Mistake(
            "it looks forward only",
            "go eps to both sides, and divide by the way between the two, which is 2·eps.",
            lambda f, r, eps: (f(r + eps) - f(r)) / eps,
        ),
        Mistake(
            "it looks back only",
            "go eps to both sides, and divide by the way between the two, which is 2·eps.",
            lambda f, r, eps: (f(r) - f(r - eps)) / eps,
        ),
        Mistake(
            "it is divided by eps",
            "how far is it from r − eps to r + eps?",
            lambda f, r, eps: (f(r + eps) - f(r - eps)) / eps,
        ),
        Mistake(
            "it is multiplied by eps",
            "`/ 2 * eps` divides by 2 and then multiplies: put 2·eps into brackets.",
            lambda f, r, eps: (f(r + eps) - f(r - eps)) / 2 * eps,
        ),
        Mistake(
            "it is not divided",
            "a slope is a change divided by the way on which it happened.",
            lambda f, r, eps: f(r + eps) - f(r - eps),
        ),
        Mistake(
            "it is divided by 2 only",
            "a slope is a change divided by the way on which it happened: 2·eps.",
            lambda f, r, eps: (f(r + eps) - f(r - eps)) / 2,
        ),
        Mistake(
            "the sign is turned round",
            "right minus left.",
            lambda f, r, eps: (f(r - eps) - f(r + eps)) / (2 * eps),
        ),
        Mistake(
            "only the second value is divided",
            "a − b / c is a − (b / c): put the difference into brackets.",
            lambda f, r, eps: f(r + eps) - f(r - eps) / (2 * eps),
        ),
        Mistake(
            "the brackets are missing",
            "a − b / 2 * c is a − ((b / 2) * c). Brackets around the difference, and around 2·eps.",
            lambda f, r, eps: f(r + eps) - f(r - eps) / 2 * eps,
        ),
        Mistake(
            "autograd is asked",
            "we want to see what autograd sees: measure the slope, with two values of f.",
            _autograd,
        ),
        Mistake(
            "the slopes are added up",
            "f works on every number by itself, and so does its slope: return one for each.",
            lambda f, r, eps: _difference(f, r, eps).sum(),
        ),
        Mistake(
            "the slopes are averaged",
            "f works on every number by itself, and so does its slope: return one for each.",
            lambda f, r, eps: _difference(f, r, eps).mean(),
        ),
    ],
)


# (c) The straight-through estimator, written out and in one line


def _inside(r: Tensor, scale: float, bits: int) -> Tensor:
    return r.abs() <= _q(bits) * scale


def _through(r: Tensor, scale: float, bits: int, grad: Tensor) -> Tensor:
    return grad * _inside(r, scale, bits)


def _function(
    backward: Callable[..., Any] = _through,
    forward: Callable[..., Tensor] = _fake,
    alone: bool = False,
) -> type[torch.autograd.Function]:
    """A torch.autograd.Function from two rules; `alone`: with the gradient of r only, without None for the others."""

    class FakeQuantize(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, r: Tensor, scale: float, bits: int) -> Tensor:
            ctx.save_for_backward(r)
            ctx.rest = scale, bits
            return forward(r, scale, bits)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            (r,) = ctx.saved_tensors
            scale, bits = ctx.rest
            answer = backward(r, scale, bits, grad)
            return answer if alone else (answer, None, None)

    return FakeQuantize


def _pulled(call: Callable[..., Tensor], r: Tensor, scale: float, bits: int, grad: Tensor) -> dict[str, Any]:
    """Go forward, then back with `grad` from above; return what came out at both ends."""
    x = r.clone().requires_grad_()
    try:
        y = call(x, scale, bits)
        if y is None or y is ...:
            raise ReturnedNothing
        if not isinstance(y, Tensor):
            raise TypeError(f"a tensor must come out, got {type(y).__name__}")
        out = y.detach().clone()
        if y.requires_grad and y.shape == grad.shape:
            y.backward(grad)
    except (AttributeError, RuntimeError, TypeError) as error:
        for sign, words in _CRASHES.items():
            if sign in str(error):
                raise type(error)(words) from None
        raise
    if not y.requires_grad or (x.grad is None and y.shape == grad.shape):
        raise ValueError("no gradient can come back: autograd sees no way from the result to r")
    return {"value": out, "gradient": x.grad}


_CRASHES = {
    "incorrect number of gradients": "backward must return one value for each argument of forward after ctx",
    "gradient different than None": "backward must return None for scale and for bits, which are plain numbers",
    "save_for_backward can only save": "ctx.save_for_backward takes tensors only: store a number as ctx.scale = scale",
    "'tuple' object": "ctx.saved_tensors is a tuple, also if there is one tensor in it: (r,) = ctx.saved_tensors",
}


def _applied(function: Any, r: Tensor, scale: float, bits: int, grad: Tensor) -> dict[str, Any]:
    if function is None or function is ...:
        raise NotImplementedError
    if not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
        raise TypeError("hand over the class itself, which must inherit from torch.autograd.Function")
    return _pulled(function.apply, r, scale, bits, grad)


_WAYS = [
    (torch.tensor([0.1, 0.6, -0.9, 1.2, -3.0]), 0.5, 3, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])),
    (torch.tensor([0.3, -0.7, 0.9, 1.1, -1.3, 2.0]), 1.0, 2, torch.tensor([1.0, -1.0, 0.5, 2.0, 3.0, -2.0])),
    (_normal(5, 4, 6), 0.6, 2, _normal(6, 4, 6)),
    (2 * _normal(7, 30), 0.4, 3, _normal(8, 30)),
]

_FORWARD = (
    (
        "the codes come out of forward",
        "forward is your fake_quantize: multiply by S at the end.",
        lambda r, scale, bits: _fake(r, scale, bits) / scale,
    ),
    (
        "r comes out of forward as it was",
        "forward must quantize. Only the way back pretends that nothing happened.",
        lambda r, scale, bits: r.clone(),
    ),
    (
        "forward only clips",
        "forward must quantize: the estimator is about the way back.",
        lambda r, scale, bits: r.clamp(-_q(bits) * scale, _q(bits) * scale),
    ),
)

STRAIGHT_THROUGH = Exercise(
    "FakeQuantize",
    _called(_function(), "r", "scale", "bits", "grad"),
    _WAYS,
    [
        *(Mistake(name, hint, _function(forward=rule)) for name, hint, rule in _FORWARD),
        Mistake(
            "there is no clip in backward",
            "outside of [−q·S, q·S] the staircase is flat for good: the gradient there is 0.",
            _function(lambda r, scale, bits, grad: grad.clone()),
        ),
        Mistake(
            "it is 1 outside of the clip, and 0 inside",
            "inside, where the codes change, the gradient passes.",
            _function(lambda r, scale, bits, grad: grad * ~_inside(r, scale, bits)),
        ),
        Mistake(
            "what comes from above is not used",
            "`grad` is ∂L/∂r̃. The chain rule multiplies it by ∂r̃/∂r, which is 1 or 0.",
            _function(lambda r, scale, bits, grad: _inside(r, scale, bits).to(grad.dtype)),
        ),
        Mistake(
            "the true gradient is returned",
            "0 everywhere is true, and of no use. Pretend: identity inside the clip.",
            _function(lambda r, scale, bits, grad: torch.zeros_like(grad)),
        ),
        Mistake(
            "the gradient is multiplied by S",
            "r is divided by S and multiplied by S again: with Int as the identity, the slope of the whole is 1.",
            _function(lambda r, scale, bits, grad: scale * _through(r, scale, bits, grad)),
        ),
        Mistake(
            "the gradient is divided by S",
            "r is divided by S and multiplied by S again: with Int as the identity, the slope of the whole is 1.",
            _function(lambda r, scale, bits, grad: _through(r, scale, bits, grad) / scale),
        ),
        Mistake(
            "the clip ends at q, not at q·S",
            "q is a code. The real number that belongs to it is q·S.",
            _function(lambda r, scale, bits, grad: grad * (r.abs() <= _q(bits))),
        ),
        Mistake(
            "the clip ends at S",
            "the grid reaches from −q·S to q·S: with 3 bits that is three steps to each side.",
            _function(lambda r, scale, bits, grad: grad * (r.abs() <= scale)),
        ),
        Mistake(
            "only the upper end is clipped",
            "the grid ends at −q·S as well: look at |r|.",
            _function(lambda r, scale, bits, grad: grad * (r <= _q(bits) * scale)),
        ),
        Mistake(
            "only the lower end is clipped",
            "the grid ends at q·S as well: look at |r|.",
            _function(lambda r, scale, bits, grad: grad * (r >= -_q(bits) * scale)),
        ),
        Mistake(
            "the inside is taken from the rounded code",
            "that goes half a step too far: a value 0.3·S beyond q·S rounds to q, but it is clipped all the same. "
            "(PyTorch draws its line there, we do not.)",
            _function(lambda r, scale, bits, grad: grad * (torch.round(r / scale).abs() <= _q(bits))),
        ),
        Mistake(
            "all weights with an outermost code are cut off",
            "a value just inside q·S rounds to q·S, and still is inside. Compare r, not r̃.",
            _function(lambda r, scale, bits, grad: grad * (_fake(r, scale, bits).abs() < (_q(bits) - 0.5) * scale)),
        ),
        Mistake(
            "the gradient is clipped, not cut where r is",
            "how large the gradient is does not matter. Where r lies does.",
            _function(
                lambda r, scale, bits, grad: torch.minimum(
                    torch.maximum(grad, torch.tensor(-_q(bits) * scale)), torch.tensor(_q(bits) * scale)
                )
            ),
        ),
        Mistake(
            "the gradient is multiplied by r",
            "the slope is 1 inside: the gradient passes as it is.",
            _function(lambda r, scale, bits, grad: r * _through(r, scale, bits, grad)),
        ),
        Mistake(
            "the gradient is quantized, too",
            "the way back is not rounded: inside, the gradient passes as it is.",
            _function(lambda r, scale, bits, grad: _fake(grad, scale, bits) * _inside(r, scale, bits)),
        ),
        Mistake(
            "backward returns the gradient of r only",
            "forward has three arguments after ctx, so autograd wants three gradients: scale and bits get None.",
            _function(alone=True),
        ),
        Mistake(
            "scale and bits get a gradient",
            "they are plain numbers, not tensors: return None for them.",
            _function(
                lambda r, scale, bits, grad: (_through(r, scale, bits, grad), grad.sum(), grad.sum()), alone=True
            ),
        ),
    ],
    use=_applied,
)


def _ste(r: Tensor, scale: float, bits: int) -> Tensor:
    clipped = r.clamp(-_q(bits) * scale, _q(bits) * scale)
    return clipped + (_fake(r, scale, bits) - clipped).detach()


def _clip(r: Tensor, scale: float, bits: int) -> Tensor:
    return r.clamp(-_q(bits) * scale, _q(bits) * scale)


def _nothing_comes_back(r: Tensor, scale: float, bits: int) -> Tensor:
    return _fake(r, scale, bits).detach()


STE = Exercise(
    "ste",
    _called(lambda r, scale, bits: _ste(r, scale, bits), "r", "scale", "bits", "grad"),
    _WAYS,
    [
        Mistake(
            "the codes come out",
            "the value must be that of your fake_quantize, S·code.",
            lambda r, scale, bits: _ste(r, scale, bits) / scale,
        ),
        Mistake(
            "r comes out as it was",
            "the value must be that of your fake_quantize. Only the way back pretends that nothing happened.",
            lambda r, scale, bits: r.clone(),
        ),
        Mistake(
            "everything is detached",
            "then no gradient comes back at all. Detach the *difference*, and leave the clipped r outside of it.",
            _nothing_comes_back,
        ),
        Mistake(
            "r is clipped in one place only",
            "what is added in front must be taken off again in the brackets: the clipped r, both times.",
            lambda r, scale, bits: _clip(r, scale, bits) + (_fake(r, scale, bits) - r).detach(),
        ),
        Mistake(
            "r is clipped in the brackets only",
            "what is taken off in the brackets must be added in front: the clipped r, both times.",
            lambda r, scale, bits: r + (_fake(r, scale, bits) - _clip(r, scale, bits)).detach(),
        ),
        Mistake(
            "nothing is detached",
            "clipped + (r̃ − clipped) is r̃, and so is its gradient: zero. Autograd must not see the difference.",
            lambda r, scale, bits: _fake(r, scale, bits),
        ),
        Mistake(
            "r is not clipped",
            "forward is right. But r passes its gradient outside of the clip, too: use the clipped r in its place.",
            lambda r, scale, bits: r + (_fake(r, scale, bits) - r).detach(),
        ),
        Mistake(
            "the two are exchanged",
            "forward, this is the clipped r, and not quantized. What stands outside of detach gives the gradient, what "
            "it adds up to gives the value.",
            lambda r, scale, bits: _fake(r, scale, bits) + (_clip(r, scale, bits) - _fake(r, scale, bits)).detach(),
        ),
        Mistake(
            "only the first term is detached",
            "then the gradient comes from −clipped, with a minus. Put the detach around the difference.",
            lambda r, scale, bits: _clip(r, scale, bits).detach() + (_fake(r, scale, bits) - _clip(r, scale, bits)),
        ),
        Mistake(
            "the difference has the wrong sign",
            "clipped + (r̃ − clipped) is r̃. And clipped + (clipped − r̃)?",
            lambda r, scale, bits: _clip(r, scale, bits) + (_clip(r, scale, bits) - _fake(r, scale, bits)).detach(),
        ),
        Mistake(
            "the clipped r is added, but not taken off again",
            "in front of detach stands clipped, and in it must stand r̃ − clipped: the values cancel, the gradients "
            "do not.",
            lambda r, scale, bits: _clip(r, scale, bits) + _fake(r, scale, bits).detach(),
        ),
        Mistake(
            "r̃ and the clipped r make a quotient",
            "the value is right, but each gradient is multiplied by r̃/r. Use a sum: its slope is 1.",
            lambda r, scale, bits: _clip(r, scale, bits) * (_fake(r, scale, bits) / _clip(r, scale, bits)).detach(),
        ),
        Mistake(
            "the clip ends at q, not at q·S",
            "forward is right, but the gradient is cut at the wrong place: q is a code, q·S the number that belongs "
            "to it.",
            lambda r, scale, bits: (
                r.clamp(-_q(bits), _q(bits)) + (_fake(r, scale, bits) - r.clamp(-_q(bits), _q(bits))).detach()
            ),
        ),
        Mistake(
            "the clip is half a step too wide",
            "a value 0.3·S beyond q·S rounds to q, but it is clipped all the same. (PyTorch draws its line where you "
            "do, we do not.)",
            lambda r, scale, bits: (
                torch.where(torch.round(r / scale).abs() <= _q(bits), r, r.detach())
                + (_fake(r, scale, bits) - r).detach()
            ),
        ),
        Mistake(
            "the gradient is that of the code",
            "t = r/S has the slope 1/S. Multiply the whole by S, then r̃ comes out with the slope 1.",
            lambda r, scale, bits: (
                _clip(r, scale, bits) / scale + (_fake(r, scale, bits) - _clip(r, scale, bits) / scale).detach()
            ),
        ),
    ],
    use=_pulled,
)


# (d) One step of training


def ternary_ste(w: Tensor) -> Tensor:
    """Return w in steps of 0.5 from −0.5 to 0.5, straight through."""
    return _ste(w, 0.5, 2)


def ternary(w: Tensor) -> Tensor:
    """Return w in steps of 0.5 from −0.5 to 0.5, with the true gradient."""
    return _fake(w, 0.5, 2)


def three_bits_ste(w: Tensor) -> Tensor:
    """Return w in steps of 0.3 from −0.9 to 0.9, straight through."""
    return _ste(w, 0.3, 3)


Rule = Callable[[Tensor], Tensor]


def _gradient(
    w: Tensor, x: Tensor, y: Tensor, quantizer: Rule, loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
) -> Tensor:
    w = w.clone().requires_grad_()
    return torch.autograd.grad(loss(x @ quantizer(w).T, y), w)[0]


def _train_step(w: Tensor, x: Tensor, y: Tensor, quantizer: Rule, lr: float) -> Tensor:
    return w - lr * _gradient(w, x, y, quantizer)


def _past_the_quantizer(w: Tensor, x: Tensor, y: Tensor, quantizer: Rule, lr: float) -> Tensor:
    leaf = quantizer(w).detach().requires_grad_()
    return w - lr * torch.autograd.grad(F.cross_entropy(x @ leaf.T, y), leaf)[0]


def _input_quantized(w: Tensor, x: Tensor, y: Tensor, quantizer: Rule, lr: float) -> Tensor:
    leaf = w.clone().requires_grad_()
    return w - lr * torch.autograd.grad(F.cross_entropy(quantizer(x) @ leaf.T, y), leaf)[0]


def _on_the_graph(w: Tensor, x: Tensor, y: Tensor, quantizer: Rule, lr: float) -> Tensor:
    w = w.clone().requires_grad_()
    return w - lr * torch.autograd.grad(F.cross_entropy(x @ quantizer(w).T, y), w)[0]


def _latent_lost(w: Tensor, x: Tensor, y: Tensor, quantizer: Rule, lr: float) -> Tensor:
    leaf = quantizer(w).detach().requires_grad_()
    return (leaf - lr * torch.autograd.grad(F.cross_entropy(x @ leaf.T, y), leaf)[0]).detach()


def _unwatched(w: Tensor, x: Tensor, y: Tensor, quantizer: Rule, lr: float) -> Tensor:
    return w - lr * torch.autograd.grad(F.cross_entropy(x @ quantizer(w).T, y), w)[0]


def _off_the_graph(function: Callable[..., Tensor], *case: Any) -> Tensor:
    try:
        answer = function(*case)
    except RuntimeError as error:
        if "not require grad" in str(error):
            raise RuntimeError("autograd does not watch w") from None
        raise
    except TypeError as error:
        if "NoneType" in str(error):
            raise TypeError(
                "a .grad is None: only the tensor that requires_grad_() was called on has one, after backward()"
            ) from None
        raise
    if isinstance(answer, Tensor) and answer.requires_grad:
        raise ValueError("the new weight still hangs on the graph of this step")
    return answer


_STEPS = [
    (_normal(9, 3, 4), _normal(10, 8, 4), torch.tensor([0, 1, 2, 0, 1, 2, 2, 0]), ternary_ste, 0.1),
    (_normal(11, 5, 6), _normal(12, 10, 6), torch.arange(10) % 5, three_bits_ste, 1.0),
    (_normal(13, 4, 3), _normal(14, 6, 3), torch.tensor([3, 1, 0, 2, 2, 1]), ternary, 0.5),
]

TRAIN_STEP = Exercise(
    "train_step",
    _train_step,
    _STEPS,
    [
        Mistake(
            "the step starts from the quantized weight",
            "what is rounded away once is lost. Take the step from w, the latent weight.",
            lambda w, x, y, quantizer, lr: quantizer(w).detach() - lr * _gradient(w, x, y, quantizer),
        ),
        Mistake(
            "the quantized weight has taken the place of the latent one",
            "keep both: the loss is computed with quantizer(w); the gradient is asked for at w, and w is what moves.",
            _latent_lost,
        ),
        Mistake(
            "autograd does not watch w",
            "w comes without requires_grad. Begin with w = w.clone().requires_grad_().",
            _unwatched,
        ),
        Mistake(
            "the weight is not transposed",
            "w is (classes, inputs), and x is (batch, inputs): x @ quantizer(w).T.",
            lambda w, x, y, quantizer, lr: F.cross_entropy(x @ quantizer(w), y),
        ),
        Mistake(
            "the new weight is rounded",
            "the latent weight stays in float: otherwise a step smaller than S/2 is rounded away, every time.",
            lambda w, x, y, quantizer, lr: quantizer(_train_step(w, x, y, quantizer, lr)).detach(),
        ),
        Mistake(
            "the quantizer is not used",
            "the loss must see what the network will compute with: quantizer(w).",
            lambda w, x, y, quantizer, lr: _train_step(w, x, y, lambda v: v, lr),
        ),
        Mistake(
            "the gradient is taken at the quantized weight",
            "go back through the quantizer, too: ask for the gradient with respect to w. Then its backward decides "
            "what passes.",
            _past_the_quantizer,
        ),
        Mistake(
            "it goes uphill",
            "the gradient points to where the loss grows: w − lr·gradient.",
            lambda w, x, y, quantizer, lr: w + lr * _gradient(w, x, y, quantizer),
        ),
        Mistake(
            "the learning rate is left out",
            "w − lr·gradient.",
            lambda w, x, y, quantizer, lr: w - _gradient(w, x, y, quantizer),
        ),
        Mistake(
            "the gradient is returned",
            "return the new weight: w − lr·gradient.",
            lambda w, x, y, quantizer, lr: _gradient(w, x, y, quantizer),
        ),
        Mistake(
            "the change is returned",
            "return the new weight, not the change: w − lr·gradient.",
            lambda w, x, y, quantizer, lr: -lr * _gradient(w, x, y, quantizer),
        ),
        Mistake(
            "the losses of the batch are added",
            "F.cross_entropy takes the *mean* over the batch, if you let it.",
            lambda w, x, y, quantizer, lr: (
                w - lr * _gradient(w, x, y, quantizer, lambda z, t: F.cross_entropy(z, t, reduction="sum"))
            ),
        ),
        Mistake(
            "softmax is taken twice",
            "F.cross_entropy has a softmax in it: give it the logits.",
            lambda w, x, y, quantizer, lr: (
                w - lr * _gradient(w, x, y, quantizer, lambda z, t: F.cross_entropy(z.softmax(1), t))
            ),
        ),
        Mistake(
            "the picture is quantized, not the weight",
            "here only weights have few bits: x @ quantizer(w).T.",
            _input_quantized,
        ),
        Mistake(
            "the new weight hangs on the graph",
            "w has requires_grad, and so has w − lr·gradient: every step would drag all earlier ones along. Return it "
            "with .detach().",
            _on_the_graph,
        ),
        Mistake(
            "the weight does not move",
            "`w = w − …` inside of a function only helps if you return it. And loss.backward() only fills w.grad.",
            lambda w, x, y, quantizer, lr: w.clone(),
        ),
    ],
    use=_off_the_graph,
)


# (e) A layer


class _Quantized(nn.Module):
    """A layer whose weight is quantized on the way; the switches make it go wrong."""

    quantizer: Rule
    layer: Any

    def __init__(
        self,
        layer: nn.Module,
        quantizer: Rule,
        latent: Callable[[Tensor, Rule], Tensor] = lambda w, quantizer: w,
        way: Callable[[Any, Tensor, Rule], tuple[Tensor, Tensor | None]] = lambda layer, w, quantizer: (
            quantizer(w),
            layer.bias,
        ),
        own: bool = True,
        keep: bool = False,
        into: Callable[[Tensor, Rule], Tensor] = lambda x, quantizer: x,
        out: Callable[[Tensor, Rule], Tensor] = lambda y, quantizer: y,
    ) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer) if own else layer
        self.quantizer, self.way, self.keep, self.into, self.out = quantizer, way, keep, into, out
        with torch.no_grad():
            self.layer.weight.copy_(latent(self.layer.weight, quantizer))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output with its quantized weight."""
        if self.keep:
            self.layer.weight.data = self.quantizer(self.layer.weight).detach()
        weight, bias = self.way(self.layer, self.layer.weight, self.quantizer)
        tensors = {"weight": weight} | ({} if bias is None else {"bias": bias})
        y: Tensor = functional_call(self.layer, tensors, (self.into(x, self.quantizer),))
        return self.out(y, self.quantizer)


def _layer(**switches: Any) -> Callable[[nn.Module, Rule], nn.Module]:
    return lambda layer, quantizer: _Quantized(layer, quantizer, **switches)


class _Unregistered(nn.Module):
    """The weight is a plain tensor."""

    def __init__(self, layer: Any, quantizer: Rule) -> None:
        super().__init__()
        self.others, self.quantizer = [copy.deepcopy(layer)], quantizer

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output with its quantized weight."""
        layer = self.others[0]
        y: Tensor = functional_call(layer, {"weight": self.quantizer(layer.weight)}, (x,))
        return y


class _NewParameter(_Quantized):
    def forward(self, x: Tensor) -> Tensor:
        self.layer.weight = nn.Parameter(self.quantizer(self.layer.weight))
        y: Tensor = self.layer(x)
        return y


class _Assigned(_Quantized):
    def forward(self, x: Tensor) -> Tensor:
        self.layer.weight = self.quantizer(self.layer.weight)
        y: Tensor = self.layer(x)
        return y


class _Linear(_Quantized):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.quantizer(self.layer.weight), self.layer.bias)


def _plain_convolution(layer: nn.Module, quantizer: Rule) -> nn.Module:
    class Plain(_Quantized):
        def forward(self, x: Tensor) -> Tensor:
            w = self.quantizer(self.layer.weight)
            return F.conv2d(x, w, self.layer.bias) if w.ndim == 4 else F.linear(x, w, self.layer.bias)

    return Plain(layer, quantizer)


def _worked(function: Any, layer: Any, quantizer: Rule, x: Tensor) -> dict[str, Any]:
    """Run it forward, backward and through one step of SGD, and tell what can be seen from outside."""
    layer = copy.deepcopy(layer)  # so that whoever shares the weight is told so, and not that the argument changed
    before = layer.weight.detach().clone()
    if isinstance(function, nn.Module):
        raise TypeError("hand over the class Quantized itself, not a layer made from it")
    module = function(layer, quantizer)
    if not isinstance(module, nn.Module):
        raise TypeError(f"Quantized must be a class that inherits from nn.Module, got {type(module).__name__}")
    latent = [p for p in module.parameters() if p.shape == before.shape]
    start = [p.detach().clone() for p in latent]
    y = module(x)
    if y is None or y is ...:
        raise ReturnedNothing
    if not latent:
        raise ValueError("the module has no parameter of the shape of the weight: an optimizer would not find it")
    seen = {"output": y.detach().clone(), "latent weight": start[0]}
    seen["latent weight after forward"] = latent[0].detach().clone()
    if y.requires_grad:
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    seen["gradient of the latent weight"] = latent[0].grad
    torch.optim.SGD(module.parameters(), lr=0.3).step()
    seen["latent weight after a step"] = latent[0].detach().clone()
    seen["output after a step"] = module(x).detach().clone()
    seen["the original weight has changed"] = not torch.equal(layer.weight, before)
    return seen


def _wide(seed: int, layer: nn.Module) -> nn.Module:
    """Give a layer weights and biases of a few tenths."""
    for i, p in enumerate(layer.parameters()):
        p.data = 0.5 * _normal(seed + i, *p.shape)
    return layer


QUANTIZED = Exercise(
    "Quantized",
    _called(lambda layer, quantizer: _Quantized(layer, quantizer), "layer", "quantizer", "x"),
    [
        (_wide(20, nn.Linear(4, 3)), ternary_ste, _normal(30, 5, 4)),
        (_wide(22, nn.Conv2d(2, 3, 3, stride=2, padding=1)), three_bits_ste, _normal(31, 2, 2, 5, 5)),
        (_wide(24, nn.Conv2d(2, 2, 3, padding=1, bias=False)), ternary_ste, _normal(32, 1, 2, 4, 4)),
    ],
    [
        Mistake(
            "the weight is quantized once, when the layer is made",
            "then the latent weight is lost, and after the first step the weight is off the grid. Keep the layer's own "
            "weight, and quantize in forward.",
            _layer(
                latent=lambda w, quantizer: quantizer(w),
                way=lambda layer, w, quantizer: (w, layer.bias),
            ),
        ),
        Mistake(
            "the latent weight is rounded when the layer is made",
            "it starts as the layer's own weight, in float. Quantize in forward only.",
            _layer(latent=lambda w, quantizer: quantizer(w)),
        ),
        Mistake(
            "forward overwrites the latent weight",
            "`weight.data = …` throws away what lies between two levels, and with it all small steps. Compute with a "
            "new tensor.",
            _layer(keep=True),
        ),
        Mistake(
            "forward makes a new parameter",
            "nn.Parameter(…) starts a new life: the optimizer keeps the old weight, which gets no gradient any more. "
            "Compute with a plain tensor, and leave layer.weight alone.",
            _NewParameter,
        ),
        Mistake(
            "forward overwrites the parameter",
            "PyTorch does not put a plain tensor where a parameter was, and the latent weight would be lost. Leave "
            "layer.weight alone: functional_call computes with another.",
            _Assigned,
        ),
        Mistake(
            "convolutions are left out",
            "F.linear is for nn.Linear. functional_call runs a layer of either kind.",
            _Linear,
        ),
        Mistake(
            "the weight is not quantized",
            "call the quantizer in forward, and compute with what it returns.",
            _layer(way=lambda layer, w, quantizer: (w, layer.bias)),
        ),
        Mistake(
            "no gradient reaches the latent weight",
            "is there a detach(), a .data or a torch.no_grad() on the way, or requires_grad=False? The quantizer's "
            "backward is all that training has.",
            _layer(way=lambda layer, w, quantizer: (quantizer(w).detach(), layer.bias)),
        ),
        Mistake(
            "the gradient goes round the quantizer",
            "`detach` of the whole difference lets the gradient of the plain weight through, clipped or not. Only call "
            "the quantizer: it knows its own backward.",
            _layer(way=lambda layer, w, quantizer: (w + (quantizer(w) - w).detach(), layer.bias)),
        ),
        Mistake(
            "the bias is quantized, too",
            "here only the weight is.",
            _layer(
                way=lambda layer, w, quantizer: (
                    quantizer(w),
                    None if layer.bias is None else quantizer(layer.bias),
                )
            ),
        ),
        Mistake(
            "the bias is lost",
            "if the layer has a bias, it is still added.",
            _layer(
                way=lambda layer, w, quantizer: (
                    quantizer(w),
                    None if layer.bias is None else torch.zeros_like(layer.bias),
                )
            ),
        ),
        Mistake(
            "the bias does not learn",
            "it stays in float, but it is a parameter like any other.",
            _layer(
                way=lambda layer, w, quantizer: (
                    quantizer(w),
                    None if layer.bias is None else layer.bias.detach(),
                )
            ),
        ),
        Mistake(
            "the input is quantized, not the weight",
            "here only weights have few bits.",
            _layer(
                way=lambda layer, w, quantizer: (w, layer.bias),
                into=lambda x, quantizer: quantizer(x),
            ),
        ),
        Mistake(
            "the input is quantized as well",
            "here only weights have few bits.",
            _layer(into=lambda x, quantizer: quantizer(x)),
        ),
        Mistake(
            "the output is quantized",
            "quantize the weight before it is used, not what comes out.",
            _layer(
                way=lambda layer, w, quantizer: (w, layer.bias),
                out=lambda y, quantizer: quantizer(y),
            ),
        ),
        Mistake(
            "it is not a copy",
            "training it changes the layer that it was made from: use copy.deepcopy(layer), or .clone().",
            _layer(own=False),
        ),
        Mistake(
            "stride and padding are lost",
            "F.conv2d does not know them unless you tell: functional_call runs the layer with all that it has.",
            _plain_convolution,
        ),
        Mistake(
            "the optimizer cannot find the weight",
            "a tensor in a list, or a plain tensor, is no parameter. Make the layer an attribute of the module, or "
            "wrap the weight in nn.Parameter.",
            _Unregistered,
        ),
    ],
    use=_worked,
)


# (f) The gradient of the step


def _step_gradient(r: Tensor, scale: float, bits: int, grad: Tensor) -> Tensor:
    q = _q(bits)
    t = (r / scale).clamp(-q, q)
    return (grad * torch.where(_inside(r, scale, bits), torch.round(t) - t, t)).sum()


def _felt(
    inside: Callable[[Tensor], Tensor] = lambda t: torch.round(t) - t,
    outside: Callable[[Tensor, int], Tensor] = lambda t, q: q * torch.sign(t),
    within: Callable[[Tensor, int], Tensor] = lambda t, q: t.abs() <= q,
) -> Callable[[Tensor, float, int, Tensor], Tensor]:
    """LSQ's gradient from its parts: t = r/S, not clipped."""

    def solution(r: Tensor, scale: float, bits: int, grad: Tensor) -> Tensor:
        t, q = r / scale, _q(bits)
        return (grad * torch.where(within(t, q), inside(t), outside(t, q))).sum()

    return solution


STEP_GRADIENT = Exercise(
    "step_gradient",
    _step_gradient,
    [
        (torch.tensor([0.4, -1.3, 9.0]), 1.0, 3, torch.ones(3)),
        (torch.tensor([0.3, 0.9, -2.0, -0.2]), 0.5, 2, torch.tensor([1.0, -2.0, 3.0, 0.5])),
        (torch.tensor([0.62, -0.66, 0.1]), 0.5, 2, torch.tensor([1.0, 2.0, -1.0])),
        (_normal(33, 6, 5), 0.7, 2, _normal(34, 6, 5)),
        (2 * _normal(35, 40), 0.5, 3, _normal(36, 40)),
    ],
    [
        Mistake(
            "what comes from above is not used",
            "`grad` is ∂L/∂r̃: multiply each element's ∂r̃/∂S by its own before you add.",
            lambda r, scale, bits, grad: _felt()(r, scale, bits, torch.ones_like(r)),
        ),
        Mistake(
            "the mean is taken",
            "all values share one S, and each adds its part to the gradient: the chain rule sums.",
            lambda r, scale, bits, grad: _felt()(r, scale, bits, grad) / r.numel(),
        ),
        Mistake(
            "the parts are not added",
            "there is one S for all values, so there is one gradient: sum up.",
            lambda r, scale, bits, grad: (
                grad
                * torch.where(
                    _inside(r, scale, bits),
                    torch.round(r / scale) - r / scale,
                    _q(bits) * torch.sign(r),
                )
            ),
        ),
        Mistake(
            "the gradients and the slopes are added before they are multiplied",
            "multiply first, then sum: the sum of products is not the product of sums.",
            lambda r, scale, bits, grad: _felt()(r, scale, bits, torch.ones_like(r)) * grad.sum(),
        ),
        Mistake(
            "clipped values have no part in it",
            "a clipped value is ±q·S: it moves with S, by ±q. These are the loudest of all.",
            _felt(outside=lambda t, q: torch.zeros_like(t)),
        ),
        Mistake(
            "clipped values all push up",
            "a value that is clipped below lies at −q·S: its slope is −q.",
            _felt(outside=lambda t, q: torch.full_like(t, q)),
        ),
        Mistake(
            "clipped values add 1 for each",
            "a clipped value is ±q·S: its slope is ±q.",
            _felt(outside=lambda t, q: torch.sign(t)),
        ),
        Mistake(
            "clipped values have the rounding error of their own",
            "outside, r is not r/S any more: it lies at ±q·S, whatever r is.",
            _felt(outside=lambda t, q: torch.round(t) - t),
        ),
        Mistake(
            "clipped values have q − r/S",
            "outside, the clipped t is ±q, a constant: the slope of S·(±q) is ±q.",
            _felt(outside=lambda t, q: q * torch.sign(t) - t),
        ),
        Mistake(
            "values inside have no part in it",
            "this is PACT's gradient. Here the rounding error inside counts, Int(t) − t.",
            _felt(inside=lambda t: torch.zeros_like(t)),
        ),
        Mistake(
            "values inside have the slope of their code",
            "that is the derivative of S·code, if the code never changed. Straight through, t changes with S as well.",
            _felt(inside=lambda t: torch.round(t)),
        ),
        Mistake(
            "the rounding error has the wrong sign",
            "r̃ = S·(t + e), with e = Int(t) − t: rounded minus real.",
            _felt(inside=lambda t: t - torch.round(t)),
        ),
        Mistake(
            "everything has the wrong sign",
            "this is the gradient, not the step: the minus comes with the optimizer.",
            lambda r, scale, bits, grad: -_felt()(r, scale, bits, grad),
        ),
        Mistake(
            "the rounding error is counted without its sign",
            "e = Int(t) − t may be negative. Most of these cancel.",
            _felt(inside=lambda t: (torch.round(t) - t).abs()),
        ),
        Mistake(
            "it is counted in units of r",
            "r̃ − r is S times too large: the slope is (r̃ − r)/S inside.",
            lambda r, scale, bits, grad: scale * _felt()(r, scale, bits, grad),
        ),
        Mistake(
            "the inside is r̃ − r",
            "r̃ − r is S times the rounding error. The slope is Int(t) − t, counted in steps.",
            lambda r, scale, bits, grad: _felt(inside=lambda t: scale * (torch.round(t) - t))(r, scale, bits, grad),
        ),
        Mistake(
            "the inside is taken from the rounded code",
            "that goes half a step too far: a value 0.3·S beyond q·S rounds to q, but it is clipped all the same.",
            _felt(within=lambda t, q: torch.round(t).abs() <= q),
        ),
        Mistake(
            "it is rounded down",
            "Int goes to the nearest whole number.",
            _felt(inside=lambda t: torch.floor(t) - t),
        ),
        Mistake(
            "the gradient scale 1/√(N·q) is in it",
            "LSQ multiplies by that afterwards. Here we want the gradient itself, to compare it.",
            lambda r, scale, bits, grad: _felt()(r, scale, bits, grad) / (r.numel() * _q(bits)) ** 0.5,
        ),
    ],
)


EXERCISES = [FAKE_QUANTIZE, FINITE_DIFFERENCE, STRAIGHT_THROUGH, STE, TRAIN_STEP, QUANTIZED, STEP_GRADIENT]


# (g) Questions

QUESTIONS = [
    question(
        "answer_1",
        "b",
        {
            "a": "look at your table again: two of the columns change from row to row.",
            "c": "fewer weights see a step. But how steep is it for those that do?",
            "d": "which weights see a step at all, when eps gets small?",
        },
    ),
    question(
        "answer_2",
        17,
        {
            34: "that is a whole step. From where on does Int round up?",
            33: "that is a whole step. From where on does Int round up?",
            16: "16 · 0.03 = 0.48: nearly.",
            15: "15 · 0.03 = 0.45: which code is the nearest?",
            1: "0.03 rounds to 0.",
            0: "the step is far below S/2, but nothing is rounded away in the latent weight: the steps add up.",
        },
    ),
    question(
        "answer_3",
        "c",
        {
            "a": "the distance to the threshold decides which of them changes its code first. What does the loss see?",
            "b": "the loss does not know which of them is nearer to zero. What does it see?",
            "d": "both are inside of the clip. Where does the estimator cut?",
        },
    ),
    question(
        "answer_4",
        "b",
        {
            "a": "1.4·S lies outside of [−S, S]. What does your backward return there?",
            "c": "a larger gradient, multiplied by 0, is 0.",
            "d": "some things move it that do not come through the quantizer's backward. Which of the list?",
        },
    ),
    question(
        "answer_5",
        -1.1,
        {
            0.9: "the third value is clipped *below*: it lies at −S, and moves by −1 if S grows by 1.",
            -0.1: "the third value is clipped, and not silent: it lies at −S.",
            1.1: "the sign: rounded minus real inside, −q below the clip.",
            -0.9: "inside it is Int(t) − t: rounded minus real.",
            0.0: "0.3 rounds to 0, and 0.8 to 1. What are the errors, and what does the clipped one add?",
            -1.0: "the clipped one adds −1. And the two inside? Their rounding errors are not 0.",
            -0.366667: "sum, not mean: all three share one S.",
        },
    ),
]
