"""Run what a table of results still lacks, several entries at once, and keep each as soon as it is there.

    python -m qlab.course results [FAMILY ...] [--seeds N] [--jobs N]

An interrupted run goes on where it stopped: each family is a CSV file, written under a temporary name after each entry
and renamed; each line notes commit, PyTorch and machine. Entries run in joblib workers with one thread each, so they
may as well run on a cluster (joblib's Dask backend).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

from qlab import zoo
from qlab.course.results import non_uniform, post_training, stochastic, trained, zero_shot
from qlab.course.results.task import NETWORKS, Family, Task
from qlab.data import load_test
from qlab.hardware.record import ORIGIN, Line, origin, read_lines, write_lines
from qlab.network import network_bytes

__all__ = ["FAMILIES", "FIELDS", "PICTURES", "PLACE", "Entry", "entry", "missing", "sweep"]

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY for module in (post_training, non_uniform, trained, zero_shot, stochastic)
}
PLACE = Path(__file__).parent
PICTURES = 2000
"""Test pictures that accuracies are counted on: one standard error is 0.6 points at 90 %."""


class Entry(NamedTuple):
    """One entry: what was run, and what came out.

    Attributes
    ----------
    network, method : str
    weights, activations : int
        Bits; 32 is floating point.
    seed : int
    accuracy : float
        On the first 2,000 test pictures, 0 … 1; NaN if the run failed.
    nbytes : int
        Of the network as stored: weights packed, scales and codebooks included.
    seconds : float
        Processor time of quantizing (training included), one thread.
    problem : str
        Why there is no accuracy: a run that diverged says so here.

    Survey-map rows: T2, T6, Z4.
    """

    network: str
    method: str
    weights: int
    activations: int
    seed: int
    accuracy: float
    nbytes: int
    seconds: float
    problem: str


FIELDS = (*Entry._fields, *ORIGIN)
Key = tuple[str, str, int, int, int]


def entry(family: str, task: Task, method: str) -> Entry:
    """Quantize, and judge.

    Parameters
    ----------
    family : str
        One of `FAMILIES`.
    task : Task
    method : str
        One of the family's.

    Raises
    ------
    ValueError
        If there is no such method. A training run that diverges is no error: the entry tells.

    Survey-map rows: T2, T6, Z4.
    """
    methods = FAMILIES[family].methods
    if method not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}, got {method!r}")
    torch.set_num_threads(1)
    chosen = methods[method]
    shared = chosen.needs(task)
    start = time.process_time()
    accuracy, nbytes, problem = float("nan"), 0, ""
    try:
        model = chosen.run(task).eval()
        seconds = time.process_time() - start
        accuracy, nbytes = zoo.evaluate(model, load_test()[:PICTURES], batch_size=100), network_bytes(model)
    except ValueError as error:
        if "diverged" not in str(error):
            raise
        seconds, problem = time.process_time() - start, str(error)
    numbers = round(accuracy, 5), nbytes, round(shared + seconds, 2)
    return Entry(task.network, method, task.weights, task.activations, task.seed, *numbers, problem)


def _key(line: Line) -> Key:
    numbers = (int(line[name]) for name in ("weights", "activations", "seed"))
    weights, activations, seed = numbers
    return line["network"], line["method"], weights, activations, seed


def _order(family: Family, seeds: int) -> list[tuple[Task, str]]:
    return [pair for seed in range(seeds) for pair in family.tasks(seed)]


def missing(family: Family, lines: Iterable[Line], seeds: int) -> list[tuple[Task, str]]:
    """Return what is still to be run: all of the first seed, then all of the second, and so on.

    Survey-map rows: T2, T6, Z4.
    """
    done = {_key(line) for line in lines}
    return [
        (t, method)
        for t, method in _order(family, seeds)
        if (t.network, method, t.weights, t.activations, t.seed) not in done
    ]


def sweep(
    families: Iterable[str] = (),
    seeds: int = 3,
    jobs: int = 1,
    place: Path = PLACE,
    networks: Iterable[str] = (),
) -> None:
    """Run what is missing in some families on some networks (by default all), seed after seed.

    Parameters
    ----------
    families, networks : iterable of str
    seeds, jobs : int
        Seeds from 0; entries at a time.
    place : Path
        Folder of the CSV files.

    Raises
    ------
    ValueError
        If there is no such family or network, or seeds or jobs is not positive.

    Survey-map rows: T2, T6, Z4.
    """
    from joblib import Parallel, delayed

    names = list(families) or list(FAMILIES)
    if unknown := set(names) - FAMILIES.keys():
        raise ValueError(f"families must be among {', '.join(FAMILIES)}, got {', '.join(sorted(unknown))}")
    chosen = set(networks) or set(NETWORKS)
    if unknown := chosen - set(NETWORKS):
        raise ValueError(f"networks must be among {', '.join(NETWORKS)}, got {', '.join(sorted(unknown))}")
    if seeds < 1 or jobs < 1:
        raise ValueError(f"seeds and jobs must be positive, got {seeds} and {jobs}")
    note = origin()
    tables = {name: read_lines(place / f"{name}.csv") for name in names}
    todo = [
        (name, *pair)
        for seed in range(seeds)
        for name in names
        for pair in missing(FAMILIES[name], tables[name], seeds)
        if pair[0].seed == seed and pair[0].network in chosen
    ]
    found = Parallel(jobs, return_as="generator_unordered")(delayed(_named)(*job) for job in todo)
    for name, result in tqdm(found, "results", total=len(todo)):
        tables[name].append({field: str(value) for field, value in result._asdict().items()} | note)
        write_lines(place / f"{name}.csv", FIELDS, _sorted(FAMILIES[name], tables[name], seeds))


def _sorted(family: Family, lines: list[Line], seeds: int) -> list[Line]:
    """Lines in the order of the tasks, whichever was ready first; what no task asks for comes last."""
    rank = {(t.network, m, t.weights, t.activations, t.seed): i for i, (t, m) in enumerate(_order(family, seeds))}
    return sorted(lines, key=lambda line: rank.get(_key(line), len(rank)))


def _named(family: str, task: Task, method: str) -> tuple[str, Entry]:
    return family, entry(family, task, method)
