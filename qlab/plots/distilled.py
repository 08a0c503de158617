"""Figures of quantized students: what a teacher gains, seed by seed; one answer before and after rounding.

Survey-map row: D1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_gains", "draw_probabilities"]


def draw_gains(ax: Axes, gains: Mapping[str, Sequence[float]]) -> None:
    """Draw paired differences: a line for each comparison, a hollow dot for each seed, a bar at the mean.

    Parameters
    ----------
    ax : matplotlib Axes
    gains : mapping of label to differences
        In points of accuracy, one for each seed.

    Survey-map row: D1.
    """
    names = list(gains)
    for place, name in enumerate(names):
        values = np.asarray(gains[name], float)
        sure = values.min() > 0 or values.max() < 0  # every seed says the same
        color = PALETTE["grey"] if not sure else PALETTE["blue"] if values.mean() > 0 else PALETTE["vermilion"]
        ax.barh(place, values.mean(), color=color, height=0.55, alpha=0.75)
        ax.plot(values, np.full(len(values), place), "o", mfc="white", mec="black", ms=5)
    ax.axvline(0, color=PALETTE["black"], lw=1)
    ax.set(yticks=range(len(names)), yticklabels=names)
    ax.invert_yaxis()


def draw_probabilities(ax: Axes, answers: Mapping[str, Sequence[float]], classes: Sequence[str]) -> None:
    """Draw the probabilities that several networks give one picture, in groups of bars by class.

    Parameters
    ----------
    ax : matplotlib Axes
    answers : mapping of network to probabilities
        One for each class.
    classes : sequence of str

    Survey-map row: D1.
    """
    colors, hatches = ("blue", "green", "vermilion", "purple"), ("", "//", "..", "xx")
    height = 0.8 / len(answers)
    for k, (name, p) in enumerate(answers.items()):
        place = np.arange(len(classes)) + (k - (len(answers) - 1) / 2) * height
        ax.barh(place, p, height, color=PALETTE[colors[k % 4]], hatch=hatches[k % 4], edgecolor="white", label=name)
    ax.set(yticks=range(len(classes)), yticklabels=classes, xlim=(0, 1), xlabel="probability")
    ax.invert_yaxis()
