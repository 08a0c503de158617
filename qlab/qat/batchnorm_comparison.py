"""BatchNorm and oscillations compared: one network, one epoch, and what is done about statistics and jumping weights.

Weights by LSQ, one learned scale per layer, first and last layer at 8 bits, activations in floating point. Each run is
measured twice: with the statistics that training left behind, and with statistics measured again. The table is made
by `make_batchnorm_table`.

Survey-map row: T4.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.data import Images, load_test, load_train_subset
from qlab.granularity import PerChannel, PerTensor
from qlab.grids import Symmetric
from qlab.hardware.record import read_as
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.ptq.fold import fold_batchnorm
from qlab.qat.batchnorm import LateFreeze, freeze_batchnorm, reestimate_batchnorm
from qlab.qat.lsq import LSQ
from qlab.qat.oscillation import OscillationTracker, dampening
from qlab.quantizer import Quantizer
from qlab.zoo import TrainingSettings, evaluate, load, train

__all__ = [
    "TREATMENTS",
    "BatchNormRun",
    "Treatment",
    "batchnorm_table",
    "cosine_dampening",
    "lsq_weights",
    "run_batchnorm",
]

PLACE = Path(__file__).with_name("batchnorm_table.csv")


class Treatment(NamedTuple):
    """What is done about BatchNorm and about oscillating weights.

    Attributes
    ----------
    lr : float
    quantized, folded : bool
        Quantize; fold BatchNorm into the layers first.
    per_channel : bool
        A scale for each output channel.
    reestimate, freeze : bool
        Before training: measure the statistics of the quantized network, and hold them.
    late : float or None
        Hold the running statistics from this share of the training on.
    damp : float
        λ of `dampening` at the end; it grows as a cosine from 0.
    threshold : float or None
        Frequency from which an oscillating weight is frozen.

    Survey-map row: T4.
    """

    lr: float = 0.02
    quantized: bool = True
    folded: bool = False
    per_channel: bool = False
    reestimate: bool = False
    freeze: bool = False
    late: float | None = None
    damp: float = 0.0
    threshold: float | None = None


TREATMENTS: dict[str, Treatment] = {
    "fp32": Treatment(quantized=False),
    "plain": Treatment(),
    "plain, slow": Treatment(lr=0.002),
    "frozen": Treatment(reestimate=True, freeze=True),
    "frozen, slow": Treatment(lr=0.002, reestimate=True, freeze=True),
    "frozen late": Treatment(late=0.8),
    "folded, slow": Treatment(lr=0.0005, folded=True),
    "folded, per channel": Treatment(lr=0.0005, folded=True, per_channel=True),
    "dampened": Treatment(damp=1e-2),
    "weights frozen": Treatment(threshold=0.03),
}
"""By name. "slow" means a smaller learning rate, for what diverges with the usual one."""


class BatchNormRun(NamedTuple):
    """One training run.

    Attributes
    ----------
    network, method : str
    bits, epochs, seed : int
        With 0 epochs the network is quantized and not trained.
    accuracy, reestimated : float
        On the test pictures, with the statistics that training left behind, and measured again on 2,560 training
        pictures. Where there are no statistics left to measure (folded, frozen), the same number twice.
    oscillating, frozen : float
        Shares of the weights: with a frequency above 0.005 at the end, and frozen.
    seconds : float
        Processor time of the training, one thread.

    Survey-map row: T4.
    """

    network: str
    method: str
    bits: int
    epochs: int
    seed: int
    accuracy: float
    reestimated: float
    oscillating: float
    frozen: float
    seconds: float


def lsq_weights(network: nn.Module, bits: int, per_channel: bool = False) -> nn.Module:
    """Return `network` with LSQ on its inner weights, started at MSE ranges, and 8 bits for the first and last layer.

    Survey-map row: T4.
    """
    names = list(quantizable_layers(network))
    eight = Recipe(Quantizer(Symmetric(8), PerChannel(0)))
    granularity = PerChannel(0) if per_channel else PerTensor()
    inner = LSQ(Quantizer(Symmetric(bits), granularity, MSE()))
    return quantize(network, Recipe(inner, layers={names[0]: eight, names[-1]: eight}))


def cosine_dampening(strength: float) -> Callable[[nn.Module, float], Tensor]:
    """Return a penalty for `qlab.zoo.train`: `dampening`, whose λ grows from 0 to `strength` as a cosine.

    References
    ----------
    Nagel et al. 2022, section 4.2.

    Survey-map row: T4.
    """
    return lambda model, progress: dampening(model, strength * (1 - math.cos(math.pi * progress)) / 2)


def run_batchnorm(
    network: str, method: str, bits: int, epochs: int, seed: int, data: Images | None = None, test: Images | None = None
) -> BatchNormRun:
    """Quantize, train, and measure with both sorts of statistics.

    Raises
    ------
    ValueError
        If there is no such method.

    Survey-map row: T4.
    """
    if method not in TREATMENTS:
        raise ValueError(f"method must be one of {', '.join(TREATMENTS)}, got {method!r}")
    how = TREATMENTS[method]
    data = load_train_subset() if data is None else data
    test = load_test() if test is None else test
    batches = data.tensors()[0][:2560].split(128)
    model: nn.Module = load(network)
    if how.folded:
        model = fold_batchnorm(model)
    if how.quantized:
        model = lsq_weights(model, bits, how.per_channel)
    if how.reestimate:
        model = reestimate_batchnorm(model, batches)
    if how.freeze:
        model = freeze_batchnorm(model)
    tracker = OscillationTracker(0.02, how.threshold)
    late = None if how.late is None else LateFreeze(how.late)

    def after_step(model: nn.Module, progress: float) -> None:
        tracker(model, progress)
        if late is not None:
            late(model, progress)

    seconds = 0.0
    if epochs:
        began = time.process_time()
        model = train(
            model,
            data,
            TrainingSettings(epochs=epochs, lr=how.lr, seed=seed),
            penalty=cosine_dampening(how.damp) if how.damp else None,
            after_step=after_step,
        )
        seconds = time.process_time() - began
    accuracy = reestimated = evaluate(model, test)
    if not how.folded and not how.freeze:
        reestimated = evaluate(reestimate_batchnorm(model, batches), test)
    oscillating = tracker.oscillating() if tracker.frequency else 0.0
    return BatchNormRun(
        network, method, bits, epochs, seed, accuracy, reestimated, oscillating, _share(tracker.frozen), seconds
    )


def _share(marked: dict[str, Any]) -> float:
    count = sum(m.numel() for m in marked.values())
    return sum(int(m.sum()) for m in marked.values()) / count if count else 0.0


def batchnorm_table(path: Path = PLACE) -> tuple[BatchNormRun, ...]:
    """Return the runs of the table that the package holds.

    Survey-map row: T4.
    """
    return read_as(path, BatchNormRun)
