"""Evolutionary search: keep the best assignments, cross and mutate them, judge the children, repeat.

    child_i = mother_i or father_i, by a fair coin            crossover
    child_i = any choice, with probability p                  mutation

Children over the budget are not judged. What is judged is the quantized network's own answer, so nothing is assumed
about layers adding up; the price is a forward pass over the validation pictures for each assignment.

Source: Guo et al. 2020, *Single path one-shot neural architecture search with uniform sampling*, algorithm 1 (which
searches bits as well); `random_search` is the baseline that every search has to beat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qlab.mixed.assignment import Space

__all__ = ["EvolutionSettings", "Search", "evolve", "random_search"]

Choice = tuple[int, ...]
Judge = Callable[[Choice], float]


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes
    ----------
    choice : tuple of int
        The best one.
    value : float
        What the judge said of it.
    judged : tuple of (choice, float)
        Every assignment that was judged, in order, each once: their number is the cost of the search.

    Survey-map row: M4.
    """

    choice: Choice
    value: float
    judged: tuple[tuple[Choice, float], ...]


class Record:
    """A judge that remembers what it said, and stops after so many different assignments."""

    def __init__(self, judge: Judge, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"evaluations must be at least 1, got {limit}")
        self.judge, self.limit = judge, limit
        self.said: dict[Choice, float] = {}

    @property
    def full(self) -> bool:
        """Whether the evaluations are spent."""
        return len(self.said) >= self.limit

    def __call__(self, choice: Choice) -> float:
        if choice not in self.said:
            self.said[choice] = self.judge(choice)
        return self.said[choice]

    def search(self) -> Search:
        """Return the best so far; of equals the first."""
        best = max(self.said, key=self.said.__getitem__)
        return Search(best, self.said[best], tuple(self.said.items()))


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


def random_choice(space: Space, limit: float, rng: np.random.Generator) -> Choice:
    """Return a choice drawn at random, then lowered layer by layer at random until it fits the budget.

    Raises
    ------
    ValueError
        If nothing fits.

    Survey-map row: M4.
    """
    choice: NDArray[np.int64] = rng.integers(len(space.choices), size=len(space.layers))
    while space.total(space.nbytes, choice) > limit:
        high = np.flatnonzero(choice)
        if not len(high):
            raise ValueError(f"limit must hold {space.nbytes[:, 0].sum():g} bytes, the fewest there are, got {limit:g}")
        choice[rng.choice(high)] -= 1
    return tuple(int(b) for b in choice)


def random_search(judge: Judge, space: Space, limit: float, evaluations: int = 100, seed: int = 0) -> Search:
    """Return the best of so many different assignments drawn at random within a budget of bytes.

    Parameters
    ----------
    judge, space, limit
        As `evolve`.
    evaluations : int
        Fewer are judged if 1,000 draws in a row bring nothing new.
    seed : int

    Raises
    ------
    ValueError
        If nothing fits the budget.

    Survey-map row: M4.
    """
    rng = np.random.default_rng(seed)
    record = Record(judge, evaluations)
    stale = 0
    while not record.full and stale < 1000:
        known = len(record.said)
        record(random_choice(space, limit, rng))
        stale = stale + 1 if len(record.said) == known else 0
    return record.search()
