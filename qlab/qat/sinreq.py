"""A sine that is zero on the grid: weights roll into its valleys.

    R(W) = Σ sin²(π·W/S) / N,      loss = L + λ·R,   λ grows while training

The valleys lie on the levels; between two of them the sine pushes to the nearer one, most in the middle of the slope
and not at all at the top, where the rounding is undecided. The sine does not know where the grid ends: beyond it there
are valleys without a level, and `ClipWeights` keeps weights out of them. (The paper's weights are DoReFa's, which are
clipped already.)
Source: Elthakeb, Pilligundla, Esmaeilzadeh 2019, *SinReQ: generalized sinusoidal regularization for low-bitwidth deep
quantized training*, equations 2–3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qlab.network import quantizable_layers
from qlab.quantizer import Params, Quantizer

__all__ = ["ClipWeights", "SinReQ", "sine_penalty"]


def sine_penalty(weight: Tensor, scale: Tensor) -> Tensor:
    """Return the mean of sin²(π·W/S): 0 on the grid, 1 halfway between two levels.

    Parameters
    ----------
    weight : Tensor, shape (rows, n)
    scale : Tensor, shape (rows,)

    Examples
    --------
    >>> sine_penalty(torch.tensor([[0.0, 0.5, 1.0, 1.5]]), torch.tensor([1.0]))
    tensor(0.5000)

    Survey-map row: T3.
    """
    return torch.sin(torch.pi * weight / scale[:, None]).square().mean()


@dataclass(frozen=True)
class SinReQ:
    """What `qlab.zoo.train` adds to the loss: ``train(model, data, penalty=SinReQ.of(model, quantizers))``.

    Parameters
    ----------
    quantizers : mapping of layer name to (Quantizer, Params)
    strength : float
        λ at the end; it grows as progress².

    References
    ----------
    Elthakeb et al. 2019, section 3.

    Survey-map row: T3.
    """

    quantizers: Mapping[str, tuple[Quantizer, Params]]
    strength: float = 1.0

    @staticmethod
    def of(model: nn.Module, quantizers: Mapping[str, Quantizer], strength: float = 1.0) -> SinReQ:
        """Fix S and Z of the named layers by their weights as they are now."""
        layers = quantizable_layers(model)
        return SinReQ({name: (q, q.calibrate(layers[name].weight)) for name, q in quantizers.items()}, strength)

    def __call__(self, model: nn.Module, progress: float) -> Tensor:
        """Return the penalty of the weights of `model`, `progress` from 0 to 1."""
        layers = quantizable_layers(model)
        terms = [
            sine_penalty(quantizer.granularity.rows(layers[name].weight), params.scale)
            for name, (quantizer, params) in self.quantizers.items()
        ]
        return self.strength * progress**2 * torch.stack(terms).sum()


@dataclass(frozen=True)
class ClipWeights:
    """W ← clip(W, S·(q_min + Z), S·(q_max + Z)) after each step: ``train(model, data, after_step=ClipWeights(…))``.

    Parameters
    ----------
    quantizers : mapping of layer name to (Quantizer, Params)
        As `SinReQ` and `ProxQuant` hold them.

    Survey-map row: T3.
    """

    quantizers: Mapping[str, tuple[Quantizer, Params]]

    @torch.no_grad()
    def __call__(self, model: nn.Module, progress: float) -> None:
        """Clip the weights of `model`, in place."""
        layers = quantizable_layers(model)
        for name, (quantizer, p) in self.quantizers.items():
            weight = layers[name].weight
            rows = quantizer.granularity.rows(weight)
            low, high = (p.scale * (end + p.zero_point) for end in quantizer.grid.code_range)
            rows = torch.minimum(torch.maximum(rows, low[:, None]), high[:, None])
            weight.copy_(quantizer.granularity.unrows(rows, tuple(weight.shape)))
