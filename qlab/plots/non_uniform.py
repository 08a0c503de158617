"""Figures of non-uniform quantization: combs of levels below a histogram, gains over the uniform grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from qlab.plots.basics import levels
from qlab.plots.style import PALETTE
from qlab.quantizer import Quantizer

__all__ = ["LOOKS", "combs", "curves"]

LOOKS: dict[str, dict[str, Any]] = {
    "uniform": {"color": PALETTE["black"], "marker": "o", "ls": "-"},
    "powers of two": {"color": PALETTE["vermilion"], "marker": "^", "ls": "--"},
    "APoT": {"color": PALETTE["orange"], "marker": "v", "ls": "-."},
    "quantiles": {"color": PALETTE["purple"], "marker": "D", "ls": ":"},
    "NF4": {"color": PALETTE["green"], "marker": "P", "ls": "none"},
    "k-means": {"color": PALETTE["blue"], "marker": "s", "ls": "-"},
}


def combs(values: Tensor, quantizers: Mapping[str, Quantizer], name: str = "weight") -> Figure:
    """Draw the levels of several quantizers as combs below the histogram of what they quantize.

    Parameters
    ----------
    values : Tensor of reals
        All of them share one scale.
    quantizers : mapping of name to Quantizer
        Per tensor; each calibrates itself on the values.
    name : str
        What the values are, for the axis.

    Survey-map rows: Q8, Q9.
    """
    import matplotlib.pyplot as plt

    r = values.detach().flatten()
    figure, (top, below) = plt.subplots(2, 1, figsize=(6.4, 4.2), sharex=True, height_ratios=[2, 3])
    top.hist(r, bins=100, color="0.75")
    top.set(yticks=[], ylabel="how many")
    for row, (label, quantizer) in enumerate(quantizers.items()):
        color = LOOKS.get(label, LOOKS["uniform"])["color"]
        at = levels(quantizer, quantizer.calibrate(r))
        below.vlines(at, row - 0.36, row + 0.36, color=color, lw=1.6)
    below.set(yticks=range(len(quantizers)), yticklabels=list(quantizers), ylim=(len(quantizers) - 0.4, -0.6))
    below.set_xlabel(name)
    below.grid(False)
    return figure


def curves(panels: Mapping[str, Mapping[str, Mapping[int, float]]], ylabel: str, columns: int = 2) -> Figure:
    """Draw a value against bits for several methods, a panel for each kind of data.

    Parameters
    ----------
    panels : mapping of title to mapping of method to mapping of bits to value
    ylabel : str
    columns : int
        Panels in a row.

    Survey-map rows: Q8, Q9.
    """
    import matplotlib.pyplot as plt

    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.4 * columns, 2.9 * rows), sharex=True, sharey=True, squeeze=False
    )
    flat: Any = np.ravel(axes)
    for ax, (title, methods) in zip(flat, panels.items(), strict=False):
        for method, found in methods.items():
            ax.plot(list(found), list(found.values()), label=method, ms=5, **LOOKS.get(method, {}))
        ax.set_title(title)
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    for ax in axes[-1]:
        ax.set_xlabel("bits b")
    flat[0].legend(fontsize=8)
    return figure
