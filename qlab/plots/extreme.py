"""Figures of binary and ternary networks: where the levels lie, and what is pretended about a sign's slope.

Survey-map rows: E1, E3, E4, E5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_bases", "draw_levels", "draw_soft_signs"]

LOOKS = (("vermilion", "-", "o"), ("blue", "--", "s"), ("green", "-.", "^"), ("orange", ":", "D"))


def draw_levels(ax: Axes, w: Tensor, values: Tensor, bins: int = 60) -> float:
    """Draw how the weights of one filter are spread, and a bar at each level, as high as many weights go there.

    Parameters
    ----------
    ax : Axes
    w, values : Tensor
        The weights, and what they become.
    bins : int

    Returns
    -------
    float
        The relative squared error Σ(w − w̃)²/Σw².

    Survey-map rows: E1, E3, E4.
    """
    w, values = w.detach().flatten(), values.detach().flatten()
    levels, count = values.unique(return_counts=True)
    error = float((w - values).double().square().sum() / w.double().square().sum())
    counts, *_ = ax.hist(w.numpy(), bins, color=PALETTE["sky"], label="weights")
    tall = float(np.max(counts))
    shares = count.double() / len(w)
    ax.vlines(levels, 0, shares * tall, color=PALETTE["vermilion"], lw=3, label="levels")
    for level, share in zip(levels.tolist(), shares.tolist(), strict=True):
        box = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1}
        ax.text(level, share * tall, f"{share:.0%}", ha="center", va="bottom", fontsize=8, bbox=box)
    ax.set(xlabel="weight", ylabel="number of weights", ylim=(0, 1.15 * tall))
    ax.legend(fontsize=8, loc="upper left")
    return error


def draw_soft_signs(left: Axes, right: Axes, softs: Mapping[str, Callable[[Tensor], Tensor]]) -> None:
    """Draw soft signs F beside the sign, and their derivatives.

    Parameters
    ----------
    left, right : Axes
    softs : mapping of name to function

    Survey-map rows: E1, E5.
    """
    x = torch.linspace(-1.8, 1.8, 1001)
    left.plot(x, torch.where(x >= 0, 1.0, -1.0), color=PALETTE["black"], lw=1.2, label="sign")
    for (name, soft), (color, style, _) in zip(softs.items(), LOOKS, strict=False):
        at = x.clone().requires_grad_()
        y = soft(at)
        (slope,) = torch.autograd.grad(y.sum(), at)
        left.plot(x, y.detach(), style, color=PALETTE[color], label=name)
        right.plot(x, slope, style, color=PALETTE[color], label=name)
    left.set(xlabel="a", ylabel="F(a)", title="Going forward")
    right.set(xlabel="a", ylabel="F′(a)", title="Coming back")
    left.legend(fontsize=8)
    right.legend(fontsize=8)


def draw_bases(ax: Axes, errors: Mapping[str, Sequence[float]]) -> None:
    """Draw relative squared errors against the number of bases, 1, 2, …, on a logarithmic axis.

    Parameters
    ----------
    ax : Axes
    errors : mapping of name to errors

    Survey-map row: E4.
    """
    for (name, values), (color, style, marker) in zip(errors.items(), LOOKS, strict=False):
        ax.semilogy(range(1, len(values) + 1), values, style, marker=marker, color=PALETTE[color], label=name)
    most = max(len(values) for values in errors.values())
    ax.set(xlabel="number of bases K", ylabel="squared error / Σw²", xticks=range(1, most + 1))
    ax.legend(fontsize=8)
