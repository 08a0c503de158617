"""Figures of vector quantization: codewords among weights, what a file's bytes are for, bytes against accuracy.

Survey-map rows: V1, V2, V3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["METHOD_LOOKS", "draw_anatomy", "draw_bytes_against_accuracy", "draw_codewords"]

METHOD_LOOKS = {
    "uniform": ("black", "s"),
    "k-means": ("sky", "o"),
    "PQ": ("orange", "^"),
    "PQ, activations": ("vermilion", "v"),
    "RVQ": ("green", "D"),
    "additive": ("purple", "P"),
    "Deep Compression": ("blue", "*"),
}
"""Colour and marker of each method."""

PART_LOOKS = (("grey", ""), ("black", ""), ("orange", "//"), ("sky", ""), ("vermilion", "\\\\"), ("green", ".."))


def draw_codewords(ax: Axes, pairs: ArrayLike, words: ArrayLike, reach: float) -> float:
    """Draw pairs of weights as points, and the codewords they go to.

    Parameters
    ----------
    ax : Axes
    pairs : array (n, 2)
    words : array (k, 2)
    reach : float
        The axes go from −reach to reach.

    Returns
    -------
    float
        The mean squared error per weight.

    Survey-map row: V2.
    """
    x, c = np.asarray(pairs, dtype=float), np.asarray(words, dtype=float)
    error = float(np.square(x[:, None] - c).sum(-1).min(1).mean() / 2)
    ax.plot(*x[:4000].T, ".", ms=2, alpha=0.35, color=PALETTE["sky"], rasterized=True)
    ax.plot(*c.T, "X", ms=6, color=PALETTE["vermilion"], mec="white", mew=0.6)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="a weight")
    return error


def draw_anatomy(ax: Axes, files: Mapping[str, Mapping[str, int]]) -> None:
    """Draw each file as a bar, cut into what its bytes are for; a part's bytes stand in it where there is room.

    Parameters
    ----------
    ax : Axes
    files : mapping of name to mapping of part to bytes

    Survey-map row: V1.
    """
    widest = max(sum(parts.values()) for parts in files.values())
    for row, parts in enumerate(files.values()):
        left = 0
        for (part, size), (color, hatch) in zip(parts.items(), PART_LOOKS, strict=False):
            fill = PALETTE[color]
            label = part if row == 0 else None
            ax.barh(row, size, left=left, color=fill, hatch=hatch, edgecolor="white", label=label)
            if size > 0.07 * widest:
                box = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1}
                ax.text(left + size / 2, row, f"{size:,}", ha="center", va="center", fontsize=8, bbox=box)
            left += size
        ax.text(left, row, f"  {left:,}", va="center", fontsize=9)
    ax.set(yticks=range(len(files)), xlabel="bytes", xlim=(0, 1.15 * widest), ylim=(len(files) - 0.5, -0.5))
    ax.set_yticklabels(files)
    ax.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.22))


def draw_bytes_against_accuracy(
    ax: Axes, points: Mapping[str, Sequence[tuple[float, float, float]]], original: tuple[float, float]
) -> None:
    """Draw accuracy over bytes on a logarithmic axis: one line for each method, from small to large.

    Parameters
    ----------
    ax : Axes
    points : mapping of method to sequence of (bytes, mean accuracy, standard deviation), accuracies 0 … 1
    original : (bytes, accuracy)
        A dotted line at its accuracy.

    Survey-map rows: V1, V2, V3.
    """
    for method, values in points.items():
        color, marker = METHOD_LOOKS[method]
        size, mean, spread = np.array(sorted(values)).T
        big = 11 if marker == "*" else 6
        line = ax.errorbar(size, 100 * mean, 100 * spread, label=method, color=PALETTE[color], ls="-", lw=1.2)[0]
        line.set(marker=marker, ms=big, mec="white", mew=0.6)
    ax.axhline(100 * original[1], color=PALETTE["black"], ls=":", lw=1)
    ax.set(xscale="log", xlabel="bytes of the whole network", ylabel="accuracy, %")
    ax.legend(fontsize=8, loc="lower right")
