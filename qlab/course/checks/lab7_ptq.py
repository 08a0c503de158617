"""Lab 7, post-training quantization: right solutions, and the mistakes that people make.

    b ← b − (W̃ E[x̂] − W E[x]),    E[(Δw·x)²] = Δwᵀ H Δw,  H = E[x xᵀ],    min over V of Δw(V)ᵀ H Δw(V) + push(V, β)

Survey-map rows: T5, T8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "ADAROUND",
    "BEST_ROUNDING",
    "BETA_AT",
    "CORRECTED_BIAS",
    "EXERCISES",
    "MEAN_SHIFT",
    "OUTPUT_ERROR",
    "PUSH",
    "QUESTIONS",
    "RECTIFIED_SIGMOID",
    "RELU_MEAN",
    "SECOND_MOMENTS",
    "SOFT_WEIGHT",
]


def _random(seed: int, *shape: int, mean: float = 0.0, mixed: bool = False) -> Tensor:
    """Normal numbers; `mixed` makes the columns alike, as neighbouring pixels are."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator)
    if mixed:
        x = x + 1.2 * torch.randn(shape[0], 1, generator=generator)
    return x + mean


def _layer(seed: int, outputs: int, inputs: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, the same rounded, and inputs after a ReLU."""
    w = _random(seed, outputs, inputs)
    return w, torch.round(2 * w) / 2, _random(seed + 100, n, inputs, mean=0.4).relu()


# (a) The mean shift


def _mean_shift(w: Tensor, w_hat: Tensor, x: Tensor) -> Tensor:
    return (w_hat - w) @ x.mean(0)


MEAN_SHIFT = Exercise(
    "mean_shift",
    _mean_shift,
    [
        (
            torch.tensor([[1.2, -1.0], [0.5, 0.2]]),
            torch.tensor([[1.5, -1.0], [0.5, 0.0]]),
            torch.tensor([[1.0, 2.0], [3.0, 0.0], [2.0, 1.0]]),
        ),
        _layer(0, 4, 3, 5),
        _layer(1, 3, 6, 7),
        _layer(2, 5, 5, 5),
    ],
    [
        Mistake(
            "the sign is turned",
            "what the rounded layer puts out minus what it should have put out: rounded minus original.",
            lambda w, w_hat, x: (w - w_hat) @ x.mean(0),
        ),
        Mistake(
            "the outputs are added up over the batch",
            "E is a mean: divide by the number of inputs, or use mean(0).",
            lambda w, w_hat, x: (w_hat - w) @ x.sum(0),
        ),
        Mistake(
            "the mean is taken over the outputs, not over the inputs of the batch",
            "x @ w.T has a row for every input and a column for every output. One number per output remains: mean(0).",
            lambda w, w_hat, x: (x @ (w_hat - w).T).mean(1),
        ),
        Mistake(
            "w is not transposed",
            "w has the shape (outputs, d), and a row of x has d numbers: x @ w.T, or w @ x.mean(0).",
            lambda w, w_hat, x: (x @ (w_hat - w)).mean(0),
        ),
        Mistake(
            "there is one number for all outputs",
            "each output has a shift of its own, and later a bias of its own: mean over axis 0 only.",
            lambda w, w_hat, x: (x @ (w_hat - w).T).mean(),
        ),
        Mistake(
            "the magnitude is returned",
            "a shift has a sign, and the bias will need it.",
            lambda w, w_hat, x: ((w_hat - w) @ x.mean(0)).abs(),
        ),
        Mistake(
            "magnitudes are averaged",
            "errors of opposite sign do cancel in the mean: no abs() before it.",
            lambda w, w_hat, x: (x @ (w_hat - w).T).abs().mean(0),
        ),
        Mistake(
            "squares are averaged",
            "that is the whole error of the output. Its mean, without a square, is the shift.",
            lambda w, w_hat, x: (x @ (w_hat - w).T).square().mean(0),
        ),
        Mistake(
            "the original output is not subtracted",
            "E[W̃x] alone is the mean output. How far is it from E[Wx]?",
            lambda w, w_hat, x: w_hat @ x.mean(0),
        ),
        Mistake(
            "the inputs are left out",
            "what a wrong weight does depends on what it is multiplied with: on the mean of its input.",
            lambda w, w_hat, x: (w_hat - w).mean(1),
        ),
        Mistake(
            "weights and inputs are averaged apart",
            "the mean of a product is not the product of the means over all inputs: each weight meets its own input.",
            lambda w, w_hat, x: (w_hat - w).sum(1) * x.mean(),
        ),
        Mistake(
            "it is divided by the number of inputs of the layer",
            "an output is a *sum* over the layer's inputs. Only the batch is averaged.",
            lambda w, w_hat, x: (w_hat - w) @ x.mean(0) / x.shape[1],
        ),
        Mistake(
            "the shift is relative",
            "the bias is in the units of the output: no division by it.",
            lambda w, w_hat, x: (w_hat - w) @ x.mean(0) / (w @ x.mean(0)),
        ),
        Mistake(
            "the median is taken",
            "the bias is to restore the mean.",
            lambda w, w_hat, x: (x @ (w_hat - w).T).median(0).values,
        ),
    ],
)


# (b) The correction


def _corrected_bias(bias: Tensor, w: Tensor, w_hat: Tensor, x: Tensor, x_hat: Tensor) -> Tensor:
    return bias - (w_hat @ x_hat.mean(0) - w @ x.mean(0))


def _arriving(seed: int, outputs: int, inputs: int, n: int) -> tuple[Tensor, ...]:
    w, w_hat, x = _layer(seed, outputs, inputs, n)
    return _random(seed + 50, outputs), w, w_hat, x, (x + 0.3 * _random(seed + 70, n, inputs)).relu()


CORRECTED_BIAS = Exercise(
    "corrected_bias",
    _corrected_bias,
    [
        (
            torch.tensor([0.5]),
            torch.tensor([[1.2, -1.0]]),
            torch.tensor([[1.5, -1.0]]),
            torch.tensor([[1.0, 2.0], [3.0, 0.0]]),
            torch.tensor([[1.0, 3.0], [3.0, 1.0]]),
        ),
        _arriving(3, 4, 3, 6),
        _arriving(4, 3, 5, 5),
    ],
    [
        Mistake(
            "the shift is added",
            "the outputs are too large by the shift: take it away.",
            lambda bias, w, w_hat, x, x_hat: bias + (w_hat @ x_hat.mean(0) - w @ x.mean(0)),
        ),
        Mistake(
            "only the weights' error is corrected",
            "the rounded layer gets x̂, not x: what earlier layers did wrong shifts this output, too.",
            lambda bias, w, w_hat, x, x_hat: bias - _mean_shift(w, w_hat, x),
        ),
        Mistake(
            "x̂ is put into the original layer as well",
            "the goal is the output of the *original* network: W with x. Otherwise earlier errors stay.",
            lambda bias, w, w_hat, x, x_hat: bias - _mean_shift(w, w_hat, x_hat),
        ),
        Mistake(
            "x and x̂ are swapped",
            "the rounded weights meet the inputs x̂ of the rounded network, the original ones meet x.",
            lambda bias, w, w_hat, x, x_hat: bias - (w_hat @ x.mean(0) - w @ x_hat.mean(0)),
        ),
        Mistake(
            "the weights are swapped",
            "rounded weights belong to x̂, original ones to x.",
            lambda bias, w, w_hat, x, x_hat: bias - (w @ x_hat.mean(0) - w_hat @ x.mean(0)),
        ),
        Mistake(
            "only the inputs' error is corrected",
            "the rounded network computes with w_hat.",
            lambda bias, w, w_hat, x, x_hat: bias - w @ (x_hat - x).mean(0),
        ),
        Mistake(
            "the old bias is lost",
            "the new bias is the old one, minus the shift.",
            lambda bias, w, w_hat, x, x_hat: -(w_hat @ x_hat.mean(0) - w @ x.mean(0)),
        ),
        Mistake(
            "this is the shift, not the bias",
            "return the old bias minus that.",
            lambda bias, w, w_hat, x, x_hat: w_hat @ x_hat.mean(0) - w @ x.mean(0),
        ),
        Mistake(
            "the mean output becomes the bias",
            "subtract from the old bias only the *difference* between rounded and original output.",
            lambda bias, w, w_hat, x, x_hat: bias - w_hat @ x_hat.mean(0),
        ),
        Mistake(
            "the outputs are added up over the batch",
            "E is a mean over the batch.",
            lambda bias, w, w_hat, x, x_hat: bias - (w_hat @ x_hat.sum(0) - w @ x.sum(0)),
        ),
        Mistake(
            "all outputs get the same correction",
            "each output has its own shift: mean over axis 0 only.",
            lambda bias, w, w_hat, x, x_hat: bias - (x_hat @ w_hat.T - x @ w.T).mean(),
        ),
        Mistake(
            "the mean is taken over the outputs, not over the inputs of the batch",
            "x @ w.T has a row for every input and a column for every output: mean(0). (Of w @ x.T it is mean(1).)",
            lambda bias, w, w_hat, x, x_hat: bias - ((x_hat @ w_hat.T).mean(1) - (x @ w.T).mean(1)),
        ),
    ],
)


# (c) Without data: the mean after a ReLU


def _phi(t: Tensor) -> Tensor:
    return torch.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)


def _relu_mean(beta: Tensor, gamma: Tensor) -> Tensor:
    t = beta / gamma
    return beta * torch.special.ndtr(t) + gamma * _phi(t)


RELU_MEAN = Exercise(
    "relu_mean",
    _relu_mean,
    [
        (torch.tensor([0.0, 1.0, -1.0]), torch.tensor([1.0, 1.0, 1.0])),
        (torch.tensor([0.5, -0.5, 2.0, -3.0]), torch.tensor([0.25, 2.0, 1.5, 1.0])),
    ],
    [
        Mistake(
            "the ReLU of the mean is taken",
            "max(x, 0) of a normal x with mean 0 has a mean above 0: the ReLU cuts off only one side.",
            lambda beta, gamma: beta.relu(),
        ),
        Mistake(
            "the second term is missing",
            "at β = 0 the first term is 0, but half of the inputs pass the ReLU, and these are positive.",
            lambda beta, gamma: beta * torch.special.ndtr(beta / gamma),
        ),
        Mistake(
            "the first term is missing",
            "for β far above 0 the ReLU does nothing, and the mean must be β.",
            lambda beta, gamma: gamma * _phi(beta / gamma),
        ),
        Mistake(
            "the terms are subtracted",
            "a mean of numbers that are never negative cannot be negative: add.",
            lambda beta, gamma: beta * torch.special.ndtr(beta / gamma) - gamma * _phi(beta / gamma),
        ),
        Mistake(
            "Φ is taken on the other side",
            "Φ(β/γ) is the probability that x is positive. Φ(−β/γ) = 1 − Φ(β/γ) is that of the others.",
            lambda beta, gamma: beta * torch.special.ndtr(-beta / gamma) + gamma * _phi(beta / gamma),
        ),
        Mistake(
            "γ is left out in front of φ",
            "if x doubles, its mean after the ReLU doubles, too: both terms must carry a β or a γ.",
            lambda beta, gamma: beta * torch.special.ndtr(beta / gamma) + _phi(beta / gamma),
        ),
        Mistake(
            "γ is squared in front of φ",
            "γ is the standard deviation already; the mean is in the same units.",
            lambda beta, gamma: beta * torch.special.ndtr(beta / gamma) + gamma**2 * _phi(beta / gamma),
        ),
        Mistake(
            "β is not divided by γ",
            "Φ and φ are those of a normal variable with standard deviation 1: put β/γ into them.",
            lambda beta, gamma: beta * torch.special.ndtr(beta) + gamma * _phi(beta),
        ),
        Mistake(
            "β/γ is upside down",
            "how many standard deviations is the mean above 0? β/γ.",
            lambda beta, gamma: beta * torch.special.ndtr(gamma / beta) + gamma * _phi(gamma / beta),
        ),
        Mistake(
            "β is divided by the variance",
            "γ is the standard deviation: no square.",
            lambda beta, gamma: beta * torch.special.ndtr(beta / gamma**2) + gamma * _phi(beta / gamma**2),
        ),
        Mistake(
            "φ has no factor 1/√(2π)",
            "φ(0) is 0.399, not 1: it is a density, and the area below it is 1.",
            lambda beta, gamma: beta * torch.special.ndtr(beta / gamma) + gamma * torch.exp(-((beta / gamma) ** 2) / 2),
        ),
        Mistake(
            "φ has exp(−t²) instead of exp(−t²/2)",
            "divide the square by 2.",
            lambda beta, gamma: (
                beta * torch.special.ndtr(beta / gamma)
                + gamma * torch.exp(-((beta / gamma) ** 2)) / math.sqrt(2 * math.pi)
            ),
        ),
        Mistake(
            "it is the mean of the positive ones only",
            "those that the ReLU sets to 0 count as well: do not divide by their share.",
            lambda beta, gamma: _relu_mean(beta, gamma) / torch.special.ndtr(beta / gamma),
        ),
        Mistake(
            "φ has the factor 1/(2π)",
            "it is divided by the root of 2π.",
            lambda beta, gamma: (
                beta * torch.special.ndtr(beta / gamma) + gamma * torch.exp(-((beta / gamma) ** 2) / 2) / (2 * math.pi)
            ),
        ),
        Mistake(
            "β is not squared in φ",
            "t is β/γ, and all of it is squared: in -b / g**2 the power takes g alone.",
            lambda beta, gamma: (
                beta * torch.special.ndtr(beta / gamma)
                + gamma * torch.exp(-beta / gamma**2 / 2) / math.sqrt(2 * math.pi)
            ),
        ),
    ],
)


# (d) The second moments, and the error that they give


def _second_moments(x: Tensor) -> Tensor:
    return x.T @ x / len(x)


SECOND_MOMENTS = Exercise(
    "second_moments",
    _second_moments,
    [
        (torch.tensor([[1.0, 2.0], [3.0, 0.0]]),),
        (_random(5, 7, 3, mean=0.5),),
        (_random(6, 4, 4, mean=0.5),),
        (_random(7, 3, 5, mean=0.5),),
    ],
    [
        Mistake(
            "it is a sum, not a mean",
            "divide by the number of inputs, len(x).",
            lambda x: x.T @ x,
        ),
        Mistake(
            "rows are multiplied with rows",
            "x xᵀ in the equation is of one input, a column. Your x has the inputs in its rows: which product has the "
            "shape (d, d)?",
            lambda x: x @ x.T / len(x),
        ),
        Mistake(
            "the mean is subtracted",
            "that is the covariance. Here the mean stays in: it is a part of the error.",
            lambda x: (x - x.mean(0)).T @ (x - x.mean(0)) / len(x),
        ),
        Mistake(
            "it is divided by n − 1",
            "that belongs to a covariance, whose mean was estimated. This is a plain mean over n inputs.",
            lambda x: x.T @ x / (len(x) - 1),
        ),
        Mistake(
            "this is the product of the means",
            "E[x xᵀ] is the mean of products. Multiply first, then average.",
            lambda x: torch.outer(x.mean(0), x.mean(0)),
        ),
        Mistake(
            "it is divided by d",
            "the mean is over the n inputs, not over the d numbers in each of them.",
            lambda x: x.T @ x / x.shape[1],
        ),
        Mistake(
            "it is divided by n·d",
            "the mean is over the n inputs only: x.mean() or numel() divide by too much.",
            lambda x: x.T @ x / x.numel(),
        ),
        Mistake(
            "only the diagonal is there",
            "how two inputs go together is what matters here: H has an entry for each pair.",
            lambda x: torch.diag(x.square().mean(0)),
        ),
        Mistake(
            "these are correlations",
            "nothing is subtracted, and nothing is divided by standard deviations.",
            lambda x: torch.corrcoef(x.T),
        ),
        Mistake(
            "inputs are squared one by one",
            "H has an entry for each *pair* of inputs, shape (d, d).",
            lambda x: x.square().mean(0),
        ),
        Mistake(
            "this is torch.cov",
            "a covariance subtracts the mean and divides by n − 1. Here the mean is a part of the error and stays in.",
            lambda x: torch.cov(x.T),
        ),
    ],
)


def _output_error(delta: Tensor, H: Tensor) -> Tensor:
    return ((delta @ H) * delta).sum(-1)


OUTPUT_ERROR = Exercise(
    "output_error",
    _output_error,
    [
        (torch.tensor([[0.5, -0.5], [0.5, 0.5]]), torch.tensor([[2.0, 1.0], [1.0, 2.0]])),
        (_random(8, 4, 3), _second_moments(_random(9, 20, 3, mean=0.6))),
        (_random(10, 3, 5), _second_moments(_random(11, 20, 5, mean=0.6))),
    ],
    [
        Mistake(
            "there is one number for all outputs",
            "each row of delta is one output with an error of its own: sum over the last axis only.",
            lambda delta, H: ((delta @ H) * delta).sum(),
        ),
        Mistake(
            "every output is paired with every other",
            "delta @ H @ delta.T has (outputs × outputs) entries; only those on the diagonal are errors.",
            lambda delta, H: delta @ H @ delta.T,
        ),
        Mistake(
            "Δw comes only once",
            "Δwᵀ H Δw: on both sides of H.",
            lambda delta, H: (delta @ H).sum(-1),
        ),
        Mistake(
            "HΔw is squared",
            "Δwᵀ H Δw is not ‖HΔw‖²: multiply HΔw with Δw, entry by entry, and add up.",
            lambda delta, H: (delta @ H).square().sum(-1),
        ),
        Mistake(
            "H is left out",
            "‖Δw‖² is the error of the weights. The output's error depends on the inputs: on H.",
            lambda delta, H: delta.square().sum(-1),
        ),
        Mistake(
            "only the diagonal of H is used",
            "the cross terms 2·H_ij·Δw_i·Δw_j are what this lab is about.",
            lambda delta, H: (delta.square() * H.diagonal()).sum(-1),
        ),
        Mistake(
            "the cross terms count once",
            "H_ij and H_ji are both there: no triangle.",
            lambda delta, H: ((delta @ H.triu()) * delta).sum(-1),
        ),
        Mistake(
            "the root is taken",
            "the squared error is wanted, without a root.",
            lambda delta, H: ((delta @ H) * delta).sum(-1).sqrt(),
        ),
        Mistake(
            "it is averaged over the weights",
            "the d products are added up, not averaged.",
            lambda delta, H: ((delta @ H) * delta).mean(-1),
        ),
        Mistake(
            "it is halved",
            "the ½ belongs to a Taylor series of the loss. This is the output's squared error, whole.",
            lambda delta, H: ((delta @ H) * delta).sum(-1) / 2,
        ),
        Mistake(
            "the sum runs over the outputs",
            "sum over the last axis, so that one number per row of delta is left.",
            lambda delta, H: ((delta @ H) * delta).sum(0),
        ),
        Mistake(
            "the products are not added up",
            "Δwᵀ H Δw is one number per output: sum over the last axis.",
            lambda delta, H: (delta @ H) * delta,
        ),
        Mistake(
            "every output is paired with every other, and added up",
            "of delta @ H @ delta.T only the diagonal is wanted.",
            lambda delta, H: (delta @ H @ delta.T).sum(1),
        ),
    ],
)


# (e) All ways to round


def _best_rounding(
    w: Tensor,
    scale: float,
    top: int,
    H: Tensor,
    ways: Callable[[int], Any] = lambda d: product((0.0, 1.0), repeat=d),
    base: Callable[[Tensor], Tensor] = torch.floor,
    error: Callable[[Tensor, Tensor], Tensor] = _output_error,
    clip: bool = True,
    unit: float | None = None,
    bottom: int | None = None,
) -> Tensor:
    codes = base(w / scale) + torch.tensor(list(ways(len(w))), dtype=w.dtype)
    if clip:
        codes = codes.clamp(-top if bottom is None else bottom, top)
    delta = (scale if unit is None else unit) * codes - w
    return codes[error(delta, H).argmin()].long()


def _nearest(w: Tensor, scale: float, top: int) -> Tensor:
    return torch.round(w / scale).clamp(-top, top)


def _one_flip(w: Tensor, scale: float, top: int, H: Tensor) -> Tensor:
    """The best among the nearest and what one flip makes of it."""
    near, low = _nearest(w, scale, top), torch.floor(w / scale)
    other = (2 * low + 1 - near).clamp(-top, top)
    codes = torch.stack([near, *(torch.where(torch.arange(len(w)) == i, other, near) for i in range(len(w)))])
    return codes[_output_error(scale * codes - w, H).argmin()].long()


def _row(seed: int, d: int, scale: float) -> tuple[Tensor, float, int, Tensor]:
    """A row of weights for codes −3 … 3, and the second moments of inputs that are alike."""
    return scale * 1.6 * _random(seed, d), scale, 3, _second_moments(_random(seed + 30, 200, d, mean=0.6, mixed=True))


BEST_ROUNDING = Exercise(
    "best_rounding",
    _best_rounding,
    [
        (torch.tensor([0.4, 0.3]), 1.0, 3, torch.tensor([[1.0, 0.9], [0.9, 1.0]])),
        (torch.tensor([0.6, 0.7]), 1.0, 3, torch.tensor([[1.0, -0.9], [-0.9, 1.0]])),
        (torch.tensor([-0.7, 0.8, -1.9, 0.25]), 0.5, 3, _second_moments(_random(12, 200, 4, mean=1.0))),
        _row(4, 6, 0.25),
        _row(22, 5, 2.0),
        _row(19, 6, 0.5),
        _row(23, 6, 0.5),
    ],
    [
        Mistake(
            "this is the nearest rounding",
            "is all of H in your error? Without it, or with its diagonal alone, nearest is best. With it, some weights "
            "go the long way round.",
            lambda w, scale, top, H: _nearest(w, scale, top).long(),
        ),
        Mistake(
            "the worst is taken",
            "the *smallest* error: argmin.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, error=lambda d, H: -_output_error(d, H)),
        ),
        Mistake(
            "the codes are not clipped",
            "codes go from −top to top; clip before you measure the error.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, clip=False),
        ),
        Mistake(
            "the codes are clipped too late",
            "clipping changes the error: clip all candidates first, then look for the best.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, clip=False).clamp(-top, top),
        ),
        Mistake(
            "weights are returned",
            "return the codes, without the scale.",
            lambda w, scale, top, H: scale * _best_rounding(w, scale, top, H).to(w.dtype),
        ),
        Mistake(
            "the choices 0 and 1 are returned",
            "return the codes: the floor plus the choice, clipped.",
            lambda w, scale, top, H: (_best_rounding(w, scale, top, H) - torch.floor(w / scale)).clamp(0, 1).long(),
        ),
        Mistake(
            "the number of the best way is returned",
            "argmin tells which candidate is best. Return that candidate.",
            lambda w, scale, top, H: _output_error(
                scale
                * (torch.floor(w / scale) + torch.tensor(list(product((0.0, 1.0), repeat=len(w))))).clamp(-top, top)
                - w,
                H,
            ).argmin(),
        ),
        Mistake(
            "negative weights start from the wrong side",
            "int(), .long() and trunc go towards zero: −1.4 becomes −1, and −2 is never tried. Use torch.floor.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, base=torch.trunc),
        ),
        Mistake(
            "the choices start from the nearest",
            "up or down means floor or floor + 1. From the nearest, +1 may be two steps off.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, base=torch.round),
        ),
        Mistake(
            "the scale is left out of the error",
            "codes and weights have different units: Δw = scale · codes − w.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, unit=1.0),
        ),
        Mistake(
            "only one weight at a time goes the long way",
            "pairs of errors help each other: try all 2^d combinations, itertools.product((0, 1), repeat=d).",
            _one_flip,
        ),
        Mistake(
            "all weights go up, or all go down",
            "each weight has its own choice: 2^d combinations, not 2.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, ways=lambda d: [[0.0] * d, [1.0] * d]),
        ),
        Mistake(
            "the last combination is never tried",
            "2^d combinations, from all down to all up: range(2**d - 1) stops one before the last.",
            lambda w, scale, top, H: _best_rounding(
                w, scale, top, H, ways=lambda d: list(product((0.0, 1.0), repeat=d))[:-1]
            ),
        ),
        Mistake(
            "Δw comes only once in the error",
            "then large errors of one sign count as good ones. Δwᵀ H Δw: use your output_error.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, error=lambda d, H: (d @ H).sum(-1)),
        ),
        Mistake(
            "the codes start at 0",
            "codes are symmetric: from −top to top.",
            lambda w, scale, top, H: _best_rounding(w, scale, top, H, bottom=0),
        ),
    ],
)


# (f) AdaRound's pieces


def _h(v: Tensor) -> Tensor:
    return (1.2 * torch.sigmoid(v) - 0.1).clamp(0, 1)


_V = torch.tensor([-6.0, -2.5, -2.3, -0.5, 0.0, 1.0, 2.3, 2.5, 6.0])

RECTIFIED_SIGMOID = Exercise(
    "rectified_sigmoid",
    _h,
    [(_V,), (3 * _random(17, 4, 5),)],
    [
        Mistake(
            "the clip is missing",
            "the stretched sigmoid goes from −0.1 to 1.1; h must stay between 0 and 1: stretch first, then clip.",
            lambda v: 1.2 * torch.sigmoid(v) - 0.1,
        ),
        Mistake(
            "it is a plain sigmoid",
            "a sigmoid reaches 0 and 1 only at infinity. Stretch it to [−0.1, 1.1], then clip.",
            torch.sigmoid,
        ),
        Mistake(
            "γ is subtracted, or has the wrong sign",
            "γ is −0.1: h(0) must be ½.",
            lambda v: (1.2 * torch.sigmoid(v) + 0.1).clamp(0, 1),
        ),
        Mistake(
            "ζ − γ became 1.0",
            "ζ − γ = 1.1 − (−0.1): two minus signs.",
            lambda v: (torch.sigmoid(v) - 0.1).clamp(0, 1),
        ),
        Mistake(
            "ζ − γ became ζ",
            "the stretch is ζ − γ = 1.2, so that h goes from γ to ζ before the clip.",
            lambda v: (1.1 * torch.sigmoid(v) - 0.1).clamp(0, 1),
        ),
        Mistake(
            "γ is added inside",
            "the sigmoid's *value* is stretched and shifted, not its argument.",
            lambda v: torch.sigmoid(1.2 * v - 0.1).clamp(0, 1),
        ),
        Mistake(
            "it is a tanh",
            "σ(V) = 1/(1 + exp(−V)) goes from 0 to 1; tanh starts at −1.",
            lambda v: (1.2 * torch.tanh(v) - 0.1).clamp(0, 1),
        ),
        Mistake(
            "the choice is rounded",
            "h is soft: everything between 0 and 1 is allowed, and only so has it a gradient.",
            lambda v: (v > 0).to(v.dtype),
        ),
        Mistake(
            "it falls where it should rise",
            "σ(V) = 1/(1 + exp(−V)): large V means up.",
            lambda v: _h(-v),
        ),
    ],
)


def _soft_weight(w: Tensor, scale: float, top: int, v: Tensor) -> Tensor:
    return scale * (torch.floor(w / scale) + _h(v)).clamp(-top, top)


def _soft(
    base: Callable[[Tensor], Tensor] = torch.floor,
    choice: Callable[[Tensor], Tensor] = _h,
    clip: bool = True,
    unit: Callable[[float], float] = lambda scale: scale,
) -> Callable[[Tensor, float, int, Tensor], Tensor]:
    def soft(w: Tensor, scale: float, top: int, v: Tensor) -> Tensor:
        codes = base(w / scale) + choice(v)
        return unit(scale) * (codes.clamp(-top, top) if clip else codes)

    return soft


def _with_gradient(function: Any, w: Tensor, scale: float, top: int, v: Tensor) -> tuple[Tensor, Tensor]:
    """What comes out, and what flows back to V; zeros if nothing can."""
    v = v.clone().requires_grad_()
    out = function(w, scale, top, v)
    if not isinstance(out, Tensor):
        raise TypeError(f"soft_weight must return a tensor, got {type(out).__name__}")
    (flow,) = torch.autograd.grad(out.sum(), v, allow_unused=True) if out.requires_grad else (None,)
    return out.detach(), torch.zeros_like(v) if flow is None else flow


SOFT_WEIGHT = Exercise(
    "soft_weight",
    _soft_weight,
    [
        (torch.tensor([[0.3, -0.3]]), 0.5, 3, torch.tensor([[0.0, 8.0]])),
        (0.8 * _random(18, 4, 3), 0.5, 3, 2 * _random(19, 4, 3)),
        (0.8 * _random(20, 2, 5), 0.25, 7, 2 * _random(21, 2, 5)),
        (torch.tensor([[1.6, -1.7, 1.4]]), 0.5, 3, torch.tensor([[1.0, 0.5, 1.0]])),
        (torch.tensor([[6.5, -2.4, 4.9]]), 2.0, 3, torch.tensor([[1.0, 0.5, 1.0]])),
    ],
    [
        Mistake(
            "no gradient reaches V",
            "detach(), .data, .item(), torch.tensor(…) and no_grad() cut the way back; V has to learn.",
            lambda w, scale, top, v: _soft_weight(w, scale, top, v).detach(),
        ),
        Mistake(
            "h is rounded, and no gradient reaches V",
            "h stays soft while we search: only at the very end it is cut at ½.",
            _soft(choice=lambda v: torch.round(_h(v))),
        ),
        Mistake(
            "the weight is rounded to the nearest first",
            "the two choices are floor and floor + 1: h is what is added to the floor.",
            _soft(base=torch.round),
        ),
        Mistake(
            "negative weights start from the wrong side",
            "int(), .long() and trunc go towards zero. Use torch.floor.",
            _soft(base=torch.trunc),
        ),
        Mistake(
            "the floor is missing",
            "w/scale is not whole: round it down, then add h.",
            _soft(base=lambda r: r),
        ),
        Mistake(
            "the clip is missing",
            "codes stay between −top and top.",
            _soft(clip=False),
        ),
        Mistake(
            "it is clipped before h is added",
            "floor + h can leave the range: clip the sum.",
            lambda w, scale, top, v: scale * (torch.floor(w / scale).clamp(-top, top) + _h(v)),
        ),
        Mistake(
            "the weights are clipped, not the codes",
            "top is a code. Clip before you multiply by the scale.",
            lambda w, scale, top, v: (scale * (torch.floor(w / scale) + _h(v))).clamp(-top, top),
        ),
        Mistake(
            "codes are returned",
            "multiply by the scale: the layer computes with weights.",
            _soft(unit=lambda scale: 1.0),
        ),
        Mistake(
            "h is scaled twice, or the floor is not divided",
            "floor(w/scale) is a code, and h is added to a code. Multiply by the scale once, at the end.",
            lambda w, scale, top, v: (scale * torch.floor(w / scale) + _h(v)).clamp(-scale * top, scale * top),
        ),
        Mistake(
            "V is added, not h(V)",
            "V may be any number; h(V) is the choice between 0 and 1.",
            _soft(choice=lambda v: v),
        ),
        Mistake(
            "it is a plain sigmoid",
            "use your rectified_sigmoid: it reaches 0 and 1.",
            _soft(choice=torch.sigmoid),
        ),
        Mistake(
            "h is subtracted",
            "h = 1 means up: floor *plus* h.",
            _soft(choice=lambda v: -_h(v)),
        ),
        Mistake(
            "the scale multiplies instead of dividing",
            "the code of w is about w/scale.",
            lambda w, scale, top, v: scale * (torch.floor(w * scale) + _h(v)).clamp(-top, top),
        ),
        Mistake(
            "the codes start at 0",
            "codes are symmetric: from −top to top.",
            lambda w, scale, top, v: scale * (torch.floor(w / scale) + _h(v)).clamp(0, top),
        ),
    ],
    use=_with_gradient,
)


def _push(v: Tensor, beta: float) -> Tensor:
    return (1 - (2 * _h(v) - 1).abs() ** beta).mean()


PUSH = Exercise(
    "push",
    _push,
    [
        (torch.tensor([0.0, 8.0]), 2.0),
        (_V, 20.0),
        (2 * _random(22, 3, 4), 3.0),
        (2 * _random(23, 5, 2), 2.5),
    ],
    [
        Mistake(
            "the weights' terms are added up",
            "here it is the mean over all weights, so that λ does not depend on the size of the layer.",
            lambda v, beta: (1 - (2 * _h(v) - 1).abs() ** beta).sum(),
        ),
        Mistake(
            "1 − is missing",
            "a decided weight (h = 0 or 1) must cost nothing, an undecided one (h = ½) must cost 1.",
            lambda v, beta: ((2 * _h(v) - 1).abs() ** beta).mean(),
        ),
        Mistake(
            "the power is taken of all of it",
            "only |2h − 1| has the exponent β.",
            lambda v, beta: ((1 - (2 * _h(v) - 1).abs()) ** beta).mean(),
        ),
        Mistake(
            "β multiplies",
            "β is the exponent.",
            lambda v, beta: (1 - beta * (2 * _h(v) - 1).abs()).mean(),
        ),
        Mistake(
            "V is put in, not h(V)",
            "h is the choice between 0 and 1; V may be any number.",
            lambda v, beta: (1 - (2 * v - 1).abs() ** beta).mean(),
        ),
        Mistake(
            "it is a plain sigmoid",
            "use your rectified_sigmoid.",
            lambda v, beta: (1 - (2 * torch.sigmoid(v) - 1).abs() ** beta).mean(),
        ),
        Mistake(
            "h is not moved to the middle",
            "2h − 1 goes from −1 to 1, so both ends are alike. With h alone, only 'up' costs nothing.",
            lambda v, beta: (1 - _h(v).abs() ** beta).mean(),
        ),
        Mistake(
            "h − ½ is not doubled",
            "|h − ½| is at most ½, and its power never reaches 1: |2h − 1|.",
            lambda v, beta: (1 - (_h(v) - 0.5).abs() ** beta).mean(),
        ),
        Mistake(
            "the magnitude is missing",
            "2h − 1 is negative for weights on their way down: take |2h − 1|, then the power.",
            lambda v, beta: (1 - (2 * _h(v) - 1) ** beta).mean(),
        ),
        Mistake(
            "there is one number per weight",
            "return the mean over all weights.",
            lambda v, beta: 1 - (2 * _h(v) - 1).abs() ** beta,
        ),
        Mistake(
            "β is left out",
            "|2h − 1| has the exponent β.",
            lambda v, beta: (1 - (2 * _h(v) - 1).abs()).mean(),
        ),
        Mistake(
            "the sign is turned",
            "what is minimized must be largest at ½ and 0 at both ends.",
            lambda v, beta: -_push(v, beta),
        ),
    ],
)


def _beta_at(step: int, steps: int) -> float:
    return 2 + 18 * (1 + math.cos(math.pi * step / steps)) / 2


BETA_AT = Exercise(
    "beta_at",
    _beta_at,
    [(0, 100), (50, 100), (25, 100), (100, 100), (30, 40)],
    [
        Mistake(
            "it rises",
            "β begins at 20, where the push is gentle, and ends at 2.",
            lambda step, steps: 2 + 18 * (1 - math.cos(math.pi * step / steps)) / 2,
        ),
        Mistake(
            "it falls in a straight line",
            "half a turn of a cosine, which begins and ends gently: cos goes from 1 to −1.",
            lambda step, steps: 20 - 18 * step / steps,
        ),
        Mistake(
            "the cosine gets degrees",
            "math.cos wants radians: half a turn is π.",
            lambda step, steps: 2 + 18 * (1 + math.cos(180 * step / steps)) / 2,
        ),
        Mistake(
            "the cosine makes a whole turn",
            "at the last step β must be 2: half a turn, π.",
            lambda step, steps: 2 + 18 * (1 + math.cos(2 * math.pi * step / steps)) / 2,
        ),
        Mistake(
            "the cosine makes a quarter of a turn",
            "cos must go from 1 to −1: half a turn, π.",
            lambda step, steps: 2 + 18 * (1 + math.cos(math.pi * step / steps / 2)) / 2,
        ),
        Mistake(
            "π is missing",
            "half a turn is π, not 1.",
            lambda step, steps: 2 + 18 * (1 + math.cos(step / steps)) / 2,
        ),
        Mistake(
            "it is not divided by 2",
            "1 + cos goes from 2 to 0: halve it.",
            lambda step, steps: 2 + 18 * (1 + math.cos(math.pi * step / steps)),
        ),
        Mistake(
            "it starts at 22",
            "2 is the end, and 20 the start: the fall is 18.",
            lambda step, steps: 2 + 20 * (1 + math.cos(math.pi * step / steps)) / 2,
        ),
        Mistake(
            "it ends at 0",
            "β ends at 2. (Below 1 the push would be steepest in the middle.)",
            lambda step, steps: 20 * (1 + math.cos(math.pi * step / steps)) / 2,
        ),
        Mistake(
            "the 1 in front of the cosine is missing",
            "cos alone goes from 1 to −1, so β would become negative.",
            lambda step, steps: 2 + 18 * math.cos(math.pi * step / steps) / 2,
        ),
        Mistake(
            "steps are not divided",
            "how far along are we? step/steps goes from 0 to 1.",
            lambda step, steps: 2 + 18 * (1 + math.cos(math.pi * step)) / 2,
        ),
    ],
)


# (g) The loop


def _start(fraction: Tensor) -> Tensor:
    p = ((fraction + 0.1) / 1.2).clamp(1e-4, 1 - 1e-4)
    return torch.log(p / (1 - p))


def _learn(
    w: Tensor,
    scale: float,
    top: int,
    H: Tensor,
    steps: int,
    lam: float = 1.0,
    begin: Callable[[Tensor], Tensor] = _start,
    error: Callable[[Tensor, Tensor], Tensor] = _output_error,
    push: Callable[[Tensor, float], Tensor] = _push,
    beta: Callable[[int, int], float] = _beta_at,
    relative: bool = True,
    own_power: bool = False,
    subtract: bool = True,
    clear: bool = True,
    total: Callable[[Tensor], Tensor] = torch.sum,
    learns: bool = True,
    warmup: float = 0.0,
    rate: float = 0.05,
) -> Tensor:
    v = begin(w / scale - torch.floor(w / scale)).requires_grad_(learns)
    optimizer = torch.optim.Adam([v], lr=rate)
    powers = _output_error(w, H)
    power: Any = powers if own_power else powers.sum() if relative else 1.0
    for step in range(steps):
        soft = _soft_weight(w, scale, top, v)
        loss = total(error(soft - w if subtract else soft, H) / power)
        if step >= warmup * steps:
            loss = loss + lam * push(v, beta(step, steps))
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return v.detach()


def _loop(
    after: Callable[[Tensor], Tensor] = lambda v: v, lam: float | None = None, **knobs: Any
) -> Callable[..., Any]:
    """A loop, right or wrong. What it found is kept: many are compared with what a student wrote."""
    known: dict[tuple[Any, ...], Tensor] = {}
    fixed = lam

    def adaround(w: Tensor, scale: float, top: int, H: Tensor, steps: int, lam: float = 1.0) -> Tensor:
        key = (tuple(w.flatten().tolist()), steps, lam)
        if key not in known:
            known[key] = after(_learn(w, scale, top, H, steps, lam if fixed is None else fixed, **knobs))
        return known[key].clone()

    return adaround


def _learned(function: Any, w: Tensor, scale: float, top: int, H: Tensor, steps: int, lam: float) -> dict[str, Any]:
    """What V stands for. After few steps h itself; after many the codes, and whether every h has come to an end."""
    v = function(w, scale, top, H, steps, lam)
    if not isinstance(v, Tensor):
        raise TypeError(f"adaround must return V, a tensor, got {type(v).__name__}")
    if v.shape != w.shape:
        raise ValueError(f"V must have the shape of w, {tuple(w.shape)}, got {tuple(v.shape)}")
    h = _h(v.detach())
    if steps < 50:
        return {"h(V)": h}
    settled = bool(((h < 0.05) | (h > 0.95)).all())
    return {"all h at 0 or 1": settled, "codes": (torch.floor(w / scale) + (h >= 0.5)).clamp(-top, top).long()}


def _rows(seed: int, outputs: int, d: int, scale: float) -> tuple[Tensor, float, int, Tensor]:
    """Weights in the middle of the range whose fractions are neither whole nor a tie."""
    generator = torch.Generator().manual_seed(seed)
    floor = torch.randint(-2, 2, (outputs, d), generator=generator)
    low = 0.15 + 0.25 * torch.rand(outputs, d, generator=generator)
    up = torch.rand(outputs, d, generator=generator) < 0.5
    w = scale * (floor + torch.where(up, 1 - low, low))
    H = _second_moments(_random(seed + 60, 200, d, mean=0.5, mixed=True))
    return w.double(), scale, 3, H.double()  # so that equal formulas learn the same, whatever their order of sums


def _weights(w: Tensor, scale: float, top: int, H: Tensor, steps: int, lam: float = 1.0) -> Tensor:
    return _soft_weight(w, scale, top, ADAROUND.solution(w, scale, top, H, steps, lam))


def _codes(w: Tensor, scale: float, top: int, H: Tensor, steps: int, lam: float = 1.0) -> Tensor:
    up = _h(ADAROUND.solution(w, scale, top, H, steps, lam)) >= 0.5
    return (torch.floor(w / scale) + up).clamp(-top, top)


_STILL = (
    "soft weights begin as W: the first term is 0 already, and its gradient, too. Is lam · push(V, β) in the loss? "
    "Do backward() and step() come in each turn?"
)

ADAROUND = Exercise(
    "adaround",
    _loop(),
    [
        (*_rows(2, 2, 3, 0.5), 0, 1.0),
        (*_rows(5, 2, 3, 4.0), 10, 1.0),
        (*_rows(7, 3, 4, 4.0), 160, 1.0),
        (*_rows(8, 2, 3, 0.5), 50, 0.0),
    ],
    [
        Mistake(
            "V starts at 0",
            "then h = ½ everywhere, and the first weights are not W. Begin with start(fraction): h is the fraction.",
            _loop(begin=torch.zeros_like),
        ),
        Mistake(
            "V starts at the fraction itself",
            "h(V) must be the fraction: start(fraction) gives the V for which it is.",
            _loop(begin=lambda fraction: fraction.clone()),
        ),
        Mistake(
            "V starts at the whole weight over its scale",
            "the fraction is what remains of w/scale above its floor.",
            lambda w, scale, top, H, steps, lam=1.0: _start(w / scale),
        ),
        Mistake(
            "the fraction is counted from the nearest code",
            "the fraction is the distance to the *floor*, between 0 and 1.",
            lambda w, scale, top, H, steps, lam=1.0: _start((w / scale - torch.round(w / scale)).abs()),
        ),
        Mistake(
            "h is returned",
            "return V itself: the next cell puts it into rectified_sigmoid.",
            _loop(after=_h),
        ),
        Mistake(
            "nothing pushes, or nothing moves",
            _STILL,
            _loop(lam=0.0),
        ),
        Mistake(
            "nothing moves",
            _STILL,
            _loop(rate=0.0),
        ),
        Mistake(
            "the push has no λ",
            "multiply it by lam: with lam = 0 nothing must push.",
            _loop(lam=1.0),
        ),
        Mistake(
            "the push is subtracted",
            "it is largest for h = ½, and we minimize: add it.",
            _loop(push=lambda v, beta: -_push(v, beta)),
        ),
        Mistake(
            "the error does not know the inputs",
            "the weights' own error ‖Δw‖² is least for nearest rounding. Use output_error, with all of H.",
            _loop(error=lambda delta, H: (delta.square() * H.diagonal()).sum(-1)),
        ),
        Mistake(
            "the original weights are not subtracted",
            "Δw = soft weight − w. Otherwise the loss is least where the layer puts out nothing.",
            _loop(subtract=False),
        ),
        Mistake(
            "the error is not divided by the output's power",
            "divide by output_error(w, H).sum(): then lam = 1 means the same for every layer.",
            _loop(relative=False),
        ),
        Mistake(
            "gradients are never cleared",
            "PyTorch adds each new gradient to the old ones: optimizer.zero_grad() in each turn.",
            _loop(clear=False),
        ),
        Mistake(
            "β does not fall",
            "at 20 the push is flat in the middle, and undecided weights stay there: beta_at(step, steps).",
            _loop(beta=lambda step, steps: 20.0),
        ),
        Mistake(
            "β is 2 from the start",
            "then every weight is pushed to the nearer side before it could find its place: beta_at(step, steps).",
            _loop(beta=lambda step, steps: 2.0),
        ),
        Mistake(
            "β rises",
            "first gentle (20), then firm (2): beta_at(step, steps).",
            _loop(beta=lambda step, steps: _beta_at(steps - step, steps)),
        ),
        Mistake(
            "V does not learn",
            "call requires_grad_() on it, before the optimizer gets it.",
            _loop(learns=False),
        ),
        Mistake(
            "the error is averaged over the outputs",
            "numerator and denominator are sums over all outputs.",
            _loop(total=torch.mean),
        ),
        Mistake(
            "each output is divided by its own power",
            "add up the errors of all outputs, add up their powers, then divide: a weak output counts little.",
            _loop(own_power=True),
        ),
        Mistake(
            "the steps are counted from 1",
            "step goes from 0 to steps − 1: range(steps).",
            _loop(beta=lambda step, steps: _beta_at(step + 1, steps)),
        ),
        Mistake(
            "there is a warm-up",
            "the paper has one; here the push is in the loss from the first step on.",
            _loop(warmup=0.2),
        ),
        Mistake(
            "the learning rate is left to Adam",
            "left to itself, Adam takes 0.001, and 200 steps lead nowhere: lr=0.05.",
            _loop(rate=0.001),
        ),
        Mistake(
            "the learning rate is 0.1",
            "lr=0.05, so that all of us learn the same.",
            _loop(rate=0.1),
        ),
        Mistake(
            "the soft weights are returned",
            "return V: the next cell makes the codes from it.",
            _weights,
        ),
        Mistake(
            "codes are returned",
            "return V: the next cell makes the codes from it.",
            _codes,
        ),
    ],
    tolerance=1e-4,
    use=_learned,
)


EXERCISES = [
    MEAN_SHIFT,
    CORRECTED_BIAS,
    RELU_MEAN,
    SECOND_MOMENTS,
    OUTPUT_ERROR,
    BEST_ROUNDING,
    RECTIFIED_SIGMOID,
    SOFT_WEIGHT,
    PUSH,
    BETA_AT,
    ADAROUND,
]


# (h) Questions

QUESTIONS = [
    question(
        "answer_1",
        40,
        {
            0: "that is the first layer: its pixels were normalized to mean 0. Layer 4 is asked for.",
            20: "that is a layer further up: take inputs(network, '4') and matrix('4').",
            60: "is this the rest of the error, or the last layer? The share of the shift in layer 4 is asked for.",
            42: "to the nearest ten.",
            0.4: "in percent.",
            370: "is the shift squared? Only then can it be compared with the error.",
        },
    ),
    question(
        "answer_2",
        20,
        {
            124: "these are the weights that stay. How many go the other way?",
            11: "these are the filters in which something changed. Count weights.",
            13: "that is at 4 bits: top is 3.",
            144: "that is all of them. How many codes differ from the nearest?",
            512: "that is the number of combinations for one filter.",
        },
    ),
    question(
        "answer_3",
        2.4,
        {
            -2.4: "there h reaches 0.",
            2.398: "one decimal is enough.",
            2.2: "from 2.2 on the plain sigmoid is above 0.9. Where is 1.2·σ(V) − 0.1 equal to 1?",
            2.3: "h(2.3) is 0.991: not there yet.",
            2.5: "h is 1 there. But is it the first place?",
            1.0: "1 is the value of h. At which V?",
        },
    ),
    question(
        "answer_4",
        "a",
        {
            "b": "is lam handed on to your loss? Without the push nothing can move V: the first weights "
            "are W, and their error is 0.",
            "c": "h is the fraction of each weight. Which of them are above one half?",
            "d": "nothing is random here: h stays where it began, at the fraction. And cut at one half?",
        },
    ),
    question(
        "answer_5",
        "c",
        {
            "a": "independent inputs have no covariance, but H holds E[x_i x_j] = μ_i μ_j. After a ReLU that is not 0.",
            "b": "it is the other way round. Which matrix is diagonal: H, or H − μμᵀ?",
            "d": "look at H − μμᵀ: its off-diagonal entries are almost 0. A flip or two are the sample's doing.",
        },
    ),
]
