"""Figures of packed kernels: bandwidth by working set, a product under the roof, ratios beside their limits.

Survey-map rows: C4, C6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from qlab.hardware.cost import LayerCost
    from qlab.hardware.kernels.measure import Speed
    from qlab.hardware.roofline import Roofline

__all__ = ["draw_bandwidths", "draw_product", "draw_speeds", "draw_sweep"]

LOOKS: Mapping[float, tuple[str, str]] = MappingProxyType(
    {32: ("black", "s"), 8: ("blue", "o"), 4: ("vermilion", "^"), 2: ("purple", "D"), 1: ("green", "v")}
)
"""Colour and marker for each number of bits."""


def draw_bandwidths(ax: Axes, bandwidths: Sequence[tuple[int, float]], caches: Mapping[str, int]) -> None:
    """Draw GB/s against the bytes of the working set, with the sizes of the caches as vertical lines.

    Parameters
    ----------
    ax : Axes
    bandwidths : sequence of (int, float)
        As `measure_bandwidth` gives them.
    caches : mapping of str to int
        Name and bytes.

    Survey-map row: C4.
    """
    sizes, rates = zip(*bandwidths, strict=True)
    ax.plot(sizes, rates, "o-", color=PALETTE["blue"])
    for name, size in caches.items():
        ax.axvline(size, color=PALETTE["grey"], ls=":", lw=1.2)
        ax.annotate(
            name, (size, 0.97), (3, 0), xycoords=("data", "axes fraction"), textcoords="offset points", va="top"
        )
    ax.set_xscale("log", base=2)
    ticks = [2**k for k in range(13, 30, 3) if sizes[0] <= 2**k <= sizes[-1]]
    ax.set_xticks(ticks, [f"{t >> 10} KB" if t < 2**20 else f"{t >> 20} MB" for t in ticks])
    ax.set(xlabel="working set", ylabel="read, GB/s", ylim=(0, None))


def draw_product(ax: Axes, roofs: Mapping[float, Roofline], cost: LayerCost, activation_bits: float = 32) -> None:
    """Draw where a product lies on the roofline of main memory, one point for each number of bits of its weights.

    Parameters
    ----------
    ax : Axes
    roofs : mapping of float to Roofline
        For each number of bits (32, 8, 4, 2 or 1) the roof of its own kernel; all stand on the same slope.
    cost : LayerCost
        Of the whole product, batch included.
    activation_bits : float

    Survey-map row: C4.
    """
    low, high = 0.25, 4096.0
    tallest = max(roofs.values(), key=lambda roof: roof.peak)
    ax.loglog([low, tallest.ridge()], [tallest.attainable(low), tallest.peak], "-", color=PALETTE["black"], lw=1.3)
    for b, roof in roofs.items():
        color, marker = LOOKS[b]
        ax.plot([roof.ridge(), high], [roof.peak] * 2, "--", color=PALETTE[color], lw=1.3)
        intensity = cost.intensity(b, activation_bits)
        label = f"{b:g} bit{'s' if b > 1 else ''}"
        ax.plot(intensity, roof.attainable(intensity), marker, ls="", color=PALETTE[color], ms=10, label=label)
    ax.set(xlim=(low, high), ylim=(tallest.attainable(low) / 2, 2.5 * tallest.peak))
    ax.set(xlabel="intensity / (operations per byte)", ylabel="10⁹ operations per second")
    ax.legend(loc="lower right", fontsize=9)


def draw_speeds(ax: Axes, speeds: Sequence[Speed]) -> None:
    """Draw how many times as fast as fp32 each kernel is, with quartiles, and the limit of memory as a bar.

    Parameters
    ----------
    ax : Axes
    speeds : sequence of Speed
        Of one shape; top to bottom.

    Survey-map row: C6.
    """
    for row, speed in enumerate(speeds):
        color, marker = LOOKS[32 / speed.limit]
        ax.plot([speed.low, speed.high], [row, row], "-", color=PALETTE[color], lw=2)
        ax.plot(speed.ratio, row, marker, ls="", color=PALETTE[color], ms=8)
        ax.plot([speed.limit] * 2, [row - 0.38, row + 0.38], "-", color=PALETTE["grey"], lw=3)
    ax.axvline(1, color=PALETTE["black"], ls="-", lw=0.8)
    ax.set_xscale("log", base=2)
    ticks = [2.0**k for k in range(-4, 7)]
    ax.set_xticks(ticks, [f"{t:g}" if t >= 1 else f"1/{1 / t:g}" for t in ticks])
    ends = [v for s in speeds for v in (s.low, s.high, s.limit)]
    ax.set(xlim=(min(0.8, 0.8 * min(ends)), 1.3 * max(ends)), xlabel="times as fast as fp32 (grey bar: limit 32/b)")
    ax.set_yticks(range(len(speeds)), [s.kernel for s in speeds])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)


def draw_sweep(ax: Axes, speeds: Sequence[Speed], kernels: Mapping[str, str]) -> None:
    """Draw how many times as fast as fp32 kernels are, against the batch; dotted: the limit of memory.

    Parameters
    ----------
    ax : Axes
    speeds : sequence of Speed
        Of one matrix and several batches.
    kernels : mapping of str to str
        Those to draw, and the line style of each.

    Raises
    ------
    ValueError
        If a kernel was not measured.

    Survey-map row: C6.
    """
    for kernel, style in kernels.items():
        mine = sorted((s for s in speeds if s.kernel == kernel), key=lambda s: s.batch)
        if not mine:
            known = ", ".join(dict.fromkeys(s.kernel for s in speeds))
            raise ValueError(f"kernels must be among {known}, got {kernel!r}")
        name, marker = LOOKS[32 / mine[0].limit]
        batches = [s.batch for s in mine]
        ax.fill_between(batches, [s.low for s in mine], [s.high for s in mine], color=PALETTE[name], alpha=0.2, lw=0)
        ax.plot(batches, [s.ratio for s in mine], style, marker=marker, color=PALETTE[name], label=kernel)
        ax.plot([batches[0] / 1.3, 1.3 * batches[0]], [mine[0].limit] * 2, ":", color=PALETTE[name], lw=2.5)
    ax.axhline(1, color=PALETTE["black"], ls="-", lw=0.8)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    shown = sorted({s.batch for s in speeds})
    ax.set_xticks(shown, [str(batch) for batch in shown])
    ticks = [2.0**k for k in range(-4, 7)]
    ax.set_yticks(ticks, [f"{t:g}" if t >= 1 else f"1/{1 / t:g}" for t in ticks])
    ends = [v for s in speeds if s.kernel in kernels for v in (s.low, s.high, s.limit)]
    ax.set(ylim=(0.4 * min([1, *ends]), 1.3 * max(ends)), xlabel="batch", ylabel="times as fast as fp32")
    ax.legend(fontsize=9, ncols=3, loc="lower left")
