"""Figures of half precision: bit fields, ranges, spacing, and where a network's gradients lie.

Source of the last: the idea of figure 3 of Micikevicius et al. 2018, *Mixed precision training*; drawn from live data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qlab.neighbours.half import FORMATS
from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_fields", "draw_ranges", "gradient_histogram", "relative_spacing"]

FIELDS = {"fp32": (8, 23), "fp16": (5, 10), "bf16": (8, 7)}
"""Bits of exponent and of fraction."""


def draw_fields(ax: Axes, fields: Mapping[str, tuple[int, int]] = FIELDS) -> None:
    """Draw the bits of each format: sign, exponent, fraction.

    Parameters
    ----------
    ax : matplotlib axes
    fields : mapping of name to (exponent bits, fraction bits)

    Survey-map row: B11.
    """
    colors = {"sign": PALETTE["grey"], "exponent": PALETTE["orange"], "fraction": PALETTE["sky"]}
    for row, (e, m) in enumerate(fields.values()):
        left = 0
        for part, bits in (("sign", 1), ("exponent", e), ("fraction", m)):
            for k in range(bits):
                label = part if row == 0 and k == 0 else None
                ax.barh(row, 1, left=left + k, height=0.62, color=colors[part], edgecolor="white", label=label)
            if bits > 1:
                ax.text(left + bits / 2, row, str(bits), ha="center", va="center", fontsize=11)
            left += bits
    ax.set(yticks=range(len(fields)), yticklabels=list(fields), xticks=[0, 8, 16, 24, 32], xlabel="bit")
    ax.set_title("Sign, exponent, fraction")
    ax.invert_yaxis()
    ax.grid(False)
    ax.legend(fontsize=9, loc="lower right")


def draw_ranges(ax: Axes, fields: Mapping[str, tuple[int, int]] = FIELDS) -> None:
    """Draw which powers of two each format reaches: normal numbers, and below them the subnormal ones.

    Parameters
    ----------
    ax : matplotlib axes
    fields : mapping of name to (exponent bits, fraction bits)

    Survey-map row: B11.
    """
    for row, (name, (e, m)) in enumerate(fields.items()):
        bias = 2 ** (e - 1) - 1
        low = 1 - bias
        first = row == 0
        ax.barh(
            row, bias + 1 - low, left=low, height=0.55, color=PALETTE["blue"], label="normal" if first else None
        )  # up to 2^(bias + 1)
        ax.barh(
            row, m, left=low - m, height=0.55, color="white", edgecolor=PALETTE["blue"], hatch="////",
            label="subnormal" if first else None,
        )  # fmt: skip
        ax.text(0, row, name, ha="center", va="center", color="white", fontsize=10)
    ax.set(yticks=[], xlabel="power of two", xticks=[-126, -24, 16, 128], ylim=(len(fields) + 0.15, -0.5))
    ax.set_title("Range")
    ax.legend(fontsize=9, ncol=2, loc="lower center")


def gradient_histogram(values: Tensor, scale: float = 1.0, format: str = "fp16", title: str = "") -> Figure:
    """Draw how the magnitudes of `scale`·values lie within a format's range, by powers of two; zeros are left out.

    Parameters
    ----------
    values : Tensor
        Gradients.
    scale : float
        The loss scale.
    format : {"fp16", "bf16"}
    title : str

    Returns
    -------
    matplotlib Figure

    Survey-map row: B11.
    """
    import matplotlib.pyplot as plt

    chosen = FORMATS[format]
    x = values.detach().flatten().abs().double()
    power = np.log2(scale * x[x != 0].numpy())
    bins = np.arange(-60, 31)
    share = np.histogram(np.clip(power, bins[0], bins[-1] - 1e-9), bins)[0] / len(power) * 100
    lost, top = np.log2(chosen.smallest) - 1, np.log2(chosen.largest)
    normal = np.log2(chosen.smallest_normal)
    middle = bins[:-1] + 0.5
    kind = np.select([middle < lost, middle < normal, middle < top], [0, 1, 2], 3)
    names = ("lost to zero", "subnormal: few bits left", "normal", "overflow")
    colors = (PALETTE["vermilion"], PALETTE["orange"], PALETTE["blue"], PALETTE["black"])
    hatches = ("xx", "//", "", "++")
    fig, ax = plt.subplots(figsize=(7, 3.4))
    for k, (name, color, hatch) in enumerate(zip(names, colors, hatches, strict=True)):
        total = share[kind == k].sum()
        ax.bar(
            middle[kind == k], share[kind == k], width=1, color=color, hatch=hatch, edgecolor="white", lw=0.3,
            label=f"{name}: {total:.1f} %",
        )  # fmt: skip
    for edge in (lost, normal, top):
        ax.axvline(float(edge), color=PALETTE["grey"], lw=1)
    ax.set(xlim=(-60, 30), ylim=(0, 8.5), xlabel="power of two of the magnitude", ylabel="share (%)")
    ax.set_title(title)
    ax.legend(fontsize=9, loc="upper left")
    return fig


def relative_spacing(x: Tensor, format: str) -> Tensor:
    """Return (next number above x, minus x) / x for positive x, from the type itself.

    Examples
    --------
    >>> relative_spacing(torch.tensor([1.0]), "fp16") == 2**-10
    tensor([True])

    Survey-map row: B11.
    """
    dtype = FORMATS[format].dtype
    down = x.to(dtype)
    bits = down.view(torch.int16)
    return ((bits + 1).view(dtype).double() - down.double()) / down.double()
