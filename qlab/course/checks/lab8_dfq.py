"""Lab 8, quantization without data: right solutions, and the mistakes that people make.

    W' = W·γ/√(σ² + ε),  b' = β + (b − μ)·γ/√(σ² + ε);    s = √(r₁/r₂);    c = max(0, β − 3|γ|);
    E[relu(N(β, γ²))] = β·Φ(β/|γ|) + |γ|·φ(β/|γ|);    b ← b − (W̃ − W)·E[x]

Survey-map rows: Z1, T5, T7.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from qlab.course.check import Exercise, Mistake, question
from qlab.network import LAYERS
from qlab.ptq.fold import Folded
from qlab.ptq.graph import trace

__all__ = [
    "ABSORB",
    "ACTIVATION_RANGE",
    "CHANNEL_RANGES",
    "CORRECTED_BIAS",
    "EQUALIZATION_SCALE",
    "EXERCISES",
    "FOLD",
    "QUESTIONS",
    "RELU_MEAN",
    "RESCALE",
    "Branch",
    "branches",
]


class Branch(NamedTuple):
    """A summand of a layer's input: what BatchNorm says of it, shape (channels,) each, and whether a ReLU follows.

    Survey-map row: Z1.
    """

    beta: Tensor
    gamma: Tensor
    relu: bool


def branches(model: nn.Module) -> dict[str, list[Branch]]:
    """Return for every layer the summands of its input, where BatchNorm knows them.

    A shortcut adds two summands. Average pooling and flattening keep means and ranges, so they are passed over. The
    first layer sees pictures, of which BatchNorm says nothing: it is left out.

    Parameters
    ----------
    model : nn.Module
        With BatchNorms folded, in ReLU form.

    Survey-map row: Z1.
    """
    modules = dict(model.named_modules())
    known: dict[Any, list[Branch]] = {}
    found: dict[str, list[Branch]] = {}
    for node in trace(model).nodes:
        sources = [known[source] for source in node.all_input_nodes if source in known]
        module: Any = modules[str(node.target)] if node.op == "call_module" else None
        if isinstance(module, Folded):
            known[node] = [Branch(module.mean, module.std, False)]
        elif not sources or len(sources) < len(node.all_input_nodes):
            continue
        elif isinstance(module, LAYERS):
            found[str(node.target)] = sources[0]
        elif isinstance(module, nn.ReLU) and len(sources[0]) == 1:
            known[node] = [sources[0][0]._replace(relu=True)]
        elif isinstance(module, (nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity)):
            known[node] = sources[0]
        elif node.target in (operator.add, torch.add):
            known[node] = sources[0] + sources[1]
    return found


# What the notebook gives


def _by_input(weight: Tensor, groups: int) -> Tensor:
    return weight.transpose(0, 1) if groups == 1 else weight


def _per_channel(v: Tensor, weight: Tensor) -> Tensor:
    return v.reshape(-1, *[1] * (weight.dim() - 1))


def _random(seed: int, *shape: int, spread: float = 4.0) -> Tensor:
    """Random weights; output channels and input channels differ in size, and the largest weights are negative."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(*shape, generator=generator)
    for axis in (0, 1):
        if shape[axis] > 1:
            gain = 2.0 ** torch.linspace(0, -spread, shape[axis])[torch.randperm(shape[axis], generator=generator)]
            w = w * gain.reshape(*[1] * axis, -1, *[1] * (len(shape) - axis - 1))
    return torch.where(w > 0, 0.7 * w, w)


def _vector(seed: int, n: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=torch.Generator().manual_seed(seed))


# (a) Folding


Pair = tuple[Tensor, Tensor]


def _gain(gamma: Tensor, var: Tensor, eps: float) -> Tensor:
    return gamma / torch.sqrt(var + eps)


def _folding(
    gain: Callable[[Tensor, Tensor, float], Tensor] = _gain,
    shift: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = lambda bias, beta, mean, g: beta + (bias - mean) * g,
    apply: Callable[[Tensor, Tensor], Tensor] = lambda weight, g: weight * _per_channel(g, weight),
) -> Callable[..., Pair]:
    def solution(
        weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
    ) -> Pair:
        g = gain(gamma, var, eps)
        return apply(weight, g), shift(bias, beta, mean, g)

    return solution


def _norm(seed: int, n: int, eps: float) -> tuple[Any, ...]:
    """A convolution's bias, and a BatchNorm: γ has both signs, some variances are as small as ε."""
    var = torch.tensor([4.0, 1e-3, 0.3, 2.0, 0.05, 9.0, 0.5, 1e-4])[:n]
    return (
        _vector(seed, n),
        _vector(seed + 1, n, -2, 2),
        _vector(seed + 2, n),
        _vector(seed + 3, n, -3, 3),
        var,
        eps,
    )


FOLD = Exercise(
    "fold",
    _folding(),
    [
        (
            torch.tensor([[[[1.0]]], [[[2.0]]]]),
            torch.tensor([0.0, 1.0]),
            torch.tensor([3.0, -1.0]),
            torch.tensor([0.5, 0.0]),
            torch.tensor([2.0, 0.5]),
            torch.tensor([4.0, 0.25]),
            0.0,
        ),
        (_random(0, 6, 1, 3, 3), *_norm(0, 6, 1e-3)),
        (_random(1, 8, 8, 1, 1), *_norm(10, 8, 1e-3)),
        (_random(3, 4, 7), *_norm(30, 4, 1e-3)),
    ],
    [
        Mistake(
            "ε is missing",
            "BatchNorm divides by √(σ² + ε). Where a channel has hardly any variance, ε decides.",
            _folding(gain=lambda gamma, var, eps: gamma / torch.sqrt(var)),
        ),
        Mistake(
            "ε is outside of the root",
            "√(σ² + ε), not √σ² + ε: where the variance is small, the two differ much.",
            _folding(gain=lambda gamma, var, eps: gamma / (torch.sqrt(var) + eps)),
        ),
        Mistake(
            "it is divided by the variance",
            "`var` is σ². BatchNorm divides by the standard deviation: take the root.",
            _folding(gain=lambda gamma, var, eps: gamma / (var + eps)),
        ),
        Mistake(
            "it is multiplied by the standard deviation",
            "BatchNorm *divides* by √(σ² + ε).",
            _folding(gain=lambda gamma, var, eps: gamma * torch.sqrt(var + eps)),
        ),
        Mistake(
            "γ has lost its sign",
            "a negative γ turns the channel round, and the folded weights have to do the same. |γ| comes later.",
            _folding(gain=lambda gamma, var, eps: gamma.abs() / torch.sqrt(var + eps)),
        ),
        Mistake(
            "γ is left out",
            "BatchNorm standardizes, and then multiplies by γ. Both belong into the weights.",
            _folding(gain=lambda gamma, var, eps: 1 / torch.sqrt(var + eps)),
        ),
        Mistake(
            "the weights are multiplied by γ alone",
            "before γ comes the division by √(σ² + ε): it belongs into the weights, too.",
            _folding(gain=lambda gamma, var, eps: gamma),
        ),
        Mistake(
            "it is upside down",
            "γ multiplies, the standard deviation divides.",
            _folding(gain=lambda gamma, var, eps: torch.sqrt(var + eps) / gamma),
        ),
        Mistake(
            "the factors do not lie along the output channels",
            "γ has one number for each *output* channel, axis 0 of the weight: `per_channel` puts it there.",
            _folding(apply=lambda weight, g: weight * g.reshape(1, -1, *[1] * (weight.dim() - 2))),
        ),
        Mistake(
            "the factors lie along the last axis",
            "shapes are lined up from the right, so a vector meets the last axis. γ belongs to axis 0: `per_channel`.",
            _folding(apply=lambda weight, g: weight * g),
        ),
        Mistake(
            "four axes are taken for granted",
            "a linear layer's weight has two axes, a convolution's four. `per_channel` fits both.",
            _folding(apply=lambda weight, g: weight * g[:, None, None, None]),
        ),
        Mistake(
            "math.sqrt is given a tensor",
            "`math.sqrt` takes one number. For a tensor there is `torch.sqrt`.",
            _folding(gain=lambda gamma, var, eps: gamma / math.sqrt(var + eps)),
        ),
        Mistake(
            "the weights stay as they were",
            "y = γ(W∗x + b − μ)/√(σ² + ε) + β: what multiplies x?",
            _folding(apply=lambda weight, g: weight),
        ),
        Mistake(
            "the bias stays as it was",
            "BatchNorm works on the whole output, bias included. What is y where x = 0?",
            _folding(shift=lambda bias, beta, mean, g: bias),
        ),
        Mistake(
            "the convolution's own bias is dropped",
            "ours have none, but a convolution may have a bias b, and it goes through BatchNorm as well.",
            _folding(shift=lambda bias, beta, mean, g: beta - mean * g),
        ),
        Mistake(
            "the convolution's bias is not scaled",
            "b is added before BatchNorm, so BatchNorm scales it with all the rest.",
            _folding(shift=lambda bias, beta, mean, g: beta + bias - mean * g),
        ),
        Mistake(
            "the mean is not scaled",
            "μ is subtracted before the scale: multiply (b − μ) as a whole.",
            _folding(shift=lambda bias, beta, mean, g: beta + bias * g - mean),
        ),
        Mistake(
            "neither bias nor mean are scaled",
            "b and μ come before the scale, only β comes after it.",
            _folding(shift=lambda bias, beta, mean, g: beta + bias - mean),
        ),
        Mistake(
            "the mean is added",
            "BatchNorm subtracts the mean.",
            _folding(shift=lambda bias, beta, mean, g: beta + (bias + mean) * g),
        ),
        Mistake(
            "the mean is left out",
            "BatchNorm subtracts the running mean μ first.",
            _folding(shift=lambda bias, beta, mean, g: beta + bias * g),
        ),
        Mistake(
            "β is left out",
            "after the scale, BatchNorm adds β.",
            _folding(shift=lambda bias, beta, mean, g: (bias - mean) * g),
        ),
        Mistake(
            "β is scaled, too",
            "β is added last, after the scale.",
            _folding(shift=lambda bias, beta, mean, g: (beta + bias - mean) * g),
        ),
        Mistake(
            "β alone is the new bias",
            "that is the *mean* of y. The bias is what y is for x = 0: b and μ are in it as well.",
            _folding(shift=lambda bias, beta, mean, g: beta),
        ),
    ],
)


# (b) Ranges


def _largest(v: Tensor) -> Tensor:
    return v.abs().flatten(1).amax(1)


def _ranges(
    reach: Callable[[Tensor], Any] = _largest,
    rows: Callable[[Tensor], Tensor] = lambda first: first,
    columns: Callable[[Tensor, int], Tensor] = _by_input,
) -> Callable[..., Pair]:
    return lambda first, second, groups: (reach(rows(first)), reach(columns(second, groups)))


CHANNEL_RANGES = Exercise(
    "channel_ranges",
    _ranges(),
    [
        (torch.tensor([[-3.0, -4.0], [1.0, 0.5]]), torch.tensor([[0.5, -2.0], [1.0, 0.2], [-0.8, 0.0]]), 1),
        (_random(4, 6, 4, 1, 1), _random(5, 6, 1, 3, 3), 6),
        (_random(6, 6, 1, 3, 3), _random(7, 5, 6, 1, 1), 1),
        (_random(8, 6, 6, 3, 3), _random(9, 6, 6, 3, 3), 1),
        (_random(10, 4, 8, 1, 1), _random(11, 10, 4), 1),
    ],
    [
        Mistake(
            "the largest weights are taken, not the largest magnitudes",
            "the largest weight of a channel may be a negative one: |w| first, then the maximum.",
            _ranges(reach=lambda v: v.flatten(1).amax(1)),
        ),
        Mistake(
            "the magnitude of the largest weight is taken",
            "first |w|, then the maximum: the other way round, large negative weights are overlooked.",
            _ranges(reach=lambda v: v.flatten(1).amax(1).abs()),
        ),
        Mistake(
            "the range from the smallest to the largest weight is taken",
            "the quantizer is symmetric: its scale comes from the largest magnitude.",
            _ranges(reach=lambda v: v.flatten(1).amax(1) - v.flatten(1).amin(1)),
        ),
        Mistake(
            "it is a mean of magnitudes",
            "the scale must reach the *largest* weight.",
            _ranges(reach=lambda v: v.abs().flatten(1).mean(1)),
        ),
        Mistake(
            "it is a norm",
            "the scale must reach the largest weight; how many others there are does not matter.",
            _ranges(reach=lambda v: v.flatten(1).norm(dim=1)),
        ),
        Mistake(
            "it is a standard deviation",
            "the scale must reach the *largest* weight.",
            _ranges(reach=lambda v: v.flatten(1).std(1)),
        ),
        Mistake(
            "there is one number for the whole tensor",
            "that is what the quantizer takes. We want one number for each channel.",
            _ranges(reach=lambda v: v.abs().max()),
        ),
        Mistake(
            "the maximum runs over axis 1 only",
            "a channel's weights lie along all other axes: `flatten(1)` first.",
            _ranges(reach=lambda v: v.abs().amax(1)),
        ),
        Mistake(
            "four axes are taken for granted",
            "a linear layer's weight has two axes, a convolution's four. `flatten(1)` leaves two of both.",
            _ranges(reach=lambda v: v.abs().amax((1, 2, 3))),
        ),
        Mistake(
            "max returns two things",
            "`max(1)` returns the values and where they are. `amax(1)` returns the values alone.",
            _ranges(reach=lambda v: v.abs().flatten(1).max(1)),
        ),
        Mistake(
            "the first layer's input channels are looked at",
            "the channels between the layers are the *outputs* of the first one: axis 0 of its weight.",
            _ranges(rows=lambda first: first.transpose(0, 1)),
        ),
        Mistake(
            "the second layer's output channels are looked at",
            "the channels between the layers are the *inputs* of the second one: use `by_input`.",
            _ranges(columns=lambda second, groups: second),
        ),
        Mistake(
            "a depthwise layer is turned, too",
            "a depthwise weight has the shape (C, 1, k, k), and filter i sees channel i alone: axis 0 is right. "
            "`by_input` knows that if it is given `groups`.",
            _ranges(columns=lambda second, groups: second.transpose(0, 1)),
        ),
        Mistake(
            "r₁ and r₂ are exchanged",
            "first the range of the first layer's outputs, then that of the second layer's inputs.",
            lambda first, second, groups: _ranges()(first, second, groups)[::-1],
        ),
    ],
)


# (c) The scale


def _scale(r1: Tensor, r2: Tensor) -> Tensor:
    alive = (r1 > 0) & (r2 > 0)
    return torch.where(alive, torch.sqrt(r1 / torch.where(alive, r2, 1.0)), 1.0)


def _if_alive(formula: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda r1, r2: torch.where((r1 > 0) & (r2 > 0), formula(r1, r2), torch.ones_like(r1))


EQUALIZATION_SCALE = Exercise(
    "equalization_scale",
    _scale,
    [
        (torch.tensor([8.0, 1.0]), torch.tensor([0.5, 4.0])),
        (_vector(40, 9, 0.01, 5), _vector(41, 9, 0.01, 5)),
        (torch.tensor([2.0, 0.0, 3.0, 0.0]), torch.tensor([0.5, 1.0, 0.0, 0.0])),
    ],
    [
        Mistake(
            "it is upside down",
            "the first layer is *divided* by s. If its range is the larger one, s must be larger than 1.",
            _if_alive(lambda r1, r2: torch.sqrt(r2 / r1)),
        ),
        Mistake(
            "the root is missing",
            "r₁/s = s·r₂ is to hold. Solve it for s: it occurs twice.",
            _if_alive(lambda r1, r2: r1 / r2),
        ),
        Mistake(
            "this is the range that both get, not the scale",
            "√(r₁r₂) is where both ranges meet. By what is r₁ divided to get there?",
            _if_alive(lambda r1, r2: torch.sqrt(r1 * r2)),
        ),
        Mistake(
            "it is squared, not rooted",
            "r₁/s = s·r₂, so s² = r₁/r₂.",
            _if_alive(lambda r1, r2: (r1 / r2) ** 2),
        ),
        Mistake(
            "all of the range goes into the first layer",
            "with s = r₁ the first layer's channels are all alike, and the second has the trouble. Meet half-way.",
            _if_alive(lambda r1, r2: r1),
        ),
        Mistake(
            "all of the range goes into the second layer",
            "with s = 1/r₂ the second layer's channels are all alike, and the first has the trouble. Meet half-way.",
            _if_alive(lambda r1, r2: 1 / r2),
        ),
        Mistake(
            "they meet at the mean of the ranges",
            "if r₁/s is (r₁ + r₂)/2, then s·r₂ is something else. Which s makes both equal?",
            _if_alive(lambda r1, r2: r1 / ((r1 + r2) / 2)),
        ),
        Mistake(
            "the ranges of the tensors are compared",
            "each channel has a scale of its own.",
            lambda r1, r2: torch.full_like(r1, math.sqrt(float(r1.max() / r2.max()))),
        ),
        Mistake(
            "dead channels are not looked after",
            "a channel that is zero in one of the layers would get s = 0, ∞ or nan, and then you divide by s. "
            "Leave it alone: s = 1.",
            lambda r1, r2: torch.sqrt(r1 / r2),
        ),
        Mistake(
            "dead channels are not looked after (√(r₁r₂)/r₂)",
            "a channel that is zero in one of the layers would get s = 0 or nan, and then you divide by s. "
            "Leave it alone: s = 1.",
            lambda r1, r2: torch.sqrt(r1 * r2) / r2,
        ),
        Mistake(
            "channels that are dead in the second layer get s = 0",
            "you will divide by s. A channel that is zero in either layer keeps s = 1.",
            lambda r1, r2: torch.where(r2 > 0, torch.sqrt(r1 / r2), torch.zeros_like(r1)),
        ),
        Mistake(
            "channels that are dead in the first layer get s = 0",
            "you will divide by s. A channel that is zero in *either* layer keeps s = 1.",
            lambda r1, r2: torch.where(r2 > 0, torch.sqrt(r1 / r2), torch.ones_like(r1)),
        ),
        Mistake(
            "channels that are dead in the second layer are not looked after",
            "r₁/0 is infinite. A channel that is zero in *either* layer keeps s = 1.",
            lambda r1, r2: torch.where(r1 > 0, torch.sqrt(r1 / r2), torch.ones_like(r1)),
        ),
        Mistake(
            "`where` is the wrong way round",
            "`torch.where(condition, value if true, value if false)`.",
            lambda r1, r2: torch.where((r1 > 0) & (r2 > 0), torch.ones_like(r1), torch.sqrt(r1 / r2)),
        ),
        Mistake(
            "only nan is replaced",
            "0/1 gives s = 0 and 1/0 gives ∞. Neither is nan, and both are useless: ask if both ranges are positive.",
            lambda r1, r2: torch.nan_to_num(torch.sqrt(r1 / r2), nan=1.0),
        ),
        Mistake(
            "math.sqrt is given a tensor",
            "`math.sqrt` takes one number. For a tensor there is `torch.sqrt`.",
            lambda r1, r2: torch.tensor(math.sqrt(r1 / r2)),
        ),
        Mistake(
            "`if` is given a tensor",
            "a tensor has many truths, and `if` wants one. `torch.where` decides for each element.",
            lambda r1, r2: r1 if r1 == 0 else torch.sqrt(r1 / r2),
        ),
        Mistake(
            "a small number keeps the division alive",
            "a clamp or a small ε avoids nan, but s becomes huge or tiny and is no longer harmless. "
            "Where a range is zero, s = 1.",
            lambda r1, r2: torch.sqrt(r1 / r2.clamp(min=1e-8)),
        ),
        Mistake(
            "a small number is added to the ranges",
            "ε avoids nan, but s becomes huge or tiny for dead channels. Where a range is zero, s = 1.",
            lambda r1, r2: torch.sqrt((r1 + 1e-8) / (r2 + 1e-8)),
        ),
    ],
)


# (d) Moving the range


Triple = tuple[Tensor, Tensor, Tensor]


def _inputs_times(weight: Tensor, v: Tensor, groups: int) -> Tensor:
    """Return the weight with input channel i times v_i."""
    turned = _by_input(weight, groups)
    return _by_input(turned * _per_channel(v, turned), groups)


def _rescaling(
    rows: Callable[[Tensor, Tensor], Tensor] = lambda first, s: first / _per_channel(s, first),
    bias: Callable[[Tensor, Tensor], Tensor] = lambda bias, s: bias / s,
    columns: Callable[[Tensor, Tensor, int], Tensor] = _inputs_times,
) -> Callable[..., Triple]:
    def solution(first: Tensor, first_bias: Tensor, second: Tensor, s: Tensor, groups: int) -> Triple:
        return rows(first, s), bias(first_bias, s), columns(second, s, groups)

    return solution


RESCALE = Exercise(
    "rescale",
    _rescaling(),
    [
        (
            torch.tensor([[8.0, -2.0], [1.0, 0.5]]),
            torch.tensor([4.0, 1.0]),
            torch.tensor([[0.5, -2.0], [0.25, 4.0], [-0.5, 0.0]]),
            torch.tensor([4.0, 0.5]),
            1,
        ),
        (_random(12, 6, 4, 1, 1), _vector(42, 6), _random(13, 6, 1, 3, 3), _vector(43, 6, 0.1, 3), 6),
        (_random(14, 6, 1, 3, 3), _vector(44, 6), _random(15, 5, 6, 1, 1), _vector(45, 6, 0.1, 3), 1),
        (_random(16, 6, 6, 3, 3), _vector(46, 6), _random(17, 6, 6, 3, 3), _vector(47, 6, 0.1, 3), 1),
        (_random(18, 4, 8, 1, 1), _vector(48, 4), _random(19, 10, 4), _vector(49, 4, 0.1, 3), 1),
    ],
    [
        Mistake(
            "the first layer is multiplied",
            "s = √(r₁/r₂) is large where the first layer's range is: *divide* that one, multiply the second.",
            _rescaling(rows=lambda first, s: first * _per_channel(s, first)),
        ),
        Mistake(
            "the first layer is scaled by its input channels",
            "s belongs to the channels between the layers. They are the first layer's *outputs*: axis 0.",
            _rescaling(rows=lambda first, s: first / s.reshape(1, -1, *[1] * (first.dim() - 2))),
        ),
        Mistake(
            "s lies along the last axis of the first layer",
            "PyTorch lines up shapes from the right, so a vector meets the last axis. Use `per_channel`.",
            _rescaling(rows=lambda first, s: first / s),
        ),
        Mistake(
            "the first layer stays as it was",
            "what the second layer gains, the first has to lose: divide it by s.",
            _rescaling(rows=lambda first, s: first),
        ),
        Mistake(
            "the bias stays as it was",
            "W₁x + b₁ as a whole must shrink by s, or ReLU cuts elsewhere than before.",
            _rescaling(bias=lambda bias, s: bias),
        ),
        Mistake(
            "the bias is multiplied",
            "W₁x + b₁ as a whole is divided by s: the bias, too.",
            _rescaling(bias=lambda bias, s: bias * s),
        ),
        Mistake(
            "the second layer is divided, too",
            "the channel comes in smaller by s. To end up with the same, the second layer must be larger by s.",
            _rescaling(columns=lambda second, s, groups: _inputs_times(second, 1 / s, groups)),
        ),
        Mistake(
            "the second layer's output channels are scaled",
            "s belongs to the second layer's *inputs*: turn it with `by_input`, scale, turn back.",
            _rescaling(columns=lambda second, s, groups: second * _per_channel(s, second)),
        ),
        Mistake(
            "a depthwise layer is scaled along axis 1",
            "a depthwise weight has the shape (C, 1, k, k): its channels are on axis 0. `by_input` knows that if it is "
            "given `groups`.",
            _rescaling(columns=lambda second, s, groups: second * s.reshape(1, -1, *[1] * (second.dim() - 2))),
        ),
        Mistake(
            "the second layer is not turned back",
            "`by_input` puts the input channels first. After scaling, turn back with a second `by_input`.",
            _rescaling(
                columns=lambda second, s, groups: _by_input(second, groups) * _per_channel(s, _by_input(second, groups))
            ),
        ),
        Mistake(
            "the second layer stays as it was",
            "then the function has changed: the second layer has to give back by multiplication what the first lost.",
            _rescaling(columns=lambda second, s, groups: second),
        ),
    ],
)


# (e) Absorbing


def _absorbing(
    excess: Callable[[Tensor, Tensor], Any] = lambda beta, gamma: (beta - 3 * gamma.abs()).clamp(min=0),
    bias: Callable[[Tensor, Tensor], Tensor] = lambda bias, c: bias - c,
    moved: Callable[[Tensor, Tensor, int], Tensor] = lambda w, c, groups: _inputs_times(w, c, groups).flatten(1).sum(1),
    add: Callable[[Tensor, Tensor], Tensor] = lambda bias, moved: bias + moved,
) -> Callable[..., Triple]:
    def solution(
        beta: Tensor, gamma: Tensor, first_bias: Tensor, second: Tensor, second_bias: Tensor, groups: int
    ) -> Triple:
        c = excess(beta, gamma)
        return c, bias(first_bias, c), add(second_bias, moved(second, c, groups))

    return solution


def _norms_output(seed: int, n: int) -> Pair:
    """β and γ: half of the channels have something to absorb, and γ has both signs."""
    return _vector(seed, n, -1.5, 4), _vector(seed + 1, n, -0.8, 0.8)


ABSORB = Exercise(
    "absorb",
    _absorbing(),
    [
        (
            torch.tensor([5.0, 1.0, -3.0]),
            torch.tensor([1.0, -0.5, 0.5]),
            torch.tensor([4.0, 1.0, 0.0]),
            torch.tensor([[1.0, 7.0, 9.0], [-2.0, 3.0, 8.0]]),
            torch.tensor([0.5, 0.25]),
            1,
        ),
        (*_norms_output(50, 6), _vector(52, 6), _random(20, 6, 1, 3, 3), _vector(53, 6), 6),
        (*_norms_output(54, 6), _vector(56, 6), _random(21, 5, 6, 1, 1), _vector(57, 5), 1),
        (*_norms_output(58, 6), _vector(60, 6), _random(22, 6, 6, 3, 3), _vector(61, 6), 1),
    ],
    [
        Mistake(
            "c can be negative",
            "there is nothing to absorb if the channel often falls below 0: c = max(0, …).",
            _absorbing(lambda beta, gamma: beta - 3 * gamma.abs()),
        ),
        Mistake(
            "γ has kept its sign",
            "the standard deviation of the channel is |γ|. In this network every fifth γ is negative.",
            _absorbing(lambda beta, gamma: (beta - 3 * gamma).clamp(min=0)),
        ),
        Mistake(
            "γ is squared",
            "the standard deviation of the channel is |γ|; γ² is the variance.",
            _absorbing(lambda beta, gamma: (beta - 3 * gamma**2).clamp(min=0)),
        ),
        Mistake(
            "the root of γ is taken",
            "γ is no variance: after BatchNorm the standard deviation is |γ| itself.",
            _absorbing(lambda beta, gamma: (beta - 3 * gamma.abs().sqrt()).clamp(min=0)),
        ),
        Mistake(
            "one standard deviation is taken",
            "a normal variable falls below β − |γ| in 16 % of the cases. Three standard deviations make it 0.13 %.",
            _absorbing(lambda beta, gamma: (beta - gamma.abs()).clamp(min=0)),
        ),
        Mistake(
            "six standard deviations are taken",
            "six are for the ranges of activations. Here it is three.",
            _absorbing(lambda beta, gamma: (beta - 6 * gamma.abs()).clamp(min=0)),
        ),
        Mistake(
            "the upper end is taken",
            "c is what the channel nearly always *exceeds*: the lower end, β − 3|γ|.",
            _absorbing(lambda beta, gamma: (beta + 3 * gamma.abs()).clamp(min=0)),
        ),
        Mistake(
            "the mean is taken",
            "half of the values lie below the mean, and ReLU would cut them. Stay three standard deviations below it.",
            _absorbing(lambda beta, gamma: beta.clamp(min=0)),
        ),
        Mistake(
            "c is never positive",
            "max, not min: c is the part of the channel that is always there, above 0.",
            _absorbing(lambda beta, gamma: (beta - 3 * gamma.abs()).clamp(max=0)),
        ),
        Mistake(
            "Python's max is given a tensor",
            "Python's `max` wants one truth and gets many. `clamp(min=0)` works on each element.",
            _absorbing(lambda beta, gamma: max(0, beta - 3 * gamma.abs())),
        ),
        Mistake(
            "there is one c for all channels",
            "each channel has a bias of its own to give.",
            _absorbing(lambda beta, gamma: (beta - 3 * gamma.abs()).clamp(min=0).max().expand(len(beta))),
        ),
        Mistake(
            "c is added to the first bias",
            "the first layer *gives* c: its bias becomes smaller.",
            _absorbing(bias=lambda bias, c: bias + c),
        ),
        Mistake(
            "the first bias stays as it was",
            "what the second layer is given, the first must lose.",
            _absorbing(bias=lambda bias, c: bias),
        ),
        Mistake(
            "the first bias is cut at 0",
            "b₁ − c may well be negative: W₁x makes up for it.",
            _absorbing(bias=lambda bias, c: (bias - c).clamp(min=0)),
        ),
        Mistake(
            "W₂c is subtracted",
            "the channel comes in lower by c, so W₂c is missing in the output: give it back.",
            _absorbing(add=lambda bias, moved: bias - moved),
        ),
        Mistake(
            "the second bias is replaced",
            "the second layer has a bias already: add to it.",
            _absorbing(add=lambda bias, moved: moved),
        ),
        Mistake(
            "the second bias stays as it was",
            "the constant c that is missing in its input was worth W₂c in its output.",
            _absorbing(add=lambda bias, moved: bias),
        ),
        Mistake(
            "the mean over the kernel is taken",
            "every tap of the kernel sees the constant c: *sum* over the taps.",
            _absorbing(
                moved=lambda w, c, groups: (
                    _inputs_times(w, c, groups).flatten(2).mean(2).sum(1)
                    if w.dim() > 2
                    else _inputs_times(w, c, groups).sum(1)
                )
            ),
        ),
        Mistake(
            "the mean over all inputs is taken",
            "a layer *adds* its inputs, weight by weight: sum, not mean.",
            _absorbing(moved=lambda w, c, groups: _inputs_times(w, c, groups).flatten(1).mean(1)),
        ),
        Mistake(
            "the sum runs over axis 1 only",
            "a kernel has taps as well: `flatten(1)`, then sum over axis 1.",
            _absorbing(moved=lambda w, c, groups: _inputs_times(w, c, groups).sum(1)),
        ),
        Mistake(
            "four axes are taken for granted",
            "a linear layer's weight has two axes, a convolution's four. `flatten(1)` leaves two of both.",
            _absorbing(moved=lambda w, c, groups: _inputs_times(w, c, groups).sum((1, 2, 3))),
        ),
        Mistake(
            "`@` meets a kernel",
            "a matrix product fits a linear layer. For a convolution, multiply with the help of `by_input`, then sum.",
            _absorbing(moved=lambda w, c, groups: w @ c),
        ),
        Mistake(
            "c is not multiplied by the second layer's weights",
            "W₂c has one number for each output: c goes along the *inputs* (`by_input` and back), then sum the rest.",
            _absorbing(moved=lambda w, c, groups: c),
        ),
        Mistake(
            "c is multiplied along the second layer's outputs",
            "W₂c has one number for each output: c goes along the *inputs* (`by_input` and back), then sum the rest.",
            _absorbing(moved=lambda w, c, groups: (w * _per_channel(c, w)).flatten(1).sum(1)),
        ),
        Mistake(
            "the sum runs over the second layer's outputs",
            "W₂c has one number for each output: c goes along the *inputs* (`by_input` and back), then sum the rest.",
            _absorbing(
                moved=lambda w, c, groups: (
                    (_by_input(w, groups) * _per_channel(c, _by_input(w, groups))).flatten(1).sum(1)
                )
            ),
        ),
        Mistake(
            "a depthwise layer is treated as if it mixed channels",
            "filter i of a depthwise layer sees c_i alone. `by_input` knows that if it is given `groups`.",
            _absorbing(moved=lambda w, c, groups: (w.flatten(2).sum(2) if w.dim() > 2 else w) @ c),
        ),
    ],
)


# (f) Activation ranges


def _interval(
    spread: Callable[[Tensor], Tensor] = torch.abs,
    low: Callable[[Tensor], Any] = lambda v: v.clamp(min=0),
    high: Callable[[Tensor], Tensor] = lambda v: v.clamp(min=0),
    whole: bool = False,
    always: bool = False,
) -> Callable[..., Pair]:
    def solution(beta: Tensor, gamma: Tensor, sigmas: float, relu: bool) -> Pair:
        a, b = beta - sigmas * spread(gamma), beta + sigmas * spread(gamma)
        if relu or always:
            a, b = low(a), high(b)
        return (a.min(), b.max()) if whole else (a, b)

    return solution


ACTIVATION_RANGE = Exercise(
    "activation_range",
    _interval(),
    [
        (torch.tensor([1.0, 9.0, -8.0]), torch.tensor([0.5, -1.0, 1.0]), 6.0, True),
        (torch.tensor([1.0, 9.0, -8.0]), torch.tensor([0.5, -1.0, 1.0]), 6.0, False),
        (_vector(70, 8, -3, 3), _vector(71, 8), 3.0, True),
        (_vector(72, 8, -3, 3), _vector(73, 8), 4.0, False),
    ],
    [
        Mistake(
            "γ has kept its sign",
            "the standard deviation is |γ|: with a negative γ the low end would lie above the high one.",
            _interval(spread=lambda gamma: gamma),
        ),
        Mistake(
            "γ is squared",
            "the standard deviation of the channel is |γ|; γ² is the variance.",
            _interval(spread=lambda gamma: gamma**2),
        ),
        Mistake(
            "the root of γ is taken",
            "γ is no variance: after BatchNorm the standard deviation is |γ| itself.",
            _interval(spread=lambda gamma: gamma.abs().sqrt()),
        ),
        Mistake(
            "it is always six sigmas",
            "take `sigmas`: with few bits another width will be better.",
            lambda beta, gamma, sigmas, relu: _interval()(beta, gamma, 6.0, relu),
        ),
        Mistake(
            "the interval is n|γ| wide in all",
            "n standard deviations to *each* side of β.",
            lambda beta, gamma, sigmas, relu: _interval()(beta, gamma, sigmas / 2, relu),
        ),
        Mistake(
            "it is cut even without a ReLU",
            "with relu=False negative values stay: look at `relu`.",
            _interval(always=True),
        ),
        Mistake(
            "after ReLU the low end is always 0",
            "a channel with a large β never comes near 0. ReLU leaves such a low end where it is: max(0, …).",
            _interval(low=torch.zeros_like),
        ),
        Mistake(
            "after ReLU the high end may be negative",
            "a channel can be negative altogether. After ReLU it is 0: cut the high end, too.",
            _interval(high=lambda v: v),
        ),
        Mistake(
            "after ReLU the low end may be negative",
            "with relu=True nothing below 0 is left: cut both ends there.",
            _interval(low=lambda v: v),
        ),
        Mistake(
            "Python's max is given a tensor",
            "Python's `max` wants one truth and gets many. `clamp(min=0)` works on each element.",
            _interval(low=lambda v: max(0, v)),
        ),
        Mistake(
            "ReLU is applied to β, not to the interval",
            "first the interval β ± n|γ|, then ReLU on its ends.",
            lambda beta, gamma, sigmas, relu: _interval()(beta.clamp(min=0) if relu else beta, gamma, sigmas, False),
        ),
        Mistake(
            "it is cut at 6",
            "that was ReLU6. We have replaced it by ReLU, which has no upper end.",
            _interval(low=lambda v: v.clamp(0, 6), high=lambda v: v.clamp(0, 6)),
        ),
        Mistake(
            "there is one interval for all channels",
            "keep the channels apart: where two branches are added, their channels add up one by one. The widest is "
            "taken in the end.",
            _interval(whole=True),
        ),
        Mistake(
            "low and high are exchanged",
            "first the low end, then the high one.",
            lambda beta, gamma, sigmas, relu: _interval()(beta, gamma, sigmas, relu)[::-1],
        ),
        Mistake(
            "β is left out",
            "the channel lies around β, not around 0.",
            lambda beta, gamma, sigmas, relu: _interval()(torch.zeros_like(beta), gamma, sigmas, relu),
        ),
    ],
)


# (g) The mean after ReLU


def _cdf(t: Tensor) -> Tensor:
    return torch.special.ndtr(t)


def _density(t: Tensor) -> Tensor:
    return torch.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)


def _mean(
    formula: Callable[[Tensor, Tensor], Tensor] = lambda m, s: m * _cdf(m / s) + s * _density(m / s),
    spread: Callable[[Tensor], Tensor] = torch.abs,
    careful: bool = True,
) -> Callable[[Tensor, Tensor], Tensor]:
    def solution(beta: Tensor, gamma: Tensor) -> Tensor:
        s = spread(gamma)
        if not careful:
            return formula(beta, s)
        return torch.where(s == 0, beta.clamp(min=0), formula(beta, torch.where(s == 0, 1.0, s)))

    return solution


RELU_MEAN = Exercise(
    "relu_mean",
    _mean(),
    [
        (torch.tensor([0.0, 5.0, -5.0]), torch.tensor([1.0, 1.0, 1.0])),
        (_vector(80, 8, -2, 2), _vector(81, 8, 0.2, 1.5)),
        (_vector(82, 8, -2, 2), _vector(83, 8, -1.5, 1.5)),
        (torch.tensor([2.0, -1.0, 0.0, 0.5]), torch.tensor([0.0, 0.0, 0.0, 0.5])),
    ],
    [
        Mistake(
            "this is the ReLU of the mean",
            "the mean of relu(y) is not relu of the mean: half of a channel with β = 0 gets through.",
            lambda beta, gamma: beta.clamp(min=0),
        ),
        Mistake(
            "it is the mean before ReLU",
            "β is the mean of y. ReLU cuts the negative part, so the mean rises.",
            lambda beta, gamma: beta,
        ),
        Mistake(
            "the second term is missing",
            "β·Φ is not all: look at β = 0. The mean of what ReLU lets through is not zero.",
            _mean(lambda m, s: m * _cdf(m / s)),
        ),
        Mistake(
            "the first term is missing",
            "look at β = 5, γ = 1: ReLU hardly cuts anything, so the mean must be 5.",
            _mean(lambda m, s: s * _density(m / s)),
        ),
        Mistake(
            "Φ is missing",
            "β counts only where y is positive: times Φ(β/|γ|).",
            _mean(lambda m, s: m + s * _density(m / s)),
        ),
        Mistake(
            "the sign of Φ's argument is wrong",
            "Φ(β/|γ|) is the probability that y is positive: with a large β it must be near 1.",
            _mean(lambda m, s: m * _cdf(-m / s) + s * _density(m / s)),
        ),
        Mistake(
            "the second term is subtracted",
            "the mean of relu(y) can never be negative.",
            _mean(lambda m, s: m * _cdf(m / s) - s * _density(m / s)),
        ),
        Mistake(
            "Φ and φ are exchanged",
            "Φ, the probability, belongs to β, φ, the density, to |γ|.",
            _mean(lambda m, s: m * _density(m / s) + s * _cdf(m / s)),
        ),
        Mistake(
            "the density is not multiplied by |γ|",
            "β and |γ| have the unit of y; Φ and φ have none. Both terms need a factor.",
            _mean(lambda m, s: m * _cdf(m / s) + _density(m / s)),
        ),
        Mistake(
            "the density is multiplied by γ²",
            "twice as wide, twice as large: E[relu] has the unit of γ, not of γ². If you use the density of N(β, γ²) "
            "instead of φ, it already has a 1/|γ| in it.",
            _mean(lambda m, s: m * _cdf(m / s) + s**2 * _density(m / s)),
        ),
        Mistake(
            "β and γ are not put into ratio",
            "Φ and φ belong to the *standard* normal distribution: their argument is β/|γ|.",
            _mean(lambda m, s: m * _cdf(m) + s * _density(m)),
        ),
        Mistake(
            "it is divided by the variance",
            "the argument is β/|γ|, mean by standard deviation.",
            _mean(lambda m, s: m * _cdf(m / s**2) + s * _density(m / s**2)),
        ),
        Mistake(
            "φ is not normalized",
            "φ(t) = exp(−t²/2)/√(2π).",
            _mean(lambda m, s: m * _cdf(m / s) + s * torch.exp(-((m / s) ** 2) / 2)),
        ),
        Mistake(
            "φ is divided by 2π, not by its root",
            "φ(t) = exp(−t²/2)/√(2π).",
            _mean(lambda m, s: m * _cdf(m / s) + s * torch.exp(-((m / s) ** 2) / 2) / (2 * math.pi)),
        ),
        Mistake(
            "the exponent is not halved",
            "φ(t) = exp(−t²/2)/√(2π): there is a 2 below t².",
            _mean(lambda m, s: m * _cdf(m / s) + s * torch.exp(-((m / s) ** 2)) / math.sqrt(2 * math.pi)),
        ),
        Mistake(
            "the exponent has the wrong sign",
            "φ falls to both sides: exp(−t²/2). In Python, -t**2 is −(t²), but (-t)**2 is t².",
            _mean(lambda m, s: m * _cdf(m / s) + s * torch.exp((m / s) ** 2 / 2) / math.sqrt(2 * math.pi)),
        ),
        Mistake(
            "erf is used as if it were Φ",
            "Φ(t) = (1 + erf(t/√2))/2. `torch.special.ndtr` is Φ already.",
            _mean(lambda m, s: m * torch.erf(m / s) + s * _density(m / s)),
        ),
        Mistake(
            "the √2 in erf is missing",
            "Φ(t) = (1 + erf(t/√2))/2. `torch.special.ndtr` is Φ already.",
            _mean(lambda m, s: m * (1 + torch.erf(m / s)) / 2 + s * _density(m / s)),
        ),
        Mistake(
            "it is the mean of the positive values only",
            "divided by Φ it would be the mean of those y that are positive. The zeros that ReLU makes count as well.",
            _mean(lambda m, s: m + s * _density(m / s) / _cdf(m / s)),
        ),
        Mistake(
            "γ has kept its sign in the second term",
            "the standard deviation of the channel is |γ|, there as well.",
            lambda beta, gamma: torch.where(
                gamma == 0,
                beta.clamp(min=0),
                beta * _cdf(beta / gamma.abs()) + gamma * _density(beta / gamma.abs()),
            ),
        ),
        Mistake(
            "math.exp is given a tensor",
            "`math.exp` and `math.erf` take one number. For tensors there are `torch.exp` and `torch.special.ndtr`.",
            lambda beta, gamma: torch.tensor(math.exp(-((beta / gamma) ** 2) / 2)),
        ),
        Mistake(
            "γ has kept its sign, and γ = 0 is not looked after",
            "the standard deviation is |γ|. And where it is 0, the channel always has the value β.",
            _mean(spread=lambda gamma: gamma, careful=False),
        ),
        Mistake(
            "γ has kept its sign",
            "the standard deviation of the channel is |γ|.",
            _mean(spread=lambda gamma: gamma),
        ),
        Mistake(
            "γ = 0 is not looked after",
            "β/0 is ∞, and 0/0 is nan. Such a channel always has the value β: its mean after ReLU is max(0, β).",
            _mean(careful=False),
        ),
        Mistake(
            "a channel with γ = 0 gets 0",
            "with γ = 0 the channel is always β. ReLU makes max(0, β) of it.",
            lambda beta, gamma: torch.where(gamma == 0, 0.0, _mean()(beta, gamma)),
        ),
        Mistake(
            "a channel with γ = 0 gets β",
            "with γ = 0 the channel is always β. And then comes ReLU.",
            lambda beta, gamma: torch.where(gamma == 0, beta, _mean()(beta, gamma)),
        ),
    ],
)


# (h) Bias correction


def _correction(
    error: Callable[[Tensor, Tensor], Tensor] = lambda weight, rounded: rounded - weight,
    shift: Callable[[Tensor, Tensor, int], Tensor] = lambda e, m, groups: _inputs_times(e, m, groups).flatten(1).sum(1),
    apply: Callable[[Tensor, Tensor], Tensor] = lambda bias, shift: bias - shift,
) -> Callable[..., Tensor]:
    def solution(bias: Tensor, weight: Tensor, rounded: Tensor, mean: Tensor, groups: int) -> Tensor:
        return apply(bias, shift(error(weight, rounded), mean, groups))

    return solution


def _rounded_to(step: float, weight: Tensor) -> Pair:
    return weight, torch.round(weight / step) * step


CORRECTED_BIAS = Exercise(
    "corrected_bias",
    _correction(),
    [
        (torch.tensor([1.0]), torch.tensor([[0.4, 1.2]]), torch.tensor([[0.5, 1.0]]), torch.tensor([2.0, 3.0]), 1),
        (_vector(90, 6), *_rounded_to(0.2, _random(24, 6, 1, 3, 3)), _vector(91, 6, 0, 2), 6),
        (_vector(92, 5), *_rounded_to(0.2, _random(25, 5, 6, 1, 1)), _vector(93, 6, 0, 2), 1),
        (_vector(94, 6), *_rounded_to(0.3, _random(26, 6, 6, 3, 3)), _vector(95, 6, -1, 2), 1),
    ],
    [
        Mistake(
            "the shift is added once more",
            "rounding has shifted the output by (W̃ − W)·E[x]. To undo it, subtract.",
            _correction(apply=lambda bias, shift: bias + shift),
        ),
        Mistake(
            "the shift is returned, not the bias",
            "return the new bias: the old one minus the shift.",
            _correction(apply=lambda bias, shift: shift),
        ),
        Mistake(
            "the old bias is lost",
            "subtract the shift *from the bias*.",
            _correction(apply=lambda bias, shift: -shift),
        ),
        Mistake(
            "nothing is corrected",
            "subtract (W̃ − W)·E[x].",
            _correction(apply=lambda bias, shift: bias),
        ),
        Mistake(
            "the mean of the input is left out",
            "an error of a weight matters as much as what it is multiplied with: E[x].",
            _correction(shift=lambda e, m, groups: e.flatten(1).sum(1)),
        ),
        Mistake(
            "errors are made positive",
            "errors of opposite sign cancel. What is left is what we are after.",
            _correction(error=lambda weight, rounded: (rounded - weight).abs()),
        ),
        Mistake(
            "errors are squared",
            "the output's *mean* moves by the errors themselves, not by their squares.",
            _correction(error=lambda weight, rounded: (rounded - weight) ** 2),
        ),
        Mistake(
            "the whole mean output is taken away",
            "W̃·E[x] is the output itself. Only what rounding has changed is to be undone: W̃ − W.",
            _correction(error=lambda weight, rounded: rounded),
        ),
        Mistake(
            "the original mean output is taken away",
            "W·E[x] is the output itself. Only what rounding has changed is to be undone: W̃ − W.",
            _correction(error=lambda weight, rounded: weight),
        ),
        Mistake(
            "the mean over the kernel is taken",
            "every tap of the kernel sees a channel with the mean E[x]: *sum* over the taps.",
            _correction(
                shift=lambda e, m, groups: (
                    _inputs_times(e, m, groups).flatten(2).mean(2).sum(1)
                    if e.dim() > 2
                    else _inputs_times(e, m, groups).sum(1)
                )
            ),
        ),
        Mistake(
            "the mean over all weights is taken",
            "a layer *adds* its inputs, weight by weight: sum, not mean.",
            _correction(shift=lambda e, m, groups: _inputs_times(e, m, groups).flatten(1).mean(1)),
        ),
        Mistake(
            "the means lie along the last axis",
            "shapes are lined up from the right, so a vector meets the last axis, the kernel's. Use `by_input` and "
            "`per_channel`.",
            _correction(shift=lambda e, m, groups: (e * m).sum(1)),
        ),
        Mistake(
            "four axes are taken for granted",
            "a linear layer's weight has two axes, a convolution's four. `flatten(1)` leaves two of both.",
            _correction(shift=lambda e, m, groups: _inputs_times(e, m, groups).sum((1, 2, 3))),
        ),
        Mistake(
            "`@` meets a kernel",
            "a matrix product fits a linear layer. For a convolution, multiply with the help of `by_input`, then sum.",
            _correction(shift=lambda e, m, groups: e @ m),
        ),
        Mistake(
            "the means are put along the outputs",
            "E[x] belongs to the layer's *inputs*: `by_input` puts them first.",
            _correction(shift=lambda e, m, groups: (e * _per_channel(m, e)).flatten(1).sum(1)),
        ),
        Mistake(
            "the sum runs over the outputs",
            "turn the weight back with a second `by_input` before you sum: one number for each *output* is wanted.",
            _correction(
                shift=lambda e, m, groups: (
                    (_by_input(e, groups) * _per_channel(m, _by_input(e, groups))).flatten(1).sum(1)
                )
            ),
        ),
        Mistake(
            "a depthwise layer is treated as if it mixed channels",
            "filter i of a depthwise layer sees channel i alone. `by_input` knows that if it is given `groups`.",
            _correction(shift=lambda e, m, groups: (e.flatten(2).sum(2) if e.dim() > 2 else e) @ m),
        ),
        Mistake(
            "there is one correction for all outputs",
            "every output has errors of its own: sum over all axes but the first.",
            _correction(shift=lambda e, m, groups: _inputs_times(e, m, groups).sum()),
        ),
    ],
)


EXERCISES = [
    FOLD,
    CHANNEL_RANGES,
    EQUALIZATION_SCALE,
    RESCALE,
    ABSORB,
    ACTIVATION_RANGE,
    RELU_MEAN,
    CORRECTED_BIAS,
]


# (i) Questions

QUESTIONS = [
    question(
        "answer_1",
        82,
        {
            70: "that is at 8 bits. At 6 bits the scale is max r₁ / 31.",
            14: "those are the channels that get a code. How many get none?",
            26: "those are the channels that get a code at 8 bits. The question is how many get none at 6 bits.",
            96: "that is how many channels there are. One of them sets the scale; it surely does not round to 0.",
            89: "a weight of more than half a step rounds to ±1: compare with S/2, not with S.",
            65: "that is after equalization. Look at the folded network.",
            69: "that is after equalization. Look at the folded network.",
        },
    ),
    question(
        "answer_2",
        34,
        {
            2048: "that is how many channels there are. Count those with c > 0.",
            3: "that is one layer: add up all pairs.",
            9: "that is the number of pairs with something to absorb. Count the channels.",
            11: "that is the number of pairs. Count the channels with c > 0.",
        },
    ),
    question(
        "answer_3",
        "c",
        {
            "a": "activations in floating point did not save the network in section 2. Where is the damage?",
            "b": "look at the second line. Bias correction repairs the mean of an output. And what varies in it?",
            "d": "compare the lines before and after that step.",
        },
    ),
    question(
        "answer_4",
        "b",
        {
            "a": "clipping does grow, but how many values lie beyond three sigmas? And how many of the 16 levels?",
            "c": "run it once more: both numbers are printed by the cell above.",
        },
    ),
    question(
        "answer_5",
        "b",
        {
            "a": "without BatchNorm, where would β and γ come from?",
            "c": "`linked_pairs(mlp)` is not empty: what does equalization need to know of the data?",
            "d": "without BatchNorm, where would E[x] come from?",
        },
    ),
]
