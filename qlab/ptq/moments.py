"""What post-training methods need to know of a layer's input: first and second moments, streamed over batches.

    A = E[x̂ x̂ᵀ],   C = E[x̂ xᵀ],   μ̂ = E[x̂],   μ = E[x]
    E‖W x − W̃ x̂‖² = tr(W̃ A W̃ᵀ) − 2 tr(W̃ C Wᵀ) + const

x is the input in the original network, x̂ in the quantized one; for a convolution both are the patches that a kernel
sees. The layer's whole reconstruction error is a quadratic of these few numbers, so memory does not grow with the data,
and AdaRound, OBQ and GPTQ differ only in how they search. Source: Nagel et al. 2020 (AdaRound), equations 12–21.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["InputMoments", "ReconstructionLoss", "layer_inputs", "layer_moments", "patches", "reconstruction_error"]


@dataclass(frozen=True, eq=False)
class InputMoments:
    """InputMoments of a layer's input, per group of a convolution.

    Attributes
    ----------
    second : Tensor, shape (groups, d, d)
        A.
    cross : Tensor, shape (groups, d, d)
        C.
    mean, original_mean : Tensor, shape (groups, d)
        μ̂ and μ.
    count : int
        Patches seen.

    Survey-map rows: T5, T8, T10.
    """

    second: Tensor
    cross: Tensor
    mean: Tensor
    original_mean: Tensor
    count: int


def patches(layer: Any, x: Tensor) -> Tensor:
    """Return the rows that the layer's weight multiplies, shape (groups, n, d).

    Parameters
    ----------
    layer : nn.Linear, nn.Conv1d or nn.Conv2d
        With zero padding.
    x : Tensor
        Input of the layer.

    Raises
    ------
    TypeError
        If the layer is of another kind.

    Survey-map row: T8.
    """
    if isinstance(layer, nn.Linear):
        return x.reshape(1, -1, x.shape[-1])
    if isinstance(layer, nn.Conv1d):
        x, kernel = x[:, :, None], (1, *layer.kernel_size)
        dilation, padding, stride = (1, *layer.dilation), (0, *_numbers(layer)), (1, *layer.stride)
    elif isinstance(layer, nn.Conv2d):
        kernel, dilation, padding, stride = layer.kernel_size, layer.dilation, _numbers(layer), layer.stride
    else:
        raise TypeError(f"layer must be nn.Linear, nn.Conv1d or nn.Conv2d, got {type(layer).__name__}")
    columns = F.unfold(x, kernel, dilation, padding, stride)  # (N, channels · kernel, places)
    groups = layer.groups
    n, d, places = columns.shape
    return columns.reshape(n, groups, d // groups, places).permute(1, 0, 3, 2).reshape(groups, n * places, d // groups)


def _numbers(layer: Any) -> tuple[int, ...]:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise TypeError(f"layer must pad with a number of zeros, got {layer.padding!r}, {layer.padding_mode!r}")
    return layer.padding


class _Caught(Exception):
    """The layer has been reached: the rest of the network need not run."""


def layer_inputs(model: nn.Module, name: str, batch: Tensor) -> Tensor:
    """Return what arrives at the module `name` (after its activation's quantizer); the rest of the network is not run.

    Raises
    ------
    ValueError
        If the network does not call the module.

    Survey-map rows: T5, T8.
    """
    caught: list[Tensor] = []

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        caught.append(args[0])
        raise _Caught

    handle = model.get_submodule(name).register_forward_pre_hook(hook)  # runs after the activation's quantizer
    try:
        model(batch)
    except _Caught:
        pass
    finally:
        handle.remove()
    if not caught:
        raise ValueError(f"batches must reach layer {name!r}, but the network does not call it")
    return caught[0]


@torch.no_grad()
def layer_moments(quantized: nn.Module, original: nn.Module, name: str, batches: Iterable[Tensor]) -> InputMoments:
    """Stream `batches` through both networks up to the layer `name`, and return the moments of its input.

    Raises
    ------
    ValueError
        If there are no batches, or the layer is never called.

    Survey-map rows: T5, T8, T10.
    """
    layer = original.get_submodule(name)
    A: Any = 0.0
    C: Any = 0.0
    mean: Any = 0.0
    before: Any = 0.0
    count = 0
    for batch in batches:
        x_hat = patches(layer, layer_inputs(quantized, name, batch))
        x = patches(layer, layer_inputs(original, name, batch))
        A = A + (x_hat.mT @ x_hat).double()
        C = C + (x_hat.mT @ x).double()
        mean, before = mean + x_hat.sum(1).double(), before + x.sum(1).double()
        count += x.shape[1]
    if not count:
        raise ValueError("batches must hold at least one batch, got none")
    return InputMoments(A / count, C / count, mean / count, before / count, count)


def grouped(weight: Tensor, groups: int) -> Tensor:
    """Return a weight as (groups, outputs/groups, d)."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


class ReconstructionLoss:
    """E‖W x − W̃ x̂‖² for optimizers that ask again and again: one matrix product for the value and the gradient.

        ½ ∂/∂W̃ = W̃A − WCᵀ,    value = ⟨W̃, W̃A⟩ − 2⟨W̃, WCᵀ⟩ + ⟨W, WA⟩

    Parameters
    ----------
    weight : Tensor, shape (groups, outputs/groups, d)
        W.
    moments : InputMoments

    Survey-map rows: T8, T9.
    """

    def __init__(self, weight: Tensor, moments: InputMoments) -> None:
        W, A, C = (t.detach().double() for t in (weight, moments.second, moments.cross))
        self.A, self.WC = A.to(weight.dtype), (W @ C.mT).to(weight.dtype)
        self.constant = float(((W @ A) * W).sum())

    def __call__(self, rounded: Tensor) -> Tensor:
        """Return the error summed over outputs; `reconstruction_error` gives the same with autograd's own gradient."""
        R = rounded.detach()
        RA = R @ self.A
        return 2 * (rounded * (RA - self.WC)).sum() - (R * RA).sum() + self.constant


def reconstruction_error(weight: Tensor, rounded: Tensor, moments: InputMoments) -> Tensor:
    """Return E‖W x − W̃ x̂‖² per output, up to what does not depend on W̃, shape (groups, outputs/groups).

    With one network for both (x̂ = x) it is the whole error, (W − W̃) A (W − W̃)ᵀ.

    Parameters
    ----------
    weight, rounded : Tensor, shape (groups, outputs/groups, d)
    moments : InputMoments

    Survey-map row: T8.
    """
    A, C = moments.second, moments.cross
    return ((rounded @ A) * rounded).sum(-1) - 2 * ((rounded @ C) * weight).sum(-1) + ((weight @ A) * weight).sum(-1)
