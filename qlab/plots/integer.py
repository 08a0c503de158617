"""Figures of the chapter on integer-only inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from numpy.typing import NDArray

from qlab.plots.style import PALETTE

__all__ = ["PIPELINES", "draw_accumulators", "draw_differences", "draw_pipelines", "draw_qdq"]

PIPELINES: dict[str, list[tuple[str, str]]] = {
    "full precision": [
        ("h", "float32"),
        ("W∗h + b", "float32"),
        ("ReLU", "float32"),
        ("a", "float32"),
    ],
    "simulated": [
        ("h̃ = S(q + Z)", "float32, on a grid"),
        ("W̃∗h̃ + b", "float32"),
        ("ReLU", "float32"),
        ("fake quantization", "float32, on a grid"),
    ],
    "integer-only": [
        ("q", "uint8"),
        ("Σ w·q + b", "int8·uint8 → int32"),
        ("(m·v + half) >> n", "int64, or its high half"),
        ("clip", "uint8"),
    ],
}
"""What the layer of each pipeline does, and in which type."""


def draw_pipelines(ax: Axes, pipelines: Mapping[str, Sequence[tuple[str, str]]] = PIPELINES) -> None:
    """Draw one layer in several arithmetics side by side, boxes of floats rounded, boxes of integers square.

    Parameters
    ----------
    ax : Axes
    pipelines : mapping of title to boxes
        A box is what happens and the type in which it does.

    Survey-map row: A1.
    """
    rows = max(map(len, pipelines.values()))
    for column, (title, boxes) in enumerate(pipelines.items()):
        ax.text(column, rows - 0.25, title, ha="center", weight="bold", fontsize=10)
        for row, (what, kind) in enumerate(boxes):
            y = rows - 1 - row
            floating = "float" in kind
            style = "round,pad=0.02,rounding_size=0.12" if floating else "square,pad=0.02"
            color = PALETTE["orange" if floating else "sky"]
            box = FancyBboxPatch((column - 0.42, y - 0.3), 0.84, 0.6, boxstyle=style, fc=color, ec="black", alpha=0.45)
            ax.add_patch(box)
            ax.text(column, y + 0.08, what, ha="center", va="center", fontsize=9.5)
            ax.text(column, y - 0.17, kind, ha="center", va="center", fontsize=7.5)
            if row:
                ax.annotate("", (column, y + 0.33), (column, y + 0.67), arrowprops={"arrowstyle": "->"})
    ax.set(xlim=(-0.5, len(pipelines) - 0.5), ylim=(-0.4, rows + 0.1))
    ax.axis("off")


def draw_accumulators(ax: Axes, bounds: Mapping[str, float], reached: Mapping[str, float]) -> None:
    """Draw the bits that each layer's accumulator may need and those that it did need, with the ends of int16, int32.

    Parameters
    ----------
    ax : Axes
    bounds, reached : mapping of layer to largest |v|

    Survey-map row: A2.
    """
    place = np.arange(len(bounds))
    bits = [np.log2(np.array(list(values.values()), float)) + 1 for values in (bounds, reached)]
    ax.vlines(place, bits[1], bits[0], color="0.7")
    ax.plot(place, bits[0], "v", color=PALETTE["vermilion"], label="bound")
    ax.plot(place, bits[1], "o", color=PALETTE["blue"], label="reached")
    for width in (16, 32):
        ax.axhline(width, color="black", lw=0.9, ls="--")
        ax.text(len(bounds) - 0.6, width - 0.3, f"int{width}", va="top", ha="right", fontsize=8)
    ax.set_xticks(place, list(bounds), rotation=90, fontsize=7)
    ax.set(ylim=(8, 34), ylabel="bits, sign included", xlabel="layer")


def draw_differences(
    ax: Axes, all_distances: NDArray[Any], sizes: NDArray[Any], different: NDArray[Any], slope: float
) -> None:
    """Draw how far M·v lies from a tie against |M·v|, marking the codes that two engines make differently.

    Parameters
    ----------
    ax : Axes
    all_distances, sizes : arrays, shape (n,)
        Distance to the nearest tie, and |M·v|, of every value drawn.
    different : bool array, shape (n,)
        Where the codes differ.
    slope : float
        The relative error of the multiplication: only below distance = slope·|M·v| may codes differ.

    Survey-map row: A1.
    """
    ax.plot(sizes[~different], all_distances[~different], ".", ms=2, color="0.6", rasterized=True, label="codes equal")
    ax.plot(sizes[different], all_distances[different], "X", ms=6, color=PALETTE["vermilion"], label="codes differ")
    line = np.array([max(sizes.min(), 1e-2), sizes.max()])
    ax.plot(line, slope * line, color=PALETTE["blue"], label="bound")
    ax.set(xscale="log", yscale="log", xlabel="|M·v|, in steps", ylabel="distance to the nearest tie")


def draw_qdq(ax: Axes) -> None:
    """Draw a quantized layer as a file in QDQ form holds it: what is stored, what is computed, what an engine may fuse.

    Parameters
    ----------
    ax : Axes

    Survey-map row: F1.
    """
    stored = [(0, "input", "float32"), (1, "w", "int8; S_w, zp"), (2, "b", "int32; S_w·S_h")]
    for row, name, kind in stored:
        y = 2 - row
        _labelled(ax, 0, y, name, kind, "grey" if row == 0 else "sky", square=row > 0)
        if row == 0:
            _labelled(ax, 1, y, "QuantizeLinear", "S_h, zp: uint8", "green", square=True)
            _arrow(ax, (0.42, y), (0.58, y))
        else:
            ax.plot([0.42, 1.58], [y, y], "-", color="black", lw=1)
        _labelled(ax, 2, y, "DequantizeLinear", "float32", "orange")
        _arrow(ax, (1.42 if row == 0 else 1.5, y), (1.58, y))
        _arrow(ax, (2.42, y), (2.6, 1 + 0.22 * (y - 1)))
    _labelled(ax, 3, 1, "Conv, Relu", "float32", "orange")
    _labelled(ax, 4, 1, "QuantizeLinear", "S_a, zp: uint8", "green", square=True)
    _arrow(ax, (3.42, 1), (3.58, 1))
    ax.add_patch(
        FancyBboxPatch((1.5, -0.5), 3, 3, boxstyle="round,pad=0.0", fc="none", ec=PALETTE["vermilion"], ls="--")
    )
    ax.text(3, 2.62, "one integer operation, if the engine has it", ha="center", fontsize=9, color=PALETTE["vermilion"])
    ax.set(xlim=(-0.5, 4.6), ylim=(-0.65, 2.9))
    ax.axis("off")


def _labelled(ax: Axes, x: float, y: float, what: str, kind: str, color: str, square: bool = False) -> None:
    style = "square,pad=0.02" if square else "round,pad=0.02,rounding_size=0.12"
    box = FancyBboxPatch((x - 0.4, y - 0.28), 0.8, 0.56, boxstyle=style, fc=PALETTE[color], ec="black", alpha=0.45)
    ax.add_patch(box)
    ax.text(x, y + 0.08, what, ha="center", va="center", fontsize=8.5)
    ax.text(x, y - 0.14, kind, ha="center", va="center", fontsize=8)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->"})
