"""How curved is what a network says, and in which directions: the Fisher information of its weights.

Move the weights by δ. The answers p move, and to second order

    KL( p_θ ‖ p_{θ+δ} ) ≈ ½ δᵀ F δ,     F = E_x Σ_c p_c · ∇log p_c ∇log p_cᵀ

without a first-order term, since Σ_c p_c ∇log p_c = ∇ Σ_c p_c = 0. With F = Σ_i λ_i u_i u_iᵀ, a random direction costs
½‖δ‖²·tr(F)/n on average and the worst one ½‖δ‖²·λ_1. F is the Fisher information, and the Gauss–Newton form of the
Hessian of the cross-entropy.

Sources: Martens 2020, *New insights and perspectives on the natural gradient method*, sections 5 and 9.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional as F

from qlab.network import quantizable_layers

__all__ = ["fisher_factor", "fisher_spectrum", "move_weights"]


def move_weights(model: nn.Module, delta: Tensor) -> nn.Module:
    """Return a copy of `model` with θ + δ for its weights θ.

    Parameters
    ----------
    model : nn.Module
        In floating point.
    delta : Tensor, shape (n,)
        In the order of `qlab.history.networks.weight_vector`.

    Raises
    ------
    ValueError
        If delta does not have one number per weight of the linear and convolutional layers.

    Survey-map row: H11.
    """
    model = copy.deepcopy(model)
    layers = quantizable_layers(model).values()
    sizes = [layer.weight.numel() for layer in layers]
    if delta.shape != (sum(sizes),):
        raise ValueError(f"delta must have shape ({sum(sizes)},), got {tuple(delta.shape)}")
    with torch.no_grad():
        for layer, part in zip(layers, delta.split(sizes), strict=True):
            layer.weight.add_(part.view_as(layer.weight))
    return model


def fisher_factor(model: nn.Module, x: Tensor, chunk: int = 25) -> Tensor:
    """Return G with F = GᵀG: a row √(p_c/N)·∇log p_c for every picture and class.

    Parameters
    ----------
    model : nn.Module
        In eval mode and floating point; left as it is.
    x : Tensor, shape (N, …)
        Inputs. F has at most N·(classes − 1) directions that are not flat.
    chunk : int
        Pictures at a time.

    Returns
    -------
    Tensor, shape (N·classes, n)
        Columns in the order of `qlab.history.networks.weight_vector`.

    Raises
    ------
    ValueError
        If the model is in training mode.

    References
    ----------
    Martens 2020, section 5.

    Survey-map row: H11.
    """
    if model.training:
        raise ValueError("model must be in eval mode (model.eval()): in training BatchNorm depends on the batch")
    weights = {f"{name}.weight": layer.weight.detach() for name, layer in quantizable_layers(model).items()}

    def log_p(w: dict[str, Tensor], one: Tensor) -> Tensor:
        return F.log_softmax(functional_call(model, w, (one[None],))[0], 0)

    def rows(one: Tensor) -> Tensor:
        jacobian = jacrev(log_p)(weights, one)  # a row per class
        flat = torch.cat([j.flatten(1) for j in jacobian.values()], 1)
        return (log_p(weights, one).exp() / len(x)).sqrt()[:, None] * flat

    return torch.cat([vmap(rows)(part).flatten(0, 1) for part in x.split(chunk)]).detach()


def fisher_spectrum(model: nn.Module, x: Tensor, top: int = 1) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues of F that can differ from 0, the largest first, and the first `top` eigenvectors.

    Parameters
    ----------
    model, x
        As `fisher_factor`.
    top : int

    Returns
    -------
    eigenvalues : Tensor, shape (N·classes,)
        From the small matrix GGᵀ, which has the same ones as GᵀG. All others of F are 0.
    eigenvectors : Tensor, shape (top, n)
        Of unit length, as rows.

    Survey-map row: H11.
    """
    G = fisher_factor(model, x)
    values, vectors = torch.linalg.eigh(G @ G.T)
    found = vectors[:, -top:].flip(1).T @ G
    return values.flip(0).clamp(min=0), found / found.norm(dim=1, keepdim=True)
