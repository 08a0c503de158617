"""What every search here has in common: a judge, the record of what it said, and the baseline that has to be beaten.

    random search:   draw assignments within the budget, judge each, keep the best

Source: Li, Talwalkar 2019, *Random search and reproducibility for neural architecture search*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qlab.mixed.assignment import Space

__all__ = ["Choice", "Judge", "Record", "Search", "random_choice", "random_search"]

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
        """Return what the judge says, asking it once for each assignment."""
        if choice not in self.said:
            self.said[choice] = self.judge(choice)
        return self.said[choice]

    def search(self) -> Search:
        """Return the best so far; of equals the first."""
        best = max(self.said, key=self.said.__getitem__)
        return Search(best, self.said[best], tuple(self.said.items()))


def random_choice(space: Space, limit: float, rng: np.random.Generator) -> Choice:
    """Return a choice drawn at random, then lowered layer by layer at random until it fits the budget.

    Raises
    ------
    ValueError
        If nothing fits.

    Survey-map row: M4.
    """
    space.check_limit(limit)
    choice: NDArray[np.int64] = rng.integers(len(space.choices), size=len(space.layers))
    while space.total(space.nbytes, choice) > limit:
        choice[rng.choice(np.flatnonzero(choice))] -= 1
    return tuple(int(b) for b in choice)


def random_search(judge: Judge, space: Space, limit: float, evaluations: int = 100, seed: int = 0) -> Search:
    """Return the best of so many different assignments drawn at random within a budget of bytes.

    Parameters
    ----------
    judge : function of a choice
        Higher is better.
    space : Space
    limit : float
        Bytes of weights and scales.
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
