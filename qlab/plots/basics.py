"""Figures of the basic concepts: staircases, clipping ranges, granularity (redrawn from the survey's figures 1–3).

Each function takes tensors and quantizers, computes what it draws with them, and returns a matplotlib figure.

Source: Gholami et al. 2021, figures 1, 2 and 3; drawn anew from live data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qlab.calibration import Calibration, Range
from qlab.granularity import Granularity
from qlab.grids import Grid
from qlab.network import sqnr_db
from qlab.plots.style import LINES, MARKERS, PALETTE
from qlab.quantizer import Params, Quantizer, decode

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "against_bits",
    "chosen_ranges",
    "clipping_tradeoff",
    "error_densities",
    "granularity_ranges",
    "levels",
    "pareto",
    "shared_scales",
    "staircase",
    "staircases",
    "zero_points",
]

_DATA = {"color": "#B8C4CE", "edgecolor": "none"}


def levels(quantizer: Quantizer, params: Params, row: int = 0) -> np.ndarray:
    """Return every number that a quantizer can give back for one row: S·level(q + Z) for all codes q.

    Parameters
    ----------
    quantizer : Quantizer
    params : Params
        S and Z, as `quantizer.calibrate` gives them.
    row : int
        Which scale, where there are several.

    Examples
    --------
    >>> import torch
    >>> from qlab import Quantizer, Symmetric
    >>> q = Quantizer(Symmetric(2))
    >>> levels(q, q.calibrate(torch.tensor([-1.0, 0.5]))).tolist()
    [-1.0, 0.0, 1.0]

    Survey-map row: Q2.
    """
    low, high = quantizer.grid.code_range
    one = Params(params.scale[row : row + 1], params.zero_point[row : row + 1])
    return decode(torch.arange(low, high + 1)[None].float(), one, quantizer.grid)[0].double().numpy()


def _axes(figsize: tuple[float, float], *args: Any, **kwargs: Any) -> tuple[Figure, Any]:
    import matplotlib.pyplot as plt

    return plt.subplots(*args, figsize=figsize, **kwargs)


def _steps(ax: Axes, quantizer: Quantizer, params: Params, low: float, high: float, **style: Any) -> None:
    """Draw r̃ against r."""
    r = torch.linspace(low, high, 4001)
    ax.plot(r, quantizer.fake(r, params), **style)


def staircase(values: Tensor, quantizer: Quantizer, name: str = "weight") -> Figure:
    """Draw the staircase r̃(r) over the histogram of the values that it is made for.

    Parameters
    ----------
    values : Tensor of reals
        Any shape; all of them share one scale.
    quantizer : Quantizer
        Per tensor.
    name : str
        What the values are, for the axis.

    Survey-map rows: Q2, Q3.
    """
    r = values.detach().flatten()
    params = quantizer.calibrate(r)
    points = levels(quantizer, params)
    reach = float(r.abs().max()) * 1.08
    figure, (top, below) = _axes((6.0, 5.2), 2, 1, sharex=True, height_ratios=[3, 2])
    top.plot([-reach, reach], [-reach, reach], color=PALETTE["grey"], lw=1, ls=":", label=r"$\tilde r = r$")
    _steps(top, quantizer, params, -reach, reach, color=PALETTE["blue"], ls="-", label=r"$\tilde r = S(Q(r)+Z)$")
    error = r - quantizer.fake(r, params)
    top.set(ylabel=r"dequantized $\tilde r$", ylim=(-reach, reach))
    top.set_title(f"{len(points)} levels, step S = {float(params.scale):.4f}, mean squared error {_short(error)}")
    top.legend(loc="upper left")
    below.hist(r, bins=80, **_DATA)
    if len(points) <= 64:
        below.vlines(points, 0, 1, transform=below.get_xaxis_transform(), color=PALETTE["blue"], lw=1.2, alpha=0.75)
    else:
        text = "levels too dense to draw"
        below.text(0.98, 0.9, text, transform=below.transAxes, ha="right", color=PALETTE["blue"])
    below.set(xlabel=f"r ({name})", ylabel="count", xlim=(-reach, reach))
    return figure


def _short(error: Tensor) -> str:
    mantissa, exponent = f"{float(error.square().mean()):.1e}".split("e")
    return rf"${mantissa}\cdot 10^{{{int(exponent)}}}$"


def staircases(values: Tensor, quantizers: Mapping[str, Quantizer]) -> Figure:
    """Draw several staircases side by side over one histogram, their levels as ticks (the survey's figure 1).

    Parameters
    ----------
    values : Tensor of reals
    quantizers : mapping of name to Quantizer

    Survey-map rows: Q2, Q8.
    """
    r = values.detach().flatten()
    fits = {name: levels(q, q.calibrate(r)) for name, q in quantizers.items()}
    reach = max(float(r.abs().max()), *(float(np.abs(points).max()) for points in fits.values())) * 1.05
    figure, panels = _axes((6.2, 3.4), 1, len(quantizers), sharey=True, squeeze=False)
    for ax, (name, quantizer), color in zip(panels[0], quantizers.items(), ("blue", "vermilion"), strict=False):
        params = quantizer.calibrate(r)
        count, edges = np.histogram(r.numpy(), bins=60)
        height = count / count.max() * reach * 0.9
        ax.bar(edges[:-1], height, np.diff(edges), bottom=-reach, align="edge", **_DATA)
        _steps(ax, quantizer, params, -reach, reach, color=PALETTE[color], ls="-")
        points = fits[name]
        ax.plot(np.full(len(points), -reach), points, ls="", marker=">", ms=6, color=PALETTE[color], clip_on=False)
        ax.set(xlabel="r", xlim=(-reach, reach), ylim=(-reach, reach), title=name)
        ax.set_aspect("equal")
    panels[0][0].set_ylabel(r"$\tilde r$")
    return figure


def zero_points(values: Mapping[str, Tensor], quantizers: Mapping[str, Quantizer]) -> Figure:
    """Draw clipping ranges and integer codes over real data (the survey's figure 2).

    One panel for each pair: the histogram, the clipping range [α, β] as a bar, and under it the codes that its ends
    and the number 0 get.

    Parameters
    ----------
    values : mapping of title to Tensor
        One entry a row of panels.
    quantizers : mapping of name to Quantizer
        One entry a column.

    Survey-map row: Q4.
    """
    figure, panels = _axes((6.2, 2.5 * len(values)), len(values), len(quantizers), squeeze=False, sharey="row")
    for line, (title, x) in zip(panels, values.items(), strict=True):
        r = x.detach().flatten()
        reach = float(r.abs().max()) * 1.15
        for ax, (name, quantizer) in zip(line, quantizers.items(), strict=True):
            params = quantizer.calibrate(r)
            points = levels(quantizer, params)
            count, edges = np.histogram(r.numpy(), bins=np.linspace(-reach, reach, 61))
            ax.bar(edges[:-1], count / len(r), np.diff(edges), align="edge", **_DATA)
            top = float(count.max()) / len(r)
            used = (points >= float(r.min()) - params.scale.item() / 2) & (
                points <= r.max().item() + params.scale.item()
            )
            ax.vlines(points[used], -0.12 * top, 0, color=PALETTE["blue"], lw=1.6)
            ax.vlines(points[~used], -0.12 * top, 0, color=PALETTE["vermilion"], lw=1.6, ls=":")
            q_low, q_high = quantizer.grid.code_range
            for at, code in ((points[0], q_low), (0.0, -int(params.zero_point[0])), (points[-1], q_high)):
                ax.text(at, -0.17 * top, f"{code}", ha="center", va="top", fontsize=10, color=PALETTE["blue"])
            ax.axvline(0, color=PALETTE["grey"], lw=1, ls=":")
            ax.set(title=f"{title}\n{name}", ylim=(-0.38 * top, 1.1 * top), xlim=(-reach, reach), xlabel="r")
            ax.set_yticks([])
            ax.grid(False)
        line[0].set_ylabel("share of values")
    return figure


def error_densities(values: Tensor, quantizers: Sequence[Quantizer], names: Sequence[str]) -> Figure:
    """Draw the density of the error in units of the step, against the uniform density on ±1/2.

    Parameters
    ----------
    values : Tensor of reals
    quantizers : sequence of Quantizer
    names : sequence of str
        A title for each.

    Survey-map row: Q3.
    """
    r = values.detach().flatten()
    figure, panels = _axes((6.2, 2.7), 1, len(quantizers), sharey=True, squeeze=False)
    for ax, quantizer, name in zip(panels[0], quantizers, names, strict=True):
        params = quantizer.calibrate(r)
        error = (quantizer.fake(r, params) - r) / params.scale
        ax.hist(error, bins=np.linspace(-0.5, 0.5, 26), density=True, color=PALETTE["sky"], edgecolor="white", lw=0.4)
        ax.plot([-0.5, -0.5, 0.5, 0.5], [0, 1, 1, 0], color=PALETTE["vermilion"], ls="--", lw=1.8)
        ax.set(xlabel=r"error $(\tilde r - r)/S$", title=name, xlim=(-0.62, 0.62))
    panels[0][0].set_ylabel("density")
    return figure


def against_bits(
    bits: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    ylabel: str,
    dashed: Mapping[str, float] | None = None,
    xlabel: str = "bits b",
) -> Figure:
    """Draw measured curves against the number of bits, with reference lines.

    Parameters
    ----------
    bits : sequence of int
    curves : mapping of name to sequence of float
    ylabel : str
    dashed : mapping of name to float, optional
        Horizontal lines, such as the accuracy in floating point.
    xlabel : str

    Survey-map row: Q4.
    """
    figure, ax = _axes((6.2, 3.7))
    for (name, ys), marker, line in zip(curves.items(), MARKERS, LINES, strict=False):
        ax.plot(bits, ys, marker=marker, ls=line, label=name)
    for name, y in (dashed or {}).items():
        ax.axhline(y, color=PALETTE["grey"], ls=":", lw=1.5, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, xticks=list(bits))
    ax.legend()
    return figure


def clipping_tradeoff(values: Tensor, quantizer: Quantizer, fraction: float, fractions: Tensor, name: str) -> Figure:
    """Draw what a clipping threshold does: the histogram with its range, and the two errors that it trades.

    Parameters
    ----------
    values : Tensor of reals
    quantizer : Quantizer
        Its own calibration is not used: the range is ± a fraction of max |r|.
    fraction : float
        The threshold to show, as a fraction of the largest magnitude.
    fractions : Tensor
        The thresholds of the curves below.
    name : str
        What the values are.

    Survey-map row: Q5.
    """
    r = values.detach().flatten()
    low, high = float(r.min()), float(r.max())
    reach = max(-low, high)

    def parts(f: float) -> tuple[float, float]:
        alpha, beta = max(low, -f * reach), min(high, f * reach)
        error = (r - quantizer.fake(r, _params(quantizer, alpha, beta))).square()
        outside = (r < alpha) | (r > beta)
        return float(error[outside].sum()) / len(r), float(error[~outside].sum()) / len(r)

    clipped, rounded = (np.array(e) for e in zip(*(parts(float(f)) for f in fractions), strict=True))
    here = sum(parts(fraction))
    figure, (top, below) = _axes((6.0, 5.0), 2, 1, height_ratios=[2, 3])
    alpha, beta = max(low, -fraction * reach), min(high, fraction * reach)
    top.hist(r, bins=100, log=True, **_DATA)
    top.axvspan(alpha, beta, color=PALETTE["sky"], alpha=0.25)
    points = levels(quantizer, _params(quantizer, alpha, beta))
    top.vlines(points, 0, 0.12, transform=top.get_xaxis_transform(), color=PALETTE["blue"], lw=1.5)
    top.set(xlabel=f"r ({name})", ylabel="count (log)", title=f"β = {beta:.2f}, mean squared error {here:.2e}")
    t = fractions.numpy() * reach
    below.plot(t, clipped, color=PALETTE["vermilion"], ls="--", label="of clipping")
    below.plot(t, rounded, color=PALETTE["blue"], ls="-.", label="of rounding")
    below.plot(t, clipped + rounded, color="black", ls="-", label="together")
    below.plot(fraction * reach, here, "o", color="black", ms=9)
    below.set(xlabel="threshold β", ylabel="mean squared error", yscale="log", ylim=(float(rounded.min()) / 2, None))
    below.legend()
    return figure


def _params(quantizer: Quantizer, low: float, high: float) -> Params:
    from qlab.quantizer import scales

    return scales(quantizer.grid, Range(torch.tensor([low]), torch.tensor([high])))


def granularity_ranges(weight: Tensor, granularities: Mapping[str, Granularity]) -> Figure:
    """Draw each output channel's values and the clipping range that it gets (the survey's figure 3).

    Parameters
    ----------
    weight : Tensor, shape (channels, …)
    granularities : mapping of title to Granularity
        Ways to share ranges over channels, one panel each.

    Survey-map row: Q7.
    """
    w = weight.detach()
    n = len(w)
    figure, panels = _axes((6.2, 3.6), 1, len(granularities), sharex=True, sharey=True, squeeze=False)
    for ax, (title, granularity) in zip(panels[0], granularities.items(), strict=True):
        reach = granularity.rows(w).abs().amax(1, keepdim=True)
        count = len(reach)
        clip = granularity.unrows(reach.expand(-1, w.numel() // count), tuple(w.shape)).reshape(n, -1).amax(1)
        y = np.arange(n)
        ax.barh(y, 2 * clip, left=-clip, height=1.0, color=PALETTE["orange"], alpha=0.35, label="clipping range")
        values = w.reshape(n, -1)
        ax.hlines(y, values.amin(1), values.amax(1), color=PALETTE["blue"], lw=3, label="values")
        ax.set(title=f"{title}\n{count} scale{'s' if count > 1 else ''}", xlabel="weight", ylim=(n - 0.5, -0.5))
        ax.grid(False)
    panels[0][0].set_ylabel("output channel")
    panels[0][0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=9)
    return figure


def shared_scales(
    weight: Tensor,
    grid: Grid,
    granularities: Mapping[str, Granularity],
    shown: str,
    beside: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
) -> tuple[Figure, str]:
    """Draw who shares a scale, and what that costs and brings: one stop of a walk from coarse to fine.

    Left the step S that each weight gets, a row per output channel; right the signal-to-noise ratio against true bits
    per weight for all granularities, this one marked.

    Parameters
    ----------
    weight : Tensor, shape (channels, …)
    grid : Grid
    granularities : mapping of name to Granularity
        The whole walk, from coarse to fine.
    shown : str
        The name of this stop.
    beside : mapping of name to (bits, signal-to-noise ratios), optional
        Curves to compare with, such as what the same bits bring when they are spent on codes.

    Returns
    -------
    tuple of Figure and str
        The figure, and what it says in words.

    Raises
    ------
    ValueError
        If there is no such stop.

    Survey-map row: Q7.
    """
    if shown not in granularities:
        raise ValueError(f"shown must be one of {', '.join(granularities)}, got {shown!r}")
    w = weight.detach()
    stored = {name: Quantizer(grid, granularity)(w) for name, granularity in granularities.items()}
    bits = [q.bits_per_value for q in stored.values()]
    snr = [sqnr_db(w, q.dequantize()) for q in stored.values()]
    i = list(granularities).index(shown)
    scale, rows = stored[shown].params.scale, granularities[shown].rows(w)
    steps = granularities[shown].unrows(scale[:, None].expand_as(rows), tuple(w.shape)).reshape(len(w), -1)
    widest = next(iter(stored.values())).params.scale.max()

    figure, (left, right) = _axes((8.6, 3.8), 1, 2, layout="constrained", width_ratios=[1.2, 1])
    image = left.imshow(steps / widest, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=left, label="step S, of the layer's")
    left.set(xlabel="weight within its channel", ylabel="output channel")
    left.set_title(
        f"{shown}: {len(scale):,} scale{'s' if len(scale) > 1 else ''}, one for {w.numel() // len(scale):,} weights"
    )
    left.grid(False)
    for (name, curve), line in zip((beside or {}).items(), LINES[1:], strict=False):
        right.plot(*curve, color=PALETTE["blue"], ls=line, marker="", label=name)
    right.plot(bits, snr, "o-", color=PALETTE["grey"], mfc="white", ms=6, label="finer and finer scales")
    right.plot(bits[i], snr[i], "o", color=PALETTE["vermilion"], ms=11)
    right.set(xlabel="bits per weight, scales included", ylabel="signal-to-noise ratio / dB")
    right.set_title(f"{bits[i]:.2f} bits, {snr[i]:.1f} dB")
    right.legend(fontsize=9, loc="lower right")
    words = (
        f"{shown}: {len(scale):,} scale{'s' if len(scale) > 1 else ''} for {w.numel():,} weights, "
        f"{bits[i]:.2f} bits per weight with the scales, {snr[i]:.1f} dB. The largest step is "
        f"{float(scale.max() / scale.min()):.1f} times the smallest."
    )
    return figure, words


def chosen_ranges(values: Tensor, quantizer: Quantizer, methods: Mapping[str, Calibration]) -> Figure:
    """Draw the SQNR against the upper end β of the range, and the β that each calibration chooses.

    Parameters
    ----------
    values : Tensor of reals, all ≥ 0
    quantizer : Quantizer
    methods : mapping of name to Calibration

    Survey-map row: Q5.
    """
    r = values.detach().flatten()
    power = float(r.square().mean())

    def sqnr(beta: float) -> float:
        error = r - quantizer.fake(r, _params(quantizer, 0.0, beta))
        return float(10 * torch.log10(power / error.square().mean()))

    figure, ax = _axes((6.2, 4.0))
    reach = float(r.max())
    betas = np.linspace(0.05, 1, 120) * reach
    ax.plot(betas, [sqnr(b) for b in betas], color=PALETTE["grey"], ls="-")
    for (name, method), marker, color in zip(methods.items(), (*MARKERS, "P", "*"), (*PALETTE.values(),), strict=False):
        beta = float(method(r[None], quantizer.grid).high)
        ax.plot(beta, sqnr(beta), ls="", marker=marker, ms=10, color=color, mec="white", label=name)
    ax.set(xlabel="upper end β of the clipping range", ylabel="SQNR / dB", xlim=(0, reach * 1.05))
    ax.legend(loc="lower center")
    return figure


def pareto(panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]]) -> Figure:
    """Draw error against true bits per weight, one panel a tensor and one curve a granularity.

    Parameters
    ----------
    panels : mapping of title to mapping of name to (bits per weight, SQNR in dB)

    Survey-map row: Q7.
    """
    figure, axes = _axes((6.2, 3.8), 1, len(panels), squeeze=False)
    for ax, (title, curves) in zip(axes[0], panels.items(), strict=True):
        for (name, (bits, quality)), marker, line in zip(curves.items(), MARKERS, LINES, strict=False):
            ax.plot(bits, quality, marker=marker, ls=line, label=name)
        ax.set(title=title, xlabel="bits per weight, scales included")
    axes[0][0].set_ylabel("SQNR / dB")
    axes[0][0].legend(loc="lower right")
    return figure
