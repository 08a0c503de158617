"""One budget, every method of this room: the recipes, one run, the table of all runs.

Weights only ("W1", "W2"): the trained ConvNet, as it is. Weights and activations ("W1A1"): the same with hard tanhs for
its ReLUs, which a sign could not follow. Shortcuts: a residual network for signs, from scratch, because no trained one
exists. The first and the last layer (and 1×1 convolutions on shortcuts) stay in floating point, which is the habit of
most of these papers. Two epochs of 6,000 pictures; learning rates by a search over two values, on 1,000 of them held
out. The table is made by `make_extreme_table`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from torch import nn

from qlab.data import Images, load_test, load_train_subset
from qlab.extreme.abc_net import ABCInput, ABCWeight
from qlab.extreme.bireal import approx_sign, real_shortcuts
from qlab.extreme.bnn import SignInput, SignWeight, clip_to_one, without_relu
from qlab.extreme.horq import HORQInput
from qlab.extreme.loss_aware import LossAware
from qlab.extreme.ttq import TTQ
from qlab.extreme.twn import TWN
from qlab.extreme.xnor_net import BWN, XNORInput, with_input_scales
from qlab.hardware.record import read_as
from qlab.neighbours.distillation import Distillation
from qlab.network import Recipe, Trainable, network_bytes, quantizable_layers, quantize
from qlab.qat.batchnorm import reestimate_batchnorm
from qlab.stochastic.binary import StochasticBinary, clip_latent
from qlab.zoo import TrainingSettings, evaluate, load, train

__all__ = ["METHODS", "NETWORKS", "ExtremeMethod", "ExtremeRun", "extreme_network", "extreme_table", "run_extreme"]

PLACE = Path(__file__).with_name("extreme_table.csv")


class ExtremeMethod(NamedTuple):
    """What a method does, and how fast it learns.

    Attributes
    ----------
    bits : str
        Of inner weights and activations: "W1A1".
    weight, activation : function of a seed, or None
        Return the quantizer; None leaves floating point.
    lr : float
        Largest learning rate.
    after_step : function, optional
        As `qlab.zoo.train` takes it.
    teacher : str
        A network of the zoo to learn from, T = 2, labels weigh 0.1; "" for labels alone.

    Survey-map rows: E1, E2, E3, E4, E5.
    """

    bits: str
    weight: Callable[[int], Trainable] | None
    activation: Callable[[int], Trainable] | None
    lr: float
    after_step: Callable[[nn.Module, float], None] | None = None
    teacher: str = ""


def _sign(seed: int) -> Trainable:
    return SignInput()


def _approx(seed: int) -> Trainable:
    return SignInput(approx_sign)


def _bwn(seed: int) -> Trainable:
    return BWN()


METHODS: dict[str, ExtremeMethod] = {
    "fp32": ExtremeMethod("fp32", None, None, 0.02),
    "BinaryConnect": ExtremeMethod("W1", lambda s: StochasticBinary(stochastic=False), None, 0.02, clip_latent),
    "BinaryConnect, coins": ExtremeMethod("W1", lambda s: StochasticBinary(seed=s), None, 0.02, clip_latent),
    "BWN": ExtremeMethod("W1", _bwn, None, 0.02),
    "BWN, straight": ExtremeMethod("W1", lambda s: BWN(straight=True), None, 0.02),
    "LAB": ExtremeMethod("W1", lambda s: LossAware(), None, 0.02),
    "TWN": ExtremeMethod("W2", lambda s: TWN(), None, 0.02),
    "TTQ": ExtremeMethod("W2", lambda s: TTQ(), None, 0.05),
    "TTQ, slow levels": ExtremeMethod("W2", lambda s: TTQ(gradient_scale=True), None, 0.05),
    "ABC-Net, 3 bases": ExtremeMethod("W3", lambda s: ABCWeight(3), None, 0.05),
    "fp32, hard tanh": ExtremeMethod("fp32", None, None, 0.1),
    "BNN": ExtremeMethod("W1A1", lambda s: SignWeight(), _sign, 0.3, clip_to_one),
    "XNOR-Net, no K": ExtremeMethod("W1A1", _bwn, _sign, 0.3),
    "XNOR-Net": ExtremeMethod("W1A1", _bwn, lambda s: XNORInput(), 0.3),
    "Bi-Real's sign": ExtremeMethod("W1A1", _bwn, _approx, 0.3),
    "Bi-Real's sign, taught": ExtremeMethod("W1A1", _bwn, _approx, 0.3, teacher="convnet"),
    "HORQ, order 2": ExtremeMethod("W1A2", _bwn, lambda s: HORQInput(2), 0.1),
    "ABC-Net, 3 and 3": ExtremeMethod("W3A3", lambda s: ABCWeight(3), lambda s: ABCInput(3), 0.1),
}
"""Methods by name; "taught" has the trained ConvNet for a teacher."""

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "convnet": lambda seed: load("convnet"),
    "hard tanh": lambda seed: without_relu(load("convnet")),
    "no shortcuts": lambda seed: real_shortcuts(every=0, seed=seed),
    "shortcuts of blocks": lambda seed: real_shortcuts(every=2, seed=seed),
    "shortcuts of layers": lambda seed: real_shortcuts(every=1, seed=seed),
}
"""Networks to start from, by name, each a function of the seed."""


class ExtremeRun(NamedTuple):
    """One training run.

    Attributes
    ----------
    network, method : str
        Of `NETWORKS` and `METHODS`.
    epochs, seed : int
        Epochs of 6,000 pictures.
    start, accuracy, reestimated : float
        On the 10,000 test pictures, 0 … 1: before training, after it, and with BatchNorm's statistics measured anew.
    nbytes : int
        Of the whole network as stored: codes packed, the rest in 32 bits.
    seconds : float
        Processor time of the training, one thread.

    Survey-map rows: E1, E2, E3, E4, E5.
    """

    network: str
    method: str
    epochs: int
    seed: int
    start: float
    accuracy: float
    reestimated: float
    nbytes: int
    seconds: float


def extreme_network(network: str, method: str, seed: int) -> nn.Module:
    """Return a network quantized by a method and not yet trained with it.

    Raises
    ------
    ValueError
        If there is no such network or method.

    Survey-map rows: E1, E2, E3, E4, E5.
    """
    for name, given, known in (("network", network, NETWORKS), ("method", method, METHODS)):
        if given not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {given!r}")
    model, chosen = NETWORKS[network](seed), METHODS[method]
    if chosen.weight is None:
        return model
    names = list(quantizable_layers(model))
    kept = {name: None for name in names if name in (names[0], names[-1]) or "shortcut" in name}
    activation = chosen.activation and chosen.activation(seed)
    model = quantize(model, Recipe(chosen.weight(seed), activation, dynamic=True, layers=kept))
    return with_input_scales(model) if isinstance(activation, XNORInput) else model


def run_extreme(
    network: str, method: str, epochs: int, seed: int, data: Images | None = None, test: Images | None = None
) -> ExtremeRun:
    """Quantize, train for `epochs` of `data` (by default the 6,000 pictures of the package), and measure.

    Parameters
    ----------
    network, method : str
    epochs, seed : int
    data, test : Images, optional

    Survey-map rows: E1, E2, E3, E4, E5.
    """
    test = load_test() if test is None else test
    data = load_train_subset() if data is None else data
    model, chosen = extreme_network(network, method, seed), METHODS[method]
    start = evaluate(model.eval(), test)
    settings = TrainingSettings(epochs=epochs, lr=chosen.lr, seed=seed)
    began = time.process_time()
    if chosen.teacher:
        taught = Distillation(load(chosen.teacher), 2.0, 0.9)
        model = train(model, data, settings, taught, after_step=chosen.after_step)
    else:
        model = train(model, data, settings, after_step=chosen.after_step)
    seconds = time.process_time() - began
    fresh = reestimate_batchnorm(model, data.tensors()[0][:1024].split(128))
    return ExtremeRun(
        network,
        method,
        epochs,
        seed,
        start,
        evaluate(model, test),
        evaluate(fresh.eval(), test),
        network_bytes(model),
        seconds,
    )


@cache
def extreme_table(path: Path = PLACE) -> tuple[ExtremeRun, ...]:
    """Return the runs of the table that the package holds.

    Survey-map rows: E1, E2, E3, E4, E5.
    """
    return read_as(path, ExtremeRun)
