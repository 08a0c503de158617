"""One network, one budget, every method of quantization-aware training: the recipes, one run, the table of all runs.

Everybody starts from the same trained network and gets one scale per layer, as in the papers; the first and the last
layer keep 8 bits, which is the field's habit (Esser et al. 2020, section 3). The table is made by `make_qat_table`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from qlab.calibration import MSE
from qlab.data import Images, load_calibration, load_test, load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Asymmetric, Symmetric
from qlab.hardware.record import read_as
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.qat.dorefa import DoReFaActivation, DoReFaWeight
from qlab.qat.lsq import LSQ, LSQPlus
from qlab.qat.pact import PACT
from qlab.qat.qil import QIL
from qlab.quantizer import Quantizer
from qlab.zoo import TrainingSettings, evaluate, load, train

__all__ = ["METHODS", "VARIANTS", "QATRun", "qat_recipe", "qat_table", "run_qat", "starting_network"]

PLACE = Path(__file__).with_name("qat_table.csv")


def _weight(bits: int) -> Quantizer:
    return Quantizer(Symmetric(bits), calibration=MSE())


def _input(bits: int) -> Quantizer:
    return Quantizer(Asymmetric(bits), calibration=MSE())


METHODS: dict[str, Callable[[int], Recipe]] = {
    "STE": lambda b: Recipe(_weight(b), _input(b)),
    "DoReFa": lambda b: Recipe(DoReFaWeight(b), DoReFaActivation(b)),
    "PACT": lambda b: Recipe(DoReFaWeight(b), PACT(b)),
    "QIL": lambda b: Recipe(QIL(b), QIL(b)),
    "LSQ": lambda b: Recipe(LSQ(_weight(b)), LSQ(_input(b))),
    "LSQ+": lambda b: Recipe(LSQ(_weight(b)), LSQPlus(_input(b))),
}
"""Recipes by name, each a function of the bits. STE has fixed MSE ranges; PACT takes DoReFa's weights."""

VARIANTS: dict[str, Callable[[int], Recipe]] = {
    "LSQ, g = 1": lambda b: Recipe(LSQ(_weight(b), gradient_scale=False), LSQ(_input(b), gradient_scale=False)),
    "PACT, MSE start": lambda b: Recipe(DoReFaWeight(b), PACT(b, _input(b))),
    "PACT, MSE weights": lambda b: Recipe(_weight(b), PACT(b, _input(b))),
    "QIL, MSE start": lambda b: Recipe(QIL(b, quantizer=_input(b)), QIL(b, quantizer=_input(b))),
    "QIL, slow interval": lambda b: Recipe(QIL(b, rate=0.01), QIL(b, rate=0.01)),
    "QIL, both": lambda b: Recipe(QIL(b, quantizer=_input(b), rate=0.01), QIL(b, quantizer=_input(b), rate=0.01)),
}
"""The same with one thing changed."""


class QATRun(NamedTuple):
    """One training run.

    Attributes
    ----------
    network, method : str
        "fp32" is the same training without quantization.
    bits, epochs, seed : int
        Epochs of 6,000 pictures; 0 for a network that is quantized and not trained.
    start, accuracy : float
        On the 10,000 test pictures, before and after training.
    seconds : float
        Processor time of the training, one thread.

    Survey-map row: T2.
    """

    network: str
    method: str
    bits: int
    epochs: int
    seed: int
    start: float
    accuracy: float
    seconds: float


def qat_recipe(network: torch.nn.Module, method: str, bits: int) -> Recipe:
    """Return the recipe of a method, with 8 bits for the first and the last layer of `network`.

    Raises
    ------
    ValueError
        If there is no such method.

    Survey-map row: T2.
    """
    makers = METHODS | VARIANTS
    if method not in makers:
        raise ValueError(f"method must be one of {', '.join(makers)}, got {method!r}")
    names = list(quantizable_layers(network))
    eight = Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8)))
    inner = makers[method](bits)
    return Recipe(inner.weight, inner.activation, layers={names[0]: eight, names[-1]: eight})


def starting_network(network: str, method: str, bits: int) -> torch.nn.Module:
    """Return a trained network of the zoo, quantized by a method and not yet trained with it ("fp32": as it is).

    Survey-map row: T2.
    """
    original = load(network)
    if method == "fp32":
        return original
    images, _ = load_calibration(256).tensors()
    return quantize(original, qat_recipe(original, method, bits), images.split(128))


def run_qat(
    network: str, method: str, bits: int, epochs: int, seed: int, data: Images | None = None, test: Images | None = None
) -> QATRun:
    """Quantize, train for `epochs` of `data` (by default the 6,000 pictures of the package), and measure.

    Parameters
    ----------
    network, method : str
    bits, epochs, seed : int
        With 0 epochs nothing is trained: post-training quantization with MSE ranges, for the method "STE".
    data, test : Images, optional

    Survey-map row: T2.
    """
    test = load_test() if test is None else test
    model = starting_network(network, method, bits)
    start = accuracy = evaluate(model, test)
    seconds = 0.0
    if epochs:
        data = load_train_subset() if data is None else data
        began = time.process_time()
        model = train(model, data, TrainingSettings(epochs=epochs, lr=0.02, seed=seed))
        seconds = time.process_time() - began
        accuracy = evaluate(model, test)
    return QATRun(network, method, bits, epochs, seed, start, accuracy, seconds)


def qat_table(path: Path = PLACE) -> tuple[QATRun, ...]:
    """Return the runs of the table that the package holds.

    Survey-map row: T2.
    """
    return read_as(path, QATRun)
