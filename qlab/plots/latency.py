"""Figures of latency per layer and number of bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qlab.plots.style import COLORS, MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from qlab.hardware.latency import LatencyTable

__all__ = ["draw_latency"]


def draw_latency(
    ax: Axes, table: LatencyTable, bits: Sequence[int] = (4, 2), baseline: int = 8, names: Sequence[str] | None = None
) -> None:
    """Draw how long each layer takes against the same layer at the baseline: median, and quartiles over turns.

    Hollow markers: no difference was seen.

    Parameters
    ----------
    ax : matplotlib Axes
    table : LatencyTable
    bits : sequence of int
        A row of markers for each.
    baseline : int
        Bits that count as 1.
    names : sequence of str, optional
        Of the layers.

    Survey-map row: W1.
    """
    places = np.arange(len(table.layers))
    for k, (b, color, marker) in enumerate(zip(bits, COLORS, MARKERS, strict=False)):
        shift = 0.22 * (k - (len(bits) - 1) / 2)
        for i, layer in enumerate(table.layers):
            r = table.ratio(layer, b, baseline)
            fill = "white" if r.verdict == "no difference seen" else color
            label = f"{b} bits" if i == 0 else None
            ax.plot([i + shift] * 2, [r.low, r.high], color=color, ls="-", marker="", lw=1.5, zorder=2)
            ax.plot(i + shift, r.median, color=color, ls="", marker=marker, ms=7, mfc=fill, zorder=3, label=label)
    ax.axhline(1, color=PALETTE["black"], ls="-", lw=0.8, zorder=1)
    ax.set_yscale("log", base=2)
    ticks = [0.25, 0.5, 1, 2, 4]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_ylim(0.13, 5)
    ax.set_xticks(places, list(names) if names is not None else list(table.layers))
    ax.set(ylabel=f"time / time at {baseline} bits")
