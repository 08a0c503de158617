"""Lab 3, Lloyd–Max: right solutions, and the mistakes that people make.

    t_i = (y_i + y_{i+1})/2,    y_i = mean of cell i,    D = (1/n) Σ (x − y_q(x))²

Survey-map row: H7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "BEST_OF",
    "CENTROIDS",
    "CODEBOOK_BYTES",
    "DISTORTION",
    "ENCODE",
    "EXERCISES",
    "GAUSSIAN_CENTROIDS",
    "LLOYD",
    "QUESTIONS",
    "THRESHOLDS",
]

Array = np.ndarray


def _normal(seed: int, n: int) -> Array:
    return np.random.default_rng(seed).standard_normal(n)


# (a) Thresholds


def _thresholds(levels: Array) -> Array:
    return (levels[1:] + levels[:-1]) / 2


THRESHOLDS = Exercise(
    "thresholds",
    _thresholds,
    [(np.array([0.0, 1.0, 4.0]),), (np.array([-2.0, -0.5, 0.75, 3.0]),), (np.array([1.0, 2.0]),)],
    [
        Mistake(
            "each threshold is the level on its left",
            "at a level itself nothing changes. The border lies where the distances to both neighbours are equal.",
            lambda levels: levels[:-1].copy(),
        ),
        Mistake(
            "each threshold is the level on its right",
            "at a level itself nothing changes. The border lies where both neighbours are equally far away.",
            lambda levels: levels[1:].copy(),
        ),
        Mistake(
            "half the distance is returned, not the place",
            "(right − left)/2 says how far to go. From where?",
            lambda levels: np.diff(levels) / 2,
        ),
        Mistake(
            "the sum is not halved",
            "the middle of two numbers is their sum, halved. Try 1 and 2.",
            lambda levels: levels[1:] + levels[:-1],
        ),
        Mistake(
            "only one of the two is halved",
            "division comes before addition: put the sum in parentheses.",
            lambda levels: levels[1:] + levels[:-1] / 2,
        ),
        Mistake(
            "only one of the two is halved",
            "division comes before addition: put the sum in parentheses.",
            lambda levels: levels[1:] / 2 + levels[:-1],
        ),
        Mistake(
            "the outer levels are included",
            "thresholds lie *between* levels. The outer cells reach to infinity, and need no number.",
            lambda levels: np.concatenate([levels[:1], _thresholds(levels), levels[-1:]]),
        ),
        Mistake(
            "the outer ends are included",
            "N levels have N − 1 borders between them. The outer cells reach to infinity, and need no number.",
            lambda levels: np.concatenate([[-np.inf], _thresholds(levels), [np.inf]]),
        ),
        Mistake(
            "the thresholds are equally spaced",
            "levels need not be equally spaced, so their borders are not: each lies between its own two levels.",
            lambda levels: np.linspace(levels[0], levels[-1], levels.size + 1)[1:-1],
        ),
        Mistake(
            "one threshold is missing",
            "N levels have N − 1 borders. Look at your slices: levels[1:] and levels[:-1] both have N − 1 entries.",
            lambda levels: _thresholds(levels)[:-1],
        ),
        Mistake(
            "every second threshold is missing",
            "every pair of *neighbours* has a border, not every pair of a list that is cut into twos.",
            lambda levels: _thresholds(levels)[::2] if levels.size > 3 else np.array([np.nan]),
        ),
    ],
)


# (b) Codes


def _distance(x: Array, levels: Array) -> Array:
    return np.abs(x[:, None] - levels[None, :])


def _encode(x: Array, levels: Array) -> Array:
    return _distance(x, levels).argmin(1)


def _equal_steps(x: Array, levels: Array) -> Array:
    step = (levels[-1] - levels[0]) / (levels.size - 1)
    return np.clip(np.rint((x - levels[0]) / step), 0, levels.size - 1).astype(int)


ENCODE = Exercise(
    "encode",
    _encode,
    [
        (np.array([-3.0, 0.2, 0.6, 2.4, 2.6, 9.0]), np.array([0.0, 1.0, 4.0])),
        (np.array([1.4, -0.2, -5.0]), np.array([-2.0, -0.3, 0.0, 2.0])),
        (_normal(1, 30), np.array([-1.7, -0.6, 0.1, 1.2, 1.5])),
    ],
    [
        Mistake(
            "levels are returned, not their places",
            "a code is the *place* of the level in the list, a whole number. levels[codes] gives the values.",
            lambda x, levels: levels[_encode(x, levels)],
        ),
        Mistake(
            "places are counted from 1",
            "Python counts from 0: the lowest level has the code 0.",
            lambda x, levels: _encode(x, levels) + 1,
        ),
        Mistake(
            "the next level below is taken",
            "a number just under a level is nearer to that one than to the level below.",
            lambda x, levels: np.clip(np.searchsorted(levels, x, side="right") - 1, 0, levels.size - 1),
        ),
        Mistake(
            "the next level above is taken",
            "a number just over a level is nearer to that one than to the level above. Compare with the thresholds, or "
            "the distances.",
            lambda x, levels: np.clip(np.searchsorted(levels, x), 0, levels.size - 1),
        ),
        Mistake(
            "it is counted how many levels lie below",
            "count how many *thresholds* lie below x: N − 1 thresholds give the codes 0 to N − 1.",
            lambda x, levels: np.searchsorted(levels, x),
        ),
        Mistake(
            "x itself is rounded",
            "levels are no whole numbers in general, and a code is a place in their list. Compare x with the levels.",
            lambda x, levels: np.rint(x).astype(int),
        ),
        Mistake(
            "the farthest level is taken",
            "argmax finds the largest distance. You want the smallest.",
            lambda x, levels: _distance(x, levels).argmax(1),
        ),
        Mistake(
            "the sign of the difference counts",
            "−100 is less than 0.1, but farther away: take the absolute value (or the square) of the difference before "
            "you look for the smallest.",
            lambda x, levels: (x[:, None] - levels).argmin(1),
        ),
        Mistake(
            "the sign of the difference counts",
            "−100 is less than 0.1, but farther away: take the absolute value (or the square) of the difference before "
            "you look for the smallest.",
            lambda x, levels: (levels - x[:, None]).argmin(1),
        ),
        Mistake(
            "the nearest threshold is taken",
            "a code says in which cell x lies, between two thresholds, not which threshold is near.",
            lambda x, levels: _distance(x, _thresholds(levels)).argmin(1),
        ),
        Mistake(
            "the levels are taken as equally spaced",
            "rounding finds the nearest level only if all steps are equal. Compare the distances instead.",
            _equal_steps,
        ),
        Mistake(
            "the nearest x for each level is returned",
            "there must be one code for each x. Along which axis do you look for the smallest distance?",
            lambda x, levels: _distance(x, levels).argmin(0),
        ),
        Mistake(
            "the sign of x is lost",
            "distances are absolute values, x and the levels are not: |x − y|, not | |x| − |y| |.",
            lambda x, levels: _distance(np.abs(x), np.abs(levels)).argmin(1),
        ),
    ],
)


# (c) Distortion


def _error(x: Array, levels: Array) -> Array:
    return x - levels[_encode(x, levels)]


def _distortion(x: Array, levels: Array) -> float:
    return float(np.mean(_error(x, levels) ** 2))


DISTORTION = Exercise(
    "distortion",
    _distortion,
    [
        (np.array([0.0, 2.0, 4.0, 10.0]), np.array([1.0, 8.0])),
        (_normal(2, 50) + 0.4, np.array([-1.5, -0.4, 0.5, 1.6])),
        (3 * _normal(3, 40), np.array([-2.0, 0.0, 5.0])),
    ],
    [
        Mistake(
            "the squares are summed up, not averaged",
            "the error is a mean: a layer with twice the weights is not twice as bad.",
            lambda x, levels: float(np.sum(_error(x, levels) ** 2)),
        ),
        Mistake(
            "the root is taken",
            "D is the mean *squared* error. Its root has x's unit, but Lloyd minimises the square.",
            lambda x, levels: math.sqrt(_distortion(x, levels)),
        ),
        Mistake(
            "absolute values are averaged",
            "square the error. With absolute values the best level is the median of its cell, another quantizer.",
            lambda x, levels: float(np.mean(np.abs(_error(x, levels)))),
        ),
        Mistake(
            "errors are averaged without squares",
            "errors of both signs cancel. Square them first.",
            lambda x, levels: float(np.mean(_error(x, levels))),
        ),
        Mistake(
            "the mean error is subtracted first",
            "np.var subtracts the mean. If all levels were 1 too high, D should say so.",
            lambda x, levels: float(np.var(_error(x, levels))),
        ),
        Mistake(
            "nothing is averaged",
            "one number is asked for: the mean of all these squares.",
            lambda x, levels: _error(x, levels) ** 2,
        ),
        Mistake(
            "the average is squared, not the errors",
            "square each error, then average: large errors count more.",
            lambda x, levels: float(np.mean(np.abs(_error(x, levels))) ** 2),
        ),
        Mistake(
            "it is divided by n − 1",
            "nothing is estimated here: the mean of n squares is their sum divided by n.",
            lambda x, levels: float(np.sum(_error(x, levels) ** 2)) / (x.size - 1),
        ),
        Mistake(
            "it is divided by the number of levels",
            "the mean runs over the numbers x, not over the levels.",
            lambda x, levels: float(np.sum(_error(x, levels) ** 2)) / levels.size,
        ),
        Mistake(
            "it is divided by the power of x",
            "that ratio is useful (it gives the SQNR), but D itself is in the unit of x squared.",
            lambda x, levels: _distortion(x, levels) / float(np.mean(x**2)),
        ),
        Mistake(
            "codes are subtracted, not levels",
            "a code is only the name of a level: look it up, levels[codes].",
            lambda x, levels: float(np.mean((x - _encode(x, levels)) ** 2)),
        ),
        Mistake(
            "the mean of squares and the square of means are confused",
            "square each error, then average. The other order lets errors cancel.",
            lambda x, levels: float(np.mean(_error(x, levels)) ** 2),
        ),
        Mistake(
            "it is in decibel",
            "D is asked for as it is; the logarithm comes later.",
            lambda x, levels: 10 * math.log10(_distortion(x, levels)),
        ),
    ],
)


# (d) Centroids


def _mean_or_old(cell: Array, old: float, i: int) -> float:
    return float(cell.mean()) if cell.size else float(old)


def _by_cell(rule: Callable[[Array, float, int], float]) -> Callable[[Array, Array, Array], Array]:
    """Return the function that makes a level of each cell by `rule(cell, old level, number)`."""

    def centroids(x: Array, codes: Array, levels: Array) -> Array:
        return np.array([rule(x[codes == i], levels[i], i) for i in range(levels.size)])

    return centroids


_centroids = _by_cell(_mean_or_old)


def _filled(rule: Callable[[Array], Any]) -> Callable[[Array, Array, Array], Array]:
    """Return centroids with another rule for cells that are not empty."""
    return _by_cell(lambda cell, old, i: float(rule(cell)) if cell.size else float(old))


def _empty(value: Callable[[Array, float], float]) -> Callable[[Array, Array, Array], Array]:
    """Return centroids with another value for empty cells."""

    def centroids(x: Array, codes: Array, levels: Array) -> Array:
        return _by_cell(lambda cell, old, i: float(cell.mean()) if cell.size else value(x, old))(x, codes, levels)

    return centroids


def _dropped(x: Array, codes: Array, levels: Array) -> Array:
    return np.array([x[codes == i].mean() for i in range(levels.size) if (codes == i).any()])


def _left(y: Array) -> Array:
    """Each level's left neighbour; the first one's own value."""
    return np.concatenate([y[:1], y[:-1]])


CENTROIDS = Exercise(
    "centroids",
    _centroids,
    [
        (np.array([0.0, 2.0, 7.0, 10.0]), np.array([0, 0, 0, 1]), np.array([1.0, 8.0])),
        (
            np.array([5.0, -1.0, 0.5, -2.0, 6.5, -3.5, 12.0, 5.5]),
            np.array([3, 1, 1, 0, 3, 0, 3, 3]),
            np.array([-3.0, 0.2, 2.0, 6.0]),
        ),
        (_normal(4, 60), _encode(_normal(4, 60), np.array([-7.0, -0.8, 0.3, 1.1])), np.array([-7.0, -0.8, 0.3, 1.1])),
    ],
    [
        Mistake(
            "empty cells become nan",
            "the mean of nothing is not a number, and nan then spreads. Let an empty cell keep its level.",
            _empty(lambda x, old: math.nan),
        ),
        Mistake(
            "empty cells become 0",
            "nothing says that 0 is a good place. Let an empty cell keep its level, then it may catch something later.",
            _empty(lambda x, old: 0.0),
        ),
        Mistake(
            "empty cells are dropped",
            "then there are fewer levels, and later codes change their meaning. Let an empty cell keep its level.",
            _dropped,
        ),
        Mistake(
            "empty cells get the mean of all numbers",
            "then the level jumps into another cell, and the levels lose their order. An empty cell keeps its level.",
            _empty(lambda x, old: float(x.mean())),
        ),
        Mistake(
            "the median of the cell is taken",
            "the median minimises absolute errors. Squares are least at the mean.",
            _filled(np.median),
        ),
        Mistake(
            "the middle of the cell is taken",
            "(min + max)/2 ignores where most numbers of the cell are. Take their mean.",
            _filled(lambda cell: (cell.min() + cell.max()) / 2),
        ),
        Mistake(
            "the numbers of a cell are summed up, not averaged",
            "divide by how many numbers the *cell* has.",
            _filled(np.sum),
        ),
        Mistake(
            "the sum is divided by the number of all x",
            "the mean of a cell is over its own numbers only: divide by how many they are.",
            lambda x, codes, levels: _filled(lambda cell: cell.sum() / x.size)(x, codes, levels),
        ),
        Mistake(
            "the old levels are returned",
            "make a new array, fill it with the means, and return *that*.",
            lambda x, codes, levels: levels.copy(),
        ),
        Mistake(
            "the level goes only half of the way",
            "given the cells, the mean is the best place. There is no reason to stop half-way.",
            _by_cell(lambda cell, old, i: (float(cell.mean()) + float(old)) / 2 if cell.size else float(old)),
        ),
        Mistake(
            "codes are averaged, not numbers",
            "x[codes == i] are the numbers of cell i. Their mean is asked for.",
            _by_cell(lambda cell, old, i: float(i) if cell.size else float(old)),
        ),
        Mistake(
            "the root of the mean square is taken",
            "that loses the sign, and is too large: the mean itself minimises the squared error.",
            _filled(lambda cell: np.sqrt(np.mean(cell**2))),
        ),
        Mistake(
            "the fractions are lost",
            "an array of integers cuts off what comes after the point. Make the new array one of floats.",
            lambda x, codes, levels: np.trunc(_centroids(x, codes, levels)),
        ),
        Mistake(
            "the levels are shifted by one place",
            "code 0 belongs to the first level. Does your loop start at 0?",
            lambda x, codes, levels: _by_cell(
                lambda cell, old, i: _mean_or_old(x[codes == i + 1], levels[min(i + 1, levels.size - 1)], i)
            )(x, codes, levels),
        ),
        Mistake(
            "levels above the largest code are missing",
            "there are as many cells as levels, also if the last ones are empty or if max is one less.",
            lambda x, codes, levels: _centroids(x, codes, levels[: int(codes.max())]),
        ),
        Mistake(
            "the levels are shifted by one place",
            "level i belongs to code i. Does your loop start at 0?",
            lambda x, codes, levels: _left(_centroids(x, codes, levels)),
        ),
    ],
)


# (e) Lloyd's iteration


def _iterate(
    x: Array,
    levels: Array,
    renew: Callable[[Array, Array, Array], Array] = _centroids,
    steps: int = 10_000,
    enough: float = 0.0,
) -> tuple[Array, list[float]]:
    """Lloyd's iteration until the codes stay; or with another rule, fewer steps, or stopped at a relative gain."""
    codes, errors = _encode(x, levels), [_distortion(x, levels)]
    for _ in range(steps):
        levels = renew(x, codes, levels)
        errors.append(_distortion(x, levels))
        last, codes = codes, _encode(x, levels)
        if np.array_equal(codes, last) or errors[-2] - errors[-1] < enough * errors[-2]:
            break
    return levels, errors


def _lloyd(x: Array, levels: Array) -> tuple[Array, list[float]]:
    return _iterate(x, levels)


def _changed_errors(change: Callable[[list[float]], Any]) -> Callable[[Array, Array], tuple[Array, Any]]:
    def solution(x: Array, levels: Array) -> tuple[Array, Any]:
        y, errors = _lloyd(x, levels)
        return y, change(errors)

    return solution


def _own_start(make: Callable[[Array, int], Array]) -> Callable[[Array, Array], tuple[Array, list[float]]]:
    return lambda x, levels: _lloyd(x, make(x, levels.size))


def _settled(function: Callable[[Array, Array], Any], x: Array, levels: Array) -> dict[str, Any]:
    """The end, and the errors without repetitions at the end: one step more or less at rest makes no difference."""
    y, errors = function(x, levels)
    errors = [float(e) for e in np.ravel(errors)]
    while len(errors) > 1 and math.isclose(errors[-1], errors[-2], rel_tol=1e-12):
        errors.pop()
    return {"levels": np.asarray(y, dtype=float), "errors": errors}


_MANY = np.sort(_normal(5, 300))


LLOYD = Exercise(
    "lloyd",
    _lloyd,
    [
        (np.array([0.0, 2.0, 4.0, 10.0]), np.array([1.0, 8.0])),
        (_MANY, np.array([-0.3, -0.1, 0.1, 0.3])),
        (_normal(6, 200) ** 3, np.array([-1.0, 0.0, 1.0, 2.0, 3.0])),
        (np.random.default_rng(10).laplace(size=900), np.linspace(-0.4, 0.5, 7)),
        (np.array([0.0, 1.0, 1.5, 9.0, 10.0, 11.0]), np.array([-6.0, 0.5, 4.0, 30.0])),
    ],
    [
        Mistake(
            "it stops after one step",
            "when the levels have moved, some numbers have another nearest level. Make new codes from the new levels, "
            "and go on until no code changes.",
            lambda x, levels: _iterate(x, levels, steps=1),
        ),
        *(
            Mistake(
                f"it stops after {steps} steps, whether or not it has come to rest",
                "some starts need more steps than that. Go on until no code changes any more.",
                lambda x, levels, steps=steps: _iterate(x, levels, steps=steps),
            )
            for steps in (2, 3, 4, 5, 10, 20)
        ),
        Mistake(
            "only the levels are returned",
            "return two things: the levels, and the list of errors.",
            lambda x, levels: _lloyd(x, levels)[0],
        ),
        Mistake(
            "it stops as soon as the error falls slowly",
            "slow progress is not rest: it may get faster again. Stop when no code changes any more.",
            lambda x, levels: _iterate(x, levels, enough=0.05),
        ),
        Mistake(
            "the given levels are not used: it starts from quantiles",
            "start from the levels that you are given. Where Lloyd ends depends on where it starts.",
            _own_start(lambda x, N: np.quantile(x, (np.arange(N) + 0.5) / N)),
        ),
        Mistake(
            "the given levels are not used: it starts from equal steps",
            "begin with the levels that you are given. Where Lloyd ends depends on where it begins.",
            _own_start(lambda x, N: np.linspace(x.min(), x.max(), N)),
        ),
        Mistake(
            "the first error is missing",
            "errors[0] is the error of the levels that were given, before any step.",
            _changed_errors(lambda errors: errors[1:]),
        ),
        Mistake(
            "the errors come in the wrong order",
            "append each error at the end: the first is the largest.",
            _changed_errors(lambda errors: errors[::-1]),
        ),
        Mistake(
            "only the last error is returned",
            "collect the errors in a list, one for the start and one after each step.",
            _changed_errors(lambda errors: errors[-1]),
        ),
        Mistake(
            "errors and levels are exchanged",
            "return levels first, then the list of errors.",
            lambda x, levels: _lloyd(x, levels)[::-1],
        ),
        Mistake(
            "levels of empty cells are lost",
            "there must be as many levels at the end as at the beginning. Does your function centroids keep the level "
            "of an empty cell?",
            lambda x, levels: _iterate(x, levels, renew=_dropped),
        ),
        Mistake(
            "levels of empty cells jump to 0",
            "an empty cell keeps its level. Do you call your function centroids with the current levels?",
            lambda x, levels: _iterate(x, levels, renew=_empty(lambda x, old: 0.0)),
        ),
        Mistake(
            "the levels that were given are returned",
            "give the new levels the name that you return: levels = centroids(…).",
            lambda x, levels: (levels.copy(), _lloyd(x, levels)[1]),
        ),
        Mistake(
            "levels go only half of the way",
            "given the cells, the mean is the best place for a level. Going half-way needs more steps.",
            lambda x, levels: _iterate(x, levels, renew=lambda x, codes, y: (_centroids(x, codes, y) + y) / 2),
        ),
    ],
    use=_settled,
)


# (f) The Gaussian in closed form


def _pdf(x: Array) -> Array:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _edges(thresholds: Array, end: float = math.inf) -> Array:
    return np.concatenate([[-end], thresholds, [end]])


def _cell_means(edges: Array, f: Callable[[Array], Array] = _pdf, F: Callable[[Array], Array] = special.ndtr) -> Array:
    return -np.diff(f(edges)) / np.diff(F(edges))


def _gaussian_centroids(thresholds: Array) -> Array:
    return _cell_means(_edges(thresholds))


def _exchanged(thresholds: Array) -> Array:
    edges = _edges(thresholds)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.diff(special.ndtr(edges)) / -np.diff(_pdf(edges))


GAUSSIAN_CENTROIDS = Exercise(
    "gaussian_centroids",
    _gaussian_centroids,
    [
        (np.array([0.0]),),
        (np.array([-0.9816, 0.0, 0.9816]),),
        (np.array([-1.5, -0.2, 0.4, 2.5]),),
        (np.array([0.3, 1.1]),),
    ],
    [
        Mistake(
            "the sum is not divided by the cell's probability",
            "f(a) − f(b) is the integral of x·f(x). The mean of a cell is that, divided by the cell's probability.",
            lambda thresholds: -np.diff(_pdf(_edges(thresholds))),
        ),
        Mistake(
            "the sign is turned around",
            "f′(x) = −x·f(x), so the integral of x·f(x) from a to b is f(a) − f(b). Check: the rightmost level "
            "is positive.",
            lambda thresholds: -_gaussian_centroids(thresholds),
        ),
        Mistake(
            "the sign is turned around, and the division is missing",
            "np.diff(f) is f(b) − f(a); the integral of x·f(x) is f(a) − f(b). Then divide by the cell's probability.",
            lambda thresholds: np.diff(_pdf(_edges(thresholds))),
        ),
        Mistake(
            "the middle of each cell is taken",
            "a Gaussian is denser on that side of the cell where 0 is: the mean is not the middle.",
            lambda thresholds: _edges(thresholds, 3.0)[:-1] / 2 + _edges(thresholds, 3.0)[1:] / 2,
        ),
        Mistake(
            "the outer cells are missing, and the sign is turned around",
            "N − 1 thresholds make N cells: put −∞ and ∞ at the ends. And the integral of x·f(x) is f(a) − f(b).",
            lambda thresholds: -_cell_means(thresholds) if thresholds.size > 1 else np.zeros(0),
        ),
        Mistake(
            "the outer cells are missing",
            "the first cell begins at −∞ and the last one ends at ∞: N − 1 thresholds make N cells. The density is 0 "
            "at both ends.",
            lambda thresholds: _cell_means(thresholds) if thresholds.size > 1 else np.zeros(0),
        ),
        Mistake(
            "the outer cells end at ±3",
            "a Gaussian goes on beyond that. pdf and cdf accept −np.inf and np.inf.",
            lambda thresholds: _cell_means(_edges(thresholds, 3.0)),
        ),
        Mistake(
            "the outer cells end at ±4",
            "there is still something beyond: pdf and cdf accept −np.inf and np.inf.",
            lambda thresholds: _cell_means(_edges(thresholds, 4.0)),
        ),
        Mistake(
            "density and probability are exchanged",
            "above stands a difference of densities, below one of probabilities.",
            _exchanged,
        ),
        Mistake(
            "all cells are taken as equally probable",
            "cells of a Lloyd–Max quantizer have different probabilities. Divide by the cell's own, Φ(b) − Φ(a).",
            lambda thresholds: -np.diff(_pdf(_edges(thresholds))) * (thresholds.size + 1),
        ),
        Mistake(
            "the density is not divided by √(2π)",
            "f must integrate to 1. Use the pdf of the notebook.",
            lambda thresholds: math.sqrt(2 * math.pi) * _gaussian_centroids(thresholds),
        ),
        Mistake(
            "the error function is taken for the probability",
            "Φ(x) = (1 + erf(x/√2))/2. Use the cdf of the notebook.",
            lambda thresholds: _cell_means(_edges(thresholds), F=special.erf),
        ),
        Mistake(
            "the probability is counted from the right",
            "Φ(b) − Φ(a) is positive. A negative probability turns all levels around.",
            lambda thresholds: _cell_means(_edges(thresholds))[::-1],
        ),
        Mistake(
            "there is one value for each threshold",
            "there is one level for each *cell*, one more than thresholds. Add −∞ and ∞ at the ends first.",
            lambda thresholds: _gaussian_centroids(thresholds)[:-1],
        ),
    ],
)


# (g) Several starts


def _ends(x: Array, starts: Sequence[Array]) -> list[Array]:
    return [_lloyd(x, y)[0] for y in starts]


def _best_of(x: Array, starts: Sequence[Array]) -> Array:
    return min(_ends(x, starts), key=lambda y: _distortion(x, y))


_CLUMPS = 0.2 * _normal(7, 180) + np.repeat([-4.0, 0.0, 3.0, 8.0], [40, 60, 50, 30])
_STARTS = [
    np.array([-1.0, 2.3, 3.9, 6.8]),
    np.array([0.9, 1.0, 1.7, 3.2]),  # looks worst, and ends best
    np.array([-4.0, 1.7, 5.9, 8.6]),  # looks best, and ends second
    np.array([-4.7, -1.6, 0.8, 4.2]),  # ends worst
]

BEST_OF = Exercise(
    "best_of",
    _best_of,
    [(_CLUMPS, [_STARTS[i] for i in order]) for order in ((0, 1, 2, 3), (3, 0, 1), (2, 3, 1, 0))],
    [
        Mistake(
            "the first start wins",
            "compare the errors of *all* results. Does your comparison ever let another one in?",
            lambda x, starts: _ends(x, starts)[0],
        ),
        Mistake(
            "the last start wins",
            "each result overwrites the one before. Keep the best so far, and its error, and compare.",
            lambda x, starts: _ends(x, starts)[-1],
        ),
        Mistake(
            "the worst result wins",
            "the *least* error is the best one. Look at the direction of your comparison.",
            lambda x, starts: max(_ends(x, starts), key=lambda y: _distortion(x, y)),
        ),
        Mistake(
            "the start that looked best is chosen, before Lloyd has run",
            "a poor start may end in the better valley: compare the errors *after* Lloyd.",
            lambda x, starts: _lloyd(x, min(starts, key=lambda y: _distortion(x, y)))[0],
        ),
        Mistake(
            "the start is returned, not where it led",
            "lloyd returns the levels at the end: return those of the best run.",
            lambda x, starts: min(starts, key=lambda y: _distortion(x, _lloyd(x, y)[0])).copy(),
        ),
        Mistake(
            "the best start is returned as it was",
            "run Lloyd from every start, and compare what comes out.",
            lambda x, starts: min(starts, key=lambda y: _distortion(x, y)).copy(),
        ),
        Mistake(
            "the results are averaged",
            "between two valleys lies a hill. Choose one result, do not mix them.",
            lambda x, starts: np.mean(_ends(x, starts), axis=0),
        ),
        Mistake(
            "levels and errors are returned",
            "lloyd returns two things. The levels alone are asked for.",
            lambda x, starts: min((_lloyd(x, y) for y in starts), key=lambda run: run[1][-1]),
        ),
        Mistake(
            "the number of the best start is returned",
            "return its levels, not its place in the list.",
            lambda x, starts: int(np.argmin([_distortion(x, y) for y in _ends(x, starts)])),
        ),
        Mistake(
            "the least error is returned",
            "remember the levels along with the error, and return the levels.",
            lambda x, starts: min(_distortion(x, y) for y in _ends(x, starts)),
        ),
    ],
)


# (h) Bytes


def _bits(N: int) -> int:
    return (N - 1).bit_length()


def _codebook_bytes(n: int, N: int) -> int:
    return -(-n * _bits(N) // 8) + 4 * N


CODEBOOK_BYTES = Exercise(
    "codebook_bytes",
    _codebook_bytes,
    [(144, 16), (640, 5), (1000, 8), (7, 3), (9, 2), (36_864, 16), (31, 6)],
    [
        Mistake(
            "bits are counted, not bytes",
            "a byte has eight bits.",
            lambda n, N: n * _bits(N) + 32 * N,
        ),
        Mistake(
            "the table is missing",
            "without the levels nobody can decode: 4 bytes for each of them come on top.",
            lambda n, N: -(-n * _bits(N) // 8),
        ),
        Mistake(
            "a level takes one byte",
            "levels are 32-bit floats. How many bytes is that?",
            lambda n, N: -(-n * _bits(N) // 8) + N,
        ),
        Mistake(
            "the thresholds are stored, too",
            "the decoder needs levels only, and the encoder can compute the thresholds from them.",
            lambda n, N: -(-n * _bits(N) // 8) + 4 * (2 * N - 1),
        ),
        Mistake(
            "the last byte is lost",
            "// rounds down, and the last few bits fall out of the file. Round up.",
            lambda n, N: n * _bits(N) // 8 + 4 * N,
        ),
        Mistake(
            "there is a byte too many if the bits fill the last one",
            "16 bits are 2 bytes, not 3. Round up only what is left over: math.ceil(bits / 8), or -(-bits // 8).",
            lambda n, N: n * _bits(N) // 8 + 1 + 4 * N,
        ),
        Mistake(
            "the last byte is rounded to the nearest",
            "even one bit needs a byte: round up, not to the nearest.",
            lambda n, N: math.floor(n * _bits(N) / 8 + 0.5) + 4 * N,
        ),
        Mistake(
            "bits and bytes are added",
            "the codes are in bits, the table of 4 N in bytes. Turn the bits into bytes before you add.",
            lambda n, N: -(-(n * _bits(N) + 4 * N) // 8),
        ),
        Mistake(
            "there are fractions of bytes",
            "a file has whole bytes: round the codes up to the next one.",
            lambda n, N: n * _bits(N) / 8 + 4 * N,
        ),
        Mistake(
            "codes have a fraction of a bit",
            "words of fixed length have whole bits: 5 levels need 3 bits, not 2.32. Round up before you multiply.",
            lambda n, N: math.ceil(n * math.log2(N) / 8) + 4 * N,
        ),
        Mistake(
            "the number of bits is rounded down",
            "2 bits tell four levels apart, not five. Round log2 N up.",
            lambda n, N: math.ceil(n * int(math.log2(N)) / 8) + 4 * N,
        ),
        Mistake(
            "there is a bit too many for powers of two",
            "codes run from 0 to N − 1: 16 levels need 4 bits. int(log2(N)) + 1 gives 5.",
            lambda n, N: math.ceil(n * (int(math.log2(N)) + 1) / 8) + 4 * N,
        ),
        Mistake(
            "a code takes N bits",
            "N levels need log2 N bits, rounded up.",
            lambda n, N: math.ceil(n * N / 8) + 4 * N,
        ),
        Mistake(
            "every code fills a byte",
            "codes are packed without gaps: add up all bits first, then round up once.",
            lambda n, N: n + 4 * N,
        ),
        Mistake(
            "every weight has a table",
            "one table serves the whole layer: it comes once on top.",
            lambda n, N: -(-n * _bits(N) // 8) + 4 * N * n,
        ),
    ],
)

EXERCISES = [
    THRESHOLDS,
    ENCODE,
    DISTORTION,
    CENTROIDS,
    LLOYD,
    GAUSSIAN_CENTROIDS,
    BEST_OF,
    CODEBOOK_BYTES,
]

QUESTIONS = [
    question(
        "answer_1",
        2.0,
        {
            3.75: "that is the error of the levels 1 and 8, before the step.",
            8: "that is the sum of the squares. D is their mean.",
            2.67: "that is the mean over the lower cell. D is the mean over all four numbers.",
            0: "the upper cell has no error left. What about the lower one?",
        },
    ),
    question(
        "answer_2",
        "b",
        {
            "a": "your smallest layer has shown you runs that came to rest at very different errors.",
            "c": "that is a quantile quantizer. For a Gaussian, the outer cells of Lloyd–Max are the rarer ones.",
        },
    ),
    question(
        "answer_3",
        4.0,
        {
            2: "cells become half as wide, but the error is squared.",
            6.02: "that is the gain in decibel. By which factor does D fall?",
            8: "what one cell adds falls by 8: it is half as wide *and* half as probable. But there are twice as many.",
            16: "cells become half as wide, and the error is squared. 16 would be two bits.",
        },
    ),
    question(
        "answer_4",
        4.8,
        {
            4: "that is the codes alone. The table has to be stored, too.",
            0.8: "that is the table alone. The codes come on top.",
            4.1: "a level has 32 bits, not 4: 4 is its number of bytes.",
            20: "the table is shared by all 640 weights. Divide its bits among them.",
        },
    ),
]
