"""How many of the weights should be noisy? One network fine-tuned at each rate of Quant-Noise, and with coins.

The ConvNet of `qlab.zoo`, trained, gets weights of 2 bits or 1 bit (a scale for each channel; the first and the last
layer have 8 bits) and one epoch on the 6,000 pictures of the training subset. It is judged fully quantized, with
BatchNorm's statistics as training left them, and with statistics measured anew on the fully quantized network: those
that training left belong to a network that was quantized in part.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from qlab.calibration import MSE
from qlab.data import load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Codebook, Grid, Symmetric
from qlab.hardware.record import read_as
from qlab.network import Recipe, Trainable, quantizable_layers, quantize
from qlab.qat.batchnorm import reestimate_batchnorm
from qlab.quantizer import Quantizer
from qlab.stochastic.binary import StochasticBinary, clip_latent
from qlab.stochastic.quant_noise import QuantNoise
from qlab.zoo import TrainingSettings, evaluate, load, train

__all__ = ["GRIDS", "METHODS", "PLACE", "NoiseRun", "noise_table", "run_noise"]

PLACE = Path(__file__).with_name("noise_table.csv")
GRIDS: dict[int, Grid] = {1: Codebook((-1.0, 1.0)), 2: Symmetric(2)}
METHODS = ("0.0", "0.1", "0.5", "0.8", "1.0", "sign", "coins")  # rates of Quant-Noise; BinaryConnect's two forms


class NoiseRun(NamedTuple):
    """One line of the table: what was run, accuracy (0 … 1) with old and with new statistics, and how long it took.

    Survey-map row: G3.
    """

    bits: int
    method: str
    seed: int
    accuracy: float
    reestimated: float
    seconds: float


def _choice(bits: int, method: str, seed: int) -> Trainable:
    if method in ("sign", "coins"):
        return StochasticBinary(seed=seed, stochastic=method == "coins")
    return QuantNoise(Quantizer(GRIDS[bits], PerChannel(0), MSE()), float(method), seed)


def run_noise(bits: int, method: str, seed: int) -> NoiseRun:
    """Train and judge one network: 7 seconds on one core of a laptop.

    Parameters
    ----------
    bits : int
        1 or 2.
    method : str
        One of `METHODS`; "sign" and "coins" are for 1 bit.
    seed : int
        Of the batches and of the noise.

    Raises
    ------
    ValueError
        If there is no such run.

    Survey-map row: G3.
    """
    if bits not in GRIDS or method not in METHODS or (bits == 2 and method in METHODS[-2:]):
        raise ValueError(f"bits and method must be 1 or 2 and one of {METHODS}, got {bits} and {method!r}")
    model, data = load("convnet"), load_train_subset()
    names = list(quantizable_layers(model))
    ends = Recipe(Quantizer(Symmetric(8), PerChannel(0)))
    recipe = Recipe(_choice(bits, method, seed), layers={names[0]: ends, names[-1]: ends})
    settings = TrainingSettings(epochs=1, lr=0.01, weight_decay=0.0, augment=False, seed=seed)
    start = time.perf_counter()
    trained = train(quantize(model, recipe), data, settings, after_step=clip_latent)
    seconds = time.perf_counter() - start
    fresh = reestimate_batchnorm(trained, data.tensors()[0][:2000].split(500))
    return NoiseRun(bits, method, seed, evaluate(trained), evaluate(fresh), seconds)


@cache
def noise_table() -> tuple[NoiseRun, ...]:
    """Return the runs that `python -m qlab.stochastic.make_noise_table` has made.

    Survey-map row: G3.
    """
    return read_as(PLACE, NoiseRun)
