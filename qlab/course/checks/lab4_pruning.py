"""Lab 4, pruning against quantization: right solutions, and the mistakes that people make.

    W ⊙ mask,    s_q = ½·h_qq·w_q²,    s_q = w_q²/(2[H⁻¹]_qq),    δw = −w_q/[H⁻¹]_qq · H⁻¹e_q

Survey-map row: B7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "BITMAP_BYTES",
    "COMPRESS",
    "CSR_BYTES",
    "EXERCISES",
    "GLOBAL_MASKS",
    "MAGNITUDE_MASK",
    "OBD_SALIENCY",
    "OBS_STEP",
    "QUANTIZE_ROWS",
    "QUESTIONS",
]


def _gaussian(*shape: int, seed: int, spread: float = 1.0) -> Tensor:
    return spread * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# (a) A mask


def _smallest_go(score: Tensor, count: int) -> Tensor:
    """True for all but the `count` smallest scores."""
    mask = torch.ones(score.numel(), dtype=torch.bool)
    mask[score.flatten().argsort(stable=True)[:count]] = False
    return mask.reshape(score.shape)


def _magnitude_mask(w: Tensor, sparsity: float) -> Tensor:
    return _smallest_go(w.abs(), round(sparsity * w.numel()))


def _threshold(w: Tensor, sparsity: float) -> Tensor | float:
    """The largest magnitude that has to go."""
    count = round(sparsity * w.numel())
    return w.abs().flatten().sort().values[count - 1] if count else -1.0


def _by_rows(w: Tensor, sparsity: float) -> Tensor:
    return torch.stack([_magnitude_mask(row, sparsity) for row in w]) if w.dim() > 1 else _magnitude_mask(w, sparsity)


def _what_stays(function: Callable[[Tensor, float], Any], w: Tensor, sparsity: float) -> dict[str, Any]:
    """What all right masks have in common, whichever of equal weights go."""
    mask = function(w, sparsity)
    if not isinstance(mask, Tensor):
        raise TypeError(f"the mask must be a torch.Tensor, got {type(mask).__name__}")
    if mask.shape != w.shape:
        raise ValueError(f"the mask must have the shape of w, {tuple(w.shape)}, got {tuple(mask.shape)}")
    if not ((mask == 0) | (mask == 1)).all():
        raise TypeError("the mask must hold True where a weight stays and False where it goes, and nothing else")
    kept = w[mask.bool()].abs().sort().values
    return {"how many stay": len(kept), "their magnitudes": kept}


_TIED = torch.tensor([[0.5, -0.5, 2.0, 0.5], [-3.0, 0.5, 1.0, -0.5]])

MAGNITUDE_MASK = Exercise(
    "magnitude_mask",
    _magnitude_mask,
    [
        (_gaussian(4, 6, seed=1), 0.5),
        (_gaussian(3, 5, seed=2), 0.4),
        (_gaussian(7, seed=3), 0.25),
        (_TIED, 0.25),
        (_TIED, 0.375),
        (_gaussian(2, 3, seed=4), 0.0),
        (_gaussian(3, 4, 2, seed=5), 0.8),
    ],
    [
        Mistake(
            "the mask is turned around",
            "True is where a weight *stays*, and the large ones stay.",
            lambda w, sparsity: ~_magnitude_mask(w, sparsity),
        ),
        Mistake(
            "the large weights go",
            "sort in ascending order: the smallest magnitudes are the ones to remove.",
            lambda w, sparsity: _smallest_go(-w.abs(), round(sparsity * w.numel())),
        ),
        Mistake(
            "the sign was not dropped",
            "−3 is a large weight. Compare magnitudes: w.abs().",
            lambda w, sparsity: _smallest_go(w, round(sparsity * w.numel())),
        ),
        Mistake(
            "all weights as small as the threshold go",
            "where several weights have the same magnitude, a comparison with a threshold takes them all. Count: sort, "
            "and remove exactly round(sparsity · n).",
            lambda w, sparsity: w.abs() > _threshold(w, sparsity),
        ),
        Mistake(
            "no weight as small as the threshold goes",
            "where several weights have the same magnitude, a comparison with a threshold keeps them all. Count: sort, "
            "and remove exactly round(sparsity · n).",
            lambda w, sparsity: w.abs() >= _threshold(w, sparsity),
        ),
        Mistake(
            "torch.quantile is not a count",
            "a quantile lies between two magnitudes, so that one weight too many or too few can go. Sort, and remove "
            "exactly round(sparsity · n).",
            lambda w, sparsity: w.abs() > torch.quantile(w.abs().flatten(), sparsity),
        ),
        Mistake(
            "the share of those that stay is taken for the share of those that go",
            "sparsity is the share of *zeros*. At 0.8, one weight of five stays.",
            lambda w, sparsity: _smallest_go(w.abs(), w.numel() - round(sparsity * w.numel())),
        ),
        Mistake(
            "the number of zeros is rounded down",
            "int() cuts off the fraction. Use round(sparsity * n): 0.25 of 7 weights are 2.",
            lambda w, sparsity: _smallest_go(w.abs(), int(sparsity * w.numel())),
        ),
        Mistake(
            "every row is pruned by itself",
            "the smallest weights of the whole tensor go, wherever they are: flatten() before you sort.",
            _by_rows,
        ),
        Mistake(
            "the threshold is a fraction of the largest weight",
            "sparsity says how *many* weights go, not how small they are. Sort them.",
            lambda w, sparsity: w.abs() > sparsity * w.abs().max(),
        ),
        Mistake(
            "the mask is flat",
            "give it the shape of w again: reshape(w.shape).",
            lambda w, sparsity: _magnitude_mask(w, sparsity).flatten() if w.dim() > 1 else _magnitude_mask(w, sparsity),
        ),
        Mistake(
            "the pruned weights are returned, not the mask",
            "return True and False; who called you multiplies.",
            lambda w, sparsity: w * _magnitude_mask(w, sparsity),
        ),
    ],
    use=_what_stays,
)


# (b) One threshold for all layers

Weights = Mapping[str, Tensor]


def _global(weights: Weights, sparsity: float, score: Callable[[Tensor], Tensor] = Tensor.abs) -> dict[str, Tensor]:
    scores = torch.cat([score(w).flatten() for w in weights.values()])
    parts = _smallest_go(scores, round(sparsity * len(scores))).split([w.numel() for w in weights.values()])
    return {name: part.reshape(w.shape) for (name, w), part in zip(weights.items(), parts, strict=True)}


def _global_masks(weights: Weights, sparsity: float) -> dict[str, Tensor]:
    return _global(weights, sparsity)


def _per_layer(weights: Weights, sparsity: float) -> dict[str, Tensor]:
    return {name: _magnitude_mask(w, sparsity) for name, w in weights.items()}


def _mean_threshold(weights: Weights, sparsity: float) -> dict[str, Tensor]:
    mean = sum(float(_threshold(w, sparsity)) for w in weights.values()) / len(weights)
    return {name: w.abs() > mean for name, w in weights.items()}


def _by_quantile(weights: Weights, sparsity: float) -> dict[str, Tensor]:
    threshold = torch.quantile(torch.cat([w.abs().flatten() for w in weights.values()]), sparsity)
    return {name: w.abs() > threshold for name, w in weights.items()}


def _same_count(weights: Weights, sparsity: float) -> dict[str, Tensor]:
    """Every layer gives an equal part of the zeros, whatever its size."""
    total = round(sparsity * sum(w.numel() for w in weights.values()))
    return {n: _smallest_go(w.abs(), min(w.numel(), total // len(weights))) for n, w in weights.items()}


def _net(seed: int) -> dict[str, Tensor]:
    return {
        "first": _gaussian(3, 4, seed=seed, spread=1.0),
        "middle": _gaussian(5, 6, seed=seed + 100, spread=0.3),
        "last": _gaussian(2, 5, seed=seed + 200, spread=0.6) + 0.1,
    }


GLOBAL_MASKS = Exercise(
    "global_masks",
    _global_masks,
    [(_net(1), 0.5), (_net(2), 0.8), (_net(3), 0.1), ({"only": _gaussian(3, 3, seed=4)}, 1 / 3)],
    [
        Mistake(
            "every layer is pruned by itself",
            "then each layer loses the same share. Put the magnitudes of *all* layers into one long list, and sort it.",
            _per_layer,
        ),
        Mistake(
            "the layers' thresholds are averaged",
            "the threshold that removes the right number over all layers is not the mean of those that do so in each. "
            "Put all magnitudes into one list.",
            _mean_threshold,
        ),
        Mistake(
            "torch.quantile is not a count",
            "a quantile lies between two magnitudes, so that one weight too many or too few can go. Sort, and remove "
            "exactly round(sparsity · n).",
            _by_quantile,
        ),
        Mistake(
            "every layer is divided by its own largest weight first",
            "that is another method. One threshold for all compares the weights as they are.",
            lambda weights, sparsity: _global(weights, sparsity, lambda w: w.abs() / w.abs().max()),
        ),
        Mistake(
            "the sign was not dropped",
            "compare magnitudes: w.abs().",
            lambda weights, sparsity: _global(weights, sparsity, lambda w: w),
        ),
        Mistake(
            "the masks are turned around",
            "True is where a weight *stays*.",
            lambda weights, sparsity: {name: ~mask for name, mask in _global(weights, sparsity).items()},
        ),
        Mistake(
            "the large weights go",
            "the smallest magnitudes are the ones to remove.",
            lambda weights, sparsity: _global(weights, sparsity, lambda w: -w.abs()),
        ),
        Mistake(
            "every layer gives equally many weights",
            "nothing says how many each layer has to give: that is what the common threshold finds out.",
            _same_count,
        ),
        Mistake(
            "the pruned weights are returned, not the masks",
            "return True and False for every weight; who called you multiplies.",
            lambda weights, sparsity: {name: weights[name] * m for name, m in _global(weights, sparsity).items()},
        ),
        Mistake(
            "the masks are flat",
            "give each the shape of its weight again: reshape(w.shape).",
            lambda weights, sparsity: {name: mask.flatten() for name, mask in _global(weights, sparsity).items()},
        ),
    ],
)


# (c) Bytes of a bitmap


def _whole(bits: float) -> int:
    return math.ceil(bits / 8)


def _bitmap_bytes(places: int, nonzeros: int, bits: int) -> int:
    return _whole(places) + _whole(nonzeros * bits)


BITMAP_BYTES = Exercise(
    "bitmap_bytes",
    _bitmap_bytes,
    [(1024, 256, 8), (100, 10, 32), (9, 3, 3), (64, 0, 8), (1000, 333, 5), (20, 5, 4)],
    [
        Mistake(
            "bits are counted, not bytes",
            "a byte has eight bits.",
            lambda places, nonzeros, bits: places + nonzeros * bits,
        ),
        Mistake(
            "the bitmap is missing",
            "without it nobody knows where the values belong: one bit for every place.",
            lambda places, nonzeros, bits: _whole(nonzeros * bits),
        ),
        Mistake(
            "zeros are stored as values, too",
            "the bitmap says where a value follows. Only the non-zeros have one.",
            lambda places, nonzeros, bits: _whole(places) + _whole(places * bits),
        ),
        Mistake(
            "the bitmap has a bit for every non-zero only",
            "it has a bit for *every place*: 1 if a value follows, 0 if not.",
            lambda places, nonzeros, bits: _whole(nonzeros) + _whole(nonzeros * bits),
        ),
        Mistake(
            "every place of the bitmap takes a byte",
            "eight places share a byte.",
            lambda places, nonzeros, bits: places + _whole(nonzeros * bits),
        ),
        Mistake(
            "every place of the bitmap has the width of a value",
            "a place of the bitmap is one bit, whatever the width of the values.",
            lambda places, nonzeros, bits: _whole(places * bits) + _whole(nonzeros * bits),
        ),
        Mistake(
            "the last bytes are lost",
            "// rounds down, and the last few bits fall out of the file. Round up: math.ceil(bits / 8).",
            lambda places, nonzeros, bits: places // 8 + nonzeros * bits // 8,
        ),
        Mistake(
            "bitmap and values share a byte",
            "each of the two parts begins with a new byte: round up each, then add.",
            lambda places, nonzeros, bits: _whole(places + nonzeros * bits),
        ),
        Mistake(
            "there are fractions of bytes",
            "a file has whole bytes: round up.",
            lambda places, nonzeros, bits: places / 8 + nonzeros * bits / 8,
        ),
        Mistake(
            "every value fills whole bytes",
            "values are packed without gaps: round up their sum, not each.",
            lambda places, nonzeros, bits: _whole(places) + nonzeros * _whole(bits),
        ),
    ],
)


# (d) Bytes of compressed rows


def _csr_bytes(rows: int, nonzeros: int, value_bits: int, index_bits: int) -> int:
    return _whole(nonzeros * value_bits) + _whole(nonzeros * index_bits) + _whole((rows + 1) * index_bits)


CSR_BYTES = Exercise(
    "csr_bytes",
    _csr_bytes,
    [
        (100, 2500, 32, 32),
        (4, 6, 8, 16),
        (10, 7, 4, 16),
        (3, 0, 32, 32),
        (64, 501, 6, 32),
        (5, 9, 16, 8),
        (5, 3, 3, 10),
    ],
    [
        Mistake(
            "the beginning of every row is missing",
            "without the list of where rows begin, nobody knows in which row a value is.",
            lambda rows, nonzeros, value_bits, index_bits: (
                _whole(nonzeros * value_bits) + _whole(nonzeros * index_bits)
            ),
        ),
        Mistake(
            "there are as many row starts as rows",
            "the last row has to end somewhere, too: rows + 1 numbers.",
            lambda rows, nonzeros, value_bits, index_bits: (
                _whole(nonzeros * value_bits) + _whole(nonzeros * index_bits) + _whole(rows * index_bits)
            ),
        ),
        Mistake(
            "the columns are missing",
            "every value needs the number of its column: an index each.",
            lambda rows, nonzeros, value_bits, index_bits: (
                _whole(nonzeros * value_bits) + _whole((rows + 1) * index_bits)
            ),
        ),
        Mistake(
            "the row of every value is stored, too",
            "that is the coordinate format. Compressed rows store where each row begins instead: rows + 1 numbers.",
            lambda rows, nonzeros, value_bits, index_bits: (
                _whole(nonzeros * value_bits) + 2 * _whole(nonzeros * index_bits)
            ),
        ),
        Mistake(
            "the values are missing",
            "indices say where. What is there takes value_bits for each non-zero.",
            lambda rows, nonzeros, value_bits, index_bits: (
                _whole(nonzeros * index_bits) + _whole((rows + 1) * index_bits)
            ),
        ),
        Mistake(
            "indices are counted as wide as values",
            "an index has index_bits, however narrow the values are. That is what makes low-bit sparse matrices "
            "disappointing.",
            lambda rows, nonzeros, value_bits, index_bits: (
                2 * _whole(nonzeros * value_bits) + _whole((rows + 1) * value_bits)
            ),
        ),
        Mistake(
            "row starts are counted as wide as values",
            "a row start is an index: index_bits.",
            lambda rows, nonzeros, value_bits, index_bits: (
                _whole(nonzeros * value_bits) + _whole(nonzeros * index_bits) + _whole((rows + 1) * value_bits)
            ),
        ),
        Mistake(
            "bits are counted, not bytes",
            "a byte has eight bits.",
            lambda rows, nonzeros, value_bits, index_bits: (
                nonzeros * (value_bits + index_bits) + (rows + 1) * index_bits
            ),
        ),
        Mistake(
            "there are fractions of bytes",
            "each of the three arrays takes whole bytes: round each up.",
            lambda rows, nonzeros, value_bits, index_bits: (
                (nonzeros * (value_bits + index_bits) + (rows + 1) * index_bits) / 8
            ),
        ),
        Mistake(
            "the three arrays share bytes",
            "each array begins with a new byte: round up each, then add.",
            lambda rows, nonzeros, value_bits, index_bits: _whole(
                nonzeros * (value_bits + index_bits) + (rows + 1) * index_bits
            ),
        ),
        Mistake(
            "the last byte is lost",
            "// rounds down. Round each of the three arrays up: math.ceil(bits / 8).",
            lambda rows, nonzeros, value_bits, index_bits: (
                nonzeros * value_bits // 8 + nonzeros * index_bits // 8 + (rows + 1) * index_bits // 8
            ),
        ),
    ],
)


# (e) Brain damage


def _obd_saliency(w: Tensor, h: Tensor) -> Tensor:
    return h * w**2 / 2


OBD_SALIENCY = Exercise(
    "obd_saliency",
    _obd_saliency,
    [
        (torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 0.5, 8.0])),
        (_gaussian(3, 4, seed=6), _gaussian(3, 4, seed=7) ** 2),
        (torch.tensor([[0.0, 3.0]]), torch.tensor([[5.0, 0.0]])),
    ],
    [
        Mistake("the half is missing", "the second term of Taylor's series is ½ δwᵀHδw.", lambda w, h: h * w**2),
        Mistake(
            "the weight is not squared",
            "the change of the loss is quadratic in what you take away: δw = −w, and δw².",
            lambda w, h: h * w.abs() / 2,
        ),
        Mistake(
            "the weight is not squared, and keeps its sign",
            "the change of the loss is quadratic in what you take away: δw = −w, and δw².",
            lambda w, h: h * w / 2,
        ),
        Mistake(
            "the curvature is squared, too",
            "½·h·w²: only the weight is squared.",
            lambda w, h: (h * w) ** 2 / 2,
        ),
        Mistake(
            "the curvature is missing",
            "that orders weights as their magnitudes do. A steep direction makes a small weight matter: multiply by h.",
            lambda w, h: w**2 / 2,
        ),
        Mistake(
            "the saliency is divided by the curvature",
            "a division by [H⁻¹]_qq belongs to brain surgery. Brain damage multiplies by h itself.",
            lambda w, h: w**2 / (2 * h),
        ),
        Mistake(
            "the saliencies are added up",
            "one number for each weight, in the shape of w.",
            lambda w, h: (h * w**2 / 2).sum(),
        ),
        Mistake(
            "the square root is taken",
            "it would not change the order, but the saliency is the growth of the loss itself.",
            lambda w, h: (h * w**2 / 2).sqrt(),
        ),
    ],
)


# (f) Brain surgery


def _operate(
    w: Tensor,
    H: Tensor,
    saliency: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda w, H, inverse: w**2 / (2 * inverse.diagonal()),
    change: Callable[[Tensor, Tensor, Tensor, int], Tensor] = lambda w, H, inverse, q: (
        -w[q] / inverse[q, q] * inverse[:, q]
    ),
) -> tuple[int, Tensor]:
    inverse = torch.linalg.inv(H)
    q = int(saliency(w, H, inverse).argmin())
    return q, w + change(w, H, inverse, q)


def _obs_step(w: Tensor, H: Tensor) -> tuple[int, Tensor]:
    return _operate(w, H)


def _only_zero(w: Tensor, H: Tensor, inverse: Tensor, q: int) -> Tensor:
    return torch.where(torch.arange(len(w)) == q, -w, torch.zeros_like(w))


def _shortened(w: Tensor, H: Tensor) -> tuple[int, Tensor]:
    q, new = _obs_step(w, H)
    return q, torch.cat([new[:q], new[q + 1 :]])


def _matrix(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


OBS_STEP = Exercise(
    "obs_step",
    _obs_step,
    [
        (_vector(1.0, 0.8), _matrix([2.0, 1.0], [1.0, 2.0])),
        (_vector(1.0, 0.7), _matrix([1.0, 1.2], [1.2, 4.0])),
        (_vector(1.0, -0.9, 0.8), _matrix([2.0, 1.9, 0.1], [1.9, 2.0, 0.0], [0.1, 0.0, 1.0])),
        (_vector(0.5, 1.1, -0.7), _matrix([3.0, -0.8, 0.6], [-0.8, 0.4, 0.1], [0.6, 0.1, 2.0])),
        (_vector(1.0, 0.8, 1.1), _matrix([9.0, 0.2, 0.1], [0.2, 1.0, -0.3], [0.1, -0.3, 4.0])),
    ],
    [
        Mistake(
            "the smallest weight is removed",
            "that is magnitude. Compute w²/(2[H⁻¹]_qq) for every q, and take the smallest of those.",
            lambda w, H: _operate(w, H, lambda w, H, inverse: w.abs()),
        ),
        Mistake(
            "brain damage chooses the weight",
            "½·h_qq·w_q² supposes that the others stand still. Here they move: w²/(2[H⁻¹]_qq), with the inverse "
            "*matrix*, torch.linalg.inv(H); 1 / H inverts every entry by itself, and leads back to brain damage.",
            lambda w, H: _operate(w, H, lambda w, H, inverse: H.diagonal() * w**2),
        ),
        Mistake(
            "the most important weight is removed",
            "the saliency is what a removal costs. Take the smallest: argmin.",
            lambda w, H: _operate(w, H, lambda w, H, inverse: -(w**2) / inverse.diagonal()),
        ),
        Mistake(
            "the saliency is multiplied by [H⁻¹]_qq",
            "w_q² is *divided* by 2[H⁻¹]_qq: where the inverse is large, the others can make up for much.",
            lambda w, H: _operate(w, H, lambda w, H, inverse: w**2 * inverse.diagonal()),
        ),
        Mistake(
            "the others do not move",
            "setting w_q to zero is half of it. Add δw = −w_q/[H⁻¹]_qq · H⁻¹e_q to the whole of w.",
            lambda w, H: _operate(w, H, change=_only_zero),
        ),
        Mistake(
            "the update has the wrong sign",
            "the new w_q must be zero: δw_q = −w_q. Check the sign of δw there.",
            lambda w, H: _operate(w, H, change=lambda w, H, inverse, q: w[q] / inverse[q, q] * inverse[:, q]),
        ),
        Mistake(
            "the update takes a column of H, not of its inverse",
            "δw = −w_q/[H⁻¹]_qq · H⁻¹e_q: the column q of H⁻¹. With H itself, the others move away from the minimum.",
            lambda w, H: _operate(w, H, change=lambda w, H, inverse, q: -w[q] / H[q, q] * H[:, q]),
        ),
        Mistake(
            "the inverse of the diagonal is taken for the diagonal of the inverse",
            "[H⁻¹]_qq is an entry of the inverse matrix. It is 1/h_qq only if H is diagonal.",
            lambda w, H: _operate(w, H, change=lambda w, H, inverse, q: -w[q] * H[q, q] * inverse[:, q]),
        ),
        Mistake(
            "the update is not divided by [H⁻¹]_qq",
            "the new w_q must be zero, and so δw_q = −w_q: divide the column of H⁻¹ by its entry q.",
            lambda w, H: _operate(w, H, change=lambda w, H, inverse, q: -w[q] * inverse[:, q]),
        ),
        Mistake(
            "the update has a factor ½",
            "the ½ belongs to the saliency. δw_q must be −w_q.",
            lambda w, H: _operate(w, H, change=lambda w, H, inverse, q: -w[q] / (2 * inverse[q, q]) * inverse[:, q]),
        ),
        Mistake(
            "δw is returned, not the new w",
            "return w + δw, in which w_q is zero.",
            lambda w, H: (_obs_step(w, H)[0], _obs_step(w, H)[1] - w),
        ),
        Mistake(
            "the removed weight is left out",
            "the row keeps its length: the new w has a zero at q.",
            _shortened,
        ),
    ],
)


# (g) Quantized rows


def _quantized(
    w: Tensor,
    bits: int,
    largest: Callable[[Tensor], Tensor] = lambda w: w.abs().amax(1, keepdim=True),
    levels: Callable[[int], int] = lambda b: 2 ** (b - 1) - 1,
    integer: Callable[[Tensor], Tensor] = torch.round,
    guarded: bool = True,
) -> Tensor:
    S = largest(w) / levels(bits)
    if guarded:
        S = torch.where(S > 0, S, torch.ones_like(S))
    return integer(w / S) * S


def _rows_bytes(w: Tensor, bits: int) -> int:
    return _whole(w.numel() * bits) + 4 * len(w)


def _quantize_rows(w: Tensor, bits: int) -> tuple[Tensor, int]:
    return _quantized(w, bits), _rows_bytes(w, bits)


def _codes(w: Tensor, bits: int) -> Tensor:
    S = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    return torch.round(w / torch.where(S > 0, S, torch.ones_like(S)))


def _asymmetric(w: Tensor, bits: int) -> Tensor:
    S = (w.amax(1, keepdim=True) - w.amin(1, keepdim=True)) / (2**bits - 1)
    return torch.round(w / torch.where(S > 0, S, torch.ones_like(S))) * S


def _other_values(**choices: Any) -> Callable[[Tensor, int], tuple[Tensor, int]]:
    return lambda w, bits: (_quantized(w, bits, **choices), _rows_bytes(w, bits))


def _other_bytes(count: Callable[[int, int, int], float]) -> Callable[[Tensor, int], tuple[Tensor, float]]:
    """`count` gets the number of weights, of rows, and of bits."""
    return lambda w, bits: (_quantized(w, bits), count(w.numel(), len(w), bits))


_UNEVEN = _gaussian(4, 7, seed=8) * torch.tensor([[1.0], [0.1], [3.0], [0.02]])
_EMPTIED = _gaussian(3, 5, seed=9) * torch.tensor([[1.0], [0.0], [1.0]])

QUANTIZE_ROWS = Exercise(
    "quantize_rows",
    _quantize_rows,
    [(_UNEVEN, 4), (_gaussian(3, 5, seed=10), 3), (_gaussian(2, 8, seed=11, spread=0.2) - 0.15, 8), (_EMPTIED, 5)],
    [
        Mistake(
            "all rows share one scale",
            "each row has its own largest magnitude: w.abs().amax(dim=1, keepdim=True).",
            _other_values(largest=lambda w: w.abs().max().reshape(1, 1)),
        ),
        Mistake(
            "every column has a scale",
            "a row is an output of the layer. Take the maximum along dim=1.",
            _other_values(largest=lambda w: w.abs().amax(0, keepdim=True)),
        ),
        Mistake(
            "a row of zeros becomes nan",
            "pruning can empty a row. Its scale would be 0, and 0/0 is not a number: put 1 in its place, "
            "with torch.where.",
            _other_values(guarded=False),
        ),
        Mistake(
            "the largest code is 2^b − 1",
            "codes have a sign here: they run from −(2^(b−1) − 1) to 2^(b−1) − 1.",
            _other_values(levels=lambda b: 2**b - 1),
        ),
        Mistake(
            "the largest code is 2^(b−1)",
            "the restricted range ends at 2^(b−1) − 1. One more does not fit into b bits with its sign.",
            _other_values(levels=lambda b: 2 ** (b - 1)),
        ),
        Mistake(
            "the scale is that of an asymmetric range",
            "(max − min)/(2^b − 1) needs a zero point. Here the range is symmetric: max|w|/(2^(b−1) − 1).",
            lambda w, bits: (_asymmetric(w, bits), _rows_bytes(w, bits)),
        ),
        Mistake(
            "the scales do not line up with the rows",
            "a row of scales is laid along the columns. Make it a column: amax(dim=1, keepdim=True).",
            lambda w, bits: (_quantized(w, bits, largest=lambda w: w.abs().amax(1)), _rows_bytes(w, bits)),
        ),
        Mistake(
            "the largest weight is sought, not the largest magnitude",
            "in a row of mostly negative weights the largest is a small one. Take w.abs() first.",
            _other_values(largest=lambda w: w.amax(1, keepdim=True)),
        ),
        Mistake(
            "codes are rounded down",
            "Int is rounding to the nearest here: torch.round.",
            _other_values(integer=torch.floor),
        ),
        Mistake(
            "the fraction is cut off",
            "Int is rounding to the nearest here: torch.round.",
            _other_values(integer=torch.trunc),
        ),
        Mistake(
            "codes are returned, not weights",
            "multiply by the scale again: the network wants r̃.",
            lambda w, bits: (_codes(w, bits), _rows_bytes(w, bits)),
        ),
        Mistake(
            "the scales are not counted",
            "whoever decodes needs a scale for each row: 4 bytes each.",
            _other_bytes(lambda n, rows, bits: _whole(n * bits)),
        ),
        Mistake(
            "one scale is counted",
            "each row has a scale of its own: 4 bytes for each.",
            _other_bytes(lambda n, rows, bits: _whole(n * bits) + 4),
        ),
        Mistake(
            "the bits of the scales are taken for bytes",
            "a scale has 32 bits: 4 bytes.",
            _other_bytes(lambda n, rows, bits: _whole(n * bits) + 32 * rows),
        ),
        Mistake(
            "bits are counted, not bytes",
            "a byte has eight bits.",
            _other_bytes(lambda n, rows, bits: n * bits + 32 * rows),
        ),
        Mistake(
            "the last byte is lost",
            "// rounds down. Round up: math.ceil(bits / 8).",
            _other_bytes(lambda n, rows, bits: n * bits // 8 + 4 * rows),
        ),
        Mistake(
            "there are fractions of bytes",
            "a file has whole bytes: round up.",
            _other_bytes(lambda n, rows, bits: n * bits / 8 + 4 * rows),
        ),
        Mistake(
            "every code fills whole bytes",
            "codes are packed without gaps: round up their sum, not each.",
            _other_bytes(lambda n, rows, bits: n * _whole(bits) + 4 * rows),
        ),
    ],
)


# (h) Both


def _compress(
    weights: Weights,
    sparsity: float,
    bits: int,
    masks: Callable[[Weights, float], Mapping[str, Tensor]] = _global_masks,
    size: Callable[[int, int, int, int], int] = lambda places, stay, bits, rows: (
        min(_whole(places * bits), _bitmap_bytes(places, stay, bits)) + 4 * rows
    ),
    count: Callable[[Tensor, Tensor], Tensor] = lambda pruned, final: final,
) -> tuple[dict[str, Tensor], int]:
    found, total = {}, 0
    for name, mask in masks(weights, sparsity).items():
        pruned = weights[name] * mask
        found[name] = _quantized(pruned, bits)
        stay = int((count(pruned, found[name]) != 0).sum())
        total += size(pruned.numel(), stay, bits, len(pruned))
    return found, total


def _right_compress(weights: Weights, sparsity: float, bits: int) -> tuple[dict[str, Tensor], int]:
    return _compress(weights, sparsity, bits)


def _sized(**choices: Any) -> Callable[[Weights, float, int], tuple[dict[str, Tensor], int]]:
    return lambda weights, sparsity, bits: _compress(weights, sparsity, bits, **choices)


def _quantize_first(weights: Weights, sparsity: float, bits: int) -> tuple[dict[str, Tensor], int]:
    return _compress({name: _quantized(w, bits) for name, w in weights.items()}, sparsity, bits)


def _not_pruned(weights: Weights, sparsity: float, bits: int) -> tuple[dict[str, Tensor], int]:
    return _compress(weights, 0.0, bits)


def _not_quantized(weights: Weights, sparsity: float, bits: int) -> tuple[dict[str, Tensor], int]:
    _, total = _compress(weights, sparsity, bits)
    return {name: weights[name] * mask for name, mask in _global_masks(weights, sparsity).items()}, total


def _last_layer_only(weights: Weights, sparsity: float, bits: int) -> tuple[dict[str, Tensor], int]:
    found, _ = _compress(weights, sparsity, bits)
    w = list(found.values())[-1]
    places, stay = w.numel(), int((w != 0).sum())
    return found, min(_whole(places * bits), _bitmap_bytes(places, stay, bits)) + 4 * len(w)


# Few large weights: many that are not pruned become 0 all the same.
_HEAVY = {"a": _gaussian(6, 16, seed=12) ** 3, "b": 0.5 * _gaussian(4, 24, seed=13) ** 3}

COMPRESS = Exercise(
    "compress",
    _right_compress,
    [(_net(5), 0.5, 4), (_net(6), 0.0, 8), (_net(7), 0.75, 6), (_net(8), 0.3, 3), (_HEAVY, 0.4, 5)],
    [
        Mistake(
            "it is quantized first, and pruned then",
            "quantized weights are equal in crowds, and which of them go is chance. Choose by the weights as they "
            "were trained: prune first.",
            _quantize_first,
        ),
        Mistake(
            "every layer is pruned by itself",
            "use global_masks: one threshold for all layers.",
            _sized(masks=_per_layer),
        ),
        Mistake(
            "zeros are paid for",
            "with many zeros a bitmap and the non-zeros take less. Take the shorter of the two for every layer.",
            _sized(size=lambda places, stay, bits, rows: _whole(places * bits) + 4 * rows),
        ),
        Mistake(
            "nothing is pruned",
            "multiply each weight by its mask before you quantize it.",
            _not_pruned,
        ),
        Mistake(
            "nothing is quantized",
            "pass the pruned weights through quantize_rows, and return what it gives.",
            _not_quantized,
        ),
        Mistake(
            "the non-zeros are counted before quantization",
            "small weights round to the code 0, and need no value either: count what is left in the end.",
            _sized(count=lambda pruned, final: pruned),
        ),
        Mistake(
            "a bitmap is used even where it does not pay",
            "with few zeros the bitmap costs more than it saves. Take the shorter of the two for every layer.",
            _sized(size=lambda places, stay, bits, rows: _bitmap_bytes(places, stay, bits) + 4 * rows),
        ),
        Mistake(
            "both ways of storing are added up",
            "the file holds a layer once, in the shorter way: min.",
            _sized(
                size=lambda places, stay, bits, rows: (
                    _whole(places * bits) + _bitmap_bytes(places, stay, bits) + 4 * rows
                )
            ),
        ),
        Mistake(
            "both ways of storing are added up, and the scales twice",
            "the file holds a layer once, in the shorter way: min. The scales come once, too.",
            _sized(
                size=lambda places, stay, bits, rows: (
                    _whole(places * bits) + _bitmap_bytes(places, stay, bits) + 8 * rows
                )
            ),
        ),
        Mistake(
            "the longer of the two is taken",
            "the file may use either way for each layer: min.",
            _sized(
                size=lambda places, stay, bits, rows: (
                    max(_whole(places * bits), _bitmap_bytes(places, stay, bits)) + 4 * rows
                )
            ),
        ),
        Mistake(
            "the scales are not counted",
            "4 bytes for each row, in a bitmap as well as in a dense layer.",
            _sized(size=lambda places, stay, bits, rows: min(_whole(places * bits), _bitmap_bytes(places, stay, bits))),
        ),
        Mistake(
            "only the scales of dense layers are counted",
            "4 bytes for each row, in a bitmap as well as in a dense layer.",
            _sized(
                size=lambda places, stay, bits, rows: min(
                    _whole(places * bits) + 4 * rows, _bitmap_bytes(places, stay, bits)
                )
            ),
        ),
        Mistake(
            "the values of the bitmap are counted with 32 bits",
            "what stays is quantized: `bits` for each.",
            _sized(
                size=lambda places, stay, bits, rows: (
                    min(_whole(places * bits), _bitmap_bytes(places, stay, 32)) + 4 * rows
                )
            ),
        ),
        Mistake(
            "only the last layer is counted",
            "add up the bytes of all layers: start with 0 before the loop, and use +=.",
            _last_layer_only,
        ),
    ],
)

EXERCISES = [
    MAGNITUDE_MASK,
    GLOBAL_MASKS,
    BITMAP_BYTES,
    CSR_BYTES,
    OBD_SALIENCY,
    OBS_STEP,
    QUANTIZE_ROWS,
    COMPRESS,
]

QUESTIONS = [
    question(
        "answer_1",
        78,
        {
            78.125: "the number is right. It is asked for as a whole number.",
            75: "8 bits of 32 are a quarter, but the bitmap takes one of the 8: 1 + 32·d = 8.",
            22: "that is the share that *stays*. How many are zeros?",
            50: "that is where compressed rows with 32-bit indices become smaller than fp32.",
            88: "that is for compressed rows with 32-bit indices, d·64 = 8. A bitmap is cheaper: 1 + 32·d = 8.",
        },
    ),
    question(
        "answer_2",
        "a",
        {
            "b": "then all weights are strongly coupled, and the others can make up for nearly everything.",
            "c": "a factor makes both saliencies larger alike. What is it that surgery has and damage has not?",
        },
    ),
    question(
        "answer_3",
        "c",
        {
            "a": "only a program that *skips* zeros has fewer multiplications. Does the dense product?",
            "b": "even a program that skips zeros had to be told to. The dense product multiplies by all of them.",
        },
    ),
    question(
        "answer_4",
        25,
        {
            0.25: "right, and in percent?",
            50: "it loses half of its outputs. What of its inputs, which the layer before it made?",
            75: "it keeps half of its outputs, and for each of them half of its inputs. Multiply.",
            0: "half of the filters stay.",
        },
    ),
]
