"""Figures of the rate–distortion plane: two that move, for the page, and one that stands still, for print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qlab.history.entropy_coded import entropy_coded_uniform_samples
from qlab.history.plane import PlanePoint
from qlab.history.rate_distortion import RatePoint
from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_plane", "plane_figure", "step_stop"]

# Colour and symbol (plotly's name, matplotlib's mark) of each family; families that come later take the last of them.
_LOOK = {
    "uniform": ("blue", "circle", "o"),
    "uniform in blocks": ("sky", "square", "s"),
    "uniform, unlimited": ("black", "diamond", "D"),
    "floating point": ("vermilion", "triangle-up", "^"),
    "floating point in blocks": ("orange", "triangle-down", "v"),
    "codebook": ("purple", "pentagon", "p"),
    "codebook in blocks": ("purple", "star", "*"),
    "companded": ("grey", "hexagon", "h"),
    "Lloyd–Max": ("green", "cross", "P"),
    "entropy-constrained": ("green", "x", "X"),
    "lattice": ("black", "triangle-left", "<"),
    "vector (LBG)": ("vermilion", "triangle-right", ">"),
}
_OTHER = ("grey", "bowtie", "8")


def plane_figure(sources: Mapping[str, tuple[Sequence[PlanePoint], Sequence[RatePoint]]]) -> Any:
    """Return the interactive plane: a menu of sources, a legend of families that hides and shows, names on hovering.

    Parameters
    ----------
    sources : mapping of name to (points, bound)
        `bound` are points of R(D), in units of the source's mean square.

    Returns
    -------
    plotly.graph_objects.Figure

    Survey-map row: H8.
    """
    import plotly.graph_objects as go

    figure, owner = go.Figure(), []
    families = list(dict.fromkeys(p.family for points, _ in sources.values() for p in points))
    for place, (points, bound) in enumerate(sources.values()):
        shown = place == 0
        order = sorted(bound, key=lambda b: b.rate)
        figure.add_scatter(
            x=[b.rate for b in order],
            y=[-10 * np.log10(b.distortion) for b in order],
            name="bound R(D)",
            mode="lines",
            line={"color": "black", "width": 2},
            hovertemplate="R(D): %{x:.2f} bits, %{y:.1f} dB<extra></extra>",
            visible=shown,
        )
        owner.append(place)
        for family in families:
            color, symbol, _ = _LOOK.get(family, _OTHER)
            mine = [p for p in points if p.family == family]
            figure.add_scatter(
                x=[round(p.point.rate, 3) for p in mine],
                y=[round(p.snr_db, 2) for p in mine],
                text=[f"{p.name}<br>{_CODING[p.coding]}" for p in mine],
                name=family,
                mode="markers",
                marker={
                    "color": PALETTE[color],
                    "size": 8,
                    "symbol": [symbol + ("-open" if p.coding == "entropy" else "") for p in mine],
                },
                hovertemplate="%{text}<br>%{x:.2f} bits, %{y:.1f} dB<extra>" + family + "</extra>",
                visible=shown,
            )
            owner.append(place)
    menu = [
        {"label": name, "method": "update", "args": [{"visible": [o == place for o in owner]}]}
        for place, name in enumerate(sources)
    ]
    figure.update_layout(
        xaxis={"title": "rate (bits per number)", "range": [0, 7], "gridcolor": "#DDDDDD"},
        yaxis={"title": "signal / noise (dB)", "range": [0, 40], "gridcolor": "#DDDDDD"},
        legend={"orientation": "h", "y": -0.22, "font": {"size": 11}},
        updatemenus=[{"buttons": menu, "x": 0, "xanchor": "left", "y": 1.14, "yanchor": "top", "direction": "down"}],
        hovermode="closest",
    )
    return figure


_CODING = {"fixed": "fixed length", "entropy": "entropy-coded"}


def draw_plane(ax: Axes, points: Sequence[PlanePoint], bound: Sequence[RatePoint], coding: str) -> None:
    """Draw the points of one coding, and how many bits each lies above R(D), into `ax`.

    Survey-map row: H8.
    """
    order = sorted(bound, key=lambda b: -b.distortion)
    known = np.log([b.distortion for b in order])
    for family in dict.fromkeys(p.family for p in points):
        mine = [p for p in points if p.family == family and p.coding == coding]
        color, _, mark = _LOOK.get(family, _OTHER)
        limit = np.interp(-np.log([p.point.distortion for p in mine]), -known, [b.rate for b in order])
        inside = [p.point.distortion >= order[-1].distortion for p in mine]
        x = np.array([p.point.rate for p in mine])[inside]
        y = x - limit[inside]
        if len(x):
            face = "none" if coding == "entropy" else PALETTE[color]
            ax.scatter(x, y, marker=mark, facecolors=face, edgecolors=PALETTE[color], label=family, s=32)
    ax.axhline(0, color="black")
    ax.set(xlabel="rate (bits per number)", ylabel="bits above R(D)", title=_CODING[coding])


def step_stop(
    x: np.ndarray, bound: Sequence[RatePoint], steps: Sequence[float], step: float, name: str = "weight"
) -> tuple[Figure, str]:
    """Draw one stop of a walk over the plane: numbers in cells of one width, and where that lands beside R(D).

    Left the numbers and the cells of uniform steps Δ; right rate against signal over noise, with an entropy code, for
    all steps, this one marked.

    Parameters
    ----------
    x : array of floats
        Of mean square one.
    bound : sequence of RatePoint
        Points of R(D) for the same numbers.
    steps : sequence of float
        The whole walk, in units of the root mean square.
    step : float
        This stop.
    name : str
        What the numbers are, for the axis.

    Returns
    -------
    tuple of Figure and str
        The figure, and what it says in words.

    Raises
    ------
    ValueError
        If the distortion of this stop lies outside of the computed bound.

    Survey-map rows: H5, H8.
    """
    import matplotlib.pyplot as plt

    order = sorted(bound, key=lambda b: -b.distortion)
    snr = -10 * np.log10([b.distortion for b in order])
    walk = [entropy_coded_uniform_samples(x, d) for d in steps]
    here = entropy_coded_uniform_samples(x, step)
    at = -10 * np.log10(here.distortion)
    if not snr[0] <= at <= snr[-1]:
        raise ValueError(f"step must give between {snr[0]:.1f} and {snr[-1]:.1f} dB, as far as R(D) goes, got {at:.1f}")
    least = float(np.interp(at, snr, [b.rate for b in order]))
    gap = here.rate - least

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    left.hist(x, bins=np.linspace(-4, 4, 121).tolist(), color="0.78", edgecolor="none")
    k = np.arange(-np.ceil(4 / step), np.ceil(4 / step) + 1)
    for edge in (k + 0.5) * step:
        left.axvline(edge, color=PALETTE["blue"], lw=1 if step > 0.2 else 0.5, ls="-")
    levels = (k * step)[np.abs(k * step) <= 4]
    left.plot(levels, np.zeros(len(levels)), "o", color=PALETTE["vermilion"], ms=5, clip_on=False)
    left.set(xlim=(-4, 4), xlabel=f"{name} / root mean square", ylabel="count", title=f"cells of width Δ = {step:g}")
    left.grid(False)

    right.plot([b.rate for b in order], snr, "-", color=PALETTE["black"], label="bound R(D)")
    rates = [p.rate for p in walk]
    right.plot(rates, [-10 * np.log10(p.distortion) for p in walk], "D", color=PALETTE["grey"], mfc="none", ms=5)
    right.plot([least, here.rate], [at, at], "--", color=PALETTE["vermilion"], lw=2)
    right.plot([here.rate], [at], "D", color=PALETTE["vermilion"], ms=9, label="uniform steps, entropy code")
    right.set(xlim=(0, max(rates) + 0.4), ylim=(0, -10 * np.log10(min(p.distortion for p in walk)) + 3))
    right.set(xlabel="rate (bits per number)", ylabel="signal / noise (dB)")
    right.set_title(f"{here.rate:.2f} bits, {at:.1f} dB: {gap:.2f} bits above R(D)")
    right.legend(fontsize=9, loc="lower right")
    words = (
        f"Cells of width {step:g} cost {here.rate:.2f} bits per number and leave {at:.1f} dB of signal over noise. "
        f"The bound for that noise is {least:.2f} bits, {gap:.2f} fewer."
    )
    return figure, words
