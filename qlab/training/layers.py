"""A layer that trains in 8 bits: three products, and both factors of each are rounded.

    forward     Y  = Q_a(X) · Q_w(W)ᵀ
    backward    dX = Q_g(dY) · Q_w(W)
                dW = Q_g(dY)ᵀ · Q_a(X)

X, W and dY are rounded once each and used twice. Nothing else has to be written: where X and W are rounded going
forward (straight through coming back), and the output's gradient is rounded coming back, autograd forms exactly these
products. Convolutions are the same with · read as convolution.

Sources: Banner et al. 2018, section 3; Wang et al. 2018, figure 2; Gholami et al. 2021, section VI.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.gradients import instead
from qlab.network import quantizable_layers
from qlab.training.accumulate import accumulate
from qlab.training.formats import Format

__all__ = ["Formats", "quantize_training", "round_backward", "round_forward"]


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, form: Format) -> Tensor:
        ctx.form = form
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.form(grads[0]), None


class _Product(torch.autograd.Function):
    """X·Wᵀ, and the two products of its backward pass, with rounded partial sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, sums: tuple[int, int | None]) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.sums = sums
        return accumulate(x, w.T, *sums)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None]:
        (x, w), g = ctx.saved_tensors, grads[0]
        dx = accumulate(g, w, *ctx.sums) if ctx.needs_input_grad[0] else None
        return dx, accumulate(g.T, x, *ctx.sums), None


def round_forward(x: Tensor, form: Format | None) -> Tensor:
    """Return x rounded; the gradient goes straight through.

    Survey-map row: F4.
    """
    return x if form is None else instead(x, form(x.detach()))


def round_backward(x: Tensor, form: Format | None) -> Tensor:
    """Return x as it is; its gradient is rounded.

    Examples
    --------
    >>> from qlab.training import Integer
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (round_backward(x, Integer(2)) * torch.tensor([0.1, 1.0])).sum().backward()
    >>> x.grad  # codes 0 and 1
    tensor([0., 1.])

    Survey-map row: F4.
    """
    return x if form is None else _Backward.apply(x, form)


@dataclass(frozen=True)
class Formats:
    """How a layer rounds: None leaves a tensor in floating point.

    Parameters
    ----------
    weight, activation, gradient : Format or None
        Q_w, Q_a, Q_g.
    accumulator : (bits, chunk), optional
        Of the partial sums, for linear layers, as `accumulate` takes them: (8, 64).

    Survey-map row: F4.
    """

    weight: Format | None = None
    activation: Format | None = None
    gradient: Format | None = None
    accumulator: tuple[int, int | None] | None = None


class _Linear(nn.Linear):
    formats: Formats

    def forward(self, input: Tensor) -> Tensor:
        f = self.formats
        x, w = round_forward(input, f.activation), round_forward(self.weight, f.weight)
        if f.accumulator is None:
            return round_backward(F.linear(x, w, self.bias), f.gradient)
        y = round_backward(_Product.apply(x, w, f.accumulator), f.gradient)
        return y if self.bias is None else y + self.bias


class _Conv2d(nn.Conv2d):
    formats: Formats

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        f = self.formats
        x, w = round_forward(input, f.activation), round_forward(weight, f.weight)
        return round_backward(super()._conv_forward(x, w, bias), f.gradient)


class _BatchNorm2d(nn.BatchNorm2d):
    formats: Formats

    def forward(self, input: Tensor) -> Tensor:
        f = self.formats
        return round_backward(super().forward(round_forward(input, f.activation)), f.gradient)


def quantize_training(
    model: nn.Module, formats: Formats, keep: Sequence[str] = (), batchnorm: Formats | None = None
) -> nn.Module:
    """Return a copy of `model` that rounds weights, activations and gradients wherever it multiplies them.

    The weights themselves stay as they are (the *master copy* that the optimizer updates).

    Parameters
    ----------
    model : nn.Module
        With linear layers and 2-d convolutions; left as it is.
    formats : Formats
        Of these layers.
    keep : sequence of str
        Layers that stay in floating point.
    batchnorm : Formats, optional
        What BatchNorm's input and the gradient of its output are rounded to; by default not at all.

    Raises
    ------
    ValueError
        If the model has no such layer, or `keep` names one that it does not have.
    TypeError
        If formats has an accumulator and a layer to be rounded is a convolution.

    Survey-map row: F4.
    """
    model = copy.deepcopy(model)
    layers = quantizable_layers(model)
    if not layers:
        raise ValueError(f"model must have a linear or convolutional layer, got {type(model).__name__} with none")
    if odd := set(keep) - layers.keys():
        raise ValueError(f"keep must name layers among {', '.join(layers)}, got {', '.join(sorted(odd))}")
    for name, layer in layers.items():
        if name in keep:
            continue
        if formats.accumulator is not None and not isinstance(layer, nn.Linear):
            raise TypeError(f"accumulator: only linear layers round their sums, {name} is a {type(layer).__name__}")
        _turn(layer, _Linear if isinstance(layer, nn.Linear) else _Conv2d, formats)
    if batchnorm is not None:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                _turn(module, _BatchNorm2d, batchnorm)
    return model


def _turn(module: Any, kind: type[nn.Module], formats: Formats) -> None:
    """Make a module of the copy one that rounds: same parameters, same names."""
    module.__class__, module.formats = kind, formats
