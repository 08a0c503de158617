"""Binary-Weight-Networks (BWN) and XNOR-Net: signs with the scale of least squares.

    W ≈ α·B:   B = sign(W),  α = mean|W|                       of a filter: min over α, B of ‖W − αB‖²
    I ⊛ W ≈ (sign(I) ⊛ B)·α·K,   K = A ⊛ k,  A = mean over channels of |I|,  k = 1/(w·h)
    backward: ∂sign(x)/∂x := 1 for |x| ≤ 1; α is differentiated like any mean

Why: ‖W − αB‖² = n·α² − 2α·WᵀB + ‖W‖² falls with WᵀB, which is largest, Σ|W|, for B = sign(W); then α = WᵀB/n.
Source: Rastegari, Ordonez, Redmon, Farhadi 2016, *XNOR-Net*, sections 3.1 and 3.2, equations 2–6 and 11.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.extreme.bnn import _SignInput
from qlab.extreme.levels import Few, FewLevels, ForInputs
from qlab.extreme.signs import hard_tanh, sign
from qlab.gradients import instead
from qlab.network import quantizable_layers

__all__ = ["BWN", "XNORInput", "input_scale", "with_input_scales"]


class _BWN(FewLevels):
    def forward(self, w: Tensor) -> Tensor:
        rows = self.rows(w)
        alpha = rows.abs().mean(1, keepdim=True)
        if self.choice.straight:
            return instead(w, self.unrows(alpha.detach() * sign(rows), w))
        return self.unrows(alpha * instead(hard_tanh(rows), sign(rows)), w)

    def coded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return sign(rows), rows.abs().mean(1)


@dataclass(frozen=True)
class BWN(Few):
    """Weights of −α and +α, α = mean|W|: by default one α for each filter.

    Parameters
    ----------
    straight : bool
        True gives the gradient at W̃ to W as it is, as BinaryConnect and LAB do; False, the paper's way, multiplies it
        by α and adds what α itself sends back.

    References
    ----------
    Rastegari et al. 2016, section 3.1.

    Examples
    --------
    >>> w = torch.tensor([[0.3, -0.2, 0.1]])
    >>> BWN().module(None, w)(w)
    tensor([[ 0.2000, -0.2000,  0.2000]])

    Survey-map row: E2.
    """

    straight: bool = False
    equation = _BWN


class _XNORInput(_SignInput):
    """The sign, and A until the layer's hook takes it."""

    magnitude: Tensor | None = None

    def forward(self, a: Tensor) -> Tensor:
        self.magnitude = a.abs().mean(1, keepdim=True)
        return super().forward(a)


@dataclass(frozen=True)
class XNORInput(ForInputs):
    """Activations of −1 and +1 whose magnitudes come back as K; `with_input_scales` puts K behind the layer.

    References
    ----------
    Rastegari et al. 2016, section 3.2.

    Survey-map row: E2.
    """

    soft: Any = hard_tanh
    equation = _XNORInput


def input_scale(magnitude: Tensor, layer: Any) -> Tensor:
    """Return K: the mean of A over each window of the layer (for a linear layer, A itself).

    Parameters
    ----------
    magnitude : Tensor, shape (N, 1, height, width) or (N, 1)
        A, the mean of |a| over channels.
    layer : nn.Conv2d or nn.Linear
        Whose windows to average over; zeros around the picture count.

    Examples
    --------
    >>> input_scale(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), nn.Conv2d(8, 8, 2))
    tensor([[[[3.]]]])

    References
    ----------
    Rastegari et al. 2016, equation 11.

    Survey-map row: E2.
    """
    if not isinstance(layer, nn.Conv2d):
        return magnitude
    k = torch.full((1, 1, *layer.kernel_size), 1 / (layer.kernel_size[0] * layer.kernel_size[1])).to(magnitude)
    return F.conv2d(magnitude, k, None, layer.stride, layer.padding, layer.dilation)


def _times_k(layer: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
    magnitude, layer.activation_quantizer.magnitude = layer.activation_quantizer.magnitude, None
    return output * input_scale(magnitude, layer)


def with_input_scales(model: nn.Module) -> nn.Module:
    """Return a copy of a network quantized with `XNORInput` whose layers multiply their output by K.

    Parameters
    ----------
    model : nn.Module
        Left as it is. The layers must have no bias: K would multiply it, too.

    Raises
    ------
    ValueError
        If no layer has an `XNORInput`, or one that has it has a bias.

    References
    ----------
    Rastegari et al. 2016, equation 11.

    Survey-map row: E2.
    """
    model = copy.deepcopy(model)
    found = {
        name: layer
        for name, layer in quantizable_layers(model).items()
        if isinstance(getattr(layer, "activation_quantizer", None), _XNORInput)
    }
    if not found:
        raise ValueError("model must have a layer whose input is quantized by XNORInput, got none")
    for name, layer in found.items():
        if layer.bias is not None:
            raise ValueError(f"model: layer {name!r} has a bias, which K would multiply; leave it to a BatchNorm")
        layer.register_forward_hook(_times_k)
    return model
