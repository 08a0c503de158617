"""Figures of training without the straight-through estimator: four ways to sharpen, at one moment of the training.

Survey-map row: T3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from qlab.plots.style import PALETTE
from qlab.qat import level_probabilities, prox_towards, sine_penalty, soft_staircase

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_level_probabilities", "draw_prox", "draw_sine_penalty", "draw_soft_staircase"]


def _t(reach: float) -> torch.Tensor:
    return torch.linspace(-reach, reach, 801, dtype=torch.float64)


def draw_soft_staircase(ax: Axes, alpha: float) -> None:
    """Draw DSQ's curve of three levels for one α, the staircase behind it.

    Survey-map row: T3.
    """
    t = _t(1.7)
    inside = t.clamp(-1, 1)
    ax.plot(t, inside.round(), "-", color=PALETTE["grey"], lw=1)
    ax.plot(t, soft_staircase(inside, torch.tensor(alpha, dtype=torch.float64)), "-", color=PALETTE["blue"])
    ax.set(xlabel="r / S", ylabel="r̃ / S", ylim=(-1.3, 1.3), title=f"DSQ: α = {alpha:.2f}")


def draw_level_probabilities(ax: Axes, sigma: float) -> None:
    """Draw the probability of each of three levels over r/S for noise of one width.

    Survey-map row: T3.
    """
    t, levels = _t(1.7), torch.arange(-1.0, 2.0, dtype=torch.float64)
    p = level_probabilities(t.clamp(-1, 1), levels, torch.tensor(sigma, dtype=torch.float64))
    for k, style in enumerate(("--", "-", ":")):
        ax.plot(
            t, p[:, k], style, color=PALETTE[("vermilion", "blue", "green")[k]], label=f"level {('−1', '0', '1')[k]}"
        )
    ax.set(xlabel="r / S", ylabel="probability", ylim=(-0.05, 1.05), title=f"Relaxed: σ = {sigma:.2f}")
    ax.legend(fontsize=8, loc="center left")


def draw_prox(ax: Axes, strength: float) -> None:
    """Draw ProxQuant's map for one λ (in steps), the identity behind it.

    Survey-map row: T3.
    """
    t = _t(1.7)
    level = t.round().clamp(-1, 1)
    ax.plot(t, t, "-", color=PALETTE["grey"], lw=1)
    ax.plot(t, prox_towards(t, level, strength), "-", color=PALETTE["blue"])
    ax.set(xlabel="w / S before", ylabel="w / S after", title=f"ProxQuant: λ = {strength:.2f} S")


def draw_sine_penalty(ax: Axes, strength: float) -> None:
    """Draw the sine penalty for one λ; hatched is what lies beyond the last levels.

    Survey-map row: T3.
    """
    t = _t(2.3)
    value = torch.stack([sine_penalty(x[None, None], torch.ones(1, dtype=torch.float64)) for x in t])
    ax.plot(t, strength * value, "-", color=PALETTE["blue"])
    for low, high in ((-2.3, -1), (1, 2.3)):
        ax.axvspan(low, high, facecolor="none", edgecolor=PALETTE["grey"], alpha=0.5, hatch="//", lw=0)
    ax.set(xlabel="w / S", ylabel="penalty", xlim=(-2.3, 2.3), ylim=(-0.05, 1.05))
    ax.set_title(f"SinReQ: {strength:.2f} of its strength")
