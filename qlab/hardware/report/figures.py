"""Three figures as inline SVG: the roofline, the bandwidth, the sweep over batches.

Survey-map rows: C4, C6.
"""

from __future__ import annotations

from collections.abc import Sequence

from qlab.hardware.report.content import KernelSpeed, LayerSpeed
from qlab.hardware.report.plane import Plane, decades
from qlab.hardware.report.words import number, working_set
from qlab.hardware.roofline import Roofline

__all__ = ["bandwidth_figure", "roofline_figure", "sweep_figure"]


def roofline_figure(roofline: Roofline, layers: Sequence[LayerSpeed]) -> str:
    """Draw the roofs of three working sets and every layer: hollow at the smallest batch, filled at larger ones.

    Survey-map row: C4.
    """
    peak, shown = roofline.peak, _apart(roofline.bandwidths)
    intensities, speeds = [s.intensity for s in layers] or [1.0], [s.gflops for s in layers] or [1.0]
    x = (min(0.06, *intensities) * 0.9, max(100.0, *intensities) * 1.5)
    y = (min(peak / 300, *speeds) * 0.7, max(5 * peak, 1.6 * max(speeds)))
    plane = Plane(x, y, "operations per byte moved, fp32", "GFLOP/s, one core")
    plane.ticks(decades(*x), decades(*y))
    for place, (size, rate) in enumerate(shown):
        start = max(x[0], y[0] / rate)
        plane.roof([(start, start * rate), (peak / rate, peak), (x[1], peak)])
        plane.corner(place, f"{number(rate)} GB/s, {working_set(size)}")  # in the order in which they lie
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
    plane.ticks([(v, working_set(v)) for v in ticks], decades(*y))
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
    plane.roof([(x[0], 1), (x[1], 1)])
    plane.names = kernels
    for series, kernel in enumerate(kernels):
        plane.line([(s.batch, s.ratio) for s in others if s.kernel == kernel], series)
    ends = [
        f"{k} {number(some[0].ratio)} at batch {some[0].batch}, {number(some[-1].ratio)} at {some[-1].batch}"
        for k in kernels
        if (some := [s for s in others if s.kernel == k])
    ]
    return plane.svg("Batch sweep", "; ".join(ends) + ".")
