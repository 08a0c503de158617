"""Bars that show which layers of a network are sensitive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qlab.history.networks import Sensitivity
from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_sensitivity"]


def draw_sensitivity(
    ax: Axes, layers: Sequence[Sensitivity], kinds: Sequence[str] | None = None, title: str = ""
) -> None:
    """Draw the divergence that each layer causes when it alone is quantized, on a logarithmic axis.

    Parameters
    ----------
    ax : matplotlib Axes
    layers : sequence of Sensitivity
        In the order of the network.
    kinds : sequence of str, optional
        One for each layer. Each kind gets its own colour and hatching, in order of appearance.
    title : str

    Raises
    ------
    ValueError
        If there are no layers, or not as many kinds as layers.

    Survey-map row: H12.
    """
    if not layers:
        raise ValueError("layers must hold at least one layer, got none")
    if kinds is not None and len(kinds) != len(layers):
        raise ValueError(f"kinds must be as many as layers ({len(layers)}), got {len(kinds)}")
    named = list(kinds) if kinds is not None else ["layer"] * len(layers)
    looks = (("blue", ""), ("orange", "///"), ("green", "..."))
    lowest = min(layer.divergence for layer in layers if layer.divergence > 0) / 2
    # the kind of the most layers is drawn plain
    for kind, (color, hatch) in zip(sorted(set(named), key=lambda k: (-named.count(k), k)), looks, strict=False):
        where = [i for i, k in enumerate(named) if k == kind]
        heights = [max(layers[i].divergence, lowest) for i in where]
        ax.bar(where, heights, width=0.7, color=PALETTE[color], hatch=hatch, edgecolor="white", label=kind)
    ax.set_yscale("log")
    ax.set_ylim(lowest, None)
    ax.set_xticks(range(len(layers)), [layer.name for layer in layers], rotation=60, ha="right", fontsize=8)
    ax.grid(False, axis="x")
    ax.set(ylabel="divergence (nats)", title=title)
    if len(set(named)) > 1:
        ax.legend(fontsize=8)
