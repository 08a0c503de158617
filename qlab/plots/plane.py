"""Figures of the rate–distortion plane: one that moves, for the page, and one that stands still, for print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qlab.history.plane import PlanePoint
from qlab.history.rate_distortion import RatePoint
from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_plane", "plane_figure"]

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
