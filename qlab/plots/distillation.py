"""Figures of distillation: soft answers to real pictures, which classes resemble each other, methods at equal bytes.

Source of the first: the idea of Hinton, Vinyals, Dean 2015, section 1; drawn from live data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from qlab.data import CLASSES, Images
from qlab.neighbours.distillation import soft_labels
from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_methods", "draw_similarity", "soft_answers"]


def soft_answers(pictures: Images, logits: Tensor, temperature: float) -> Figure:
    """Draw pictures, and beside each a teacher's probabilities at a temperature; the true class is marked.

    Parameters
    ----------
    pictures : Images
    logits : Tensor, shape (N, 10)
    temperature : float

    Returns
    -------
    matplotlib Figure

    Survey-map row: B9.
    """
    import matplotlib.pyplot as plt

    n = len(pictures)
    fig, axes = plt.subplots(2, n, figsize=(2.1 * n, 4.6), height_ratios=[1, 1.9], sharey="row")
    for k in range(n):
        axes[0, k].imshow(pictures.images[k], cmap="gray_r")
        axes[0, k].set(xticks=[], yticks=[], title=CLASSES[int(pictures.labels[k])])
        axes[0, k].grid(False)
        for side in ("left", "bottom"):
            axes[0, k].spines[side].set_visible(False)
        p = soft_labels(logits[k], temperature).numpy()
        true = np.arange(10) == int(pictures.labels[k])
        bars = axes[1, k].barh(range(10), p, color=np.where(true, PALETTE["blue"], PALETTE["orange"]))
        bars[int(pictures.labels[k])].set_hatch("//")
        axes[1, k].set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="probability")
    axes[1, 0].set(yticks=range(10), yticklabels=CLASSES)
    axes[1, 0].invert_yaxis()
    fig.suptitle(f"T = {temperature:g}")
    return fig


def draw_similarity(ax: Axes, matrix: Tensor, title: str) -> None:
    """Draw a matrix of classes, in %, without its diagonal.

    Parameters
    ----------
    ax : matplotlib axes
    matrix : Tensor, shape (10, 10)
        Rows are true classes, and sum to 1.
    title : str

    Survey-map row: B9.
    """
    values = 100 * matrix.double().numpy()
    np.fill_diagonal(values, np.nan)
    ax.imshow(values, cmap="cividis")
    high = np.nanmax(values)
    for (i, j), v in np.ndenumerate(values):
        if v >= 0.5:  # not the diagonal, which is NaN
            ax.text(j, i, f"{v:.0f}", ha="center", va="center", fontsize=8, color="white" if v < high / 2 else "black")
    ax.set(xticks=range(10), yticks=range(10), title=title)
    ax.set_xticklabels(CLASSES, rotation=60, ha="right", fontsize=9)
    ax.set_yticklabels(CLASSES, fontsize=9)
    ax.grid(False)


def draw_methods(
    ax: Axes, results: Mapping[tuple[str, int], tuple[int, tuple[int, ...]]], methods: Sequence[str], full: float
) -> None:
    """Draw accuracy against compression ratio for each method, with the spread over seeds.

    Parameters
    ----------
    ax : matplotlib axes
    results : mapping of (method, ratio) to (bytes, right answers of 10,000 for each seed)
    methods : sequence of str
    full : float
        Accuracy of the uncompressed network in %, drawn as a line.

    Survey-map row: B10.
    """
    colors = ("grey", "orange", "sky", "vermilion", "purple", "green", "blue")
    styles = (":", "--", "-.", "--", "-.", ":", "-")
    for k, method in enumerate(methods):
        ratios = sorted(r for m, r in results if m == method)
        values = [np.array(results[method, r][1]) / 100 for r in ratios]
        spread = [v.std(ddof=1) if len(v) > 1 else 0.0 for v in values]
        ax.errorbar(
            ratios, [v.mean() for v in values], spread, ls=styles[k % 7], marker="osD^vXP"[k % 7], ms=5, capsize=2,
            color=PALETTE[colors[k % 7]], label=method,
        )  # fmt: skip
    ax.axhline(full, color=PALETTE["black"], lw=1)
    ax.set(xscale="log", xlabel="bytes of the original / bytes", ylabel="accuracy (%)")
    every = sorted({r for _, r in results})
    ax.set_xticks(every, [f"{r}×" for r in every])
    ax.minorticks_off()
    ax.legend(fontsize=9)
