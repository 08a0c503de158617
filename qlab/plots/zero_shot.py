"""Figures of zero-shot quantization: made and real pictures, remembered and found statistics, the ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qlab.zsq.statistics import Match

__all__ = ["draw_channel_ranges", "draw_ladder", "draw_statistics", "picture_rows"]


def picture_rows(rows: Mapping[str, Tensor], titles: Sequence[str] = ()) -> Figure:
    """Draw rows of pictures, each row with one grey scale and its name above.

    Parameters
    ----------
    rows : mapping of name to Tensor, shape (n, 1, height, width)
        The same n for all.
    titles : sequence of str, optional
        What stands below each column.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If rows differ in length.

    Survey-map rows: Z3, Z4.
    """
    import matplotlib.pyplot as plt

    n = len(next(iter(rows.values())))
    if any(len(x) != n for x in rows.values()):
        raise ValueError(f"rows must have the same number of pictures, got {[len(x) for x in rows.values()]}")
    fig, axes = plt.subplots(len(rows), n, figsize=(0.8 * n, 1.02 * len(rows) + 0.1), squeeze=False)
    for line, (name, x) in zip(axes, rows.items(), strict=True):
        low, high = float(x.min()), float(x.max())
        for ax, picture in zip(line, x, strict=True):
            ax.imshow(picture[0].detach().numpy(), cmap="gray_r", vmin=low, vmax=high)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for side in ("left", "bottom"):
                ax.spines[side].set_visible(False)
            ax.set_title(" ", fontsize=10, pad=3)  # keeps the height; the name itself would widen its column
        label = line[0].text(0, 1.06, name, transform=line[0].transAxes, fontsize=10, va="bottom")
        label.set_in_layout(False)
    for ax, title in zip(axes[-1], titles, strict=False):
        ax.set_xlabel(title, fontsize=8)
    return fig


def draw_statistics(axes: Sequence[Axes], found: Mapping[str, Sequence[Match]]) -> None:
    """Draw what a batch has against what the network remembers: means left, standard deviations right.

    Parameters
    ----------
    axes : two matplotlib axes
    found : mapping of name to the matches of all layers
        From `qlab.zsq.watch_statistics`.

    Survey-map row: Z3.
    """
    colors = ("orange", "blue", "green")
    for ax, known, have, title in zip(
        axes, ("known_mean", "known_std"), ("mean", "std"), ("means", "standard deviations"), strict=True
    ):
        ends = []
        for k, (name, matches) in enumerate(found.items()):
            x = np.concatenate([getattr(m, known).detach().numpy() for m in matches])
            y = np.concatenate([getattr(m, have).detach().numpy() for m in matches])
            ax.plot(x, y, "sox"[k % 3], ms=4, alpha=0.7, color=PALETTE[colors[k % 3]], label=name)
            ends += [x.min(), x.max()]
        ax.axline((ends[0], ends[0]), slope=1, color=PALETTE["black"], lw=1, ls="-")
        ax.set(xlabel="remembered by BatchNorm", ylabel="in this batch", title=title)
    axes[0].legend(fontsize=9)


def draw_channel_ranges(ax: Axes, ranges: Mapping[str, Tensor], top: float) -> None:
    """Draw the sorted max|W| of the channels of a layer, before and after, and the scale's reach.

    Parameters
    ----------
    ax : matplotlib axes
    ranges : mapping of name to Tensor, shape (channels,)
        Each is divided by its own maximum.
    top : float
        How many codes the maximum reaches, 2^(b−1) − 1.

    Survey-map row: Z1.
    """
    for k, (name, r) in enumerate(ranges.items()):
        share = (r / r.max()).sort(descending=True).values.detach().numpy() * top
        ax.plot(
            share, ("-", "--")[k % 2], marker="os"[k % 2], ms=3, color=PALETTE[("vermilion", "blue")[k % 2]], label=name
        )
    ax.axhline(0.5, color=PALETTE["black"], lw=1, ls=":")
    ax.set(yscale="log", ylim=(1e-2, 1.5 * top), xlabel="channel, widest first", ylabel="largest code used")
    ax.legend(fontsize=9)


def draw_ladder(ax: Axes, table: Mapping[str, Sequence[int]], full: float) -> None:
    """Draw the mean accuracy of every rung, with its spread over seeds, and every seed as a dot.

    Parameters
    ----------
    ax : matplotlib axes
    table : mapping of rung to right answers of 10,000, one for each seed
    full : float
        Accuracy in floating point in %, drawn as a line.

    Survey-map row: Z4.
    """
    for k, (rung, right) in enumerate(table.items()):
        values = np.array(right) / 100
        tuned = any(word in rung for word in ("tuned", "generated", "adversarial"))
        color = PALETTE["blue" if tuned else "orange"]
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        ax.barh(k, values.mean(), xerr=spread, color=color, hatch="" if tuned else "//", capsize=3, alpha=0.8)
        ax.plot(values, np.full(len(values), k), ".", color=PALETTE["black"], ms=4)
    ax.axvline(full, color=PALETTE["black"], lw=1)
    ax.set(yticks=range(len(table)), xlabel="accuracy (%)")
    ax.set_yticklabels(list(table))
    ax.invert_yaxis()
