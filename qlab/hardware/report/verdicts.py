"""What ratios allow to be said: how much is gained, up to where, ahead of what, and how often chance would say so too.

Survey-map rows: C4, C6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from qlab.hardware.kernels.products import BACKENDS
from qlab.hardware.report.content import KernelSpeed
from qlab.hardware.timing import Ratio

__all__ = ["ahead_of_int8", "ahead_until", "best_kernels", "chance", "gain", "of_kernel", "stops_paying"]


def gain(median: float, low: float, high: float) -> Ratio:
    """Return "so many times as fast" as a ratio of times, whose verdict is then on the thing that is fast.

    Examples
    --------
    >>> gain(2.0, 1.6, 2.5).verdict, gain(1.0, 0.9, 1.2).verdict
    ('faster', 'no difference seen')

    Survey-map row: C4.
    """
    return Ratio(1 / median, 1 / high, 1 / low)


def chance(turns: int) -> float:
    """Return how often at most a verdict falls although there is no difference, each turn being a toss of a coin.

    The lower quartile of n turns lies above 1 only if at least n − ⌈(n − 1)/4⌉ of them do; and so below.

    Examples
    --------
    >>> [round(chance(n), 3) for n in (5, 9, 17, 25)]
    [0.375, 0.18, 0.049, 0.015]

    Survey-map row: C4.
    """
    least = turns - math.ceil((turns - 1) / 4)
    return min(1.0, 2 * sum(math.comb(turns, k) for k in range(least, turns + 1)) / 2**turns)


def stops_paying(speeds: Sequence[KernelSpeed], share: float = 0.5) -> int | None:
    """Return the smallest batch at which one kernel gains less than a share of what it gains at the smallest batch.

    high(B) < share · low(1): the quartiles too must lie apart, so that noise does not decide.

    Parameters
    ----------
    speeds : sequence of KernelSpeed
        Of one kernel, at several batches.
    share : float

    Returns
    -------
    int or None
        None if no such batch was measured.

    Raises
    ------
    ValueError
        If the speeds belong to several kernels, or there are none.

    Survey-map row: C6.
    """
    if len({s.kernel for s in speeds}) != 1:
        raise ValueError(f"speeds must be those of one kernel, got {sorted({s.kernel for s in speeds})}")
    first, *others = sorted(speeds, key=lambda s: s.batch)
    return next((s.batch for s in others if s.high < share * first.low), None)


def ahead_until(speeds: Sequence[KernelSpeed], rivals: Sequence[KernelSpeed]) -> int | None:
    """Return the largest batch up to which one kernel is ahead of another at every batch that was measured.

    Ahead is low > high of the rival: the quartiles lie apart. fp32 does not enter: it may be slow itself.

    Parameters
    ----------
    speeds, rivals : sequence of KernelSpeed
        Of one kernel each, at several batches.

    Returns
    -------
    int or None
        None if it is not ahead at the smallest batch, or the rival was not measured there.

    Survey-map row: C6.
    """
    high = {s.batch: s.high for s in rivals}
    until = None
    for s in sorted(speeds, key=lambda s: s.batch):
        if not s.low > high.get(s.batch, math.inf):
            break
        until = s.batch
    return until


def of_kernel(speeds: Iterable[KernelSpeed], kernel: str) -> list[KernelSpeed]:
    """Return the speeds of one kernel.

    Survey-map row: C6.
    """
    return [s for s in speeds if s.kernel == kernel]


def ahead_of_int8(speeds: Sequence[KernelSpeed], kernel: str) -> int | None:
    """Return the largest batch up to which a kernel is ahead of int8 by the same backend; see `ahead_until`.

    Survey-map row: C6.
    """
    _, _, backend = kernel.partition(" ")
    return ahead_until(of_kernel(speeds, kernel), of_kernel(speeds, f"int8 {backend}"))


def best_kernels(speeds: Iterable[KernelSpeed]) -> dict[str, KernelSpeed]:
    """Return the fastest of qlab's own kernels for each format, and every library's by its name; fp32 too.

    Parameters
    ----------
    speeds : iterable of KernelSpeed
        On one shape, at one batch.

    Survey-map row: C6.
    """
    best: dict[str, KernelSpeed] = {}
    for s in speeds:
        form, _, backend = s.kernel.partition(" ")
        key = form if backend in BACKENDS else s.kernel
        if key not in best or s.ratio > best[key].ratio:
            best[key] = s
    return best
