r"""Lloyd's quantizer for numbers at hand, such as the weights of a layer: k-means in one dimension.

    minimize (1/n) Σ_m (x_m − q(x_m))²  over N levels

On a sorted list a cell is an interval of indices, and prefix sums give its mean at once. Lloyd's iteration finds a
local optimum quickly; dynamic programming finds the global one, slowly.
Sources: Lloyd 1982; Bruce 1964, *Optimum Quantization* (dynamic programming); Wang and Song 2011.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from ._check import Floats, check_integer, check_reals
from .lloyd_max import nearest_level
from .scalar_quantizer import ScalarQuantizer

__all__ = ["lloyd_samples", "optimal_samples"]


def _sorted_samples(samples: ArrayLike, levels: int) -> Floats:
    x = np.sort(check_reals(samples, "samples").ravel())
    distinct = np.unique(x).size
    if check_integer(levels, "levels", 1) > distinct:
        raise ValueError(f"levels must be at most the number of distinct samples ({distinct}), got {levels}")
    return x


def lloyd_samples(
    samples: ArrayLike, levels: int, start: ArrayLike | None = None, steps: int = 10_000
) -> ScalarQuantizer:
    """Lloyd's iteration on numbers: one-dimensional k-means, exact per step through sorted prefix sums.

    Parameters
    ----------
    samples : array of reals
    levels : int
        N, at most the number of distinct samples.
    start : array (N,), optional
        First guess of the levels; quantiles of the distinct samples if absent.
    steps : int
        The most iterations.

    Returns
    -------
    ScalarQuantizer
        A local optimum: no sample is nearer to another level, and every level is the mean of its cell.

    Examples
    --------
    >>> lloyd_samples([0.0, 1.0, 9.0, 10.0, 11.0], 2).levels
    array([ 0.5, 10. ])

    Survey-map row: H7.
    """
    x = _sorted_samples(samples, levels)
    distinct = np.unique(x)
    if start is None:
        y = distinct[((np.arange(levels) + 0.5) / levels * distinct.size).astype(int)]
    else:
        y = check_reals(start, "start", ndim=1)
        if y.size != levels:
            raise ValueError(f"start must hold {levels} levels, got {y.size}")
    total = np.concatenate([[0.0], np.cumsum(x - x.mean())])
    cuts = None
    for _ in range(check_integer(steps, "steps", 1)):
        q = nearest_level(y)
        last, cuts = cuts, np.searchsorted(x, q.thresholds)
        if last is not None and np.array_equal(cuts, last):
            break
        ends = np.concatenate([[0], cuts, [x.size]])
        n, s = np.diff(ends), np.diff(total[ends])
        y = np.where(n > 0, s / np.maximum(n, 1) + x.mean(), y)  # an empty cell keeps its level
    return nearest_level(y)


def optimal_samples(samples: ArrayLike, levels: int) -> ScalarQuantizer:
    """Global optimum for numbers, by dynamic programming over where the sorted list is cut: O(N n²), for small n.

    E_k(j) = min_i E_{k−1}(i) + cost(i, j),   cost(i, j) = Σ_{i≤m<j} (x_m − mean)²

    Raises
    ------
    ValueError
        If there are more than 5000 samples.

    Examples
    --------
    >>> optimal_samples([0.0, 1.0, 9.0, 10.0, 11.0], 2).levels
    array([ 0.5, 10. ])

    References
    ----------
    Bruce 1964, *Optimum Quantization*; Wang and Song 2011, *Ckmeans.1d.dp*.

    Survey-map row: H7.
    """
    x = _sorted_samples(samples, levels)
    n = x.size
    if n > 5000:
        raise ValueError(f"samples must be at most 5000 for the exact method, got {n}; use lloyd_samples")
    centred = x - x.mean()
    s1 = np.concatenate([[0.0], np.cumsum(centred)])
    s2 = np.concatenate([[0.0], np.cumsum(centred**2)])
    i, j = np.arange(n)[:, None], np.arange(1, n + 1)[None, :]
    cost = s2[j] - s2[i] - (s1[j] - s1[i]) ** 2 / np.maximum(j - i, 1)
    cost = np.where(j > i, np.maximum(cost, 0.0), np.inf)
    best, cut = cost[0], np.zeros((levels, n), dtype=np.int64)  # best[j − 1]: the first j samples
    for k in range(1, levels):
        table = best[:-1, None] + cost[1:, :]
        cut[k] = table.argmin(axis=0) + 1
        best = table.min(axis=0)
    ends = [n]
    for k in range(levels - 1, 0, -1):
        ends.append(int(cut[k, ends[-1] - 1]))
    edges = [0, *reversed(ends)]
    return nearest_level(np.array([x[a:b].mean() for a, b in pairwise(edges)]))
