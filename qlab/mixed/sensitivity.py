"""Sensitivity by perturbation: quantize one layer at a time and ask the network how much its answers change.

    Ω_i(b) = 1/N Σ_j KL( p(x_j; θ) ‖ p(x_j; θ̃_i(b)) )          θ̃_i(b): layer i at b bits, all others as they are

No label is needed, and no picture either: x may be distilled (`qlab.zsq.distil`), as in the paper. One table of
layers × choices costs as many forward passes, where the assignments are choices^layers.

Source: Cai et al. 2020, *ZeroQ*, section 3.2, equation 6; cruder relatives beside it for comparison.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from qlab.history.networks import divergence
from qlab.mixed.assignment import Space, weight_quantizer
from qlab.network import quantizable_layers
from qlab.validate import check_real

__all__ = ["divergence_sensitivity", "loss_sensitivity", "noise_sensitivity", "perturb", "weight_errors"]

Table = NDArray[np.float64]


@torch.no_grad()
def perturb(model: nn.Module, x: Tensor, space: Space, harm: Callable[[Tensor, Tensor], float]) -> Table:
    """Return harm(logits, logits with layer i at b bits) for every layer i and choice b.

    Parameters
    ----------
    model : nn.Module
        In eval mode and floating point; left as it is.
    x : Tensor, shape (N, …)
        Inputs: real or distilled ones.
    space : Space
    harm : function of (logits, changed logits), each of shape (N, classes)

    Returns
    -------
    array of float, shape (layers, choices)

    Raises
    ------
    ValueError
        If the model is in training mode, or x is empty.

    Survey-map row: M1.
    """
    if model.training:
        raise ValueError("model must be in eval mode: call model.eval() first")
    check_real(x)
    layers = quantizable_layers(model)

    def logits(changed: dict[str, Tensor]) -> Tensor:
        return torch.cat([functional_call(model, changed, (part,)) for part in x.split(500)])

    before = logits({})
    return np.array(
        [
            [
                harm(before, logits({f"{name}.weight": weight_quantizer(b).fake(layers[name].weight.detach())}))
                for b in space.choices
            ]
            for name in space.names
        ]
    )


def divergence_sensitivity(model: nn.Module, x: Tensor, space: Space) -> Table:
    """Return ZeroQ's Ω_i(b): the mean divergence KL(p ‖ p̃), in nats.

    Parameters
    ----------
    model, x, space
        As `perturb`.

    Returns
    -------
    array of float, shape (layers, choices)

    Raises
    ------
    ValueError
        As `perturb`.

    References
    ----------
    Cai et al. 2020, equation 6.

    Survey-map row: M1.
    """
    return perturb(model, x, space, divergence)


def loss_sensitivity(model: nn.Module, x: Tensor, labels: Tensor, space: Space) -> Table:
    """Return by how much the mean cross-entropy rises, in nats; negative where it falls.

    Parameters
    ----------
    model, x, space
        As `perturb`.
    labels : Tensor of int64, shape (N,)

    Returns
    -------
    array of float, shape (layers, choices)

    Raises
    ------
    ValueError
        As `perturb`.

    Survey-map row: M1.
    """
    return perturb(
        model, x, space, lambda a, b: float(F.cross_entropy(b.double(), labels) - F.cross_entropy(a.double(), labels))
    )


def weight_errors(model: nn.Module, space: Space) -> Table:
    """Return ‖Q_b(W_i) − W_i‖², the squared error of every layer's weight with every choice.

    Returns
    -------
    array of float, shape (layers, choices)

    Survey-map rows: M1, M2.
    """
    layers = quantizable_layers(model)
    weights = [layers[name].weight.detach() for name in space.names]
    return np.array(
        [[float((weight_quantizer(b).fake(w) - w).double().square().sum()) for b in space.choices] for w in weights]
    )


def noise_sensitivity(model: nn.Module, space: Space) -> Table:
    """Return ‖Q_b(W_i) − W_i‖² / ‖W_i‖², one over the weight's SQNR: what can be told without running the network.

    Returns
    -------
    array of float, shape (layers, choices)

    Survey-map row: M1.
    """
    layers = quantizable_layers(model)
    power = [float(layers[name].weight.detach().double().square().sum()) for name in space.names]
    return weight_errors(model, space) / np.array(power)[:, None]
