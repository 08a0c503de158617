"""Figures of mixed precision: the cloud of all assignments with its front, and how far methods land from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qlab.mixed.assignment import pareto_front
from qlab.mixed.distance import distance
from qlab.plots.style import COLORS, MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qlab.mixed.comparison import MethodRun
    from qlab.mixed.ground_truth import GroundTruth

__all__ = ["budget_stop", "draw_cloud", "draw_lost", "draw_sums"]


def draw_cloud(
    ax: Axes, truth: GroundTruth, chosen: Mapping[str, Sequence[Sequence[int]]] | None = None, label: str = ""
) -> None:
    """Draw every assignment as a point, accuracy over kilobytes, the true front as a line, and choices upon it.

    Parameters
    ----------
    ax : matplotlib Axes
    truth : GroundTruth
    chosen : mapping of name to choices, optional
        Each name gets its own colour and marker.
    label : str
        Of the cloud, for the legend.

    Survey-map row: M5.
    """
    kilobytes, accuracy = truth.nbytes / 1000, 100 * truth.accuracy
    ax.plot(kilobytes, accuracy, ".", ms=2.5, color="#B5B5B5", label=label or f"all {len(kilobytes):,}")
    front = pareto_front(kilobytes, -accuracy)
    ends = np.r_[kilobytes[front], kilobytes.max()], np.r_[accuracy[front], accuracy[front[-1]]]
    ax.step(*ends, where="post", color=PALETTE["black"], ls="-", lw=1.5, label="the true front")
    for (name, choices), color, marker in zip((chosen or {}).items(), COLORS, MARKERS, strict=False):
        at = [truth.index(choice) for choice in choices]
        ax.plot(kilobytes[at], accuracy[at], color=color, ls="", marker=marker, ms=9, mfc="none", mew=1.8, label=name)
    ax.set(xlabel="kilobytes of weights and scales", ylabel="accuracy, %")


def budget_stop(
    truth: GroundTruth, limit: float, chosen: Mapping[str, Sequence[int]], reach: float | None = None
) -> tuple[Figure, str]:
    """Draw one stop of a walk along the true front: a budget, the best assignment within it, and what methods chose.

    Left the cloud, cut at the budget, with the best and the choices; right their bits, layer by layer.

    Parameters
    ----------
    truth : GroundTruth
    limit : float
        Bytes of weights and scales.
    chosen : mapping of method to choice
        Assignments within the budget; at most six methods.
    reach : float, optional
        Bytes at the right end of the cloud.

    Returns
    -------
    tuple of Figure and str
        The figure, and all that it says in words.

    Raises
    ------
    ValueError
        If a choice does not fit the budget, or nothing does.

    Survey-map row: M5.
    """
    import matplotlib.pyplot as plt

    space = truth.space
    space.check_limit(limit)
    for name, choice in chosen.items():
        if truth.nbytes[truth.index(choice)] > limit:
            raise ValueError(f"chosen must fit {limit:,.0f} bytes, but {name} takes {space.assignment(choice)}")
    best = space.all_choices()[int(np.argmax(np.where(truth.nbytes <= limit, truth.accuracy, -1)))]
    rows = {"best": tuple(int(b) for b in best), **{name: tuple(choice) for name, choice in chosen.items()}}
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 4.2), width_ratios=[1.35, 1], layout="constrained")
    draw_cloud(left, truth, {name: [choice] for name, choice in chosen.items()})
    at = truth.index(rows["best"])
    left.plot(truth.nbytes[at] / 1000, 100 * truth.accuracy[at], "*", ms=15, color="black", mfc="none", label="best")
    end = (truth.nbytes.max() if reach is None else reach) / 1000
    left.axvline(limit / 1000, color=PALETTE["black"], ls=":", lw=1.5)
    left.axvspan(limit / 1000, end, color="0.5", alpha=0.12, lw=0)
    left.set_xlim(truth.nbytes.min() / 1000 - 0.03 * end, end)
    left.set_title(f"budget {limit / 1000:.1f} kB")
    left.legend(fontsize=8, loc="lower right", frameon=True, framealpha=1)

    bits = np.array([[space.choices[b] for b in choice] for choice in rows.values()])
    right.imshow(bits, cmap="Greys", vmin=0, vmax=2 * max(space.choices), aspect="auto")
    for (row, column), b in np.ndenumerate(bits):
        right.text(column, row, b, ha="center", va="center", color="black", fontsize=11)
    lost = [100 * distance(truth, choice, limit).lost for choice in rows.values()]
    right.set_xticks(range(len(space.layers)), labels=list(space.names))
    right.set_yticks(range(len(rows)), labels=list(rows))
    ends = right.secondary_yaxis("right")
    ends.set_yticks(range(len(rows)), labels=["", *(f"−{x:.1f}" for x in lost[1:])])
    ends.set_ylabel("points below the best")
    for axis in (right, ends):
        axis.tick_params(length=0)
    right.set(xlabel="layer", title="bits of each layer")
    right.grid(False)

    words = (
        f"{limit / 1000:.1f} kilobytes allow {100 * truth.accuracy[at]:.1f} % at best, "
        f"with {space.assignment(rows['best'])} bits. "
    )
    said = (f"{name} {space.assignment(c)}, {x:.1f} below" for (name, c), x in zip(rows.items(), lost, strict=True))
    next(said)
    return figure, words + "Chosen, and points below the best: " + "; ".join(said) + "."


def draw_lost(ax: Axes, runs: Sequence[MethodRun], methods: Sequence[str], labels: Mapping[float, str]) -> None:
    """Draw the accuracy that methods lose against the best within each budget: a row per method, a dot per budget.

    Dots are means over seeds, whiskers reach from the least to the greatest loss. The axis is linear up to 1 point and
    logarithmic beyond.

    Parameters
    ----------
    ax : matplotlib Axes
    runs : sequence of MethodRun
        Of one network.
    methods : sequence of str
        From top to bottom.
    labels : mapping of mean bits to str
        The budgets to draw, and their names.

    Raises
    ------
    ValueError
        If a method has no run under one of the budgets.

    Survey-map row: M5.
    """
    looks = list(zip(COLORS, MARKERS, strict=True))
    for (bits, label), (color, marker), shift in zip(
        labels.items(), looks, np.linspace(-0.26, 0.26, len(labels)), strict=False
    ):
        lost = [[100 * r.lost for r in runs if (r.method, r.mean_bits) == (method, bits)] for method in methods]
        if empty := [method for method, found in zip(methods, lost, strict=True) if not found]:
            raise ValueError(f"runs must hold every method under {bits} bits, got none of {', '.join(empty)}")
        mean = np.array([np.mean(found) for found in lost])
        reach = [mean - [min(found) for found in lost], [max(found) for found in lost] - mean]
        rows = np.arange(len(methods)) + shift
        whiskers = np.maximum(reach, 0)
        ax.errorbar(mean, rows, xerr=whiskers, fmt=marker, color=color, ms=5.5, lw=1, capsize=0, label=label)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xticks([0, 0.5, 1, 3, 10, 30, 70], labels=["0", "0.5", "1", "3", "10", "30", "70"])
    ax.set_xlim(-0.1, 100)
    ax.set_yticks(range(len(methods)), labels=list(methods))
    ax.invert_yaxis()
    ax.minorticks_off()
    ax.set_xlabel("points of accuracy lost against the best within the budget")


def draw_sums(ax: Axes, predicted: Sequence[float], actual: Sequence[float]) -> None:
    """Draw what assignments do to the loss against the sum of what their layers do alone, both logarithmic.

    Parameters
    ----------
    ax : matplotlib Axes
    predicted, actual : sequences of float
        In nats, positive.

    Survey-map rows: M1, M3.
    """
    x, y = np.asarray(predicted), np.asarray(actual)
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    ax.loglog(x, y, ".", ms=2.5, color=PALETTE["blue"], alpha=0.5)
    ax.loglog([low, high], [low, high], color=PALETTE["black"], ls="--", lw=1.2, label="additive")
    ax.set(xlabel="sum over layers, nats", ylabel="all at once, nats")
    ax.legend()
