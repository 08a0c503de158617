"""What random search finds, exactly; and the candidates that nothing beats.

Of N candidates, n different ones are drawn. All of the k best are missed with probability

    P(rank > k) = C(N − k, n)/C(N, n),    P(rank = k) = P(rank > k − 1) − P(rank > k),    E[rank] = (N + 1)/(n + 1).

With a table of the whole space, random search needs no simulation: a sampler is measured against this law.

    front = { c : no candidate costs at most as much and is better }.

Source: Bergstra and Bengio 2012, *Random search for hyper-parameter optimization* (random search as the baseline).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["pareto_front", "random_search_ranks"]


def random_search_ranks(feasible: int, trials: int, space: int | None = None) -> np.ndarray:
    """Return the probabilities that the best of `trials` random candidates has rank 1, 2, …, `feasible`.

    Parameters
    ----------
    feasible : int
        Candidates within the budget, which are those that have a rank.
    trials : int
        Different candidates drawn, whether within the budget or not.
    space : int, optional
        All candidates; by default those within the budget, which is a search that looks at no others.

    Returns
    -------
    array, shape (feasible,)
        Sums to the probability that any candidate drawn was within the budget.

    Raises
    ------
    ValueError
        If not 1 ≤ feasible ≤ space and 1 ≤ trials ≤ space.

    Examples
    --------
    Two of four candidates: the best is among them half of the time, and rank 4 never is the best of two.

    >>> random_search_ranks(4, 2).round(3).tolist()
    [0.5, 0.333, 0.167, 0.0]

    Survey-map row: B5.
    """
    space = feasible if space is None else space
    if not (1 <= feasible <= space and 1 <= trials <= space):
        raise ValueError(f"feasible and trials must be from 1 to the space {space}, got {feasible} and {trials}")
    k = np.arange(feasible)
    left = np.maximum(space - k - trials, 0) / (space - k)  # the candidate of rank k + 1 is missed too
    missed = np.concatenate([[1.0], np.cumprod(left)])  # C(N − k, n)/C(N, n)
    return missed[:-1] - missed[1:]


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Return the places of the candidates that are better than all that cost at most as much, cheapest first.

    Of candidates that are equal in both, the first.

    Parameters
    ----------
    costs, values : sequence of float
        One of each for every candidate; small costs and large values are good.

    Raises
    ------
    ValueError
        If they are not equally many.

    Examples
    --------
    >>> pareto_front([1, 2, 3, 3], [0.5, 0.4, 0.7, 0.8])
    [0, 3]

    Survey-map row: B5.
    """
    if len(costs) != len(values):
        raise ValueError(f"values must be as many as costs ({len(costs)}), got {len(values)}")
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -values[i])):
        if not front or values[i] > values[front[-1]]:
            front.append(i)
    return front
