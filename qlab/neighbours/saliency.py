"""Optimal brain damage: a weight matters as much as the loss would grow without it.

    δL = gᵀδw + ½ δwᵀH δw + …          at a minimum g ≈ 0; with H ≈ diag(h) and δw_i = −w_i:
    s_i = ½·h_ii·w_i²

The diagonal of the Hessian comes in three strengths:

    hessian              h_ii = ∂²L/∂w_i²                           exact, for tiny networks
    gauss_newton         h_ii = E_x Σ_c p_c(x)·(∂log p_c/∂w_i)²     drops the curvature of the network itself
    squared_gradients    h_ii = E_(x,y) (∂log p_y/∂w_i)²            one backward pass per picture ("empirical Fisher")

Sources: LeCun, Denker, Solla 1990, *Optimal brain damage*; for the last two: Martens 2020, *New insights and
perspectives on the natural gradient method*.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacrev, vmap
from torch.nn import functional as F

from qlab.neighbours.pruning import bake
from qlab.network import quantizable_layers

__all__ = ["hessian_diagonal", "optimal_brain_damage"]

LARGEST_EXACT = 2000


def optimal_brain_damage(
    model: nn.Module, x: Tensor, y: Tensor, curvature: str = "gauss_newton", chunk: int = 32
) -> dict[str, Tensor]:
    """Return the saliency s = ½·h·w² of every linear and convolutional layer, for the mean cross-entropy.

    Parameters
    ----------
    model : nn.Module
        In eval mode; left as it is.
    x : Tensor, shape (N, …)
        Inputs.
    y : Tensor of int64, shape (N,)
        Labels (not needed by, and without effect on, `gauss_newton`).
    curvature : {"gauss_newton", "squared_gradients", "hessian"}
    chunk : int
        Pictures at a time; memory grows with it.

    Returns
    -------
    dict of str to Tensor
        For `qlab.neighbours.pruning.prune`.

    Raises
    ------
    ValueError
        As `hessian_diagonal`.

    References
    ----------
    LeCun et al. 1990, section 2.

    Survey-map row: B7.
    """
    h = hessian_diagonal(model, x, y, curvature, chunk)
    return {name: h[name] * layer.weight.detach() ** 2 / 2 for name, layer in quantizable_layers(model).items()}


def hessian_diagonal(
    model: nn.Module, x: Tensor, y: Tensor, curvature: str = "gauss_newton", chunk: int = 32
) -> dict[str, Tensor]:
    """Return the diagonal of the Hessian of the mean cross-entropy with respect to every layer's weight.

    Parameters
    ----------
    model, x, y, curvature, chunk
        As `optimal_brain_damage`.

    Raises
    ------
    ValueError
        If the model is in training mode, `curvature` is unknown, x and y differ in length, or the exact Hessian is
        asked of a layer of more than 2,000 weights.

    References
    ----------
    LeCun et al. 1990, section 2; Martens 2020.

    Survey-map row: B7.
    """
    diagonals = {"hessian": _exact, "gauss_newton": _gauss_newton, "squared_gradients": _squared_gradients}
    if curvature not in diagonals:
        raise ValueError(f"curvature must be one of {', '.join(diagonals)}, got {curvature!r}")
    if model.training:
        raise ValueError("model must be in eval mode (model.eval()): in training BatchNorm depends on the batch")
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"x and y must be equally long and not empty, got {len(x)} and {len(y)}")
    plain = bake(model)
    weights = {f"{name}.weight": layer.weight.detach() for name, layer in quantizable_layers(plain).items()}

    def log_p(w: dict[str, Tensor], one: Tensor) -> Tensor:
        return F.log_softmax(functional_call(plain, w, (one[None],))[0], 0)

    h = diagonals[curvature](log_p, weights, x, y, chunk)
    return {name.removesuffix(".weight"): value.detach() for name, value in h.items()}


def _mean_over(x: Tensor, y: Tensor, chunk: int, of: Any) -> dict[str, Tensor]:
    """Return the mean of `of(one picture, its label)` over all pictures."""
    total: dict[str, Tensor] = {}
    for xs, ys in zip(x.split(chunk), y.split(chunk), strict=True):
        for name, values in vmap(of)(xs, ys).items():
            total[name] = total.get(name, 0) + values.sum(0) / len(x)
    return total


def _squared_gradients(log_p: Any, w: dict[str, Tensor], x: Tensor, y: Tensor, chunk: int) -> dict[str, Tensor]:
    def one(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        g = grad(lambda w: F.nll_loss(log_p(w, x)[None], y[None]))(w)
        return {name: value**2 for name, value in g.items()}

    return _mean_over(x, y, chunk, one)


def _gauss_newton(log_p: Any, w: dict[str, Tensor], x: Tensor, y: Tensor, chunk: int) -> dict[str, Tensor]:
    def one(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        p = log_p(w, x).exp()
        jacobian = jacrev(lambda w: log_p(w, x))(w)  # a row per class
        return {name: torch.tensordot(p, j**2, 1) for name, j in jacobian.items()}

    return _mean_over(x, y, chunk, one)


def _exact(log_p: Any, w: dict[str, Tensor], x: Tensor, y: Tensor, chunk: int) -> dict[str, Tensor]:
    largest = max(value.numel() for value in w.values())
    if largest > LARGEST_EXACT:
        raise ValueError(
            f'curvature must be "gauss_newton" or "squared_gradients" for layers of more than {LARGEST_EXACT} '
            f"weights (the exact Hessian is their number squared), got a layer of {largest}"
        )

    def loss(one_weight: Tensor, name: str) -> Tensor:
        return F.nll_loss(vmap(lambda x: log_p({**w, name: one_weight}, x))(x), y)

    def diagonal(name: str) -> Tensor:
        n = w[name].numel()
        return hessian(loss)(w[name], name).reshape(n, n).diagonal().reshape(w[name].shape)

    return {name: diagonal(name) for name in w}
