"""Pictures of a scalar quantizer: the density, cut into its cells, with a level in each."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from qlab.history.scalar_quantizer import ScalarQuantizer
from qlab.history.sources import Source
from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_cells"]


def draw_cells(ax: Axes, source: Source, quantizer: ScalarQuantizer, reach: float = 3.5) -> None:
    """Draw f(x), its cells in two alternating greys, and a dot for each level.

    Parameters
    ----------
    ax : matplotlib axes
    source : Source
        The density.
    quantizer : ScalarQuantizer
        Its thresholds part the cells.
    reach : float
        The picture shows the mean ± reach·σ.

    Survey-map row: H7.
    """
    sigma = float(np.sqrt(source.variance))
    low, high = source.mean - reach * sigma, source.mean + reach * sigma
    edges = np.clip(quantizer.edges, low, high)
    for i, (a, b) in enumerate(pairwise(edges)):
        x = np.linspace(a, b, 60)
        ax.fill_between(x, source.pdf(x), color="0.88" if i % 2 else "0.72", linewidth=0)
    x = np.linspace(low, high, 500)
    ax.plot(x, source.pdf(x), color=PALETTE["black"], linewidth=1)
    ax.plot(
        np.asarray(quantizer.levels), np.zeros(len(edges) - 1), "o", color=PALETTE["vermilion"], clip_on=False, ms=6
    )
    ax.set(xlim=(low, high), ylim=(0, None), xlabel="x")
