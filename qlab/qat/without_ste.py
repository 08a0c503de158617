"""One network, one budget: weights trained with and without the straight-through estimator. The recipes, and one run.

Everybody starts from the same trained network; only weights are quantized, with one scale per layer found by MSE; the
first and the last layer have 8 bits. Accuracy is measured three times: before the weights are put on the grid, after
it, and after it with BatchNorm's statistics measured again. The table is made by `make_without_ste_table`.

Survey-map row: T3.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils import parametrize

from qlab.calibration import MSE
from qlab.data import Images, load_test, load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.hardware.record import read_as
from qlab.network import Recipe, Trainable, WeightQuantizer, quantizable_layers, quantize
from qlab.qat.batchnorm import reestimate_batchnorm
from qlab.qat.dsq import DSQ
from qlab.qat.proxquant import ProxQuant
from qlab.qat.relaxed import Relaxed
from qlab.qat.sinreq import ClipWeights, SinReQ
from qlab.quantizer import Params, Quantizer
from qlab.zoo import TrainingSettings, evaluate, load, train

__all__ = ["WAYS", "WAY_VARIANTS", "Way", "WayRun", "run_way", "settle", "train_way", "way_table"]

PLACE = Path(__file__).with_name("without_ste_table.csv")
Held = Mapping[str, tuple[Quantizer, Params]]


class Way(NamedTuple):
    """How weights get onto the grid.

    Attributes
    ----------
    weight : function of a Quantizer, or None
        What quantizes them while training; None: nothing does, they are rounded at the end.
    penalty, after_step : function of (layer name → Quantizer and Params), or None
        Makes what `qlab.zoo.train` adds to the loss, or calls after each step.

    Survey-map row: T3.
    """

    weight: Callable[[Quantizer], Quantizer | Trainable] | None = None
    penalty: Callable[[Held], Any] | None = None
    after_step: Callable[[Held], Any] | None = None


def _annealed(name: str, start: float, end: float) -> Callable[[Held], Any]:
    """Set a parameter of every learned quantizer by the clock, not by its gradient: from start to end."""

    @torch.no_grad()
    def after_step(model: nn.Module, progress: float) -> None:
        for module in model.modules():
            if hasattr(module, name):
                getattr(module, name).fill_(start + (end - start) * progress)

    return lambda held: after_step


WAYS: dict[str, Way] = {
    "round at the end": Way(),
    "STE": Way(weight=lambda q: q),
    "DSQ": Way(weight=DSQ),
    "Relaxed": Way(weight=Relaxed),
    "ProxQuant": Way(after_step=lambda held: ProxQuant(held, 0.2)),
    "SinReQ": Way(penalty=lambda held: SinReQ(held, 100.0), after_step=ClipWeights),
}
"""By name: the straight-through estimator (S follows the weights), and what does without."""

WAY_VARIANTS: dict[str, Way] = {
    "DSQ, annealed": Way(weight=DSQ, after_step=_annealed("a", 2.2, -4.6)),  # α from 0.9 to 0.01
    "Relaxed, annealed": Way(weight=Relaxed, after_step=_annealed("log_sigma", -1.6, -4.6)),  # σ from 0.2 to 0.01
    "ProxQuant, weak": Way(after_step=lambda held: ProxQuant(held, 0.02)),
    "ProxQuant, hard": Way(after_step=lambda held: ProxQuant(held, 1.0)),
    "SinReQ, weak": Way(penalty=lambda held: SinReQ(held, 1.0), after_step=ClipWeights),
    "SinReQ, no clip": Way(penalty=lambda held: SinReQ(held, 100.0)),
}
"""The same with one thing changed."""


class WayRun(NamedTuple):
    """One training run.

    Attributes
    ----------
    network, method : str
    bits, epochs, seed : int
        Epochs of 6,000 pictures; 0 for a network that is quantized and not trained.
    before, accuracy, reestimated : float
        On the test pictures: of the trained network as it is, with its weights on the grid, and with BatchNorm's
        statistics measured again on 2,560 training pictures.
    seconds : float
        Processor time of the training, one thread.

    Survey-map row: T3.
    """

    network: str
    method: str
    bits: int
    epochs: int
    seed: int
    before: float
    accuracy: float
    reestimated: float
    seconds: float


def settle(model: nn.Module, held: Held) -> nn.Module:
    """Return a copy of `model` whose named weights are quantized, with the S and Z that are given.

    Survey-map row: T3.
    """
    result = copy.deepcopy(model)
    layers = quantizable_layers(result)
    for name, (quantizer, params) in held.items():
        parametrize.register_parametrization(layers[name], "weight", WeightQuantizer(quantizer, params))
    return result


def train_way(
    network: str, method: str, bits: int, epochs: int, seed: int, data: Images | None = None
) -> tuple[nn.Module, nn.Module]:
    """Return the trained network as it is, and with its weights on the grid (the same one if they are already).

    Raises
    ------
    ValueError
        If there is no such method.

    Survey-map row: T3.
    """
    ways = WAYS | WAY_VARIANTS
    if method not in ways:
        raise ValueError(f"method must be one of {', '.join(ways)}, got {method!r}")
    way, original = ways[method], load(network)
    names = list(quantizable_layers(original))
    quantizer = Quantizer(Symmetric(bits), calibration=MSE())
    weights = {name: quantizable_layers(original)[name].weight for name in names[1:-1]}
    held = {name: (quantizer, quantizer.calibrate(weight)) for name, weight in weights.items()}
    eight = Recipe(Quantizer(Symmetric(8), PerChannel(0)))
    inner = None if way.weight is None else way.weight(quantizer)
    model = quantize(original, Recipe(inner, layers={names[0]: eight, names[-1]: eight}))
    if epochs:
        model = train(
            model,
            load_train_subset() if data is None else data,
            TrainingSettings(epochs=epochs, lr=0.02, seed=seed),
            penalty=None if way.penalty is None else way.penalty(held),
            after_step=None if way.after_step is None else way.after_step(held),
        )
    return model, (settle(model, held) if way.weight is None else model)


def run_way(
    network: str, method: str, bits: int, epochs: int, seed: int, data: Images | None = None, test: Images | None = None
) -> WayRun:
    """Train, put the weights on the grid, and measure.

    Parameters
    ----------
    network, method : str
    bits, epochs, seed : int
        With 0 epochs nothing is trained.
    data, test : Images, optional
        By default the 6,000 pictures of the package, and the 10,000 test pictures.

    Survey-map row: T3.
    """
    data = load_train_subset() if data is None else data
    test = load_test() if test is None else test
    began = time.process_time()
    model, final = train_way(network, method, bits, epochs, seed, data)
    seconds = time.process_time() - began if epochs else 0.0
    again = reestimate_batchnorm(final, data.tensors()[0][:2560].split(128))
    before, accuracy, reestimated = (evaluate(m, test) for m in (model, final, again))
    return WayRun(network, method, bits, epochs, seed, before, accuracy, reestimated, seconds)


def way_table(path: Path = PLACE) -> tuple[WayRun, ...]:
    """Return the runs of the table that the package holds.

    Survey-map row: T3.
    """
    return read_as(path, WayRun)
