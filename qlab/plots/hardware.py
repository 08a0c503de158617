"""Figures of what hardware costs: energy and area of operations, energy of layers, throughput of processors.

`draw_operations` and `draw_throughput` redraw figure 7 of Gholami et al. 2021, `draw_processors` and
`processors_figure` its figure 9.

Survey-map rows: C1, C2, C3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qlab.hardware.cost import LayerCost
from qlab.hardware.energy import (
    ADD_PJ,
    ADD_UM2,
    DRAM_PJ,
    INSTRUCTION_PJ,
    MULTIPLY_PJ,
    MULTIPLY_UM2,
    READ_PJ,
    network_energy,
)
from qlab.hardware.processors import KINDS, PRECISIONS, Processor, Throughput
from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_ladder",
    "draw_layer_energy",
    "draw_operations",
    "draw_processors",
    "draw_throughput",
    "processors_figure",
]

FORMATS = ("int8", "int16", "int32", "fp16", "fp32")
PRECISION_LOOKS = MappingProxyType(
    {
        "fp32": ("black", "s"),
        "tf32": ("grey", "D"),
        "fp16": ("blue", "^"),
        "fp8": ("sky", "v"),
        "int8": ("vermilion", "o"),
        "fp4": ("green", "P"),
        "int4": ("orange", "X"),
        "int1": ("purple", "*"),
    }
)
KIND_LOOKS = MappingProxyType(
    {
        "microcontroller": ("blue", "o", "circle"),
        "accelerator": ("vermilion", "s", "square"),
        "module": ("green", "^", "triangle-up"),
        "phone": ("sky", "X", "x"),
        "car": ("purple", "D", "diamond"),
        "data centre": ("black", "P", "cross"),
    }
)
# Where a name stands beside its mark: offset in points, and which side of the text touches it.
PLACES: Mapping[str, tuple[float, float, str]] = MappingProxyType(
    {
        "GAP-8": (7, -9, "left"),
        "Vega": (-7, 4, "right"),
        "BNN core in 22 nm": (7, 1, "left"),
        "Myriad X": (-7, -5, "right"),
        "Edge TPU": (-7, 2, "right"),
        "Hailo-8": (-7, 3, "right"),
        "Mobileye EyeQ4": (7, 1, "left"),
        "Mobileye EyeQ5": (-7, 1, "right"),
        "Jetson Xavier NX": (6, -11, "left"),
        "Jetson AGX Xavier": (7, -7, "left"),
        "Jetson AGX Orin": (-8, 3, "right"),
        "Tesla FSD": (-7, 1, "right"),
        "TPU v1": (7, -6, "left"),
        "T4": (7, 1, "left"),
        "V100 SXM2": (7, -7, "left"),
        "A100 SXM4": (7, -7, "left"),
        "H100 SXM5": (-7, 2, "right"),
        "B200 (HGX)": (-7, 2, "right"),
    }
)
EFFICIENCIES = (100.0, 10.0, 1.0, 0.1)  # pJ per operation, as grey lines


def draw_ladder(ax: Axes) -> None:
    """Draw what one operation and one read of 32 bits cost at 45 nm, from 0.03 to 1300 pJ.

    Parameters
    ----------
    ax : Axes

    Survey-map row: C1.
    """
    names = ("int8", "int32", "fp32")
    arithmetic = {f"add {n}": ADD_PJ[n] for n in names} | {f"multiply {n}": MULTIPLY_PJ[n] for n in names}
    reads = {f"read {name}": pj for name, pj in READ_PJ.items() if not name.startswith("DRAM")}
    groups = (
        (dict(sorted(arithmetic.items(), key=lambda item: item[1])), "blue", "o", "arithmetic"),
        (reads | {"read DRAM": READ_PJ["DRAM, low"]}, "vermilion", "s", "reading 32 bits"),
        ({"one instruction of a CPU": INSTRUCTION_PJ}, "grey", "D", "an instruction, control included"),
    )
    shown: list[str] = []
    for values, color, marker, label in groups:
        for first, (name, pj) in enumerate(values.items()):
            place, most = len(shown), READ_PJ["DRAM, high"] if name == "read DRAM" else pj
            ax.plot([0.01, pj], [place, place], "-", color=PALETTE[color], lw=1.2)
            ax.plot([pj, most], [place, place], "-", color=PALETTE[color], lw=4)
            ax.plot(pj, place, marker, color=PALETTE[color], label=label if first == 0 else None)
            text = f"{pj:g}" if pj == most else f"{pj:g} to {most:g}"
            ax.annotate(text, (most, place), (7, 0), textcoords="offset points", va="center", fontsize=9)
            shown.append(name)
    ax.set_xscale("log")
    ax.set(xlim=(0.015, 2e4), yticks=range(len(shown)), yticklabels=shown, xlabel="energy at 45 nm (pJ)")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.legend(fontsize=9, loc="upper right")


def draw_operations(energy: Axes, area: Axes) -> None:
    """Draw energy and area of additions and multiplications by number format, as the survey's figure 7 lists them.

    Parameters
    ----------
    energy, area : Axes

    Survey-map row: C1.
    """
    tables = ((energy, ADD_PJ, MULTIPLY_PJ, "energy (pJ)"), (area, ADD_UM2, MULTIPLY_UM2, "area (µm²)"))
    for ax, add, multiply, label in tables:
        for table, shift, color, hatch, name in (
            (add, -0.2, "sky", "", "addition"),
            (multiply, 0.2, "blue", "//", "multiplication"),
        ):
            for place, fmt in enumerate(FORMATS):
                if fmt not in table:  # Horowitz has no 16-bit integer multiplication
                    continue
                first: dict[str, Any] = {"label": name} if place == 0 else {}
                ax.barh(place + shift, table[fmt], 0.38, color=PALETTE[color], hatch=hatch, edgecolor="white", **first)
                at = (table[fmt], place + shift)
                ax.annotate(f"{table[fmt]:g}", at, (3, 0), textcoords="offset points", va="center", fontsize=9)
        limits = (0.6 * min(add.values()), 5 * max([*add.values(), *multiply.values()]))
        ax.set_xscale("log")
        ax.set(yticks=range(len(FORMATS)), yticklabels=FORMATS, xlabel=label, xlim=limits)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    energy.legend(fontsize=9, loc="upper right")


def draw_throughput(ax: Axes, gpus: Sequence[Throughput]) -> None:
    """Draw the dense peaks of GPUs, one column for each GPU, one mark for each precision.

    Parameters
    ----------
    ax : Axes
    gpus : sequence of Throughput
        As `qlab.hardware.processors.gpu_throughput` gives them.

    Survey-map row: C2.
    """
    names = list(dict.fromkeys(gpu.name for gpu in gpus))
    used = [p for p in PRECISIONS if any(gpu.precision == p for gpu in gpus)]
    for rank, precision in enumerate(used):
        color, marker = PRECISION_LOOKS[precision]
        mine = [gpu for gpu in gpus if gpu.precision == precision]
        places = [names.index(gpu.name) + 0.1 * (rank - (len(used) - 1) / 2) for gpu in mine]
        tops = [gpu.tops for gpu in mine]
        ax.vlines(places, 4, tops, color=PALETTE[color], lw=1.5)
        ax.plot(places, tops, marker, color=PALETTE[color], markersize=9 if marker == "*" else 6, label=precision)
    which = {"figure": "survey's figure", "text": "survey's text", "after": "added here"}
    labels = {gpu.name: f"{gpu.name}\n{gpu.year}, {gpu.watts:g} W\n{which[gpu.figure]}" for gpu in gpus}
    ax.set_yscale("log")
    ax.set(xticks=range(len(names)), xlim=(-0.5, len(names) - 0.5), ylim=(4, 2e4))
    ax.set_xticklabels([labels[name] for name in names], fontsize=8.5)
    ax.set_ylabel("dense peak (10¹² operations/s)")
    ax.grid(axis="x", visible=False)
    ax.legend(fontsize=9, ncols=4, loc="upper left")


def draw_processors(ax: Axes, found: Sequence[Processor]) -> None:
    """Draw throughput against power on logarithmic axes, with lines of equal energy per operation.

    Hollow marks are measured, filled ones are peaks; a thin line leads up from a dense figure to a printed sparse one.

    Parameters
    ----------
    ax : Axes
    found : sequence of Processor
        Those without power are left out.

    Survey-map row: C3.
    """
    labelled: set[str] = set()
    for p in found:
        if (watts := p.watts) is None:
            continue
        name, marker, _ = KIND_LOOKS[p.kind]
        color = PALETTE[name]
        face = "white" if p.basis == "measured" else color
        ax.plot(watts, p.dense_gops, marker, color=color, markerfacecolor=face, markersize=7, zorder=3)
        if p.zeros == "sparse":
            ax.plot([watts, watts], [p.dense_gops, p.gops], "-", color=color, lw=1)
            ax.plot(watts, p.gops, "_", color=color, markersize=9)
        x, y, side = PLACES.get(p.name, (7, -3, "left"))
        text = f"{p.name} ({p.precision})" if p.precision not in ("int8", "unstated") else p.name
        ax.annotate(text, (watts, p.dense_gops), (x, y), textcoords="offset points", ha=side, fontsize=8)
        if p.kind not in labelled:
            ax.plot([], [], marker, color=color, label=p.kind)
            labelled.add(p.kind)
    low, high = 2e-4, 2e4
    for pj in EFFICIENCIES:
        ax.plot([low, high], [1e3 * low / pj, 1e3 * high / pj], "-", color=PALETTE["grey"], lw=0.7, zorder=1)
        at = (0.9 * high, 0.9e3 * high / pj) if pj > 0.1 else (2.7e3, 2.7e7)
        look: dict[str, Any] = {"fontsize": 8, "color": PALETTE["grey"], "ha": "right", "va": "top"}
        ax.annotate(f"{pj:g} pJ", at, (0, -7), textcoords="offset points", **look)
    ax.text(0.985, 0.02, "grey: energy per operation", transform=ax.transAxes, ha="right", fontsize=8)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlim=(low, high), ylim=(0.08, 3e7), xlabel="power (W)", ylabel="throughput (10⁹ operations/s)")
    ax.legend(fontsize=9, loc="upper left")


def processors_figure(found: Sequence[Processor]) -> Any:
    """Return the scatter of throughput against power for plotly: hovering over a mark tells what is known of it.

    Parameters
    ----------
    found : sequence of Processor
        Those without power are left out.

    Returns
    -------
    plotly.graph_objects.Figure
        For `qlab.plots.plotly_html`.

    Survey-map row: C3.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for kind in KINDS:
        mine = [p for p in found if p.kind == kind and p.watts is not None]
        if not mine:
            continue
        color, _, symbol = KIND_LOOKS[kind]
        figure.add_scatter(
            x=[p.watts for p in mine],
            y=[p.dense_gops for p in mine],
            text=[_hover(p) for p in mine],
            mode="markers",
            name=kind,
            marker={"color": PALETTE[color], "size": 11, "symbol": [_symbol(symbol, p) for p in mine]},
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_xaxes(type="log", title="power (W)", dtick=1, gridcolor="#DDDDDD")
    figure.update_yaxes(type="log", title="10⁹ operations/s, dense", dtick=1, gridcolor="#DDDDDD")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, hovermode="closest")
    return figure


def draw_layer_energy(
    ax: Axes, costs: Sequence[LayerCost], bits: Sequence[float], weight_read: float = DRAM_PJ
) -> None:
    """Draw the modelled energy of each layer, one bar for each number of bits (weights and activations alike).

    Parameters
    ----------
    ax : Axes
    costs : sequence of LayerCost
    bits : sequence of float
    weight_read : float
        Energy of reading 32 bits of weights, pJ.

    Survey-map row: C1.
    """
    parts = (("weights", "blue", ""), ("activations", "orange", "//"), ("arithmetic", "grey", "xx"))
    height = 0.8 / len(bits)
    for row, layer in enumerate(costs):
        for k, b in enumerate(bits):
            energy = network_energy([layer], b, b, weight_read=weight_read)
            place, left = row + height * (k - (len(bits) - 1) / 2), 0.0
            for part, color, hatch in parts:
                width = getattr(energy, part) * 1e-6
                look: dict[str, Any] = {"label": part} if row == k == 0 else {}
                look |= {"color": PALETTE[color], "hatch": hatch, "edgecolor": "white", "linewidth": 0.3}
                ax.barh(place, width, 0.92 * height, left=left, **look)
                left += width
            ax.annotate(f"{b:g} bits", (left, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
    names = [f"{c.kind} {c.name}\n{_short(c.macs / c.parameters)} uses" for c in costs]
    ax.set(yticks=range(len(costs)), xlabel="modelled energy (µJ, 45 nm)")
    ax.set_yticklabels(names, fontsize=9)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.legend(fontsize=9)


def _hover(p: Processor) -> str:
    """Say what is known of a processor, in a few lines."""
    sparse = f" ({p.gops:g} printed, with zeros)" if p.zeros == "sparse" else ""
    precision = "precision not stated" if p.precision == "unstated" else p.precision
    lines = [
        f"<b>{p.name}</b>, {p.year}",
        f"{p.dense_gops:g}·10⁹ operations/s{sparse}, {precision}, {p.basis}",
        f"{p.watts:g} W, {p.picojoules:.3g} pJ per operation",
        f"figure read {'at the source' if p.read == 'vendor' else 'at second hand'}",
    ]
    if p.note:
        words, line = p.note.split(), ""
        for word in words:  # plotly does not break lines
            if len(line) + len(word) > 48:
                lines, line = [*lines, line.strip()], ""
            line += f" {word}"
        lines.append(line.strip())
    return "<br>".join(lines)


def _symbol(symbol: str, p: Processor) -> str:
    return f"{symbol}-open" if p.basis == "measured" else symbol


def _short(count: float) -> str:
    return f"{count:,.0f}" if math.isclose(count, round(count)) else f"{count:,.1f}"
