"""How far from the true front a method lands, in numbers.

    lost accuracy   max{ acc(b') : bytes(b') ≤ limit } − acc(b)             points given away at this budget
    share better    #{ b' : bytes(b') ≤ limit, acc(b') > acc(b) } / #{ b' : bytes(b') ≤ limit }
    hypervolume     area under the front of a set, over bytes, above a floor of accuracy

The best of thousands of assignments was lucky on these very pictures, so that a lost accuracy of a few tenths of a
point is no loss at all: `oracle` says what choosing by validation accuracy over the whole table leaves.

Source of the hypervolume: Zitzler, Thiele 1999, *Multiobjective evolutionary algorithms*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qlab.mixed.assignment import pareto_front
from qlab.mixed.ground_truth import GroundTruth

__all__ = ["Distance", "distance", "hypervolume", "oracle"]


class Distance(NamedTuple):
    """How far a choice is from the best within a budget.

    Attributes
    ----------
    nbytes : float
        Of the choice.
    accuracy : float
        Test accuracy of the choice, 0 … 1.
    best : float
        Test accuracy of the best assignment within the budget.
    lost : float
        Their difference.
    better : float
        Share of the assignments within the budget that answer more test pictures right.

    Survey-map row: M5.
    """

    nbytes: float
    accuracy: float
    best: float
    lost: float
    better: float


def distance(truth: GroundTruth, choice: Sequence[int], limit: float) -> Distance:
    """Return how far a choice is from the best assignment within a budget of bytes.

    Raises
    ------
    ValueError
        If the choice is over the budget.

    Survey-map row: M5.
    """
    i = truth.index(choice)
    nbytes, accuracy = truth.nbytes, truth.accuracy
    if nbytes[i] > limit:
        raise ValueError(f"choice must fit {limit:g} bytes, got {nbytes[i]:g}")
    within = accuracy[nbytes <= limit]
    best = float(within.max())
    return Distance(
        float(nbytes[i]), float(accuracy[i]), best, best - float(accuracy[i]), float((within > accuracy[i]).mean())
    )


def oracle(truth: GroundTruth, limit: float) -> tuple[int, ...]:
    """Return the choice of highest validation accuracy within a budget, over the whole table.

    Of equals the one of lowest validation loss. No method that looks at these pictures only can be expected to do
    better on others.

    Raises
    ------
    ValueError
        If nothing fits.

    Survey-map row: M5.
    """
    truth.space.check_limit(limit)
    fits = np.flatnonzero(truth.nbytes <= limit)
    order = np.lexsort((truth.validation_loss.ravel()[fits], -truth.validation_accuracy[fits]))
    return tuple(int(b) for b in truth.space.all_choices()[fits[order[0]]])


def hypervolume(cost: ArrayLike, gain: ArrayLike, worst_cost: float, floor: float) -> float:
    """Return the area that points dominate: at most `worst_cost` to the right, at least `floor` below.

    Parameters
    ----------
    cost : array of float, shape (n,)
        Less is better. Points beyond `worst_cost` count for nothing.
    gain : array of float, shape (n,)
        More is better. Points below `floor` count for nothing.
    worst_cost, floor : float

    Returns
    -------
    float
        In units of cost times gain; no points dominate 0.

    Examples
    --------
    >>> hypervolume([1, 2], [0.5, 0.75], worst_cost=4, floor=0)  # 3·0.5 + 2·0.25
    2.0

    Survey-map row: M5.
    """
    c, g = np.asarray(cost, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    inside = (c <= worst_cost) & (g >= floor)
    if not inside.any():
        return 0.0
    c, g = c[inside], g[inside]
    front = pareto_front(c, -g)
    widths = np.diff(np.r_[c[front], worst_cost])
    return float((widths * (g[front] - floor)).sum())
