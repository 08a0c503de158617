"""Figures of BatchNorm and oscillating weights: one weight over time, and where weights lie within their steps.

Survey-map row: T4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["distance_to_threshold", "draw_oscillation"]


def draw_oscillation(ax: Axes, latent: Tensor, codes: Tensor) -> None:
    """Draw one weight over the steps of a training: latent value and code, both in units of S, and the thresholds.

    Parameters
    ----------
    ax : Axes
    latent : Tensor, shape (steps,)
        w/S.
    codes : Tensor, shape (steps,)

    Survey-map row: T4.
    """
    ax.step(range(len(codes)), codes, color=PALETTE["grey"], ls="-", lw=1, where="mid", label="code")
    ax.plot(latent, ls="-", color=PALETTE["vermilion"], label="latent w / S")
    for edge in torch.arange(int(latent.min()) - 1, int(latent.max()) + 1) + 0.5:
        if latent.min() - 0.2 < edge < latent.max() + 0.2:
            ax.axhline(float(edge), color=PALETTE["black"], lw=0.8, ls=":")
    ax.set(xlabel="step", ylabel="w / S")


def distance_to_threshold(t: Tensor, low: int, high: int) -> Tensor:
    """Return how far each w/S is from the nearest threshold between two codes, in steps.

    Negative on the side of the level that is nearer to zero; weights beyond the last levels count from the last
    threshold.

    Parameters
    ----------
    t : Tensor
        w/S, zero point subtracted.
    low, high : int
        First and last code.

    Examples
    --------
    >>> distance_to_threshold(torch.tensor([0.4, 0.75, -0.4, 1.9]), -1, 1)
    tensor([-0.1000,  0.2500, -0.1000,  1.4000])

    Survey-map row: T4.
    """
    size = t.abs()
    edge = torch.floor(size).clamp(max=max(-low, high) - 1) + 0.5
    return size - edge
