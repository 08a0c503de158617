"""A plane with logarithmic axes as inline SVG, whose colours follow the page: light, dark or paper.

Every curve has its own colour, dash and marker, so that none depends on colour alone.

Survey-map row: C4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from qlab.hardware.report.words import number

__all__ = ["Plane", "decades"]

WIDTH, HEIGHT = 480, 350
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 24, 74
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 4", "6 2 1 2 1 2")
MARKERS = (
    "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0",  # circle
    "m-3.2 -3.2h6.4v6.4h-6.4z",  # square
    "m0 -4.2l4 7h-8z",  # triangle
    "m0 -4.5l4 4.5l-4 4.5l-4 -4.5z",  # diamond
    "m-3.3 -3.3l6.6 6.6m0 -6.6l-6.6 6.6",  # cross
    "m0 4.2l4 -7h-8z",  # triangle that stands on its point
)


@dataclass
class Plane:
    """Logarithmic axes, and what is drawn on them.

    Attributes
    ----------
    x, y : (float, float)
        Ends of the axes.
    x_label, y_label : str
    parts : list of str
        SVG, filled by the methods.
    names : list of str
        Of the series, for the legend.

    Survey-map row: C4.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    parts: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point, kept inside the axes."""
        share = [min(1.0, max(0.0, math.log(v / a) / math.log(b / a))) for v, (a, b) in ((x, self.x), (y, self.y))]
        return (
            round(LEFT + share[0] * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - share[1] * (HEIGHT - TOP - BOTTOM), 1),
        )

    def ticks(self, xs: Iterable[tuple[float, str]], ys: Iterable[tuple[float, str]]) -> None:
        """Draw grid lines with their names."""
        for value, name in xs:
            px, base = self.at(value, self.y[0])
            self.parts.append(f'<path class="grid" d="M{px} {TOP}V{base}"/>')
            self.parts.append(f'<text x="{px}" y="{base + 15}" text-anchor="middle">{escape(name)}</text>')
        for value, name in ys:
            base, py = self.at(self.x[0], value)
            self.parts.append(f'<path class="grid" d="M{base} {py}H{WIDTH - RIGHT}"/>')
            self.parts.append(f'<text x="{base - 6}" y="{py + 4}" text-anchor="end">{escape(name)}</text>')

    def line(self, points: Sequence[tuple[float, float]], series: int) -> None:
        """Draw a curve in the look of a series, with its markers."""
        self.parts.append(f'<path {_dashed(series)} d="{self._path(points)}"/>')
        self.parts += [_marker(*self.at(*p), series) for p in points]

    def roof(self, points: Sequence[tuple[float, float]]) -> None:
        """Draw a limit: a line that belongs to no series."""
        self.parts.append(f'<path class="roof" d="{self._path(points)}"/>')

    def _path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{px} {py}" for px, py in (self.at(*p) for p in points))

    def point(self, x: float, y: float, series: int, hollow: bool, title: str) -> None:
        """Draw a marker that tells its name."""
        self.parts.append(_marker(*self.at(x, y), series, hollow, title))

    def text(self, x: float, y: float, words: str, anchor: str = "start", up: float = 5) -> None:
        """Write beside a point."""
        px, py = self.at(x, y)
        self.parts.append(f'<text class="note" x="{px}" y="{round(py - up, 1)}" text-anchor="{anchor}">{words}</text>')

    def corner(self, line: int, words: str) -> None:
        """Write into the upper left corner, below so many other lines."""
        self.parts.append(f'<text class="note" x="{LEFT + 5}" y="{TOP + 10 + 13 * line}">{words}</text>')

    def svg(self, title: str, description: str, curves: bool = True) -> str:
        """Return the figure; the description is its alternative text."""
        legend, px, py = [], float(LEFT), HEIGHT - 24
        for series, name in enumerate(self.names):
            wide = 32 + 7.2 * len(name)
            if px + wide > WIDTH:
                px, py = float(LEFT), py + 17
            legend += [f'<path {_dashed(series)} d="M{px:.0f} {py - 4}h18"/>'] if curves else []
            legend.append(_marker(round(px + 9), py - 4, series))
            legend.append(f'<text x="{px + 23:.0f}" y="{py}">{escape(name)}</text>')
            px += wide
        height = py + 8 if self.names else HEIGHT - BOTTOM + 40
        middle = (LEFT + WIDTH - RIGHT) / 2
        words = (
            f'<text x="{middle:g}" y="{HEIGHT - BOTTOM + 32}" text-anchor="middle">{escape(self.x_label)}</text>'
            f'<text x="4" y="13">{escape(self.y_label)}</text>'
        )
        return (
            f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(f"{title}. {description}")}">'
            f"{''.join(self.parts)}{words}{''.join(legend)}</svg>"
        )


def _dashed(series: int) -> str:
    return f'class="line s{series % 6}" stroke-dasharray="{DASHES[series % len(DASHES)]}"'


def _marker(x: float, y: float, series: int, hollow: bool = False, title: str = "") -> str:
    look = f"mark s{series % 6}{' hollow' if hollow else ''}"
    about = f"<title>{escape(title)}</title>" if title else ""
    return f'<path class="{look}" d="M{x} {y}{MARKERS[series % 6]}">{about}</path>'


def decades(low: float, high: float) -> list[tuple[float, str]]:
    """Return powers of ten between two ends; with fewer than three of them, 2 and 5 times these too."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [10.0**p for p in powers]
    if math.log10(high / low) < 2.2:
        values = [f * 10.0**p for p in powers for f in (1, 2, 5)]
    return [(v, number(v)) for v in values if low * 0.999 <= v <= high * 1.001]
