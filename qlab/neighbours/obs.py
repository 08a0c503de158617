"""Optimal brain surgeon: remove a weight, and let the others make up for it.

For a linear layer y = Wx and the squared error of its output every row w of W is a problem of its own:

    E(w) = ‖(w − w₀)ᵀX‖²,     H = 2XXᵀ
    q    = argmin_q  w_q²/(2[H⁻¹]_qq)                             the weight that costs least
    δw   = −w_q/[H⁻¹]_qq · H⁻¹[:, q]                              what it and the others change by
    H⁻¹ ← H⁻¹ − H⁻¹[:, q]·H⁻¹[q, :]/[H⁻¹]_qq                      H⁻¹ without row and column q

A convolution is the same with every patch of its input as a column of X.

Sources: Hassibi and Stork 1993, *Second order derivatives for network pruning: optimal brain surgeon*, equation 5;
row by row and with the update of H⁻¹: Frantar and Alistarh 2022, *Optimal brain compression*, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.neighbours.pruning import bake, with_masks
from qlab.network import quantizable_layers
from qlab.validate import check_finite, check_real

__all__ = [
    "Surgery",
    "input_hessian",
    "obs_saliency",
    "optimal_brain_surgeon",
    "prune_obs",
    "prune_obs_path",
    "surgery_path",
]


@dataclass(frozen=True, eq=False)
class Surgery:
    """What `optimal_brain_surgeon` made of a weight matrix.

    Attributes
    ----------
    weight : Tensor, shape (rows, n)
        Zeros where `mask` is False; the others have moved to compensate.
    mask : Tensor of bool, shape (rows, n)
    error : Tensor, shape (rows,)
        The squared error of every output over the inputs behind H, the sum of the saliencies on the way.

    Survey-map row: B7.
    """

    weight: Tensor
    mask: Tensor
    error: Tensor


def obs_saliency(weight: Tensor, hessian: Tensor) -> Tensor:
    """Return s_q = w_q²/(2[H⁻¹]_qq): how much the squared error grows if w_q goes and the others compensate.

    Parameters
    ----------
    weight : Tensor, shape (rows, n)
    hessian : Tensor, shape (n, n)
        H = 2XXᵀ, positive definite.

    References
    ----------
    Hassibi and Stork 1993, equation 5.

    Examples
    --------
    With uncorrelated inputs (H diagonal) it is the saliency of optimal brain damage, ½·h_qq·w_q²:

    >>> obs_saliency(torch.tensor([[3.0, 1.0]]), torch.diag(torch.tensor([2.0, 8.0]))).tolist()
    [[9.0, 4.0]]

    Survey-map row: B7.
    """
    return weight**2 / (2 * _inverse(weight, hessian).diagonal()).to(weight.dtype)


@torch.no_grad()
def optimal_brain_surgeon(weight: Tensor, hessian: Tensor, sparsity: float) -> Surgery:
    """Return `weight` with round(p·n) elements of every row removed one by one, the others compensating.

    Parameters
    ----------
    weight : Tensor, shape (rows, n)
    hessian : Tensor, shape (n, n)
        H = 2XXᵀ, positive definite (`input_hessian` adds a little damping).
    sparsity : float
        p, 0 ≤ p < 1.

    Raises
    ------
    ValueError
        If shapes do not match, H is not positive definite, or `sparsity` is out of range.

    References
    ----------
    Hassibi and Stork 1993, section 3; Frantar and Alistarh 2022, algorithm 1.

    Survey-map row: B7.
    """
    return surgery_path(weight, hessian, [sparsity])[0]


@torch.no_grad()
def surgery_path(weight: Tensor, hessian: Tensor, sparsities: Sequence[float]) -> list[Surgery]:
    """Return what `optimal_brain_surgeon` makes at several sparsities, in the time of the largest alone.

    Weights are removed one by one, so the way to 80 % of zeros passes through 50 %.

    Parameters
    ----------
    weight, hessian
        As `optimal_brain_surgeon`.
    sparsities : sequence of float
        In any order.

    Survey-map row: B7.
    """
    for p in sparsities:
        if not 0 <= p < 1:
            raise ValueError(f"sparsity must lie in 0 ≤ p < 1, got {p}")
    h_inv = _inverse(weight, hessian)
    counts = [round(p * weight.shape[1]) for p in sparsities]
    rows = [_operate(row, h_inv, counts) for row in weight.double()]
    found = []
    for at_count in zip(*rows, strict=True):
        w, mask, error = (torch.stack(parts) for parts in zip(*at_count, strict=True))
        found.append(Surgery(w.to(weight.dtype), mask, error))
    return found


def _operate(w: Tensor, h_inv: Tensor, counts: Sequence[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return (weights, mask, error) after each of these numbers of removals."""
    w, h_inv = w.clone(), h_inv.clone()
    alive = torch.ones_like(w, dtype=torch.bool)
    error = w.new_zeros(())
    seen = {0: (w.clone(), alive.clone(), error.clone())}
    for done in range(1, max(counts, default=0) + 1):
        saliency = torch.where(alive, w**2 / (2 * h_inv.diagonal()), torch.inf)
        q = int(saliency.argmin())
        column, pivot = h_inv[:, q].clone(), h_inv[q, q].item()
        error += saliency[q]
        w -= w[q] / pivot * column
        h_inv.addmm_(column[:, None], column[None, :], alpha=-1 / pivot)
        alive[q] = False
        w[~alive] = 0  # exactly: rounding would leave traces
        h_inv[q, q] = 1  # its row and column are zero now; any pivot will do, it is never chosen again
        if done in counts:
            seen[done] = w.clone(), alive.clone(), error.clone()
    return [seen[n] for n in counts]


def _inverse(weight: Tensor, hessian: Tensor) -> Tensor:
    check_finite(check_real(weight, "weight"), "weight")
    n = weight.shape[-1]
    if weight.dim() != 2 or hessian.shape != (n, n):
        raise ValueError(f"hessian must be n × n for a weight of rows × n, got {hessian.shape} and {weight.shape}")
    factor, failed = torch.linalg.cholesky_ex(check_finite(hessian, "hessian").double())
    if failed:
        raise ValueError("hessian must be positive definite, got one that is not: use more inputs, or more damping")
    return torch.cholesky_inverse(factor)


@torch.no_grad()
def input_hessian(model: nn.Module, batches: Iterable[Tensor], damping: float = 0.01) -> dict[str, Tensor]:
    """Return H = 2XXᵀ of every linear and (ungrouped) 2-d convolutional layer, in float64.

    Parameters
    ----------
    model : nn.Module
        In eval mode; left as it is.
    batches : iterable of Tensor
    damping : float
        This share of the mean diagonal is added to the diagonal, so that H can be inverted (dead inputs).

    Survey-map row: B7.
    """
    if model.training:
        raise ValueError("model must be in eval mode (model.eval())")
    model = bake(model)
    found: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def hook(layer: Any, args: tuple[Tensor, ...]) -> None:
            x = _columns(layer, args[0]).double()
            found[name] = found.get(name, 0) + 2 * x @ x.T

        return hook

    for name, layer in quantizable_layers(model).items():
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1):
            layer.register_forward_pre_hook(watch(name))
    for batch in batches:
        model(batch)
    if not found:
        raise ValueError("batches must reach a linear or ungrouped 2-d convolutional layer; none was reached")
    return {name: h + damping * h.diagonal().mean() * torch.eye(len(h)).to(h) for name, h in found.items()}


def _columns(layer: Any, x: Tensor) -> Tensor:
    """Return the inputs as columns, so that the layer is flatten(W, 1) @ columns."""
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, x.shape[-1]).T
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(f"a convolution must be padded with zeros by given amounts, got {layer}")
    patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # (N, C·k², places)
    return patches.movedim(1, 0).flatten(1)


def prune_obs(model: nn.Module, sparsity: float, batches: Iterable[Tensor], damping: float = 0.01) -> nn.Module:
    """Return a copy of `model` with the same share of every output's weights removed by optimal brain surgery.

    Layers that `input_hessian` leaves out (grouped convolutions) stay dense.

    Parameters
    ----------
    model, batches, damping
        As `input_hessian`.
    sparsity : float
        p, 0 ≤ p < 1.

    Survey-map row: B7.
    """
    return prune_obs_path(model, [sparsity], batches, damping)[0]


def prune_obs_path(
    model: nn.Module, sparsities: Sequence[float], batches: Iterable[Tensor], damping: float = 0.01
) -> list[nn.Module]:
    """Return what `prune_obs` makes at several sparsities, in the time of the largest alone.

    Parameters
    ----------
    model, batches, damping
        As `input_hessian`.
    sparsities : sequence of float
        In any order.

    Survey-map row: B7.
    """
    plain = bake(model)
    models = [bake(model) for _ in sparsities]
    masks: list[dict[str, Tensor]] = [{} for _ in sparsities]
    for name, h in input_hessian(model, batches, damping).items():
        plain_layer: Any = plain.get_submodule(name)
        weight = plain_layer.weight.detach()
        for k, done in enumerate(surgery_path(weight.flatten(1), h, sparsities)):
            layer: Any = models[k].get_submodule(name)
            layer.weight.data.copy_(done.weight.reshape(weight.shape))
            masks[k][name] = done.mask.reshape(weight.shape)
    return [with_masks(pruned, kept) for pruned, kept in zip(models, masks, strict=True)]
