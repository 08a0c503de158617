"""Lab 12, binary networks: right solutions, and the mistakes that people make.

    b = sign(x), ∂b/∂x := 1 for |x| ≤ 1;   α = mean|w|;   Δ = 0.7·mean|w|;   aᵀb = n − 2·popcount(XOR)

Survey-map rows: E1, E2, E3.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.course._running import ReturnedNothing
from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "BEST_ALPHA",
    "BINARIZE",
    "BINARY_LINEAR",
    "EXERCISES",
    "FOLD",
    "PACK",
    "PRODUCT",
    "QUESTIONS",
    "SIGN",
    "TERNARIZE",
]

Words = NDArray[Any]


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _called(thing: Any, *names: str) -> Any:
    """Name the arguments of a case, as messages show them."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    thing.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])
    return thing


# (a) The sign


def _sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


SIGN = Exercise(
    "sign",
    _sign,
    [
        (torch.tensor([-0.3, 0.0, 2.0]),),
        (_normal(0, 4, 5),),
        (torch.tensor([[0.0, -1.0], [5.0, -0.1]]),),
    ],
    [
        Mistake(
            "the sign of 0 is 0",
            "torch.sign has three answers, one bit has two. Zero counts as positive here.",
            lambda x: torch.sign(x),
        ),
        Mistake(
            "the sign of 0 is −1",
            "compare with ≥, not with >: zero counts as positive.",
            lambda x: torch.where(x > 0, 1.0, -1.0),
        ),
        Mistake(
            "bits come out, 0 and 1",
            "what the network computes with are the numbers −1 and +1.",
            lambda x: (x >= 0).float(),
        ),
        Mistake("the signs are turned round", "+1 belongs to x ≥ 0.", lambda x: torch.where(x >= 0, -1.0, 1.0)),
        Mistake(
            "x is divided by its size",
            "0/0 is not a number. Ask instead whether x ≥ 0.",
            lambda x: x / x.abs(),
        ),
        Mistake(
            "tanh is taken",
            "tanh bends smoothly; the sign jumps. There are only two values.",
            lambda x: torch.tanh(x),
        ),
        Mistake(
            "numbers between −1 and 1 stay what they are",
            "that is a clip. The sign of 0.1 is 1.",
            lambda x: x.clamp(-1, 1),
        ),
    ],
)


# (b) The sign with a gradient


def _binarize(x: Tensor) -> Tensor:
    clipped = x.clamp(-1, 1)
    return clipped + (_sign(x) - clipped).detach()


def _pulled(call: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> dict[str, Any]:
    """Go forward, then back with `grad` from above; return what came out at both ends."""
    leaf = x.clone().requires_grad_()
    y = call(leaf)
    if y is None or y is ...:
        raise ReturnedNothing
    if not isinstance(y, Tensor):
        raise TypeError(f"a tensor must come out, got {type(y).__name__}")
    out = y.detach().clone()
    if not y.requires_grad:
        raise ValueError("no gradient can come back: autograd sees no way from the result to x")
    if y.shape == grad.shape:
        y.backward(grad)
    return {"value": out, "gradient": leaf.grad}


def _hard_inside(x: Tensor) -> Tensor:
    return torch.where(x.abs() <= 1, x.detach(), x) + (_sign(x) - x).detach()


BINARIZE = Exercise(
    "binarize",
    _called(lambda x: _binarize(x), "x", "grad"),
    [
        (torch.tensor([-3.0, -0.4, 0.2, 0.9, 1.7]), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])),
        (1.5 * _normal(1, 4, 5), _normal(2, 4, 5)),
        (torch.tensor([0.0, 0.5]), torch.tensor([2.0, -1.0])),
    ],
    [
        Mistake(
            "no gradient comes back",
            "your sign is a comparison, and autograd sees no slope in one. Add something with the right slope and take "
            "its value off again: clipped + (sign − clipped).detach().",
            lambda x: _sign(x),
        ),
        Mistake(
            "x is not clipped",
            "forward is right. But x passes its gradient beyond ±1 as well: put the clipped x into its place.",
            lambda x: x + (_sign(x) - x).detach(),
        ),
        Mistake(
            "the clipped x comes out",
            "forward must give −1 and +1 only. The clip is for the way back.",
            lambda x: x.clamp(-1, 1),
        ),
        Mistake(
            "tanh's gradient comes back",
            "the slope asked for is 1 inside [−1, 1], and 0 outside: that of the clip.",
            lambda x: torch.tanh(x) + (_sign(x) - torch.tanh(x)).detach(),
        ),
        Mistake("the gradient passes outside, not inside", "1 for |x| ≤ 1, and 0 beyond.", _hard_inside),
        Mistake(
            "negative x get no gradient",
            "the clip goes from −1 to 1, not from 0 to 1.",
            lambda x: x.clamp(0, 1) + (_sign(x) - x.clamp(0, 1)).detach(),
        ),
        Mistake(
            "only the first term is detached",
            "then the gradient comes from −clipped, with a minus. Detach the difference.",
            lambda x: x.clamp(-1, 1).detach() + (_sign(x) - x.clamp(-1, 1)),
        ),
        Mistake(
            "the difference has the wrong sign",
            "clipped + (sign − clipped) is the sign. And clipped + (clipped − sign)?",
            lambda x: x.clamp(-1, 1) + (x.clamp(-1, 1) - _sign(x)).detach(),
        ),
        Mistake(
            "it is a quotient, not a difference",
            "the value is right, but each gradient is multiplied by sign/x. Use a sum: its slope is 1.",
            lambda x: x.clamp(-1, 1) * (_sign(x) / x.clamp(-1, 1)).detach(),
        ),
        Mistake(
            "x is clipped in one place only",
            "what stands in front must be taken off again in the brackets: the clipped x, both times.",
            lambda x: x.clamp(-1, 1) + (_sign(x) - x).detach(),
        ),
        Mistake(
            "x is clipped in the brackets only",
            "what is taken off in the brackets must stand in front: the clipped x, both times.",
            lambda x: x + (_sign(x) - x.clamp(-1, 1)).detach(),
        ),
        Mistake(
            "the sign of 0 is 0",
            "forward, use your own sign: torch.sign has a third answer.",
            lambda x: x.clamp(-1, 1) + (torch.sign(x) - x.clamp(-1, 1)).detach(),
        ),
        Mistake(
            "the clipped x is not taken off again",
            "the values must cancel: clipped + (sign − clipped).",
            lambda x: x.clamp(-1, 1) + _sign(x).detach(),
        ),
        Mistake(
            "the gradients cancel, too",
            "what is taken off must be detached as well: the whole difference goes into .detach().",
            lambda x: x.clamp(-1, 1) + _sign(x).detach() - x.clamp(-1, 1),
        ),
    ],
    use=_pulled,
)


# (c) The scale of least squares


def _alpha(w: Tensor) -> Tensor:
    return w.abs().flatten(1).mean(1)


_FILTERS = [
    (torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.5, -2.0]]),),
    (_normal(3, 4, 3, 2, 2),),
    (_normal(4, 6, 6) + 0.3,),
]

BEST_ALPHA = Exercise(
    "best_alpha",
    _alpha,
    _FILTERS,
    [
        Mistake(
            "the weights are averaged with their signs",
            "positive and negative weights cancel. Take their sizes, |w|.",
            lambda w: w.flatten(1).mean(1),
        ),
        Mistake(
            "it is the largest weight",
            "most weights are far smaller, and all of them become ±α. What is the *best* size for all?",
            lambda w: w.abs().flatten(1).amax(1),
        ),
        Mistake(
            "it is the root mean square",
            "that keeps the energy, but least squares gives the mean of |w|: α = wᵀb/n.",
            lambda w: w.square().flatten(1).mean(1).sqrt(),
        ),
        Mistake(
            "there is one α for the whole layer",
            "one α for each filter: average over all axes but the first.",
            lambda w: w.abs().mean(),
        ),
        Mistake(
            "the average is over the filters",
            "axis 0 counts the filters. Average over the others.",
            lambda w: w.abs().mean(0),
        ),
        Mistake(
            "the sizes are added, not averaged",
            "divide by the number of weights in a filter.",
            lambda w: w.abs().flatten(1).sum(1),
        ),
        Mistake("it is the median", "least squares leads to the mean.", lambda w: w.abs().flatten(1).median(1).values),
        Mistake(
            "the average is over one axis only",
            "a filter of a convolution has three axes: average over all of them. flatten(1) makes one of them.",
            lambda w: w.abs().mean(1),
        ),
        Mistake(
            "it works for convolutions only",
            "a linear layer's weight has two axes, a convolution's has four. flatten(1) makes two of them, always.",
            lambda w: w.abs().mean((1, 2, 3)),
        ),
        Mistake(
            "it is the standard deviation",
            "how far weights are from their mean is not asked: how large is |w| on average?",
            lambda w: w.flatten(1).std(1),
        ),
        Mistake(
            "α keeps the axes of the weights",
            "return one number for each filter, shape (filters,). (Broadcasting comes later.)",
            lambda w: _alpha(w).reshape(-1, *[1] * (w.ndim - 1)),
        ),
        Mistake(
            "the sizes are squared once too often",
            "α is a size, like w: mean|w|, not mean w².",
            lambda w: w.square().flatten(1).mean(1),
        ),
    ],
)


# (d) A zero


def _kept(v: Tensor, threshold: Tensor) -> Tensor:
    kept = v.abs() > threshold
    size = (v.abs() * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)
    return size * torch.sign(v) * kept


def _ternarize(w: Tensor) -> Tensor:
    v = w.flatten(1)
    return _kept(v, 0.7 * v.abs().mean(1, keepdim=True)).reshape(w.shape)


def _ternary(
    threshold: Callable[[Tensor], Tensor] = lambda v: 0.7 * v.abs().mean(1, keepdim=True),
    size: Callable[[Tensor, Tensor], Tensor] = lambda v, kept: (
        (v.abs() * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)
    ),
    whole: bool = False,
) -> Callable[[Tensor], Tensor]:
    def ternarize(w: Tensor) -> Tensor:
        v = w.reshape(1, -1) if whole else w.flatten(1)
        kept = v.abs() > threshold(v)
        return (size(v, kept) * torch.sign(v) * kept).reshape(w.shape)

    return ternarize


def _soft(w: Tensor) -> Tensor:
    v = w.flatten(1)
    return (torch.sign(v) * (v.abs() - 0.7 * v.abs().mean(1, keepdim=True)).clamp(min=0)).reshape(w.shape)


def _inverted(w: Tensor) -> Tensor:
    v = w.flatten(1)
    small = v.abs() <= 0.7 * v.abs().mean(1, keepdim=True)
    size = (v.abs() * small).sum(1, keepdim=True) / small.sum(1, keepdim=True)
    return (size * torch.sign(v) * small).reshape(w.shape)


TERNARIZE = Exercise(
    "ternarize",
    _ternarize,
    [(torch.tensor([[0.1, -0.9, 1.0, 0.2], [3.0, -1.0, 2.0, -4.0]]),), *_FILTERS[1:]],
    [
        Mistake(
            "the threshold comes from the largest weight",
            "Δ = 0.7 times the *mean* of |w|.",
            _ternary(lambda v: 0.7 * v.abs().amax(1, keepdim=True)),
        ),
        Mistake(
            "α is the mean of all |w|",
            "α stands for the weights that were kept: average over those only.",
            _ternary(size=lambda v, kept: v.abs().mean(1, keepdim=True)),
        ),
        Mistake(
            "α is missing",
            "−1, 0 and 1 are the codes. Multiply by the α of each filter.",
            _ternary(size=lambda v, kept: torch.ones_like(v[:, :1])),
        ),
        Mistake(
            "there is one Δ and one α for the whole layer",
            "one of each for each filter: average along its own weights.",
            _ternary(whole=True),
        ),
        Mistake(
            "the 0.7 is missing",
            "Δ = 0.7·mean|w|. With the mean itself, more than half of the weights become 0.",
            _ternary(lambda v: v.abs().mean(1, keepdim=True)),
        ),
        Mistake(
            "the small weights are kept, and the large ones are 0",
            "keep where |w| > Δ.",
            _inverted,
        ),
        Mistake(
            "the signs are lost",
            "a large negative weight becomes −α.",
            lambda w: _ternarize(w).abs(),
        ),
        Mistake(
            "the weights that are kept stay what they are",
            "that is pruning. Each of them becomes ±α.",
            lambda w: torch.where(_ternarize(w) != 0, w, 0.0),
        ),
        Mistake(
            "the threshold is averaged with signs",
            "Δ = 0.7·mean|w|: the sizes first, then the mean.",
            _ternary(lambda v: 0.7 * v.mean(1, keepdim=True).abs()),
        ),
        Mistake(
            "the sum of the kept ones is divided by all",
            "divide by how many are kept, not by how many weights there are.",
            _ternary(size=lambda v, kept: (v.abs() * kept).mean(1, keepdim=True)),
        ),
        Mistake(
            "α is the threshold",
            "Δ is where zero ends. α is the mean size of what lies beyond.",
            _ternary(size=lambda v, kept: 0.7 * v.abs().mean(1, keepdim=True)),
        ),
        Mistake(
            "all weights are pulled towards 0 by Δ",
            "that is a soft threshold. Here each weight goes to one of three levels.",
            _soft,
        ),
        Mistake(
            "the threshold comes from the root mean square",
            "Δ = 0.7·mean|w|, not of the squares.",
            _ternary(lambda v: 0.7 * v.square().mean(1, keepdim=True).sqrt()),
        ),
        Mistake(
            "small weights become ±α, too",
            "that is a binary filter. Where |w| ≤ Δ, return 0.",
            lambda w: _alpha(w).reshape(-1, *[1] * (w.ndim - 1)) * torch.sign(w),
        ),
        Mistake(
            "α and Δ meet the wrong axis",
            "one number for each filter, shape (filters,), has to become a column before it meets the weights: "
            "keepdim=True, or reshape(-1, 1).",
            lambda w: _alpha(w) * torch.sign(w),
        ),
        Mistake(
            "negative weights are all 0",
            "compare |w| with Δ, not w.",
            lambda w: _positive_only(w),
        ),
        Mistake(
            "the filters have lost their shape",
            "return the shape that came in: .reshape(w.shape).",
            lambda w: _ternarize(w).flatten(1) if w.ndim > 2 else _ternarize(w),
        ),
    ],
)


def _positive_only(w: Tensor) -> Tensor:
    v = w.flatten(1)
    kept = v > 0.7 * v.abs().mean(1, keepdim=True)
    size = (v * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)
    return (size * kept).reshape(w.shape)


# (e) Packing


def _bytes(x: Words, order: Any = "little") -> Words:
    packed: Words = np.packbits(x, axis=1, bitorder=order)
    return packed


def _pack(signs: Tensor) -> Words:
    return _bytes(signs.numpy() > 0)


def _padded(signs: Tensor, front: bool, value: bool) -> Words:
    bits = signs.numpy() > 0
    missing = -bits.shape[1] % 8
    return _bytes(np.pad(bits, ((0, 0), (missing, 0) if front else (0, missing)), constant_values=value))


def _packed(function: Callable[[Tensor], Any], signs: Tensor) -> Any:
    answer = function(signs)
    if isinstance(answer, Tensor):
        raise TypeError("return a NumPy array: tensor.numpy() makes one of a tensor")
    if isinstance(answer, np.ndarray) and answer.dtype.kind in "iuf" and answer.dtype != np.uint8:
        raise TypeError(f"bytes must come out, dtype np.uint8, got {answer.dtype}")
    return answer


PACK = Exercise(
    "pack",
    _pack,
    [
        (torch.tensor([[1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0]]),),
        (_sign(_normal(5, 3, 20)),),
        (_sign(_normal(6, 9, 16)),),
        (_sign(_normal(7, 2, 5)),),
    ],
    [
        Mistake(
            "the first sign is in the highest bit",
            "np.packbits begins at the highest bit, unless you say bitorder='little'.",
            lambda signs: _bytes(signs.numpy() > 0, "big"),
        ),
        Mistake(
            "the bits are turned round",
            "1 stands for +1, 0 for −1.",
            lambda signs: _bytes(signs.numpy() < 0),
        ),
        Mistake(
            "every bit is 1",
            "np.packbits takes what is not 0 for a 1, and −1 is not 0. Ask first whether the sign is positive.",
            lambda signs: _bytes(signs.numpy() != 0),
        ),
        Mistake(
            "real numbers are packed",
            "np.packbits takes whole numbers or booleans. Ask first whether each sign is positive.",
            lambda signs: np.packbits(signs.numpy(), axis=1, bitorder="little"),
        ),
        Mistake(
            "all rows are packed into one",
            "each row begins a byte of its own: axis=1.",
            lambda signs: np.packbits(signs.numpy() > 0, bitorder="little"),
        ),
        Mistake(
            "the columns are packed",
            "the signs of one row go together: axis=1.",
            lambda signs: np.packbits(signs.numpy() > 0, axis=0, bitorder="little"),
        ),
        Mistake(
            "the unused bits are 1",
            "what fills up the last byte must be 0, in all rows: else two rows differ where there is nothing.",
            lambda signs: _padded(signs, front=False, value=True),
        ),
        Mistake(
            "it is filled up in front",
            "the first sign belongs into the lowest bit of the first byte; fill up at the end.",
            lambda signs: _padded(signs, front=True, value=False),
        ),
        Mistake(
            "there is a byte for each sign",
            "that is eight times too much: np.packbits puts eight of them into a byte.",
            lambda signs: (signs.numpy() > 0).astype(np.uint8),
        ),
        Mistake(
            "the bytes of a row come in the wrong order",
            "the first eight signs belong into the first byte.",
            lambda signs: _pack(signs)[:, ::-1].copy(),
        ),
        Mistake(
            "the last, unfinished byte is missing",
            "20 signs take 3 bytes, ⌈20/8⌉.",
            lambda signs: _bytes((signs.numpy() > 0)[:, : signs.shape[1] // 8 * 8]),
        ),
    ],
    use=_packed,
)
PACK.solution.__signature__ = inspect.Signature([inspect.Parameter("signs", inspect.Parameter.POSITIONAL_OR_KEYWORD)])


# (f) The product


def _differ(a: Words, b: Words) -> Words:
    different: Words = np.bitwise_count(a[:, None] ^ b[None]).sum(-1, dtype=np.int64)
    return different


def _product(a: Words, b: Words, n: int) -> Words:
    result: Words = n - 2 * _differ(a, b)
    return result


def _rows(seed: int, rows: int, n: int) -> Words:
    return _pack(_sign(_normal(seed, rows, n)))


def _wide(seed: int, rows: int, n: int) -> Words:
    wide: Words = _rows(seed, rows, n).view(np.uint64)
    return wide


PRODUCT = Exercise(
    "product",
    _product,
    [
        (np.array([[13]], np.uint8), np.array([[11]], np.uint8), 4),
        (_rows(8, 3, 20), _rows(9, 2, 20), 20),
        (_rows(10, 2, 13), _rows(11, 4, 13), 13),
        (_rows(12, 3, 70), _rows(12, 3, 70), 70),
        (_pack(torch.ones(1, 200)), _pack(-torch.ones(2, 200)), 200),
        (_wide(13, 2, 128), _wide(14, 3, 128), 128),
    ],
    [
        Mistake(
            "the bits that differ are returned",
            "equal ones count +1, different ones −1: n − 2·(how many differ).",
            lambda a, b, n: _differ(a, b),
        ),
        Mistake(
            "the 2 is missing",
            "a bit that differs takes away its +1, and adds −1: two in all.",
            lambda a, b, n: n - _differ(a, b),
        ),
        Mistake(
            "the sign is turned round",
            "XOR finds the bits that *differ*, so these must be taken off: n − 2·popcount.",
            lambda a, b, n: 2 * _differ(a, b) - n,
        ),
        Mistake(
            "the bits are combined by AND",
            "two minus signs multiply to plus, but 0 AND 0 is 0. Which operation asks whether two bits differ?",
            lambda a, b, n: n - 2 * np.bitwise_count(a[:, None] & b[None]).sum(-1, dtype=np.int64),
        ),
        Mistake(
            "the bits are combined by OR",
            "which operation asks whether two bits differ? It is ^, not |.",
            lambda a, b, n: n - 2 * np.bitwise_count(a[:, None] | b[None]).sum(-1, dtype=np.int64),
        ),
        Mistake(
            "the unused bits count as equal",
            "~ turns the 0 of an unused bit into a 1. Count what differs (XOR): unused bits never do.",
            lambda a, b, n: 2 * np.bitwise_count(~(a[:, None] ^ b[None])).sum(-1, dtype=np.int64) - n,
        ),
        Mistake(
            "negative numbers have become huge",
            "np.bitwise_count is unsigned, and so is its sum: below 0 it starts again from the top. Make it signed: "
            ".sum(-1, dtype=int) or .astype(int).",
            lambda a, b, n: n - 2 * np.bitwise_count(a[:, None] ^ b[None]).sum(-1),
        ),
        Mistake(
            "the unused bits count as signs",
            "n is how many signs there are, not 8 times the number of bytes.",
            lambda a, b, n: 8 * a.shape[1] * a.itemsize - 2 * _differ(a, b),
        ),
        Mistake(
            "everything is added up",
            "a product for each row of a with each row of b: add along the last axis only.",
            lambda a, b, n: n - 2 * int(_differ(a, b).sum()),
        ),
        Mistake(
            "bytes are counted, not bits",
            "np.bitwise_count tells how many bits of a word are 1.",
            lambda a, b, n: n - 2 * ((a[:, None] ^ b[None]) != 0).sum(-1),
        ),
        Mistake(
            "rows and columns are exchanged",
            "row i, column j holds the product of a[i] with b[j].",
            lambda a, b, n: _product(a, b, n).T,
        ),
        Mistake(
            "row i of a meets row i of b only",
            "each row of a with each row of b: a[:, None] ^ b[None].",
            lambda a, b, n: n - 2 * np.bitwise_count(a ^ b).sum(-1, dtype=np.int64),
        ),
        Mistake(
            "the words are multiplied as numbers",
            "each word is eight signs, or 64. XOR looks at all of them at once.",
            lambda a, b, n: a.astype(np.int64) @ b.astype(np.int64).T,
        ),
        Mistake(
            "it is divided by n",
            "the product is a sum of n terms, not their mean: a whole number.",
            lambda a, b, n: _product(a, b, n) / n,
        ),
        Mistake(
            "it wraps round at 8 bits",
            "2·popcount does not fit into 8 bits. Give the sum a wider type: .sum(-1, dtype=int).",
            lambda a, b, n: (np.uint8(n) - 2 * np.bitwise_count(a[:, None] ^ b[None]).sum(-1, dtype=np.uint8)).astype(
                np.int8
            ),
        ),
    ],
)


# (g) A layer

Way = Callable[[Tensor, Tensor], Tensor]


def _ste_way(x: Tensor, w: Tensor) -> Tensor:
    return F.linear(_binarize(x), _binarize(w))


def _layer(way: Way = _ste_way, keep: bool = False) -> type[nn.Module]:
    """A binary layer that computes in this way; `keep`: the signs take the place of the real weight."""

    class BinaryLinear(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(0.1 * torch.randn(outputs, inputs))

        def forward(self, x: Tensor) -> Tensor:
            if keep:
                self.weight.data = _sign(self.weight.data)
            return way(x, self.weight)

    return BinaryLinear


class _Biased(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return _ste_way(x, self.weight) + self.bias


class _Assigned(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        setattr(self, "weight", _binarize(self.weight))  # noqa: B010
        return F.linear(_binarize(x), self.weight)


def _worked(layer: Any, w: Tensor, x: Tensor, grad: Tensor) -> dict[str, Any]:
    if layer is None or layer is ...:
        raise NotImplementedError
    if not isinstance(layer, type):
        raise TypeError("hand over the class BinaryLinear itself, not a layer that it made")
    module = layer(w.shape[1], w.shape[0])
    if not isinstance(module, nn.Module):
        raise TypeError(f"a layer inherits from nn.Module, got {type(module).__name__}")
    own = dict(module.named_parameters())
    if list(own) != ["weight"]:
        raise ValueError(f"the layer must have one nn.Parameter, called weight, and no other; got {sorted(own)}")
    if own["weight"].shape != w.shape:
        raise ValueError(f"weight must be (outputs, inputs) = {tuple(w.shape)}, got {tuple(own['weight'].shape)}")
    with torch.no_grad():
        own["weight"].copy_(w)
    leaf = x.clone().requires_grad_()
    y = module(leaf)
    if y is None or y is ...:
        raise ReturnedNothing
    if y.requires_grad and y.shape == grad.shape:
        y.backward(grad)
    kept = module.get_parameter("weight")
    return {
        "output": y.detach().clone(),
        "gradient of x": leaf.grad,
        "gradient of weight": kept.grad,
        "weight afterwards": kept.detach().clone(),
    }


BINARY_LINEAR = Exercise(
    "BinaryLinear",
    _called(_layer(), "weight", "x", "grad"),
    [
        (
            torch.tensor([[0.5, -0.2, 1.4]]),
            torch.tensor([[0.3, 2.0, -0.7], [-1.5, 0.1, 0.2]]),
            torch.tensor([[1.0], [2.0]]),
        ),
        (0.8 * _normal(15, 4, 6), _normal(16, 5, 6), _normal(17, 5, 4)),
        (_normal(18, 3, 9), 2 * _normal(19, 2, 9), _normal(20, 2, 3)),
    ],
    [
        Mistake(
            "the weights are not binary",
            "both go through binarize: the input, and the weight.",
            _layer(lambda x, w: F.linear(_binarize(x), w)),
        ),
        Mistake(
            "the input is not binary",
            "both go through binarize: the input, and the weight.",
            _layer(lambda x, w: F.linear(x, _binarize(w))),
        ),
        Mistake(
            "nothing is binary",
            "that is an ordinary layer. Input and weight go through binarize first.",
            _layer(F.linear),
        ),
        Mistake(
            "no gradient comes back",
            "use your binarize, not your sign: it knows what to send back.",
            _layer(lambda x, w: F.linear(_sign(x), _sign(w))),
        ),
        Mistake(
            "the weight gets no gradient",
            "use binarize for the weight, too: with sign alone it never learns.",
            _layer(lambda x, w: F.linear(_binarize(x), _sign(w))),
        ),
        Mistake(
            "the input gets no gradient",
            "use binarize for the input, too: with sign alone, the layers before it never learn.",
            _layer(lambda x, w: F.linear(_sign(x), _binarize(w))),
        ),
        Mistake(
            "the signs have taken the place of the real weight",
            "small steps add up in the real weight until its sign changes. If only the sign is stored, they are lost.",
            _layer(keep=True),
        ),
        Mistake(
            "there is an α in it",
            "BatchNorm will divide it away: leave the product of signs as it is, a whole number.",
            _layer(lambda x, w: F.linear(_binarize(x), _binarize(w)) * w.abs().mean(1)),
        ),
        Mistake(
            "the output is divided by the number of inputs",
            "leave the product of signs as it is, a whole number.",
            _layer(lambda x, w: F.linear(_binarize(x), _binarize(w)) / w.shape[1]),
        ),
        Mistake(
            "the output is binarized, too",
            "the next layer takes the sign, after BatchNorm. Return the sums.",
            _layer(lambda x, w: _binarize(_ste_way(x, w))),
        ),
        Mistake(
            "the gradients are not clipped",
            "binarize lets them pass where |x| ≤ 1, and |w| ≤ 1, only.",
            _layer(lambda x, w: F.linear(x + (_sign(x) - x).detach(), w + (_sign(w) - w).detach())),
        ),
        Mistake(
            "the weight is not transposed",
            "weight is (outputs, inputs), and x is (batch, inputs): transpose it, or let F.linear do so.",
            _layer(lambda x, w: _binarize(x) @ _binarize(w)),
        ),
        Mistake(
            "there is a bias",
            "the BatchNorm that follows has one. Leave it out: the sums stay whole numbers.",
            _Biased,
        ),
        Mistake(
            "the signs are assigned to the weight",
            "self.weight is the real weight and must stay. Call the signs by another name, a local one.",
            _Assigned,
        ),
        Mistake(
            "only the output is binary",
            "the signs are taken before the product: that is what makes it cheap.",
            _layer(lambda x, w: _binarize(F.linear(x, w))),
        ),
    ],
    use=_worked,
)


# (h) BatchNorm and sign in one comparison


def _fold(gamma: Tensor, beta: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    edge = mean - beta * std / gamma
    up = gamma > 0
    return torch.where(up, torch.ceil(edge), torch.floor(edge)).long(), up


Edge = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _folded(
    edge: Edge = lambda g, b, m, s: m - b * s / g,
    rounding: Callable[[Tensor, Tensor], Tensor] = lambda e, up: torch.where(up, torch.ceil(e), torch.floor(e)),
    up: Callable[[Tensor], Tensor] = lambda g: g > 0,
) -> Callable[..., tuple[Tensor, Tensor]]:
    return lambda gamma, beta, mean, std: (
        rounding(edge(gamma, beta, mean, std), gamma > 0).long(),
        up(gamma),
    )


def _compared(function: Callable[..., Any], gamma: Tensor, beta: Tensor, mean: Tensor, std: Tensor) -> Any:
    """Return which whole numbers p the two values turn into +1: rows are channels, p from −30 to 30."""
    answer = function(gamma, beta, mean, std)
    if answer is None or answer is ...:
        raise ReturnedNothing
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise TypeError("return two tensors: threshold, up")
    threshold, up = answer
    if not isinstance(threshold, Tensor) or not isinstance(up, Tensor) or up.dtype != torch.bool:
        raise TypeError("return two tensors, threshold of whole numbers and up of booleans")
    if threshold.is_floating_point():
        raise TypeError("threshold must be of an integer type, rounded so that no p changes sides: see .long()")
    if threshold.shape != gamma.shape or up.shape != gamma.shape:
        raise ValueError(f"there must be one threshold for each channel, shape {tuple(gamma.shape)}")
    p = torch.arange(-30, 31)
    return torch.where(up[:, None], p >= threshold[:, None], p <= threshold[:, None])


FOLD = Exercise(
    "fold",
    _fold,
    [
        (torch.tensor([2.0]), torch.tensor([0.5]), torch.tensor([3.2]), torch.tensor([4.0])),
        (torch.tensor([-1.0, 1.0]), torch.tensor([0.3, -0.3]), torch.tensor([1.4, 1.4]), torch.tensor([5.0, 5.0])),
        (
            _normal(21, 12).sign() * (0.5 + _normal(21, 12).abs()),
            _normal(22, 12),
            4 * _normal(23, 12),
            torch.full((12,), 5.0),
        ),
    ],
    [
        Mistake(
            "β is left out",
            "set γ·(p − μ)/σ + β to 0, and solve for p.",
            _folded(lambda g, b, m, s: m),
        ),
        Mistake(
            "β has the wrong sign",
            "γ·(p − μ)/σ + β = 0 gives p = μ − β·σ/γ.",
            _folded(lambda g, b, m, s: m + b * s / g),
        ),
        Mistake(
            "σ is left out",
            "γ·(p − μ)/σ + β = 0 gives p = μ − β·σ/γ.",
            _folded(lambda g, b, m, s: m - b / g),
        ),
        Mistake(
            "γ is left out",
            "γ·(p − μ)/σ + β = 0 gives p = μ − β·σ/γ.",
            _folded(lambda g, b, m, s: m - b * s),
        ),
        Mistake(
            "it is multiplied by γ, not divided",
            "γ·(p − μ)/σ + β = 0 gives p = μ − β·σ/γ.",
            _folded(lambda g, b, m, s: m - b * s * g),
        ),
        Mistake(
            "σ divides where it should multiply",
            "γ·(p − μ)/σ + β = 0 gives p = μ − β·σ/γ.",
            _folded(lambda g, b, m, s: m - b / (s * g)),
        ),
        Mistake(
            "the mean is left out",
            "BatchNorm takes off the mean first: the threshold moves with it.",
            _folded(lambda g, b, m, s: -b * s / g),
        ),
        Mistake(
            "all comparisons go up",
            "a negative γ turns the comparison round: then +1 belongs to the small p.",
            _folded(up=lambda g: torch.ones_like(g, dtype=torch.bool)),
        ),
        Mistake(
            "the comparisons are turned round",
            "for γ > 0, large p give +1: up is True.",
            _folded(up=lambda g: g < 0),
        ),
        Mistake(
            "it is rounded to the nearest",
            "p ≥ 2.3 holds for 3, not for 2: round up where the comparison is p ≥ …, down where it is p ≤ …",
            _folded(rounding=lambda e, up: torch.round(e)),
        ),
        Mistake(
            "it is always rounded up",
            "where γ < 0 the comparison is p ≤ threshold: round down there.",
            _folded(rounding=lambda e, up: torch.ceil(e)),
        ),
        Mistake(
            "it is always rounded down",
            "p ≥ 2.3 holds for 3, not for 2: round up where γ > 0.",
            _folded(rounding=lambda e, up: torch.floor(e)),
        ),
        Mistake(
            "the fraction is cut off",
            ".int() and .long() cut towards 0. Round up (torch.ceil) or down (torch.floor) first.",
            _folded(rounding=lambda e, up: torch.trunc(e)),
        ),
        Mistake(
            "|γ| is taken",
            "the sign of γ moves the threshold as well: μ − β·σ/γ.",
            _folded(lambda g, b, m, s: m - b * s / g.abs()),
        ),
    ],
    use=_compared,
)

EXERCISES = [SIGN, BINARIZE, BEST_ALPHA, TERNARIZE, PACK, PRODUCT, BINARY_LINEAR, FOLD]

QUESTIONS = [
    question(
        "question_1",
        100,
        {
            1: "It is asked in per cent.",
            50: "That would be true of numbers on both sides of 0. What does a ReLU do with the negative ones?",
            0: "A ReLU gives 0 or more, and the sign of 0 is…?",
        },
    ),
    question(
        "question_2",
        "c",
        {
            "a": "The accuracies before and after differ a lot, but look at the two lines of the same column.",
            "b": "Compare the two after BatchNorm was counted again. Which one has α, and by how much do they differ?",
            "d": "One α multiplies all outputs of a filter, also the one that decides. What stands behind the filter?",
        },
    ),
    question(
        "question_3",
        44,
        {
            57: "Each bit that differs takes away 1, and adds −1.",
            102: "The unused bits are not signs: n is 70.",
            -44: "13 of 70 differ, so most are equal: the product is positive.",
            83: "n *minus* twice the number of those that differ.",
        },
    ),
    question(
        "question_4",
        "b",
        {
            "a": "Look at what the last cell printed: how many signs of the binary weights have changed?",
            "c": "The true gradient of a sign is 0. The layers are not trained by it, but something else is.",
            "d": "The first layer is real, but its gradient has to come through the signs behind it.",
        },
    ),
]
