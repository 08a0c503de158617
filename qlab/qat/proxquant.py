"""ProxQuant: no quantizer in the forward pass; a step towards the grid after every step of training.

    θ ← θ − η∇L(θ)                                     gradient at the full-precision weights
    θ ← prox_λ(θ) = Q(θ) + sign(θ − Q(θ))·max(|θ − Q(θ)| − λ, 0),     λ grows while training

The second line is the proximal operator of λ‖θ − Q(θ)‖₁: the soft threshold, around the nearest level instead of 0.
BinaryConnect is the limit of a hard projection with the gradient taken *at* the projected weights.
Source: Bai, Wang, Liberty 2019, *ProxQuant: quantized neural networks via proximal operators*, algorithm 1, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qlab.network import quantizable_layers
from qlab.quantizer import Params, Quantizer

__all__ = ["ProxQuant", "prox_towards"]


def prox_towards(theta: Tensor, quantized: Tensor, strength: float | Tensor) -> Tensor:
    """Return the proximal operator of λ·‖θ − Q(θ)‖₁ with Q(θ) held: θ moved by at most λ towards Q(θ).

    Parameters
    ----------
    theta, quantized : Tensor
    strength : float or Tensor
        λ.

    Examples
    --------
    >>> prox_towards(torch.tensor([0.3, 0.9]), torch.tensor([0.0, 1.0]), 0.2)
    tensor([0.1000, 1.0000])

    References
    ----------
    Bai, Wang, Liberty 2019, section 3.2.

    Survey-map row: T3.
    """
    away = theta - quantized
    return quantized + torch.sign(away) * (away.abs() - strength).clamp(min=0)


@dataclass(frozen=True)
class ProxQuant:
    """What `qlab.zoo.train` calls after each step: ``train(model, data, after_step=ProxQuant.of(model, …))``.

    Parameters
    ----------
    quantizers : mapping of layer name to (Quantizer, Params)
        How each weight is quantized in the end: `ProxQuant.of` takes one quantizer for all.
    final : float
        λ at the end, in steps S of the layer per step of training; it grows linearly from 0.

    References
    ----------
    Bai, Wang, Liberty 2019, section 3.1.

    Survey-map row: T3.
    """

    quantizers: Mapping[str, tuple[Quantizer, Params]]
    final: float = 0.02

    @staticmethod
    def of(model: nn.Module, quantizers: Mapping[str, Quantizer], final: float = 0.02) -> ProxQuant:
        """Fix S and Z of the named layers by their weights as they are now."""
        layers = quantizable_layers(model)
        return ProxQuant({name: (q, q.calibrate(layers[name].weight)) for name, q in quantizers.items()}, final)

    @torch.no_grad()
    def __call__(self, model: nn.Module, progress: float) -> None:
        """Take the proximal step on the weights of `model`, in place, `progress` from 0 to 1."""
        layers = quantizable_layers(model)
        for name, (quantizer, params) in self.quantizers.items():
            weight = layers[name].weight
            S = quantizer.granularity.unrows(
                params.scale[:, None].expand(-1, weight.numel() // params.scale.numel()), tuple(weight.shape)
            )
            weight.copy_(prox_towards(weight, quantizer.fake(weight, params), self.final * progress * S))
