"""Figures of quantization-aware training: what one weight sees, and what a quantizer's parameter feels.

Survey-map rows: T1, T2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from qlab.plots.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_parameter_gradient", "draw_staircase", "parameter_gradient", "smoothed"]


def smoothed(values: Tensor, step: float, spacing: float) -> Tensor:
    """Return E[f(r + u)], u uniform over one step, for f given on an even grid of r: a running mean.

    Parameters
    ----------
    values : Tensor, shape (n,)
        f at n points `spacing` apart.
    step, spacing : float
        S, and the distance of the points; S must hold an even number of them.

    Returns
    -------
    Tensor, shape (n − S/spacing,)
        The points within S/2 of an end are lost.

    Raises
    ------
    ValueError
        If the step is no even multiple of the spacing.

    Examples
    --------
    >>> smoothed(torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), step=2.0, spacing=1.0)
    tensor([0.0000, 0.2500, 0.7500, 1.0000])

    Survey-map row: T1.
    """
    n = round(step / spacing)
    if n < 2 or n % 2 or abs(n - step / spacing) > 1e-6 * n:
        raise ValueError(f"step must be an even multiple of spacing, got {step} and {spacing}")
    weights = torch.full((n + 1,), 1 / n, dtype=values.dtype)
    weights[[0, -1]] /= 2  # the trapezoidal rule
    return values.unfold(0, n + 1, 1) @ weights


def parameter_gradient(module: nn.Module, parameter: Tensor, r: Tensor) -> Tensor:
    """Return ∂r̃/∂p at every r: what each value alone would send back to the quantizer's parameter p.

    Parameters
    ----------
    module : nn.Module
        r ↦ r̃.
    parameter : Tensor, one element
    r : Tensor, shape (n,)

    Survey-map row: T2.
    """
    out = module(r)
    return torch.stack([torch.autograd.grad(y, parameter, retain_graph=True)[0].reshape(()) for y in out])


def draw_staircase(ax: Axes, r: Tensor, value: Tensor, name: str = "r̃") -> None:
    """Draw r̃ over r, the identity behind it.

    Survey-map row: T2.
    """
    ax.plot(r, r, ":", color=PALETTE["grey"], label="r")
    ax.plot(r, value.detach(), color=PALETTE["blue"], label=name)
    ax.set(xlabel="r", ylabel=name)


def draw_parameter_gradient(ax: Axes, r: Tensor, gradients: dict[str, Tensor]) -> None:
    """Draw ∂r̃/∂p over r, a line for each parameter.

    Survey-map row: T2.
    """
    styles = zip(("vermilion", "green", "black"), ("-", "--", ":"), strict=True)
    for (name, gradient), (color, style) in zip(gradients.items(), styles, strict=False):
        ax.plot(r, gradient, style, color=PALETTE[color], label=rf"$\partial\tilde{{r}}/\partial${name}")
    ax.axhline(0, color=PALETTE["grey"], lw=0.7)
    ax.set(xlabel="r", ylabel="gradient")
    ax.legend(fontsize=8)
