"""Lab 11, who deserves the bits?: right solutions, and the mistakes that people make.

    bytes = Σ_i (⌈n_i·b_i/8⌉ + 4·c_i),    tr(H) = E[vᵀHv],    min_b Σ_i harm[i, b_i] with Σ_i cost[i, b_i] ≤ limit

Survey-map rows: M1, M2, M3, M5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "ALLOCATE",
    "ASSIGNMENT_BYTES",
    "EXERCISES",
    "GREEDY",
    "HESSIAN_PRODUCT",
    "LOST",
    "PARETO_FRONT",
    "QUESTIONS",
    "SENSITIVITY",
    "TRACE",
]

Table = NDArray[Any]


# (a) Bytes


def _assignment_bytes(weights: Sequence[int], channels: Sequence[int], bits: Sequence[int]) -> int:
    return sum(math.ceil(n * b / 8) + 4 * c for n, c, b in zip(weights, channels, bits, strict=True))


ASSIGNMENT_BYTES = Exercise(
    "assignment_bytes",
    _assignment_bytes,
    [
        ([10, 7], [2, 1], [3, 2]),
        ([144, 4608, 640], [16, 32, 10], [8, 3, 4]),
        ([5], [5], [3]),
        ([3, 3, 3, 9], [1, 1, 1, 3], [3, 3, 3, 1]),
        ([1000, 11], [10, 1], [2, 6]),
    ],
    [
        Mistake(
            "the scales are forgotten",
            "nobody can read the codes without S: every channel has a scale of 4 bytes.",
            lambda weights, channels, bits: sum(math.ceil(n * b / 8) for n, b in zip(weights, bits, strict=True)),
        ),
        Mistake(
            "there is one scale per layer",
            "each output channel has a scale of its own.",
            lambda weights, channels, bits: sum(math.ceil(n * b / 8) + 4 for n, b in zip(weights, bits, strict=True)),
        ),
        Mistake(
            "a scale takes one byte",
            "scales are fp32 numbers: 4 bytes each.",
            lambda weights, channels, bits: sum(
                math.ceil(n * b / 8) + c for n, c, b in zip(weights, channels, bits, strict=True)
            ),
        ),
        Mistake(
            "the scales are packed at the layer's bits",
            "only the codes are packed; a scale stays an fp32 number of 4 bytes.",
            lambda weights, channels, bits: sum(
                math.ceil((n + c) * b / 8) for n, c, b in zip(weights, channels, bits, strict=True)
            ),
        ),
        Mistake(
            "a scale takes 32 bytes",
            "32 bits are 4 bytes.",
            lambda weights, channels, bits: sum(
                math.ceil(n * b / 8) + 32 * c for n, c, b in zip(weights, channels, bits, strict=True)
            ),
        ),
        Mistake(
            "it is rounded down",
            "3 bits do not fit into no byte at all: a byte that is begun counts.",
            lambda weights, channels, bits: sum(
                n * b // 8 + 4 * c for n, c, b in zip(weights, channels, bits, strict=True)
            ),
        ),
        Mistake(
            "it is rounded once, at the end",
            "every layer is stored for itself and begins at a whole byte: round up layer by layer.",
            lambda weights, channels, bits: math.ceil(
                sum(n * b / 8 + 4 * c for n, c, b in zip(weights, channels, bits, strict=True))
            ),
        ),
        Mistake(
            "it is not rounded",
            "there is no half a byte: math.ceil.",
            lambda weights, channels, bits: sum(
                n * b / 8 + 4 * c for n, c, b in zip(weights, channels, bits, strict=True)
            ),
        ),
        Mistake(
            "each weight takes whole bytes",
            "codes are packed: two codes of 4 bits share a byte. Multiply first, then round up.",
            lambda weights, channels, bits: sum(
                n * math.ceil(b / 8) + 4 * c for n, c, b in zip(weights, channels, bits, strict=True)
            ),
        ),
        Mistake(
            "these are bits",
            "eight bits are a byte.",
            lambda weights, channels, bits: sum(
                n * b + 32 * c for n, c, b in zip(weights, channels, bits, strict=True)
            ),
        ),
        Mistake(
            "all layers get the mean of the bits",
            "a layer with many weights counts for more: multiply layer by layer.",
            lambda weights, channels, bits: math.ceil(sum(weights) * sum(bits) / len(bits) / 8) + 4 * sum(channels),
        ),
        Mistake(
            "all layers get the first layer's bits",
            "bits[i] belongs to layer i: zip goes through several lists at once.",
            lambda weights, channels, bits: _assignment_bytes(weights, channels, [bits[0]] * len(bits)),
        ),
    ],
)


# (b) Sensitivity


def _logits(*shape: int, seed: int) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _log_softmax(z: Tensor) -> Tensor:
    return z - z.logsumexp(-1, keepdim=True)


def _sensitivity(logits: Tensor, changed: Tensor) -> Tensor:
    p, q = _log_softmax(logits), _log_softmax(changed)
    return (p.exp() * (p - q)).sum(-1).mean(-1)


def _near(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    logits = _logits(*shape[-2:], seed=seed)
    return logits, logits + 0.5 * _logits(*shape, seed=seed + 100)


def _table(answer: Any) -> Any:
    if isinstance(answer, list | tuple):
        answer = torch.tensor([[float(v) for v in row] for row in answer], dtype=torch.float64)
    if not isinstance(answer, Tensor | np.ndarray):
        raise TypeError(f"return a table of layers × choices, not {type(answer).__name__}")
    return answer


SENSITIVITY = Exercise(
    "sensitivity",
    _sensitivity,
    [
        (torch.tensor([[0.0, 0.0]]), torch.tensor([[[[math.log(2.0), 0.0]], [[0.0, 0.0]]]])),
        _near((3, 2, 4, 5), 0),
        _near((2, 3, 6, 3), 1),
        _near((1, 4, 2, 7), 2),
        (_logits(5, 4, seed=5) * 300, _logits(2, 2, 5, 4, seed=6)),
    ],
    [
        Mistake(
            "the two answers have changed places",
            "KL(p ‖ q) weighs with p, the answers of the network in floating point.",
            lambda logits, changed: (
                (_log_softmax(changed).exp() * (_log_softmax(changed) - _log_softmax(logits))).sum(-1).mean(-1)
            ),
        ),
        Mistake(
            "the sign is reversed",
            "log p − log q, weighed with p: a divergence is never negative.",
            lambda logits, changed: -_sensitivity(logits, changed),
        ),
        Mistake(
            "the pictures are summed",
            "take the mean over pictures, or the number grows with how many you happened to have.",
            lambda logits, changed: _sensitivity(logits, changed) * logits.shape[0],
        ),
        Mistake(
            "the classes are averaged",
            "a divergence is a *sum* over classes, each weighed with its probability. Then the mean over pictures.",
            lambda logits, changed: _sensitivity(logits, changed) / logits.shape[1],
        ),
        Mistake(
            "softmax runs over the pictures",
            "each picture has its own distribution over classes: the last axis.",
            lambda logits, changed: (
                (logits.softmax(-2) * (logits.log_softmax(-2) - changed.log_softmax(-2))).sum(-1).mean(-1)
            ),
        ),
        Mistake(
            "logits are taken for probabilities",
            "softmax makes probabilities of them; log_softmax their logarithms.",
            lambda logits, changed: (logits * (logits - changed)).sum(-1).mean(-1),
        ),
        Mistake(
            "the logits are not made logarithms of probabilities",
            "p·(z − z̃) lacks the two normalizers: log p is log_softmax of the logits.",
            lambda logits, changed: (logits.softmax(-1) * (logits - changed)).sum(-1).mean(-1),
        ),
        Mistake(
            "the probability as a factor is missing",
            "differences of log p count as much as p says: Σ p·(log p − log q).",
            lambda logits, changed: (_log_softmax(logits) - _log_softmax(changed)).sum(-1).mean(-1),
        ),
        Mistake(
            "it is the cross-entropy",
            "−Σ p·log q does not vanish where nothing has changed: subtract the entropy of p.",
            lambda logits, changed: -(_log_softmax(logits).exp() * _log_softmax(changed)).sum(-1).mean(-1),
        ),
        Mistake(
            "it is the squared distance of the logits",
            "logits may all shift by the same number without changing any answer. Compare probabilities, by KL.",
            lambda logits, changed: (logits - changed).square().sum(-1).mean(-1),
        ),
        Mistake(
            "it is the mean squared distance of the logits",
            "logits may all shift by the same number without changing any answer. Compare probabilities, by KL.",
            lambda logits, changed: (logits - changed).square().mean((-1, -2)),
        ),
        Mistake(
            "it is the distance of the probabilities",
            "a probability that falls from 10⁻² to 10⁻⁹ hardly moves, and yet the network would swear that the class "
            "is impossible. KL counts ratios.",
            lambda logits, changed: (logits.softmax(-1) - changed.softmax(-1)).abs().sum(-1).mean(-1),
        ),
        Mistake(
            "there is one number for all layers and choices",
            "return a table: layers × choices. Average over the pictures only.",
            lambda logits, changed: _sensitivity(logits, changed).mean(),
        ),
        Mistake(
            "the choices are averaged away",
            "return a table: layers × choices. Average over the pictures only.",
            lambda logits, changed: _sensitivity(logits, changed).mean(-1),
        ),
        Mistake(
            "the pictures are still there",
            "average over the pictures: the axis before the last of `changed`.",
            lambda logits, changed: (_log_softmax(logits).exp() * (_log_softmax(logits) - _log_softmax(changed))).sum(
                -1
            ),
        ),
        Mistake(
            "the table is turned on its side",
            "layers are rows, choices are columns, as in `changed`.",
            lambda logits, changed: _sensitivity(logits, changed).T,
        ),
        Mistake(
            "a logarithm of zero",
            "softmax rounds a very unlikely class to 0, and log 0 is −∞. log_softmax never goes there.",
            lambda logits, changed: (
                (logits.softmax(-1) * (logits.softmax(-1).log() - changed.softmax(-1).log())).sum(-1).mean(-1)
            ),
        ),
    ],
    use=lambda function, *case: _table(function(*case)),
)


# (c) Products with the Hessian


def _cubic(w: Tensor) -> Tensor:
    return (w**3).sum() + w[0] * w[1]


def _quartic(w: Tensor) -> Tensor:
    return (w[:, 0] * w[:, 1]).square().sum() + w.sum() ** 2


def _softplus(w: Tensor) -> Tensor:
    x = torch.linspace(-1, 1, 12, dtype=w.dtype).reshape(4, 3)
    return torch.log1p(torch.exp(x @ w)).mean()


def _hessian_product(loss: Callable[[Tensor], Tensor], w: Tensor, v: Tensor) -> Tensor:
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(loss(w), w, create_graph=True)
    return torch.autograd.grad((g * v).sum(), w)[0]


def _gradient(loss: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    w = w.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(w), w)[0]


def _detached(loss: Callable[[Tensor], Tensor], w: Tensor, v: Tensor) -> Tensor:
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(loss(w), w)
    return torch.autograd.grad((g * v).sum(), w)[0]


def _forward_difference(step: float) -> Callable[..., Tensor]:
    def wrong(loss: Callable[[Tensor], Tensor], w: Tensor, v: Tensor) -> Tensor:
        return (_gradient(loss, w + step * v) - _gradient(loss, w)) / step

    return wrong


def _hessian(loss: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    return torch.autograd.functional.hessian(loss, w).reshape(w.numel(), w.numel())


def _vector(answer: Any) -> Tensor:
    if isinstance(answer, tuple | list) and len(answer) == 1:
        raise TypeError("torch.autograd.grad returns a tuple: take its first entry")
    if not isinstance(answer, Tensor):
        raise TypeError(f"return a tensor of w's shape, not {type(answer).__name__}")
    return answer.detach()


def _spun(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


HESSIAN_PRODUCT = Exercise(
    "hessian_product",
    _hessian_product,
    [
        (_cubic, torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64)),
        (_cubic, _spun(0, 4), _spun(1, 4)),
        (_quartic, _spun(2, 3, 2), _spun(3, 3, 2)),
        (_softplus, _spun(4, 3), _spun(5, 3)),
    ],
    [
        Mistake(
            "no graph was kept of the gradient",
            "create_graph=True: the first gradient must remember how it came about, or it cannot be differentiated.",
            _detached,
        ),
        Mistake(
            "it is the gradient",
            "multiply the gradient with v, sum up, and differentiate once more.",
            lambda loss, w, v: _gradient(loss, w),
        ),
        Mistake(
            "the first gradient is still in it",
            "`backward()` adds to what w.grad holds already. torch.autograd.grad leaves w alone.",
            lambda loss, w, v: _gradient(loss, w) + _hessian_product(loss, w, v),
        ),
        Mistake(
            "it is the gradient times v",
            "g·v is what you differentiate once more.",
            lambda loss, w, v: _gradient(loss, w) * v,
        ),
        Mistake(
            "v is left out",
            "the gradient of Σ g is H·1. You want H·v: weigh the entries of g with v before you sum.",
            lambda loss, w, v: _hessian_product(loss, w, torch.ones_like(v)),
        ),
        Mistake(
            "only the diagonal of the Hessian is used",
            "(H·v)_i = Σ_j H_ij·v_j: the other weights' entries of v come in as well.",
            lambda loss, w, v: (_hessian(loss, w).diagonal() * v.flatten()).reshape(w.shape),
        ),
        Mistake(
            "v is multiplied in afterwards",
            "(Σ_j H_ij)·v_i is not Σ_j H_ij·v_j: v must be inside of the sum that you differentiate.",
            lambda loss, w, v: _hessian_product(loss, w, torch.ones_like(v)) * v,
        ),
        Mistake(
            "it is vᵀHv",
            "that is one number. Return the vector H·v; the product with v comes in the next exercise.",
            lambda loss, w, v: (v * _hessian_product(loss, w, v)).sum(),
        ),
        Mistake(
            "the Hessian is taken at v",
            "H belongs to the point w; v is only a direction.",
            lambda loss, w, v: _hessian_product(loss, v, w),
        ),
        Mistake(
            "the Hessian is taken at w + v",
            "H belongs to the point w; v is only a direction.",
            lambda loss, w, v: _hessian_product(loss, w + v, v),
        ),
        Mistake(
            "it is a difference of gradients a whole step apart",
            "(g(w + v) − g(w)) is H·v only for a parabola. Differentiate, or make the step very small.",
            _forward_difference(1.0),
        ),
        Mistake(
            "it is a difference of gradients, and the step is too large",
            "with a step of 0.01 the third derivative still shows. Let autograd differentiate: it is exact.",
            _forward_difference(0.01),
        ),
        Mistake(
            "one row of the Hessian is returned",
            "differentiate the *sum* of g·v, not its first entry.",
            lambda loss, w, v: v.flatten()[0] * _hessian(loss, w)[0].reshape(w.shape),
        ),
    ],
    use=lambda function, loss, w, v: _vector(function(loss, w.requires_grad_(), v)),
)


# (d) Hutchinson's trace


class Matrix:
    """v ↦ A·v for a matrix that one cannot look into."""

    def __init__(self, seed: int, n: int) -> None:
        a = _spun(seed, n, n)
        self.a = a + a.T

    def __repr__(self) -> str:
        return "v ↦ A·v"

    def __call__(self, v: Tensor) -> Tensor:
        return self.a @ v


def _trace(product: Callable[[Tensor], Tensor], vectors: Tensor) -> tuple[float, float]:
    each = torch.stack([(v * product(v)).sum() for v in vectors])
    return float(each.mean()), float(each.std() / len(each) ** 0.5)


def _each(product: Callable[[Tensor], Tensor], vectors: Tensor) -> Tensor:
    return torch.stack([(v * product(v)).sum() for v in vectors])


def _signs(seed: int, samples: int, n: int) -> Tensor:
    coins = torch.randint(2, (samples, n), generator=torch.Generator().manual_seed(seed))
    return (2 * coins - 1).double()


def _two(answer: Any) -> tuple[float, float]:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise TypeError("return two numbers: the estimate and its standard error")
    return float(answer[0]), float(answer[1])


TRACE = Exercise(
    "trace",
    _trace,
    [
        (Matrix(0, 2), torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)),
        (Matrix(1, 6), _signs(0, 8, 6)),
        (Matrix(2, 9), _signs(1, 25, 9)),
        (Matrix(3, 4), _signs(2, 3, 4)),
    ],
    [
        Mistake(
            "the samples are summed",
            "an expectation is estimated by the *mean* over the vectors.",
            lambda product, vectors: (float(_each(product, vectors).sum()), _trace(product, vectors)[1]),
        ),
        Mistake(
            "it is divided by the number of weights",
            "the trace is the *sum* of the diagonal: sum over the entries of v·(A·v); only the vectors are averaged.",
            lambda product, vectors: tuple(x / vectors.shape[1] for x in _trace(product, vectors)),
        ),
        Mistake(
            "v is not multiplied in from the left",
            "vᵀ(A·v): multiply the product with the same v, then sum.",
            lambda product, vectors: (
                float((e := torch.stack([product(v).sum() for v in vectors])).mean()),
                float(e.std() / len(e) ** 0.5),
            ),
        ),
        Mistake(
            "it is the length of A·v",
            "‖A·v‖² averages to tr(AᵀA). Take vᵀ(A·v).",
            lambda product, vectors: (
                float((e := torch.stack([product(v).square().sum() for v in vectors])).mean()),
                float(e.std() / len(e) ** 0.5),
            ),
        ),
        Mistake(
            "only the first vector is used",
            "average over all vectors: the rows of `vectors`.",
            lambda product, vectors: (float(_each(product, vectors)[0]), _trace(product, vectors)[1]),
        ),
        Mistake(
            "magnitudes are averaged",
            "vᵀ(A·v) may be negative. Without its sign the mean is no longer the trace.",
            lambda product, vectors: (float(_each(product, vectors).abs().mean()), _trace(product, vectors)[1]),
        ),
        Mistake(
            "it is the standard deviation, not the standard error",
            "how much *one* vector scatters is not how much the mean of m vectors does: divide by √m.",
            lambda product, vectors: (_trace(product, vectors)[0], float(_each(product, vectors).std())),
        ),
        Mistake(
            "the standard deviation is divided by m",
            "variances add, so the variance of a mean is 1/m of one's: the deviation is divided by √m.",
            lambda product, vectors: (
                _trace(product, vectors)[0],
                float(_each(product, vectors).std() / len(vectors)),
            ),
        ),
        Mistake(
            "the sum of squares is divided by m, not m − 1",
            "the mean was estimated from the same m numbers, which makes them look closer than they are: divide by "
            "m − 1, as torch.std does by itself (NumPy's std wants ddof=1).",
            lambda product, vectors: (
                _trace(product, vectors)[0],
                float(_each(product, vectors).std(correction=0) / len(vectors) ** 0.5),
            ),
        ),
        Mistake(
            "it is the variance of the mean",
            "take the root: the error has the unit of the trace.",
            lambda product, vectors: (_trace(product, vectors)[0], _trace(product, vectors)[1] ** 2),
        ),
        Mistake(
            "the error is divided by √n, the number of weights",
            "m is the number of *vectors*: more of them make the mean better.",
            lambda product, vectors: (
                _trace(product, vectors)[0],
                float(_each(product, vectors).std() / vectors.shape[1] ** 0.5),
            ),
        ),
    ],
    use=lambda function, *case: _two(function(*case)),
)


# (e) Greedy

Allocator = Callable[[Table, Table, float], list[int]]


def _indices(answer: Any) -> tuple[int, ...]:
    if isinstance(answer, Tensor | np.ndarray):
        answer = answer.tolist()
    if not isinstance(answer, tuple | list):
        raise TypeError(f"return a list with the index of a choice for each layer, not {type(answer).__name__}")
    for value in answer:
        if isinstance(value, float) and not value.is_integer():
            raise TypeError(f"indices are whole numbers, got {value}")
    return tuple(int(value) for value in answer)


def _greedy_by(
    score: Callable[[float, float, float], float] = lambda gain, price, left: gain / price,
    start: int = 0,
    stop_at_first: bool = False,
    strict: bool = False,
    free: bool = False,
    jump: bool = False,
) -> Allocator:
    """A greedy allocation; each argument but the first is a mistake."""

    def allocate(harm: Table, cost: Table, limit: float) -> list[int]:
        layers, choices = harm.shape
        chosen = [start % choices] * layers
        while True:
            used = sum(cost[i, b] for i, b in enumerate(chosen))
            steps = []
            for i, b in enumerate(chosen):
                ends = range(b + 1, choices) if jump else range(b + 1, min(b + 2, choices))
                for c in ends:
                    gain, price = harm[i, b] - harm[i, c], cost[i, c] - cost[i, b]
                    over = used + price > limit or (strict and used + price >= limit)
                    if gain > 0 and (not over or stop_at_first or free):
                        steps.append((score(gain, price, limit - used), -i, c, over))
            if not steps:
                return chosen
            _, i, c, over = max(steps)
            if over and stop_at_first:
                return chosen
            if over and free:
                chosen[-i] = c
                return chosen
            chosen[-i] = c

    return allocate


_greedy = _greedy_by()


def _from_above(harm: Table, cost: Table, limit: float) -> list[int]:
    layers, choices = harm.shape
    chosen = [choices - 1] * layers
    while sum(cost[i, b] for i, b in enumerate(chosen)) > limit:
        steps = [
            ((harm[i, b - 1] - harm[i, b]) / (cost[i, b] - cost[i, b - 1]), i) for i, b in enumerate(chosen) if b > 0
        ]
        chosen[min(steps)[1]] -= 1
    return chosen


def _in_order(harm: Table, cost: Table, limit: float) -> list[int]:
    layers, choices = harm.shape
    chosen = [0] * layers
    for i in range(layers):
        for b in range(1, choices):
            tried = [*chosen[:i], b, *chosen[i + 1 :]]
            if sum(cost[j, c] for j, c in enumerate(tried)) <= limit and harm[i, b] < harm[i, chosen[i]]:
                chosen = tried
    return chosen


def _once_each(harm: Table, cost: Table, limit: float) -> list[int]:
    chosen = [0] * len(harm)
    order = sorted(range(len(harm)), key=lambda i: -(harm[i, 0] - harm[i, 1]) / (cost[i, 1] - cost[i, 0]))
    for i in order:
        tried = [*chosen[:i], 1, *chosen[i + 1 :]]
        if sum(cost[j, c] for j, c in enumerate(tried)) <= limit:
            chosen = tried
    return chosen


def _total(table: Table, choice: Sequence[int]) -> float:
    return float(sum(table[i, b] for i, b in enumerate(choice)))


def _instance(seed: int, layers: int, choices: int, share: float, widest: int = 40) -> tuple[Table, Table, float]:
    """Harm that falls, cost that rises, a limit between."""
    rng = np.random.default_rng(seed)
    size = rng.integers(2, widest, layers)
    steps = np.arange(2, 2 + choices)
    cost = size[:, None] * steps[None]
    harm = rng.exponential(1.0, (layers, 1)) * np.sort(rng.exponential(1.0, (layers, choices)), axis=1)[:, ::-1]
    low, high = cost.min(1).sum(), cost.max(1).sum()
    return harm, cost, float(low + round(share * (high - low)))


BY_HAND = (
    np.array([[9.0, 4.0, 3.5], [6.0, 2.0, 1.0]]),
    np.array([[10, 20, 30], [20, 40, 60]]),
    70.0,
)

GREEDY_CASES = [
    BY_HAND,
    (BY_HAND[0], BY_HAND[1], 60.0),
    _instance(0, 5, 4, 0.5),
    _instance(1, 6, 3, 0.3),
    _instance(2, 4, 5, 0.7),
    _instance(12, 5, 4, 0.4),
]

GREEDY = Exercise(
    "greedy",
    _greedy,
    GREEDY_CASES,
    [
        Mistake(
            "the price is left out",
            "a step that gains much may eat the whole budget: compare gain *per byte*.",
            _greedy_by(lambda gain, price, left: gain),
        ),
        Mistake(
            "the cheapest step is taken",
            "a cheap step may gain nothing: compare gain per byte.",
            _greedy_by(lambda gain, price, left: -price),
        ),
        Mistake(
            "the step that gains least per byte is taken",
            "largest ratio first: max, not min.",
            _greedy_by(lambda gain, price, left: -gain / price),
        ),
        Mistake(
            "gain and price are multiplied",
            "per byte is a division.",
            _greedy_by(lambda gain, price, left: gain * price),
        ),
        Mistake(
            "it stops at the first step that does not fit",
            "perhaps a smaller layer still fits. Stop when *no* step fits.",
            _greedy_by(stop_at_first=True),
        ),
        Mistake(
            "the last step goes over the budget",
            "look before you leap: a step must fit before it is taken.",
            _greedy_by(free=True),
        ),
        Mistake(
            "the budget may not be used up",
            "a total that is equal to the limit is within it: ≤.",
            _greedy_by(strict=True),
        ),
        Mistake(
            "it starts with the second choice",
            "start with the cheapest choice everywhere: index 0.",
            _greedy_by(start=1),
        ),
        Mistake(
            "steps skip choices",
            "one step is to the *next* choice. (Longer jumps are a fair idea, but another algorithm.)",
            _greedy_by(jump=True),
        ),
        Mistake(
            "it goes down from the top",
            "that is a greedy algorithm too, but another one: start with the cheapest choices and go up.",
            _from_above,
        ),
        Mistake(
            "the first layer gets all it can, then the second, …",
            "compare the steps of *all* layers, every time anew.",
            _in_order,
        ),
        Mistake(
            "every layer is raised once at most",
            "after a step, the same layer may take the next: loop until no step fits.",
            _once_each,
        ),
        Mistake(
            "nothing is ever raised",
            "is there a loop? While a step fits, take the best one.",
            lambda harm, cost, limit: [0] * len(harm),
        ),
        Mistake(
            "the budget is ignored",
            "the total cost of all layers must stay ≤ limit.",
            lambda harm, cost, limit: [int(b) for b in harm.argmin(1)],
        ),
        Mistake(
            "these are the costs, not the choices",
            "return indices: 0 for the cheapest choice, and so on.",
            lambda harm, cost, limit: [cost[i, b] for i, b in enumerate(_greedy(harm, cost, limit))],
        ),
    ],
    use=lambda function, *case: _indices(function(*case)),
)


# (f) The optimum


def _allocate(harm: Table, cost: Table, limit: float) -> list[int]:
    states: dict[float, tuple[float, list[int]]] = {0: (0.0, [])}
    for h, c in zip(harm, cost, strict=True):
        following: dict[float, tuple[float, list[int]]] = {}
        for used, (total, chosen) in states.items():
            for b in range(len(h)):
                after, worse = used + c[b], total + h[b]
                if after <= limit and (after not in following or worse < following[after][0]):
                    following[after] = worse, [*chosen, b]
        states = following
    return min(states.values())[1]


def _with_first_kept(harm: Table, cost: Table, limit: float) -> list[int]:
    states: dict[float, tuple[float, list[int]]] = {0: (0.0, [])}
    for h, c in zip(harm, cost, strict=True):
        following: dict[float, tuple[float, list[int]]] = {}
        for used, (total, chosen) in states.items():
            for b in range(len(h)):
                if used + c[b] <= limit:
                    following.setdefault(used + c[b], (total + h[b], [*chosen, b]))
        states = following
    return min(states.values())[1]


def _with_last_kept(harm: Table, cost: Table, limit: float) -> list[int]:
    states: dict[float, tuple[float, list[int]]] = {0: (0.0, [])}
    for h, c in zip(harm, cost, strict=True):
        following: dict[float, tuple[float, list[int]]] = {}
        for used, (total, chosen) in states.items():
            for b in range(len(h)):
                if used + c[b] <= limit:
                    following[used + c[b]] = total + h[b], [*chosen, b]
        states = following
    return min(states.values())[1]


def _fullest(harm: Table, cost: Table, limit: float) -> list[int]:
    states: dict[float, tuple[float, list[int]]] = {0: (0.0, [])}
    for h, c in zip(harm, cost, strict=True):
        following: dict[float, tuple[float, list[int]]] = {}
        for used, (total, chosen) in states.items():
            for b in range(len(h)):
                after, worse = used + c[b], total + h[b]
                if after <= limit and (after not in following or worse < following[after][0]):
                    following[after] = worse, [*chosen, b]
        states = following
    return states[max(states)][1]


def _best_state_only(harm: Table, cost: Table, limit: float) -> list[int]:
    chosen: list[int] = []
    used = 0.0
    for k, (h, c) in enumerate(zip(harm, cost, strict=True)):
        least = sum(row.min() for row in cost[k + 1 :])
        fits = [b for b in range(len(h)) if used + c[b] + least <= limit]
        b = min(fits, key=lambda b: h[b])
        chosen.append(b)
        used += c[b]
    return chosen


def _scaled(function: Allocator, change: Callable[[Table, Table, float], tuple[Table, Table, float]]) -> Allocator:
    return lambda harm, cost, limit: function(*change(harm, cost, limit))


_LONG = _instance(7, 14, 4, 0.35, 6)  # too many to try them all
ALLOCATE_CASES = [
    BY_HAND,
    (BY_HAND[0], BY_HAND[1], 60.0),
    (np.array([[5.0, 1.0], [4.0, 0.5], [3.0, 0.2]]), np.array([[1, 4], [1, 5], [1, 3]]), 9.0),
    (np.array([[5.0, 0.0], [4.5, 1.5], [4.5, 1.5]]), np.array([[0, 10], [0, 6], [0, 6]]), 12.0),
    (np.array([[2.0, 3.0], [1.0, 0.5]]), np.array([[1, 2], [1, 2]]), 4.0),
    _instance(3, 5, 4, 0.45),
    _instance(5, 6, 3, 0.6),
    _LONG,
]

ALLOCATE = Exercise(
    "allocate",
    _allocate,
    ALLOCATE_CASES,
    [
        Mistake(
            "it is still greedy",
            "after a greedy step there is no way back. Keep, for *every* total cost, the least harm with which it can "
            "be reached.",
            _greedy,
        ),
        Mistake(
            "it is greedy from the top",
            "after a greedy step there is no way back. Keep, for *every* total cost, the least harm with which it can "
            "be reached.",
            _from_above,
        ),
        Mistake(
            "each layer takes the best that still fits",
            "the first layers eat what later ones need more. Keep all totals that can be reached, until the end.",
            _best_state_only,
        ),
        Mistake(
            "of two ways to the same cost, the first stays",
            "keep the one of less harm: compare before you leave it.",
            _with_first_kept,
        ),
        Mistake(
            "of two ways to the same cost, the last stays",
            "keep the one of less harm: compare before you overwrite.",
            _with_last_kept,
        ),
        Mistake(
            "the budget is filled as far as possible",
            "more bytes need not mean less harm. At the end take the state of least *harm*.",
            _fullest,
        ),
        Mistake(
            "harm is maximized",
            "least harm: min.",
            _scaled(_allocate, lambda harm, cost, limit: (-harm, cost, limit)),
        ),
        Mistake(
            "cost is minimized",
            "the budget is a limit, not the aim: as little harm as it allows.",
            lambda harm, cost, limit: [int(b) for b in cost.argmin(1)],
        ),
        Mistake(
            "the budget is ignored",
            "only states with a total cost ≤ limit may stay.",
            lambda harm, cost, limit: [int(b) for b in harm.argmin(1)],
        ),
        Mistake(
            "the budget may not be used up",
            "a total that is equal to the limit is within it: ≤.",
            _scaled(_allocate, lambda harm, cost, limit: (harm, cost, limit - 0.5)),
        ),
        Mistake(
            "the limit holds for each layer alone",
            "the *sum* over the layers must stay within the limit.",
            lambda harm, cost, limit: [
                int(np.where(c <= limit / len(harm), h, np.inf).argmin()) for h, c in zip(harm, cost, strict=True)
            ],
        ),
        Mistake(
            "all layers get the same choice",
            "that is the uniform network, the one to beat: let each layer choose.",
            lambda harm, cost, limit: (
                [max(b for b in range(harm.shape[1]) if cost[:, b].sum() <= limit or b == 0)] * len(harm)
            ),
        ),
        Mistake(
            "the last layer is left out",
            "go through all the rows of harm and cost.",
            lambda harm, cost, limit: [*_allocate(harm[:-1], cost[:-1], limit - cost[-1, 0]), 0],
        ),
        Mistake(
            "the choices come in reverse order",
            "one index per layer, the first layer first. (If you walk back through a table, turn the list round.)",
            lambda harm, cost, limit: _allocate(harm, cost, limit)[::-1],
        ),
        Mistake(
            "harm per byte is minimized",
            "the sum of harm is what counts; bytes come in only through the limit.",
            _scaled(_allocate, lambda harm, cost, limit: (harm / np.maximum(cost, 1), cost, limit)),
        ),
    ],
    use=lambda function, *case: _indices(function(*case)),
)


# (g) The front


def _front(cost: Table, loss: Table) -> list[int]:
    found, best = [], math.inf
    for i in sorted(range(len(cost)), key=lambda i: (cost[i], loss[i], i)):
        if loss[i] < best:
            found.append(i)
            best = loss[i]
    return found


def _front_by(
    beaten: Callable[[float, float, float, float], bool], key: Callable[[float, float], Any] = lambda c, x: (c, x)
) -> Callable[[Table, Table], list[int]]:
    def wrong(cost: Any, loss: Any) -> list[int]:
        n = range(len(cost))
        kept = [i for i in n if not any(j != i and beaten(cost[j], loss[j], cost[i], loss[i]) for j in n)]
        return sorted(kept, key=lambda i: key(cost[i], loss[i]))

    return wrong


def _points(seed: int, n: int, grid: int) -> tuple[Table, Table]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, grid, n), rng.integers(0, grid, n) / 4


def _cloud(seed: int, n: int) -> tuple[Table, Table]:
    rng = np.random.default_rng(seed)
    cost = rng.permutation(10 * n)[:n]
    return cost, np.exp(-cost / (5 * n)) * rng.uniform(1, 2, n)


PARETO_FRONT = Exercise(
    "pareto_front",
    _front,
    [
        (np.array([1, 2, 2, 3, 4]), np.array([9.0, 5.0, 6.0, 5.0, 1.0])),
        (np.array([3, 1, 2]), np.array([1.0, 1.0, 0.5])),
        _points(0, 12, 6),
        _points(3, 15, 5),
        _cloud(2, 30),
        (np.array([7]), np.array([0.3])),
    ],
    [
        Mistake(
            "equal cost is no reason to go",
            "of two points with the same cost, the one of more loss is bettered: ≤ in one coordinate, < in the other.",
            _front_by(lambda cj, xj, ci, xi: cj < ci and xj < xi),
        ),
        Mistake(
            "more loss is taken for better",
            "less is better in both coordinates.",
            _front_by(lambda cj, xj, ci, xi: cj <= ci and xj >= xi and (cj, xj) != (ci, xi)),
        ),
        Mistake(
            "more cost is taken for better",
            "less is better in both coordinates.",
            _front_by(lambda cj, xj, ci, xi: cj >= ci and xj <= xi and (cj, xj) != (ci, xi)),
        ),
        Mistake(
            "a point goes if another is better in one of the two",
            "it must be at least as good in *both*: trading one for the other is what a front is about.",
            _front_by(lambda cj, xj, ci, xi: cj < ci or xj < xi),
        ),
        Mistake(
            "equal points are all kept",
            "of equal points keep the first: the others add nothing.",
            _front_by(lambda cj, xj, ci, xi: cj <= ci and xj <= xi and (cj, xj) != (ci, xi)),
        ),
        Mistake(
            "equal points drive each other out",
            "a point is not bettered by its equal: one of them must stay.",
            _front_by(lambda cj, xj, ci, xi: cj <= ci and xj <= xi),
        ),
        Mistake(
            "of equal points the last is kept",
            "keep the first, so that everybody's list is the same.",
            lambda cost, loss: [
                max(j for j in range(len(cost)) if (cost[j], loss[j]) == (cost[i], loss[i])) for i in _front(cost, loss)
            ],
        ),
        Mistake(
            "they are not sorted by cost",
            "cost rises along the list, so that the front can be drawn as a line.",
            lambda cost, loss: sorted(_front(cost, loss)),
        ),
        Mistake(
            "they are sorted the other way round",
            "cost rises along the list.",
            lambda cost, loss: _front(cost, loss)[::-1],
        ),
        Mistake(
            "of equal cost, the first met decides",
            "sort by cost *and* loss: among points of one cost, the one of least loss comes first.",
            lambda cost, loss: _running(cost, loss, sorted(range(len(cost)), key=lambda i: cost[i])),
        ),
        Mistake(
            "equal loss counts as progress",
            "whoever pays more must lose strictly less.",
            lambda cost, loss: _running(
                cost, loss, sorted(range(len(cost)), key=lambda i: (cost[i], loss[i], i)), equal=True
            ),
        ),
        Mistake(
            "each is compared with its neighbour only",
            "compare with the best loss of *all* cheaper points, not with the last one.",
            lambda cost, loss: _neighbours(cost, loss),
        ),
        Mistake(
            "these are the costs",
            "return the places of the points: indices.",
            lambda cost, loss: [cost[i] for i in _front(cost, loss)],
        ),
        Mistake(
            "only the best point is returned",
            "the front holds a point for every price that is worth paying.",
            lambda cost, loss: [int(np.argmin(loss))],
        ),
    ],
    use=lambda function, *case: _indices(function(*case)),
)


def _running(cost: Table, loss: Table, order: list[int], equal: bool = False) -> list[int]:
    found, best = [], math.inf
    for i in order:
        if loss[i] < best or (equal and loss[i] == best):
            found.append(i)
            best = loss[i]
    return found


def _neighbours(cost: Table, loss: Table) -> list[int]:
    order = sorted(range(len(cost)), key=lambda i: (cost[i], loss[i], i))
    return [i for k, i in enumerate(order) if k == 0 or loss[i] < loss[order[k - 1]]]


# (h) How much was lost


def _lost(cost: Table, accuracy: Table, limit: float, chosen: int) -> float:
    return float(accuracy[cost <= limit].max() - accuracy[chosen])


def _some(seed: int, n: int, share: float) -> tuple[Table, Table, float, int]:
    rng = np.random.default_rng(seed)
    cost = rng.integers(10, 100, n)
    accuracy = np.round(1 - np.exp(-cost / 40) * rng.uniform(0.5, 1, n), 3)
    limit = float(np.sort(cost)[int(share * n)])
    fits = np.flatnonzero(cost < limit)
    return cost, accuracy, limit, int(fits[rng.integers(len(fits))])


LOST = Exercise(
    "lost_accuracy",
    _lost,
    [
        (np.array([10, 20, 30, 40]), np.array([0.5, 0.75, 0.7, 0.9]), 30.0, 2),
        (np.array([10, 20, 30, 40]), np.array([0.5, 0.7, 0.8, 0.9]), 30.0, 0),
        _some(0, 20, 0.4),
        _some(1, 30, 0.6),
        _some(2, 15, 0.5),
    ],
    [
        Mistake(
            "the budget is ignored",
            "compare with the best that the same budget allows, not with the best of all.",
            lambda cost, accuracy, limit, chosen: float(accuracy.max() - accuracy[chosen]),
        ),
        Mistake(
            "the limit itself is left out",
            "a cost equal to the limit is within it: ≤.",
            lambda cost, accuracy, limit, chosen: float(accuracy[cost < limit].max() - accuracy[chosen]),
        ),
        Mistake(
            "the sign is reversed",
            "a loss is positive: the best minus yours.",
            lambda cost, accuracy, limit, chosen: -_lost(cost, accuracy, limit, chosen),
        ),
        Mistake(
            "the rival is as cheap as yours",
            "the budget is `limit`; that yours left some of it unused is its own choice.",
            lambda cost, accuracy, limit, chosen: float(accuracy[cost <= cost[chosen]].max() - accuracy[chosen]),
        ),
        Mistake(
            "the rival is the dearest within the budget",
            "the one that costs most need not be the one that is best.",
            lambda cost, accuracy, limit, chosen: float(
                accuracy[np.where(cost <= limit, cost, -1).argmax()] - accuracy[chosen]
            ),
        ),
        Mistake(
            "it is a ratio",
            "points are a difference: the best minus yours.",
            lambda cost, accuracy, limit, chosen: float(accuracy[chosen] / accuracy[cost <= limit].max()),
        ),
        Mistake(
            "the rival is the average",
            "compare with the best within the budget.",
            lambda cost, accuracy, limit, chosen: float(accuracy[cost <= limit].mean() - accuracy[chosen]),
        ),
        Mistake(
            "`chosen` counts within the budget only",
            "`chosen` is a place in the whole list: take accuracy[chosen] before you leave anything out.",
            lambda cost, accuracy, limit, chosen: float(
                (within := accuracy[cost <= limit]).max() - within[min(chosen, len(within) - 1)]
            ),
        ),
        Mistake(
            "these are bytes",
            "look up accuracies, not costs.",
            lambda cost, accuracy, limit, chosen: float(limit - cost[chosen]),
        ),
    ],
)


EXERCISES = [ASSIGNMENT_BYTES, SENSITIVITY, HESSIAN_PRODUCT, TRACE, GREEDY, ALLOCATE, PARETO_FRONT, LOST]

QUESTIONS = [
    question(
        "answer_1",
        3125,
        {
            25: "25 is the size of the table: layers × choices. Every layer chooses for itself.",
            120: "two layers may have the same bits: they are not a permutation.",
            126: "it matters *which* layer gets which bits.",
            1024: "five layers with five choices each, not four.",
        },
    ),
    question(
        "answer_2",
        "b",
        {
            "a": "look at its harm: nothing else in the table is as large.",
            "c": "it has fewer MACs than most of the others, and the budget does not count MACs anyway.",
            "d": "the rule is a habit of the field. What do the two columns, harm and bytes, say by themselves?",
        },
    ),
    question(
        "answer_3",
        "c",
        {
            "a": "the optimum is exact: you checked it against cases where greedy fails.",
            "b": "the bytes are exact: you computed them to the last one.",
            "d": "that would only make the numbers scatter. What did we assume when we wrote a *sum* over layers?",
        },
    ),
    question(
        "answer_4",
        4,
        {
            2: "the error falls as one over the *root* of the number of vectors.",
            16: "16 times as many make it four times as small.",
            1: "more vectors do help: the error of a mean of m numbers is σ/√m.",
        },
    ),
    question(
        "answer_5",
        "a",
        {
            "b": "its first layer is not the most sensitive one, and even if it were: who would pay for the others?",
            "c": "the table of harm differs from row to row there, too.",
            "d": "fewer layers mean fewer assignments, but three layers could still trade with each other. What do "
            "they have to trade?",
        },
    ),
]
