r"""Stochastic binarization: each weight tosses a coin in each forward pass.

    p = σ(w/α),  σ(x) = clip( (x + 1)/2, 0, 1 )          the hard sigmoid
    w_b = +α with probability p, −α with probability 1 − p
    E[w_b] = clip(w, −α, α),     Var[w_b] = α² − E[w_b]²
    backward: ∂w_b/∂w := 1;      after each step w ← clip(w, −α, α)

It is stochastic rounding on a grid of two levels, S = 2α. In evaluation mode it is the sign.
Source: Courbariaux, Bengio, David 2015, *BinaryConnect: training deep neural networks with binary weights during
propagations*, sections 2.2–2.4, equations 1–3, algorithm 1 (there α = 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qlab.calibration import MSE
from qlab.granularity import PerChannel
from qlab.grids import Codebook
from qlab.network import Trainable, quantizable_layers
from qlab.qat.estimators import through
from qlab.qat.learned import LearnedQuantizer, starting_params
from qlab.quantizer import Params, Quantizer

__all__ = ["StochasticBinary", "clip_latent", "hard_sigmoid"]


def hard_sigmoid(x: Tensor) -> Tensor:
    """Return clip((x + 1)/2, 0, 1).

    Examples
    --------
    >>> hard_sigmoid(torch.tensor([-2.0, -0.5, 0.0, 3.0]))
    tensor([0.0000, 0.2500, 0.5000, 1.0000])

    References
    ----------
    Courbariaux et al. 2015, equation 3.

    Survey-map row: G3.
    """
    return ((x + 1) / 2).clamp(0, 1)


@dataclass(frozen=True)
class StochasticBinary(Trainable):
    """Weights of one bit, drawn anew in each forward pass of training; their signs in evaluation mode.

    Parameters
    ----------
    width : float
        The coin is tossed for |w| < width·ᾱ, where ᾱ, the calibrated size of the levels, is the mean |w| of a channel
        for the default quantizer. The levels are ±width·ᾱ, too.
    seed : int
        Of the coins.
    stochastic : bool
        False takes the sign in training, too: BinaryConnect's deterministic form.
    quantizer : Quantizer
        Its grid has the two levels ±1.

    Raises
    ------
    ValueError
        If width is not positive or the grid has other levels than ±1.

    References
    ----------
    Courbariaux et al. 2015, sections 2.2–2.4.

    Survey-map rows: G3, E1.
    """

    width: float = 1.0
    seed: int = 0
    stochastic: bool = True
    quantizer: Quantizer = field(
        default_factory=lambda: Quantizer(Codebook((-1.0, 1.0)), PerChannel(0), calibration=MSE())
    )

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"width must be positive, got {self.width}")
        if self.quantizer.grid != Codebook((-1.0, 1.0)):
            raise ValueError(f"quantizer: the grid must be Codebook((-1, 1)), got {self.quantizer.grid!r}")

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds α and the state of the coins."""
        if x is None:
            raise TypeError("StochasticBinary is for weights; activations have other quantizers")
        return _Coins(self, starting_params(params, "StochasticBinary"))


class _Coins(LearnedQuantizer):
    alpha: Tensor
    zero_point: Tensor
    calls: Tensor

    def __init__(self, binary: Any, params: Params) -> None:
        super().__init__(binary.quantizer)
        self.seed, self.stochastic = binary.seed, binary.stochastic
        self.register_buffer("alpha", binary.width * params.scale)
        self.register_buffer("zero_point", params.zero_point)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))  # each call tosses coins of its own

    @property
    def params(self) -> Params:
        return Params(self.alpha, self.zero_point)

    def forward(self, w: Tensor) -> Tensor:
        alpha = self.alpha[:, None]
        rows = self.rows(w)
        if self.training and self.stochastic:
            generator = torch.Generator(w.device).manual_seed(self.seed * 1_000_003 + int(self.calls))
            self.calls += 1
            u = torch.rand(rows.shape, generator=generator, device=w.device, dtype=w.dtype)
            up = u < hard_sigmoid(rows.detach() / alpha)
        else:
            up = rows.detach() >= 0
        return self.unrows(through(rows, torch.where(up, alpha, -alpha)), w)

    def clip(self, w: Tensor) -> Tensor:
        """Return clip(w, −α, α)."""
        alpha = self.alpha[:, None]
        return self.unrows(torch.minimum(torch.maximum(self.rows(w), -alpha), alpha), w)


@torch.no_grad()
def clip_latent(model: nn.Module, progress: float) -> None:
    """Clip the real weights behind binary ones to [−α, α], in place: ``train(model, data, after_step=clip_latent)``.

    Outside of the levels a weight would change nothing but the time it needs to come back.

    References
    ----------
    Courbariaux et al. 2015, section 2.4.

    Survey-map row: G3.
    """
    for layer in quantizable_layers(model).values():
        if parametrize.is_parametrized(layer, "weight") and isinstance(layer.parametrizations.weight[-1], _Coins):
            chain = layer.parametrizations.weight
            chain.original.copy_(chain[-1].clip(chain.original))
