"""Figures of quantized training: where numbers lie and what a format reaches; runs with one protection removed.

Survey-map row: F4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_magnitudes", "draw_runs"]


def draw_magnitudes(ax: Axes, tensors: Mapping[str, Tensor], reach: Mapping[str, tuple[float, float]]) -> None:
    """Draw histograms of log2|x|, and below them a bar for what each format reaches, smallest step to largest number.

    Parameters
    ----------
    ax : matplotlib Axes
    tensors : mapping of name to Tensor
        Zeros are left out.
    reach : mapping of format to (smallest positive number, largest)

    Survey-map row: F4.
    """
    looks = (("blue", "-"), ("green", "--"), ("vermilion", ":"))
    edges = np.arange(-40, 17)
    for (name, x), (color, style) in zip(tensors.items(), looks, strict=False):
        magnitudes = x.detach().abs().flatten()
        share = np.histogram(np.log2(magnitudes[magnitudes > 0].numpy()), edges)[0] / magnitudes.numel()
        ax.stairs(100 * share, edges, color=PALETTE[color], ls=style, lw=2, label=name)
    top = ax.get_ylim()[1]
    for k, (name, (low, high)) in enumerate(reach.items()):
        place = -0.1 * top * (k + 1)
        ax.plot(np.log2([low, high]), [place, place], color=PALETTE["grey"], ls="-", lw=6, solid_capstyle="butt")
        ax.text(np.log2(low) - 0.5, place, name, va="center", ha="right", fontsize=9)
    ax.axhline(0, color=PALETTE["black"], lw=0.7)
    ax.set(xlabel="log2 of the magnitude", ylabel="share of the numbers (%)", ylim=(-0.1 * top * (len(reach) + 1), top))
    ax.set_yticks([t for t in ax.get_yticks() if 0 <= t <= top])


def draw_runs(ax: Axes, runs: Mapping[str, Sequence[float]], reference: float) -> None:
    """Draw accuracies: a line for each case, a dot for each seed, a bar from the reference to the mean.

    Parameters
    ----------
    ax : matplotlib Axes
    runs : mapping of case to accuracies
        In %; nan for a run that diverged, which is written beside the line.
    reference : float
        In %, of fp32.

    Survey-map row: F4.
    """
    names = list(runs)
    for place, name in enumerate(names):
        values = np.asarray(runs[name], float)
        finite = values[np.isfinite(values)]
        if len(finite):
            ax.plot([reference, finite.mean()], [place, place], ls="-", color=PALETTE["vermilion"], lw=5, alpha=0.6)
            ax.plot(finite, np.full(len(finite), place), "o", mfc="white", mec=PALETTE["blue"], ms=6)
        if len(finite) < len(values):
            note = f"{len(values) - len(finite)} of {len(values)} diverged"
            ax.text(0.02, place, note, transform=ax.get_yaxis_transform(), va="center", fontsize=9)
    ax.axvline(reference, color=PALETTE["black"], ls="--", lw=1)
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel="accuracy (%)")
    ax.invert_yaxis()
