"""Figures of a search: all candidates on a plane of cost and accuracy, what was tried, and the roofline."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qlab.hardware.roofline import Roofline
from qlab.neighbours.random_search import pareto_front
from qlab.neighbours.search import SearchResult, tabular
from qlab.neighbours.search_space import Candidate
from qlab.plots.style import COLORS, MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_candidates", "draw_roofline", "draw_trials"]


def draw_candidates(
    ax: "Axes", costs: Mapping[Candidate, float], value: Callable[[Candidate], float], choice: str
) -> list[Candidate]:
    """Draw every candidate, one colour and marker for each value of a choice, and the front as a staircase.

    Parameters
    ----------
    ax : matplotlib axes
        Its x-axis becomes logarithmic.
    costs : mapping of candidate to float
        In the unit of the x-axis.
    value : function of candidate to float
        From 0 to 1; drawn in percent.
    choice : str
        A field of the candidates: "bits", "block", …

    Returns
    -------
    list of Candidate
        The front, cheapest first.

    Raises
    ------
    ValueError
        If the candidates have no such field.
    """
    known = list(costs)
    if not known or not hasattr(known[0], choice):
        raise ValueError(f"choice must be a field of the candidates, such as 'bits', got {choice!r}")
    for i, option in enumerate(sorted({getattr(c, choice) for c in known})):
        some = [c for c in known if getattr(c, choice) == option]
        ax.plot(
            [costs[c] for c in some],
            [100 * value(c) for c in some],
            linestyle="none",
            marker=MARKERS[i],
            color=COLORS[i],
            markersize=3.5,
            alpha=0.6,
            label=str(option),
        )
    front = [known[i] for i in pareto_front([costs[c] for c in known], [value(c) for c in known])]
    x = [*(costs[c] for c in front), max(costs.values())]
    y = [100 * value(c) for c in front]
    ax.step(x, [*y, y[-1]], where="post", color=PALETTE["black"], linewidth=1.3, linestyle="-")
    ax.set_xscale("log")
    return front


def draw_trials(ax: "Axes", result: SearchResult, count: int, costs: Mapping[Candidate, float]) -> None:
    """Draw the first trials of a search over all candidates: what was trained, what was over budget, the best so far.

    Parameters
    ----------
    ax : matplotlib axes
    result : SearchResult
    count : int
        Trials shown, from 1.
    costs : mapping of candidate to float
        Of the whole space, drawn as a background with the value that the table has.
    """
    ax.semilogx(list(costs.values()), [100 * tabular(c) for c in costs], ".", color="0.85", markersize=4)
    shown = result.trials[:count]
    trained = [t for t in shown if t.feasible]
    over = [t for t in shown if not t.feasible]
    ax.plot([t.cost for t in trained], [100 * t.value for t in trained], "o", color=PALETTE["blue"], label="trained")
    values = [100 * tabular(t.candidate) for t in over]
    ax.plot([t.cost for t in over], values, "x", color=PALETTE["vermilion"], label="over budget: not trained")
    if trained:
        best = max(trained, key=lambda t: t.value)
        ax.plot(best.cost, 100 * best.value, "*", color=PALETTE["orange"], markersize=16, label="best so far")
    ax.axvline(result.budget, color=PALETTE["black"], linestyle="--", linewidth=1.2)


def draw_roofline(ax: "Axes", roof: Roofline, working_sets: Mapping[str, float], low: float, high: float) -> None:
    """Draw min(peak, bandwidth·I) for working sets that lie in different memories, on logarithmic axes.

    Parameters
    ----------
    ax : matplotlib axes
    roof : Roofline
    working_sets : mapping of str to float
        Label and bytes of each.
    low, high : float
        Range of the intensity, operations per byte.
    """
    intensity: Sequence[float] = np.geomspace(low, high, 200).tolist()
    for (label, size), style in zip(working_sets.items(), ("-", "--", ":", "-."), strict=False):
        rates = [roof.attainable(i, size) for i in intensity]
        ax.loglog(intensity, rates, style, color=PALETTE["black"], linewidth=1.3, label=label)
    ax.set(xlabel="intensity / (operations per byte)", ylabel="GFLOP/s")
