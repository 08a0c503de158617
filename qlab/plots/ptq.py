"""Figures of post-training quantization: shifted outputs, ranges on both sides of a link, accuracies of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_accuracies", "draw_link", "draw_shifts"]

STYLES = (("vermilion", "o"), ("orange", "^"), ("blue", "s"), ("green", "D"), ("purple", "v"), ("sky", "X"))


def draw_shifts(ax: Axes, shifts: Mapping[str, Tensor]) -> None:
    """Draw the shift E[ỹ] − E[y] of every output channel, channels in the order of the first entry.

    Parameters
    ----------
    ax : matplotlib axes
    shifts : mapping of name to Tensor, shape (channels,)

    Survey-map row: T5.
    """
    order = next(iter(shifts.values())).argsort().cpu()
    for (name, shift), (color, marker) in zip(shifts.items(), STYLES, strict=False):
        ax.plot(shift.detach().cpu()[order].numpy(), marker, ms=4, color=PALETTE[color], label=name)
    ax.axhline(0, color=PALETTE["black"], lw=0.8)
    ax.set(xlabel="output channel, sorted", ylabel="shift of the mean")
    ax.legend(fontsize=9)


def draw_link(ax: Axes, r1: Tensor, r2: Tensor, title: str) -> None:
    """Draw what a channel's range is in the layer that makes it and in the layer that reads it.

    Parameters
    ----------
    ax : matplotlib axes
    r1, r2 : Tensor, shape (channels,)
        The largest weight of every output channel of the first layer and input channel of the second, each drawn as a
        share of its layer's largest.
    title : str

    Survey-map row: T7.
    """
    order = (r1 / r2).argsort().cpu()
    for r, name, (color, marker) in ((r1, "first layer, by output", STYLES[0]), (r2, "second, by input", STYLES[2])):
        share = (r / r.max()).detach().cpu()[order].numpy()
        ax.plot(share, marker, ms=4, color=PALETTE[color], label=name, fillstyle="none" if marker == "s" else "full")
    ax.set(yscale="log", xlabel="channel", ylabel="range / its layer's range", title=title)


def draw_accuracies(ax: Axes, accuracies: Mapping[str, Sequence[float]], methods: Sequence[str]) -> None:
    """Draw a row per method and a mark per network.

    Parameters
    ----------
    ax : matplotlib axes
    accuracies : mapping of network to its accuracy in % with every method
    methods : sequence of str

    Survey-map rows: T5, T6, T7.
    """
    rows = np.arange(len(methods))
    for (name, values), (color, marker) in zip(accuracies.items(), STYLES, strict=False):
        ax.plot(values, rows, marker, ms=6, color=PALETTE[color], label=name, alpha=0.85)
    ax.set_yticks(rows, list(methods))
    ax.invert_yaxis()
    ax.set(xlabel="accuracy (%)", xlim=(0, 100))
