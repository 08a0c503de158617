"""A small network trained from nothing in 8 bits, one protection removed at a time: the runs behind the chapter.

    int8    weights, activations and gradients in 8-bit integers; gradients rounded stochastically
    fp8     weights and activations in E4M3, gradients in E5M2
    int4    as int8, in 4 bits

and what is protected all the while, unless `without` says otherwise: master copies of the weights, BatchNorm, the
first and the last layer, and all sums in fp32; every tensor has a scale of its own. The optimizer's momentum is fp32
throughout. The table is made by `make_training_table`.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from qlab.data import Images, load_test, load_train_subset
from qlab.grids import E4M3, Symmetric
from qlab.hardware.record import read_as
from qlab.network import quantizable_layers
from qlab.quantizer import Quantizer
from qlab.rounding import Nearest, Rounding, Stochastic
from qlab.stochastic.on_grid import OnGrid
from qlab.training.formats import Float8, Integer
from qlab.training.layers import Formats, quantize_training
from qlab.zoo import TrainingSettings, build, evaluate, train

__all__ = ["ACCUMULATORS", "REMOVED", "TRAINING_RECIPES", "TrainingRun", "learn_in", "run_training", "training_table"]

PLACE = Path(__file__).with_name("training_table.csv")
TRAINING_RECIPES = ("fp32", "int8", "fp8", "int4")
REMOVED = (
    "nothing",
    "first and last",
    "BatchNorm",
    "master",
    "master, stochastic",
    "gradient rounding",
    "gradient format",
    "gradient scale",
    "everything",
)
"""What is not protected. "master": the weights live on the 8-bit grid, rounded to nearest; "master, stochastic": on
the same grid, rounded stochastically; "gradient rounding": nearest instead of stochastic (integers only); "gradient
format": E4M3 instead of E5M2, "gradient scale": S = 1 (fp8 only); "everything": first and last, BatchNorm, and master
to nearest."""
ACCUMULATORS: dict[str, tuple[int, int | None]] = {
    "bf16 sums": (8, None),
    "4-bit sums": (4, None),
    "4-bit sums in chunks": (4, 28),
}
"""For the perceptron: significant bits of partial sums, and terms in a chunk."""


class TrainingRun(NamedTuple):
    """One training run.

    Attributes
    ----------
    network : str
        "convnet" (8 to 32 channels) or "mlp".
    recipe, without : str
        Of `TRAINING_RECIPES`, of `REMOVED` or `ACCUMULATORS`.
    epochs, seed : int
        Of the 6,000 pictures; the seed gives first weights, order, and the coins of stochastic rounding.
    accuracy : float
        On the 10,000 test pictures, 0 … 1; nan after a divergence.
    loss : float
        Mean over the last 20 steps before the end.
    finite : int
        1; 0 if the loss became NaN or infinite: the run was stopped.
    seconds : float
        Processor time of the training, one thread.

    Survey-map row: F4.
    """

    network: str
    recipe: str
    without: str
    epochs: int
    seed: int
    accuracy: float
    loss: float
    finite: int
    seconds: float


class LearnedIn(NamedTuple):
    """The trained network (None after a divergence), and the loss of each step.

    Survey-map row: F4.
    """

    model: nn.Module | None
    losses: list[float]
    lost: list[float]


def _formats(recipe: str, without: str, coins: Rounding) -> Formats:
    if recipe == "fp32":
        return Formats()
    if recipe == "fp8":
        backward = torch.float8_e4m3fn if without == "gradient format" else torch.float8_e5m2
        forward = Float8(torch.float8_e4m3fn)
        return Formats(forward, forward, Float8(backward, scaled=without != "gradient scale"))
    bits = int(recipe.removeprefix("int"))
    return Formats(Integer(bits), Integer(bits), Integer(bits, Nearest() if without == "gradient rounding" else coins))


def _grid(model: nn.Module, recipe: str, rounding: Rounding, keep: tuple[str, ...]) -> OnGrid:
    grid = E4M3 if recipe == "fp8" else Symmetric(int(recipe.removeprefix("int")))
    names = [name for name in quantizable_layers(model) if name not in keep]
    return OnGrid.of(model, dict.fromkeys(names, Quantizer(grid, rounding=rounding)), headroom=4.0)


def learn_in(
    recipe: str, without: str = "nothing", epochs: int = 3, seed: int = 0, network: str = "convnet", lr: float = 0.1
) -> LearnedIn:
    """Train a network from nothing in a format.

    Parameters
    ----------
    recipe, without, epochs, seed, network
        As in `TrainingRun`.
    lr : float
        For the perceptron a fifth of it.

    Raises
    ------
    ValueError
        If there is no such recipe, or nothing of this kind to remove from it.

    Survey-map row: F4.
    """
    if recipe not in TRAINING_RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(TRAINING_RECIPES)}, got {recipe!r}")
    if without not in REMOVED and without not in ACCUMULATORS:
        raise ValueError(f"without must be one of {', '.join((*REMOVED, *ACCUMULATORS))}, got {without!r}")
    integers, floats = {"gradient rounding"}, {"gradient format", "gradient scale"}
    if without in (floats if recipe != "fp8" else integers) or (recipe == "fp32" and without != "nothing"):
        raise ValueError(f"without: {recipe} has no {without!r} to remove")
    coins = Stochastic(torch.Generator().manual_seed(seed))
    formats, convnet = _formats(recipe, without, coins), network == "convnet"
    model: nn.Module = build(network, seed=seed, **({"width": 8} if convnet else {}))
    names = list(quantizable_layers(model))
    keep = () if without in ("first and last", "everything") else (names[0], names[-1])
    if without in ACCUMULATORS:
        formats = Formats(formats.weight, formats.activation, formats.gradient, ACCUMULATORS[without])
    keep = keep if convnet else ()
    grid = None
    if without in ("master", "master, stochastic", "everything"):
        grid = _grid(model, recipe, coins if without == "master, stochastic" else Nearest(), keep)
        model = grid.place(model)
        formats = Formats(None, formats.activation, formats.gradient, formats.accumulator)
    rounded = formats if without in ("BatchNorm", "everything") else None
    if recipe != "fp32":
        model = quantize_training(model, formats, keep, rounded)
    losses: list[float] = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        value = cross_entropy(model(x), y)
        losses.append(float(value.detach()))
        return value

    settings = TrainingSettings(epochs, 128, lr if convnet else lr / 5, seed=seed, augment=convnet)
    try:
        trained = train(model, load_train_subset(), settings, loss, after_step=grid)
    except ValueError:  # the loss, or a weight on the grid, is no number any more
        return LearnedIn(None, losses, grid.lost if grid else [])
    return LearnedIn(trained, losses, grid.lost if grid else [])


def run_training(
    network: str, recipe: str, without: str, epochs: int, seed: int, test: Images | None = None
) -> TrainingRun:
    """Make one line of the table.

    Parameters
    ----------
    network, recipe, without, epochs, seed
        As in `TrainingRun`.
    test : Images, optional

    Survey-map row: F4.
    """
    began = time.process_time()
    found = learn_in(recipe, without, epochs, seed, network)
    seconds = time.process_time() - began
    last = found.losses[-20:]
    accuracy = float("nan") if found.model is None else evaluate(found.model, load_test() if test is None else test)
    finite = int(found.model is not None)
    return TrainingRun(
        network, recipe, without, epochs, seed, accuracy, round(sum(last) / len(last), 4), finite, seconds
    )


@cache
def training_table(path: Path = PLACE) -> tuple[TrainingRun, ...]:
    """Return the runs of the table that the package holds.

    Survey-map row: F4.
    """
    return read_as(path, TrainingRun)
