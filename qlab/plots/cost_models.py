"""Figures of cost models: prediction against measurement, scores, layers of equal MACs, all assignments of bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from qlab.hardware.layer_times import Timed
from qlab.hardware.scores import Score, fitted_scale, spearman
from qlab.plots.style import COLORS, MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_assignments", "draw_equal_macs", "draw_prediction", "draw_scores"]

KINDS = ("dense", "1×1", "depthwise", "linear", "grouped")


def draw_prediction(
    ax: Axes,
    predicted: ArrayLike,
    measured: ArrayLike,
    kinds: Sequence[str],
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw measured time over predicted time after one fitted scale, in microseconds, with the band of a factor of 2.

    Parameters
    ----------
    ax : matplotlib Axes
    predicted, measured : array, shape (layers,)
        In any unit; in seconds.
    kinds : sequence of str
        Of each layer; a colour and a marker for each.
    limits : (float, float), optional
        Of the horizontal axis, in microseconds; what lies beyond is drawn at its edge.

    Survey-map row: C7.
    """
    x, y = 1e6 * fitted_scale(predicted, measured) * np.asarray(predicted), 1e6 * np.asarray(measured)
    low, high = limits or (x.min() / 2, 2 * x.max())
    line = np.geomspace(min(low, y.min() / 4), max(high, 4 * y.max()), 50)
    ax.fill_between(line, line / 2, 2 * line, color="0.9", zorder=0, label="within a factor of 2")
    ax.plot(line, line, "-", color=PALETTE["grey"], lw=1, zorder=1)
    for kind in [k for k in KINDS if k in kinds] + sorted(set(kinds) - set(KINDS)):
        place = KINDS.index(kind) if kind in KINDS else 5
        mine = np.array([k == kind for k in kinds])
        look: dict[str, Any] = {"color": COLORS[place], "marker": MARKERS[place], "ls": "", "ms": 6.5, "mec": "white"}
        ax.plot(np.clip(x[mine], low, high), y[mine], label=kind, mew=0.6, **look)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlim=(0.8 * low, 1.25 * high), ylim=(y.min() / 2, 2 * y.max()))
    ax.set(xlabel="predicted time, scaled (µs)", ylabel="measured time (µs)")


def draw_scores(order: Axes, error: Axes, scores: Mapping[str, Mapping[str, Score]]) -> None:
    """Draw Kendall's τ and the factor of error of every model, one row for each, one marker for each level.

    Parameters
    ----------
    order, error : matplotlib Axes
    scores : mapping of level to (mapping of model to Score)

    Survey-map row: C7.
    """
    models = list(dict.fromkeys(model for level in scores.values() for model in level))
    for k, (level, found) in enumerate(scores.items()):
        rows = [models.index(model) + 0.14 * (k - (len(scores) - 1) / 2) for model in found]
        look: dict[str, Any] = {"color": COLORS[k], "marker": MARKERS[k], "ls": "", "ms": 6}
        order.plot([s.kendall for s in found.values()], rows, label=level, **look)
        error.plot([s.factor for s in found.values()], rows, **look)
    for ax in (order, error):
        ax.set_yticks(range(len(models)), models)
        ax.set_ylim(len(models) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        for row in range(1, len(models)):
            ax.axhline(row - 0.5, color="0.85", ls="-", lw=0.8, zorder=0)
    order.axvline(0, color=PALETTE["black"], ls="-", lw=0.8)
    order.set(xlabel="Kendall's τ (1: right order)", xlim=(min(-0.1, order.get_xlim()[0]), 1.03))
    error.set_xscale("log", base=2)
    ticks = [t for t in (1, 1.25, 1.5, 2, 3, 4, 6, 8, 12) if t <= error.get_xlim()[1]]
    error.set_xticks(ticks, [f"{t:g}" for t in ticks])
    error.set_xlim(left=1 / 1.03)
    error.set(xlabel="median factor of error (1: exact)")
    error.minorticks_off()
    error.tick_params(labelleft=False)


def draw_equal_macs(ax: Axes, groups: Mapping[str, Sequence[Timed]]) -> None:
    """Draw time and bytes of layers with equal MACs, each as a multiple of the first of its group.

    Parameters
    ----------
    ax : matplotlib Axes
    groups : mapping of str to sequence of Timed

    Survey-map row: C7.
    """
    place, names = 0.0, []
    places: list[float] = []
    for group, layers in groups.items():
        first = layers[0]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        ax.text(0.53, place, group, fontsize=9.5, fontweight="bold", va="center", clip_on=True, bbox=box)
        for layer in layers:
            place += 1
            ratio, moved = layer.median / first.median, layer.job.bytes_moved / first.job.bytes_moved
            marked: dict[str, Any] = {"label": "time"} if not places else {}
            ax.barh(place, ratio - 0.5, 0.62, left=0.5, color=PALETTE["sky"], edgecolor=PALETTE["blue"], **marked)
            ax.plot([layer.low / first.median, layer.high / first.median], [place] * 2, "-", color="black", lw=1.5)
            marked = {"label": "bytes moved"} if not places else {}
            ax.plot(moved, place, "D", color=PALETTE["vermilion"], ms=6, **marked)
            places.append(place)
            names.append(layer.job.cost.name)
        place += 1.2
    ax.axvline(1, color=PALETTE["black"], ls="--", lw=1.2, label="MACs")
    ax.set_xscale("log", base=2)
    ticks = (0.5, 1, 2, 4, 8, 16, 32)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set(xlim=(0.5, 48), ylim=(place - 0.2, -0.8), xlabel="multiple of the first of each group")
    ax.set_yticks(places, names, fontsize=9)
    ax.grid(axis="y", visible=False)
    ax.figure.legend(fontsize=9, loc="outside lower center", ncols=3)


def draw_assignments(ax: Axes, predicted: ArrayLike, measured: ArrayLike, color: str = "blue") -> None:
    """Draw the time of every assignment of bits over its cost, both as shares of the last assignment's, with ρ.

    Parameters
    ----------
    ax : matplotlib Axes
    predicted, measured : array, shape (assignments,)
        The last one is the one with the most bits everywhere.
    color : str
        From the palette.

    Survey-map row: C7.
    """
    p, t = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    ax.plot([0, 1], [0, 1], "-", color=PALETTE["grey"], lw=1, zorder=1)
    ax.plot(p / p[-1], t / t[-1], ".", color=PALETTE[color], ms=3, alpha=0.5, zorder=2)
    ax.plot(1, 1, "*", color=PALETTE["black"], ms=9, zorder=3)
    ax.set(xlim=(0.2, 1.05), ylim=(0.2, max(1.08, 1.06 * float((t / t[-1]).max()))))
    ax.text(0.96, 0.07, f"ρ = {spearman(p, t):.2f}", transform=ax.transAxes, ha="right", fontsize=11)
