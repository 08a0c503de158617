"""Pruning, distillation and quantization alone and together, at equal bytes: the experiment behind the chapter.

Every method turns the same trained network (the MLP of the zoo, 32-bit floats) into one that fits a budget of bytes,
with the same few pictures and the same number of passes over them:

    quantize        the largest number of bits that fits, per channel, no training
    prune           by magnitude until the bytes fit, then fine-tuned on labels
    distil          a smaller network, with one hidden layer, taught by the trained one
    a + b           both; quantized weights take 4 bits, and with distil the trained network guides the fine-tuning

Sources: Han, Mao, Dally 2016, *Deep compression*; Polino, Pascanu, Alistarh 2018, *Model compression via distillation
and quantization*; Gholami et al. 2021, section I.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from torch import Tensor, nn

from qlab.data import load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.neighbours.combine import Compressed, bits_for_bytes, compress, sparsity_for_bytes
from qlab.neighbours.distillation import distil_recorded
from qlab.quantizer import Quantizer
from qlab.zoo import TrainingSettings, build, load, predict

__all__ = ["BUDGETS", "COMBINATIONS", "combine", "hidden_for_bytes"]

COMBINATIONS = (
    "quantize",
    "prune",
    "distil",
    "prune + quantize",
    "distil + quantize",
    "prune + distil",
    "prune + distil + quantize",
)
"""The methods of `combine`."""

BUDGETS = (10, 15, 30, 60)
"""Compression ratios: bytes of the trained network over the budget."""

BITS = 4
SEEDS = 5


def settings(seed: int) -> TrainingSettings:
    """Return how all networks are trained and fine-tuned."""
    return TrainingSettings(10, 64, 0.05, weight_decay=1e-4, augment=False, seed=seed)


@cache
def _teacher() -> Tensor:
    return predict(load("mlp"), load_train_subset())


def _trained(student: nn.Module, seed: int, taught: bool) -> nn.Module:
    alpha = 0.9 if taught else 0.0
    return distil_recorded(student, _teacher(), load_train_subset(), settings(seed), 4.0, alpha)


def hidden_for_bytes(budget: int, quantizer: Quantizer | None) -> int:
    """Return the largest h for which an MLP with one hidden layer of h units fits into `budget` bytes.

    Survey-map row: B10.
    """

    def fits(h: int) -> bool:
        return compress(build("mlp", hidden=(h,)), 0.0, quantizer).nbytes <= budget

    if not fits(1):
        raise ValueError(f"budget must hold an MLP with one hidden unit, got {budget} bytes")
    low, high = 1, 1024
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def combine(method: str, ratio: float, seed: int = 0) -> Compressed | None:
    """Return the MLP of the zoo made `ratio` times smaller, or None where the method cannot get there.

    Parameters
    ----------
    method : str
        One of `COMBINATIONS`.
    ratio : float
        Bytes of the trained network over the budget, above 1.
    seed : int
        Of the order of the pictures, and of the student's first weights.

    Survey-map row: B10.
    """
    if method not in COMBINATIONS:
        raise ValueError(f"method must be one of {', '.join(COMBINATIONS)}, got {method!r}")
    if not ratio > 1:
        raise ValueError(f"ratio must be above 1, got {ratio}")
    base = load("mlp")
    budget = int(compress(base).nbytes / ratio)
    parts = method.split(" + ")
    if parts == ["quantize"]:
        try:
            bits = bits_for_bytes(base, budget)
        except ValueError:
            return None
        return compress(base, 0.0, Quantizer(Symmetric(bits), PerChannel(0)))
    quantizer = Quantizer(Symmetric(BITS), PerChannel(0)) if "quantize" in parts else None
    if "prune" not in parts:
        h = hidden_for_bytes(budget, quantizer)
        student = build("mlp", seed=seed, hidden=(h,))
        return compress(_trained(student, seed, taught=True), 0.0, quantizer)
    finetune: Callable[[nn.Module], nn.Module] = lambda m: _trained(m, seed, "distil" in parts)  # noqa: E731
    try:
        return compress(base, sparsity_for_bytes(base, budget, quantizer), quantizer, finetune)
    except ValueError:
        return None
