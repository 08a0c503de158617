"""Evolutionary search: keep the best assignments, cross and mutate them, judge the children, repeat.

    child_i = mother_i or father_i, by a fair coin            crossover
    child_i = any choice, with probability p                  mutation

Children over the budget are not judged. What is judged is the quantized network's own answer, so nothing is assumed
about layers adding up; the price is a forward pass over the validation pictures for each assignment.

Source: Guo et al. 2020, *Single path one-shot neural architecture search with uniform sampling*, algorithm 1 (which
searches bits as well).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qlab.mixed.assignment import Space
from qlab.mixed.search import Choice, Judge, Record, Search, random_choice

__all__ = ["EvolutionSettings", "evolve"]


@dataclass(frozen=True)
class EvolutionSettings:
    """How evolution goes.

    Attributes
    ----------
    evaluations : int
        Different assignments to judge.
    population, parents : int
        Children per generation, and how many of the best have them.
    mutation : float
        Probability that a layer mutates.
    seed : int

    Survey-map row: M4.
    """

    evaluations: int = 100
    population: int = 20
    parents: int = 10
    mutation: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.parents <= self.population or not 0 < self.mutation <= 1:
            raise ValueError(f"need 2 ≤ parents ≤ population and a mutation in (0, 1], got {self}")


def evolve(judge: Judge, space: Space, limit: float, settings: EvolutionSettings | None = None) -> Search:
    """Return what evolution finds within a budget of bytes.

    Parameters
    ----------
    judge : function of a choice
        Higher is better: validation accuracy, or minus the loss.
    space : Space
    limit : float
        Bytes of weights and scales.
    settings : EvolutionSettings, optional

    Raises
    ------
    ValueError
        If nothing fits the budget.

    References
    ----------
    Guo et al. 2020, algorithm 1.

    Survey-map row: M4.
    """
    s = settings or EvolutionSettings()
    rng = np.random.default_rng(s.seed)
    record = Record(judge, s.evaluations)
    generation = [random_choice(space, limit, rng) for _ in range(s.population)]
    stale = 0
    while True:
        known = len(record.said)
        for child in generation:
            if record.full:
                return record.search()
            record(child)
        stale = stale + 1 if len(record.said) == known else 0
        if stale == 20:  # nothing new within reach: the space is small, or all parents are alike
            return record.search()
        best = sorted(record.said, key=record.said.__getitem__, reverse=True)[: s.parents]
        generation = [_child(best, space, limit, s, rng) for _ in range(s.population)]


def _child(parents: list[Choice], space: Space, limit: float, s: EvolutionSettings, rng: np.random.Generator) -> Choice:
    for _ in range(100):
        child = np.array(parents[rng.integers(len(parents))])
        if rng.random() < 0.5:
            other = np.array(parents[rng.integers(len(parents))])
            child = np.where(rng.random(len(child)) < 0.5, child, other)
        else:
            mutant = rng.integers(len(space.choices), size=len(child))
            child = np.where(rng.random(len(child)) < s.mutation, mutant, child)
        if space.total(space.nbytes, child) <= limit:
            return tuple(int(b) for b in child)
    return random_choice(space, limit, rng)
