"""Three figures as inline SVG, whose colours follow the page: light, dark or paper.

Every curve has its own colour, dash and marker, so that none depends on colour alone; both axes are logarithmic.

Survey-map rows: C4, C6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from qlab.hardware.report import KernelSpeed, LayerSpeed
from qlab.hardware.roofline import Roofline

__all__ = ["Plane", "bandwidth_figure", "number", "roofline_figure", "sweep_figure", "working_set"]

WIDTH, HEIGHT = 480, 350
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 24, 74
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 4", "6 2 1 2 1 2")
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "down")


def working_set(size: float) -> str:
    """Return bytes as people say them.

    Examples
    --------
    >>> working_set(8192), working_set(2**27)
    ('8 KB', '128 MB')

    Survey-map row: C4.
    """
    return f"{size / 1024:g} KB" if size < 2**20 else f"{size / 2**20:g} MB"


def number(value: float | None) -> str:
    """Return three digits without an exponent; whole numbers in full.

    Examples
    --------
    >>> number(0.01234), number(1234.5), number(438009), number(24.0)
    ('0.0123', '1,230', '438,009', '24')

    Survey-map row: C4.
    """
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{float(f'{value:.3g}'):,.8f}".rstrip("0").rstrip(".")


@dataclass
class Plane:
    """Logarithmic axes, and what is drawn on them.

    Attributes
    ----------
    x, y : (float, float)
        Ends of the axes.
    x_label, y_label : str

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

    def line(self, points: Sequence[tuple[float, float]], series: int, markers: bool = True) -> None:
        """Draw a curve in the look of a series."""
        places = [self.at(*p) for p in points]
        dash = DASHES[series % len(DASHES)]
        path = "M" + "L".join(f"{px} {py}" for px, py in places)
        self.parts.append(f'<path class="line s{series % 6}" stroke-dasharray="{dash}" d="{path}"/>')
        if markers:
            self.parts += [_marker(px, py, series) for px, py in places]

    def point(self, x: float, y: float, series: int, hollow: bool, title: str) -> None:
        """Draw a marker that tells its name."""
        self.parts.append(_marker(*self.at(x, y), series, hollow, title))

    def text(self, x: float, y: float, words: str, anchor: str = "start", up: float = 5) -> None:
        """Write beside a point."""
        px, py = self.at(x, y)
        self.parts.append(f'<text class="note" x="{px}" y="{round(py - up, 1)}" text-anchor="{anchor}">{words}</text>')

    def svg(self, title: str, description: str, curves: bool = True) -> str:
        """Return the figure; the description is its alternative text."""
        legend, px, py = [], float(LEFT), HEIGHT - 24
        for series, name in enumerate(self.names):
            wide = 32 + 7.2 * len(name)
            if px + wide > WIDTH:
                px, py = float(LEFT), py + 17
            dash = DASHES[series % len(DASHES)]
            look = f'class="line s{series % 6}" stroke-dasharray="{dash}"'
            legend += [f'<path {look} d="M{px:.0f} {py - 4}h18"/>'] if curves else []
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


def _marker(x: float, y: float, series: int, hollow: bool = False, title: str = "") -> str:
    shapes = {
        "circle": "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0",
        "square": "m-3.2 -3.2h6.4v6.4h-6.4z",
        "triangle": "m0 -4.2l4 7h-8z",
        "diamond": "m0 -4.5l4 4.5l-4 4.5l-4 -4.5z",
        "cross": "m-3.3 -3.3l6.6 6.6m0 -6.6l-6.6 6.6",
        "down": "m0 4.2l4 -7h-8z",
    }
    look = f"mark s{series % 6}{' hollow' if hollow else ''}"
    about = f"<title>{escape(title)}</title>" if title else ""
    return f'<path class="{look}" d="M{x} {y}{shapes[SHAPES[series % 6]]}">{about}</path>'


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    """Return powers of ten between two ends; with fewer than three of them, 2 and 5 times these too."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [10.0**p for p in powers]
    if math.log10(high / low) < 2.2:
        values = [f * 10.0**p for p in powers for f in (1, 2, 5)]
    return [(v, number(v)) for v in values if low * 0.999 <= v <= high * 1.001]


def roofline_figure(roofline: Roofline, layers: Sequence[LayerSpeed]) -> str:
    """Draw the roofs of three working sets and every layer: hollow at the smallest batch, filled at larger ones.

    Survey-map row: C4.
    """
    peak, shown = roofline.peak, _apart(roofline.bandwidths)
    intensities, speeds = [s.intensity for s in layers] or [1.0], [s.gflops for s in layers] or [1.0]
    x = (min(0.06, *intensities) * 0.9, max(100.0, *intensities) * 1.5)
    y = (min(peak / 300, *speeds) * 0.7, max(5 * peak, 1.6 * max(speeds)))
    plane = Plane(x, y, "operations per byte moved, fp32", "GFLOP/s, one core")
    plane.ticks(_decades(*x), _decades(*y))
    for place, (size, rate) in enumerate(shown):
        start = max(x[0], y[0] / rate)
        points = [(start, start * rate), (peak / rate, peak), (x[1], peak)]
        plane.parts.append(
            f'<path class="roof" d="M{"L".join(f"{a} {b}" for a, b in (plane.at(*p) for p in points))}"/>'
        )
        py = TOP + 10 + 13 * place  # listed in the order in which they lie, above them
        words = f"{number(rate)} GB/s, {working_set(size)}"
        plane.parts.append(f'<text class="note" x="{LEFT + 5}" y="{py}">{words}</text>')
    plane.text(x[1], peak, f"peak {number(peak)}", "end")
    plane.names = list(dict.fromkeys(s.network for s in layers))
    smallest = min((s.batch for s in layers), default=1)
    for s in layers:
        name = f"{s.network} {s.layer}, batch {s.batch}: {number(s.gflops)} GFLOP/s at {number(s.intensity)}"
        plane.point(s.intensity, s.gflops, plane.names.index(s.network), s.batch == smallest, name)
    above = sum(s.gflops > peak for s in layers)
    description = (
        f"Roofs rise with {', '.join(f'{number(r)} GB/s from {working_set(b)}' for b, r in shown)}, "
        f"and end at {number(peak)} GFLOP/s. Of {len(layers)} layers {above} lie above that end."
    )
    return plane.svg("Roofline", description, curves=False)


def _apart(sets: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the first, the middle and the last working set; without the middle one where roofs would touch."""
    first, middle, last = sets[0], sets[len(sets) // 2], sets[-1]
    apart = first[1] > 1.7 * middle[1] > 1.7**2 * last[1]
    return [first, middle, last] if apart else [first, last] if first != last else [first]


def bandwidth_figure(roofline: Roofline) -> str:
    """Draw the bandwidth of reading against the size of what is read again and again.

    Survey-map row: C4.
    """
    sets = roofline.bandwidths
    rates = [rate for _, rate in sets]
    x = (sets[0][0] * 0.8, sets[-1][0] * 1.3)
    y = (min(rates) * 0.6, max(rates) * 1.5)
    plane = Plane(x, y, "working set, read again and again", "GB/s, one core")
    ticks = [2.0**k for k in range(10, 40, 3) if x[0] <= 2.0**k <= x[1]]
    plane.ticks([(v, working_set(v)) for v in ticks], _decades(*y))
    plane.line(sets, 0)
    plane.text(*sets[0], number(rates[0]), "start", up=-18)
    plane.text(*sets[-1], number(rates[-1]), "end", up=9)
    description = (
        f"From {number(rates[0])} GB/s for {working_set(sets[0][0])} "
        f"to {number(rates[-1])} GB/s for {working_set(sets[-1][0])}."
    )
    return plane.svg("Bandwidth", description)


def sweep_figure(speeds: Sequence[KernelSpeed]) -> str:
    """Draw how many times as fast as fp32 each kernel is, from one vector to many.

    Survey-map row: C6.
    """
    kernels = list(dict.fromkeys(s.kernel for s in speeds if s.kernel != "fp32"))
    others = [s for s in speeds if s.kernel in kernels]
    batches = sorted({s.batch for s in speeds})
    x = (batches[0] * 0.85, batches[-1] * 1.2)
    y = (min(0.5, *(s.ratio for s in others)) * 0.8, max(4.0, *(s.ratio for s in others)) * 1.3)
    plane = Plane(x, y, "batch", "times as fast as fp32")
    powers = [2.0**k for k in range(-12, 12) if y[0] <= 2.0**k <= y[1]]
    plane.ticks([(b, str(b)) for b in batches], [(v, number(v)) for v in powers])
    (left, one), (right, _) = plane.at(x[0], 1), plane.at(x[1], 1)
    plane.parts.append(f'<path class="roof" d="M{left} {one}H{right}"/>')
    plane.names = kernels
    for series, kernel in enumerate(kernels):
        plane.line([(s.batch, s.ratio) for s in others if s.kernel == kernel], series)
    ends = [
        f"{k} {number(some[0].ratio)} at batch {some[0].batch}, {number(some[-1].ratio)} at {some[-1].batch}"
        for k in kernels
        if (some := [s for s in others if s.kernel == k])
    ]
    return plane.svg("Batch sweep", "; ".join(ends) + ".")
