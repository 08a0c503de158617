r"""The small MLP, trained with weights that live on a grid, with master copies, or with nothing rounded.

    nearest, stochastic   w ← Q(w − ηg)                          the weights are the grid's values and nothing else
    master                w ← w − ηg,  forward and backward through Q(w)     fp32 copies, quantization-aware training
    fp32                  w ← w − ηg

S is fixed at the start, `headroom` times what the first weights need, and the same for the three that have one. The
optimizer is SGD on the 6,000 pictures of the training subset; without momentum it keeps no number of its own.
Long sweeps are read from a table that `python -m qlab.stochastic.make_grid_table` makes.

Survey-map row: G2.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from qlab.calibration import Fixed, Unscaled
from qlab.data import load_train_subset
from qlab.grids import BF16, Symmetric
from qlab.hardware.record import read_as
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.quantizer import Quantizer
from qlab.rounding import Rounding, Stochastic
from qlab.stochastic.on_grid import OnGrid
from qlab.zoo import TrainingSettings, build, evaluate, load, train

__all__ = ["METHODS", "PLACE", "STARTS", "GridRun", "Learned", "grid_table", "learn", "run_on_grid"]

PLACE = Path(__file__).with_name("grid_table.csv")
METHODS = ("fp32", "master", "stochastic", "nearest")
STARTS = ("fresh", "trained")


class Learned(NamedTuple):
    """Test accuracy (0 … 1), the loss of each step, and for each the share of updates that rounding put back.

    Survey-map row: G2.
    """

    accuracy: float
    losses: list[float]
    lost: list[float]


class GridRun(NamedTuple):
    """One line of the table: what was run, accuracy (0 … 1), share of lost updates (0 … 1), and how long it took.

    Survey-map row: G2.
    """

    start: str
    grid: str
    method: str
    lr: float
    epochs: int
    seed: int
    accuracy: float
    lost: float
    seconds: float


def _first(start: str, seed: int) -> nn.Module:
    if start not in STARTS:
        raise ValueError(f"start must be one of {STARTS}, got {start!r}")
    return load("mlp") if start == "trained" else build("mlp", seed)


def _master(model: nn.Module, quantizer: Quantizer, headroom: float) -> nn.Module:
    """Return `model` with fake-quantized weights, S fixed as `OnGrid` fixes it."""
    reach = {n: headroom * float(layer.weight.detach().abs().max()) for n, layer in quantizable_layers(model).items()}
    recipes = {n: Recipe(quantizer.with_(calibration=Fixed(-r, r))) for n, r in reach.items()}
    return quantize(model, Recipe(layers=recipes))


def learn(
    seed: int,
    quantizer: Quantizer | None = None,
    *,
    master: bool = False,
    start: str = "fresh",
    headroom: float = 2.0,
    **settings: Any,
) -> Learned:
    """Train the MLP: half a second to two on one core.

    Parameters
    ----------
    seed : int
        Of the first weights and of the batches; stochastic rounding brings coins of its own.
    quantizer : Quantizer, optional
        The grid of all weights and how they meet it; None rounds nothing. Biases stay in floating point.
    master : bool
        True keeps fp32 copies that collect the updates; False keeps the grid's values only.
    start : str
        "fresh" weights, or "trained": the MLP of `qlab.zoo`.
    headroom : float
        How far the grid reaches beyond the largest of the first weights.
    **settings
        Of `qlab.zoo.TrainingSettings`; by default 3 epochs at lr 0.05 with no momentum, weight decay or augmentation.

    Raises
    ------
    ValueError
        If there is no such start, or masters are asked for without a quantizer.

    References
    ----------
    Gupta et al. 2015, section 3; Micikevicius et al. 2018, section 3.1 (master copies).

    Survey-map row: G2.
    """
    if master and quantizer is None:
        raise ValueError("master: a master copy needs a quantizer whose copy it is, got None")
    model, grid, losses = _first(start, seed), None, []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        value = cross_entropy(model(x), y)
        losses.append(float(value.detach()))
        return value

    if quantizer is not None and master:
        model = _master(model, quantizer, headroom)
    elif quantizer is not None:
        grid = OnGrid.of(model, dict.fromkeys(quantizable_layers(model), quantizer), headroom)
        model = grid.place(model)
    chosen = dict(epochs=3, lr=0.05, momentum=0.0, weight_decay=0.0, augment=False) | settings
    trained = train(model, load_train_subset(), TrainingSettings(seed=seed, **chosen), loss, after_step=grid)
    return Learned(evaluate(trained), losses, grid.lost if grid else [])


def run_on_grid(start: str, grid: str, method: str, lr: float, epochs: int, seed: int) -> GridRun:
    """Make one line of the table.

    Parameters
    ----------
    start : str
        "fresh" (with headroom 2) or "trained" (with headroom 1).
    grid : str
        Bits of a symmetric grid ("8"), or "bf16"; "32" for fp32.
    method : str
        One of `METHODS`.
    lr : float
    epochs, seed : int

    Raises
    ------
    ValueError
        If there is no such method.

    Survey-map row: G2.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    uniform = grid != "bf16"
    quantizer = Quantizer(Symmetric(int(grid))) if uniform and method != "fp32" else None
    if not uniform:
        quantizer = Quantizer(BF16, calibration=Unscaled())
    if quantizer is not None and method == "stochastic":
        coins: Rounding = Stochastic(torch.Generator().manual_seed(seed))
        quantizer = quantizer.with_(rounding=coins)
    headroom = 2.0 if uniform and start == "fresh" else 1.0
    begin = time.perf_counter()
    found = learn(seed, quantizer, master=method == "master", start=start, headroom=headroom, lr=lr, epochs=epochs)
    lost = sum(found.lost) / len(found.lost) if found.lost else 0.0
    return GridRun(start, grid, method, lr, epochs, seed, found.accuracy, lost, time.perf_counter() - begin)


@cache
def grid_table() -> tuple[GridRun, ...]:
    """Return the runs that `python -m qlab.stochastic.make_grid_table` has made.

    Survey-map row: G2.
    """
    return read_as(PLACE, GridRun)
