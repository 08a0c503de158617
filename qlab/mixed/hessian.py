"""Products with a Hessian that is never written down: one gradient of a gradient.

    g(w) = ∇L(w),     H·v = ∇( g(w)ᵀ·v )          v fixed: two passes back, memory of a gradient

H of the ConvNet's third convolution alone has 18,432² entries; H·v has 18,432. Source: Pearlmutter 1994, *Fast exact
multiplication by the Hessian*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from qlab.network import quantizable_layers
from qlab.validate import check_real

__all__ = ["hessian_product"]

Product = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]


def hessian_product(
    model: nn.Module, x: Tensor, labels: Tensor, names: Sequence[str] | None = None
) -> tuple[list[Tensor], Product]:
    """Return the weights and the function v ↦ H·v for the mean cross-entropy on a batch.

    Parameters
    ----------
    model : nn.Module
        In eval mode and floating point; left as it is.
    x : Tensor, shape (N, …)
    labels : Tensor of int64, shape (N,)
    names : sequence of str, optional
        The layers whose weights make up w; all linear and convolutional ones by default.

    Returns
    -------
    weights : list of Tensor
    product : function
        Of as many tensors, of the weights' shapes.

    Raises
    ------
    ValueError
        If the model is in training mode, or x is empty.

    Survey-map row: M2.
    """
    if model.training:
        raise ValueError("model must be in eval mode (model.eval()): in training BatchNorm depends on the batch")
    check_real(x)
    layers = quantizable_layers(model)
    chosen = list(layers) if names is None else list(names)
    weights = [layers[name].weight.detach().clone().requires_grad_() for name in chosen]
    with torch.enable_grad():
        logits = functional_call(model, {f"{n}.weight": w for n, w in zip(chosen, weights, strict=True)}, (x,))
        gradient = torch.autograd.grad(F.cross_entropy(logits, labels), weights, create_graph=True)

    def product(v: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(gradient, weights, list(v), retain_graph=True)

    return [w.detach() for w in weights], product
