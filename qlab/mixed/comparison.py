"""Every method of this room under the same budgets, and its distance from the true front; the table of the runs.

Budgets are bytes of weights and scales, named by the bits per weight that they allow on average. A seed decides which
256 pictures a method sees and everything it draws at random. Methods that search ask the ground truth's validation
column, so that a hundred searches take a minute; `evaluations` counts what they asked. The table is made by
`make_methods_table`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qlab.data import load_calibration, load_train_subset
from qlab.hardware.record import read_as
from qlab.mixed.distance import distance, oracle
from qlab.mixed.dnas import DifferentiableSettings, differentiable_search
from qlab.mixed.evolution import EvolutionSettings, evolve
from qlab.mixed.ground_truth import GroundTruth, ground_truth, truth_pictures
from qlab.mixed.haq import HAQSettings, haq
from qlab.mixed.hawq import hawq_allocate, top_eigenvalues
from qlab.mixed.hawq_v2 import hawq_v2_sensitivity, hutchinson_traces
from qlab.mixed.integer_program import Budget, integer_program
from qlab.mixed.search import Choice, Search, random_search
from qlab.mixed.sensitivity import divergence_sensitivity, loss_sensitivity, noise_sensitivity
from qlab.zoo import evaluate, load
from qlab.zsq import DistilSettings, distil

__all__ = ["BUDGETS", "METHODS", "MethodRun", "methods_table", "run_method", "uniform_choice"]

PLACE = Path(__file__).with_name("methods_table.csv")
BUDGETS = (2.25, 2.5, 3.0, 3.5, 4.0)
"""Bits per weight on average."""
METHODS = (
    "uniform",
    "weight noise",
    "KL",
    "KL, distilled",
    "loss",
    "HAWQ",
    "HAWQ-V2",
    "DNAS",
    "EdMIPS",
    "HAQ",
    "evolution",
    "random search",
    "oracle",
)
"""Uniform: the most bits that fit everywhere. Oracle: the best of the whole table by validation accuracy."""
PICTURES = 256


class MethodRun(NamedTuple):
    """What one method chose under one budget.

    Attributes
    ----------
    network, method : str
    mean_bits : float
        The budget, as bits per weight.
    seed : int
    bits : str
        The assignment, as "8-4-3-2-6".
    nbytes : float
        Of weights and scales.
    accuracy, lost, better : float
        On the 5,000 test pictures: see `qlab.mixed.distance.Distance`.
    evaluations : int
        Assignments that the method had judged on 1,000 validation pictures.
    seconds : float
        Processor time beside that, one thread; of a sensitivity once for all budgets.

    Survey-map rows: M1, M2, M3, M4, M5.
    """

    network: str
    method: str
    mean_bits: float
    seed: int
    bits: str
    nbytes: float
    accuracy: float
    lost: float
    better: float
    evaluations: int
    seconds: float


@cache
def _truth(network: str) -> GroundTruth:
    return ground_truth(network)


@cache
def _network(network: str) -> tuple[nn.Module, float]:
    model = load(network)
    return model, evaluate(model, truth_pictures()[0])


@cache
def _sensitivity(network: str, method: str, seed: int) -> tuple[NDArray[np.float64], float]:
    """Return what a method measures once for all budgets, and its processor seconds."""
    model, space = _network(network)[0], _truth(network).space
    x, labels = load_calibration(PICTURES, seed=100 + seed).tensors()
    makers: dict[str, Callable[[], NDArray[np.float64]]] = {
        "weight noise": lambda: noise_sensitivity(model, space),
        "KL": lambda: divergence_sensitivity(model, x, space),
        "KL, distilled": lambda: divergence_sensitivity(
            model, distil(model, (128, 1, 28, 28), DistilSettings(steps=100, seed=seed)), space
        ),
        "loss": lambda: loss_sensitivity(model, x, labels, space),
        "HAWQ": lambda: top_eigenvalues(model, x, labels, seed=seed),
        "HAWQ-V2": lambda: hawq_v2_sensitivity(model, hutchinson_traces(model, x, labels, 50, seed).mean, space),
    }
    start = time.process_time()
    found = makers[method]()
    return found, time.process_time() - start


def uniform_choice(truth: GroundTruth, limit: float) -> Choice:
    """Return the most bits that fit a budget when all layers get the same.

    Raises
    ------
    ValueError
        If nothing fits.

    Survey-map row: M5.
    """
    space = truth.space
    space.check_limit(limit)
    fits = [b for b in range(len(space.choices)) if space.nbytes[:, b].sum() <= limit]
    return (fits[-1],) * len(space.layers)


def run_method(network: str, method: str, mean_bits: float, seed: int) -> MethodRun:
    """Let a method choose bits under a budget, and look its choice up in the ground truth.

    Parameters
    ----------
    network : {"mlp", "convnet"}
    method : str
        One of `METHODS`.
    mean_bits : float
        The budget: bits per weight.
    seed : int

    Raises
    ------
    ValueError
        If there is no such method, or nothing fits the budget.

    Survey-map rows: M1, M2, M3, M4, M5.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    truth, (model, reference) = _truth(network), _network(network)
    space, limit = truth.space, truth.space.budget(mean_bits)

    def judge(choice: Choice) -> float:
        return float(truth.validation_accuracy[truth.index(choice)])

    before, evaluations, spent = time.process_time(), 0, 0.0
    searches: dict[str, Callable[[], Search]] = {
        "HAQ": lambda: haq(judge, model, space, limit, reference, HAQSettings(seed=seed)),
        "evolution": lambda: evolve(judge, space, limit, EvolutionSettings(seed=seed)),
        "random search": lambda: random_search(judge, space, limit, seed=seed),
    }
    if method == "uniform":
        choice = uniform_choice(truth, limit)
    elif method == "oracle":
        choice, evaluations = oracle(truth, limit), int((truth.nbytes <= limit).sum())
    elif method in searches:
        found = searches[method]()
        choice, evaluations = found.choice, len(found.judged)
    elif method in ("DNAS", "EdMIPS"):
        settings = DifferentiableSettings(gumbel=method == "DNAS", seed=seed)
        choice = differentiable_search(model, *_training(), space, limit, settings).choice
    else:
        harm, spent = _sensitivity(network, method, seed)
        before = time.process_time()
        if method == "HAWQ":
            choice = hawq_allocate(model, harm, space, limit)
        else:
            choice = integer_program(harm, [Budget(space.nbytes, limit)])
    seconds = time.process_time() - before + spent
    far = distance(truth, choice, limit)
    bits = str(space.assignment(choice))
    scores = (far.nbytes, far.accuracy, round(far.lost, 4), round(far.better, 5))
    return MethodRun(network, method, mean_bits, seed, bits, *scores, evaluations, seconds)


@cache
def _training() -> tuple[torch.Tensor, torch.Tensor]:
    return load_train_subset().tensors()


def methods_table(path: Path = PLACE) -> tuple[MethodRun, ...]:
    """Return all runs of the table that ships with the course.

    Survey-map row: M5.
    """
    return read_as(path, MethodRun)
