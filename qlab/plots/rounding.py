"""Pictures of rounding: a bell on a grid, four rules of integration, and the Δ²/12 model against real layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from scipy import special

from qlab.history import rounded_gaussian_moments
from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_rule", "noise_model", "orders", "rectangles", "rounded_bell"]

_RULES = {
    "left": ("vermilion", "-", "o"),
    "midpoint": ("green", "-", "^"),
    "trapezoid": ("blue", "--", "s"),
    "Simpson": ("purple", "-.", "D"),
}


def _bell(x: np.ndarray) -> np.ndarray:
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def rounded_bell(step: float) -> Figure:
    """Draw N(0, 1) rounded to multiples of `step`: heights p_k/Δ, which are samples of the density of x + noise.

    Parameters
    ----------
    step : float
        Δ in units of σ.

    Returns
    -------
    Figure
        Its title compares the variance observed with 1 + Δ²/12.

    Survey-map row: H3.
    """
    x = np.linspace(-5, 5, 1001)
    blurred = (special.ndtr(x + step / 2) - special.ndtr(x - step / 2)) / step
    k = np.arange(-np.ceil(5 / step), np.ceil(5 / step) + 1) * step
    heights = (special.ndtr(k + step / 2) - special.ndtr(k - step / 2)) / step
    observed = rounded_gaussian_moments(1.0, step).mu2
    fig, ax = plt.subplots(figsize=(7, 3.2))
    ax.bar(k, heights, width=step, color="0.88", edgecolor="0.65", lw=0.6, label="rounded: p/Δ")
    ax.plot(x, _bell(x), color=PALETTE["blue"], label="x")
    ax.plot(x, blurred, "--", color=PALETTE["vermilion"], label="x + uniform noise")
    ax.plot(k, heights, "o", color=PALETTE["black"], ms=4)
    ax.set(xlim=(-5, 5), ylim=(0, 0.44), xlabel="x / σ", ylabel="density × σ")
    ax.set_title(f"Δ = {step:g}σ: variance {observed:.3f}σ², Sheppard expects {1 + step**2 / 12:.3f}σ²", fontsize=11)
    ax.legend(fontsize=9, loc="upper right")
    return fig


def draw_rule(ax: Axes, rule: str, f: Callable[[np.ndarray], np.ndarray], a: float, b: float, n: int) -> None:
    """Fill the area by which a rule replaces the integral of f over n cells of [a, b].

    Parameters
    ----------
    ax : Axes
    rule : str
        ``"left"``, ``"midpoint"``, ``"trapezoid"`` or ``"Simpson"``.
    f : function of an array
    a, b : float
    n : int
        Cells; even for Simpson, whose parabolas span two.

    Raises
    ------
    ValueError
        If the rule is unknown.

    Survey-map row: H2.
    """
    if rule not in _RULES:
        raise ValueError(f"rule must be one of {', '.join(_RULES)}, got {rule!r}")
    edges = np.linspace(a, b, n + 1)
    color = PALETTE[_RULES[rule][0]]
    for low, high in pairwise(edges[:: 2 if rule == "Simpson" else 1]):
        nodes = {
            "left": np.array([low]),
            "midpoint": np.array([(low + high) / 2]),
            "trapezoid": np.array([low, high]),
            "Simpson": np.array([low, (low + high) / 2, high]),
        }[rule]
        t = np.linspace(low, high, 41)
        top = np.polyval(np.polyfit(nodes, f(nodes), nodes.size - 1), t)
        ax.fill_between(t, top, color=color, alpha=0.3, lw=0)
        ax.plot([low, *t, high], [0, *top, 0], color=color, lw=0.9, ls="-")
        ax.plot(nodes, f(nodes), "o", color=color, ms=4)
    t = np.linspace(a, b, 201)
    ax.plot(t, f(t), color=PALETTE["black"], lw=1.6, ls="-")
    ax.set_title(rule, fontsize=10)


def orders(ax: Axes, h: np.ndarray, errors: Mapping[str, np.ndarray]) -> None:
    """Draw |error| against the width of a cell on two logarithmic axes, one line a rule.

    Parameters
    ----------
    ax : Axes
    h : array
        Widths of a cell.
    errors : mapping of rule to array
        Of the same length as `h`; zeros are left out.

    Survey-map row: H2.
    """
    for rule, error in errors.items():
        color, line, marker = _RULES[rule]
        error = np.abs(error)
        shown = error > 0
        ax.loglog(h[shown], error[shown], ls=line, marker=marker, ms=4, color=PALETTE[color], label=rule)
    ax.set(xlabel="width of a cell h", ylabel="error")
    ax.legend(fontsize=9)


def noise_model(
    measured: Mapping[str, tuple[Sequence[float], Sequence[float]]], theory: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Figure:
    """Draw the measured error over Δ²/12 against Δ/σ: points for layers, lines for densities.

    Parameters
    ----------
    measured : mapping of a network's name to (Δ/σ, D/(Δ²/12))
    theory : mapping of a density's name to the same pair

    Survey-map row: H3.
    """
    fig, ax = plt.subplots(figsize=(7, 4))
    for (name, (x, y)), line in zip(theory.items(), ("-", "--"), strict=False):
        ax.semilogx(x, y, line, color=PALETTE["black"], lw=1.6, label=name)
    looks = (("sky", "v"), ("blue", "o"), ("orange", "s"), ("vermilion", "^"))
    for (name, (steps, ratios)), (color, marker) in zip(measured.items(), looks, strict=False):
        ax.semilogx(steps, ratios, marker, ms=4.5, color=PALETTE[color], mec="white", mew=0.4, label=name)
    ax.axhline(1, color=PALETTE["grey"], lw=0.8)
    ax.axvline(2, color=PALETTE["grey"], lw=0.8, ls=":")
    ax.set(xlabel="step / standard deviation of the layer, Δ/σ", ylabel="measured error / (Δ²/12)", ylim=(0, 1.6))
    ax.legend(fontsize=9, ncols=3, loc="upper left")
    return fig


def rectangles(rules: Sequence[str], f: Callable[[np.ndarray], np.ndarray], a: float, b: float, n: int) -> Figure:
    """Draw several rules side by side; see `draw_rule`.

    Survey-map row: H2.
    """
    fig, axes = plt.subplots(1, len(rules), figsize=(2.1 * len(rules), 2.3), sharey=True, squeeze=False)
    for ax, rule in zip(axes[0], rules, strict=True):
        draw_rule(ax, rule, f, a, b, n)
        ax.set(xlabel="t", ylim=(0, None))
    axes[0, 0].set_ylabel("f(t)")
    return fig
