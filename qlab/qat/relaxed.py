r"""Relaxed quantization: noise makes the staircase smooth, and a softmax makes the choice of a level differentiable.

    p(k) ∝ F((k + ½ − t)/σ) − F((k − ½ − t)/σ),        F the logistic function, t = r/S
    z = softmax( (ln p + G)/λ ),  G ~ Gumbel,           r̃ = S·Σ_k z_k·k

p(k) is the probability that t plus logistic noise of width σ rounds to k. While training, r̃ is a random mixture that
λ → 0 turns into a random level; in evaluation mode it is the nearest level. S and σ are learned.
Sources: Louizos et al. 2019, *Relaxed quantization for discretizing neural networks*, equations 3–6;
Jang, Gu, Poole 2017 and Maddison, Mnih, Teh 2017 (Gumbel-softmax, or concrete, distribution).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.grids import Symmetric
from qlab.network import Trainable
from qlab.qat.learned import LearnedScale, starting_params, uniform_codes
from qlab.quantizer import Params, Quantizer

__all__ = ["Relaxed", "level_probabilities"]


def level_probabilities(t: Tensor, levels: Tensor, sigma: Tensor) -> Tensor:
    """Return the probability that t plus logistic noise rounds to each level, shape that of t and (levels,).

    Probabilities outside of the levels are shared out in proportion: the distribution is truncated to the grid.

    Parameters
    ----------
    t : Tensor
        r/S.
    levels : Tensor, shape (L,)
        Neighbouring whole numbers.
    sigma : Tensor
        Width of the noise, in steps.

    Examples
    --------
    >>> level_probabilities(torch.tensor([0.5]), torch.arange(2.0), torch.tensor(0.1))
    tensor([[0.5000, 0.5000]])

    Survey-map row: T3.
    """
    above = torch.sigmoid((levels + 0.5 - t[..., None]) / sigma)
    below = torch.sigmoid((levels - 0.5 - t[..., None]) / sigma)
    p = (above - below).clamp(min=1e-12)
    return p / p.sum(-1, keepdim=True)


@dataclass(frozen=True)
class Relaxed(Trainable):
    """Relaxed quantization of weights (of activations too, at a price of 2^b values for each).

    Parameters
    ----------
    quantizer : Quantizer
        Uniform grid of at most 6 bits, granularity, and the calibration from which S starts.
    sigma : float
        First width of the noise, in steps.
    temperature : float
        λ.
    seed : int
        Of the noise.

    Raises
    ------
    ValueError
        If sigma or temperature is not positive, or the grid has more than 64 levels.

    References
    ----------
    Louizos et al. 2019, section 2.

    Survey-map row: T3.
    """

    quantizer: Quantizer = field(default_factory=lambda: Quantizer(Symmetric(4), calibration=MSE()))
    sigma: float = 0.2
    temperature: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sigma > 0 or not self.temperature > 0:
            raise ValueError(f"sigma and temperature must be positive, got {self.sigma} and {self.temperature}")
        q_min, q_max = uniform_codes(self.quantizer.grid, "Relaxed")
        if q_max - q_min > 63:
            raise ValueError(f"quantizer: the grid must have at most 64 levels, got {q_max - q_min + 1}")

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds S, σ and the state of the noise."""
        return _RelaxedLevels(self, starting_params(params, "Relaxed"), activation=x is None)


class _RelaxedLevels(LearnedScale):
    calls: Tensor

    def __init__(self, relaxed: Any, params: Params, activation: bool) -> None:
        super().__init__(relaxed.quantizer, params, activation, "Relaxed")
        self.temperature, self.seed = relaxed.temperature, relaxed.seed
        self.log_sigma = nn.Parameter(torch.tensor(float(relaxed.sigma)).log())
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))  # each call has noise of its own

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.quantizer.fake(x, self.params)
        S = self.positive(self.slow(self.scale, x))
        Z = self.zero_point[:, None]
        levels = torch.arange(self.q_min, self.q_max + 1, device=x.device, dtype=x.dtype)
        t = torch.minimum(torch.maximum(self.rows(x) / S - Z, self.q_min - 0 * S), self.q_max + 0 * S)
        p = level_probabilities(t, levels, self.log_sigma.exp().clamp(1e-3, 2.0))
        generator = torch.Generator(x.device).manual_seed(self.seed * 1_000_003 + int(self.calls))
        self.calls += 1
        uniform = torch.rand(p.shape, generator=generator, device=x.device, dtype=p.dtype).clamp(1e-9, 1 - 1e-7)
        z = torch.softmax((p.log() - (-uniform.log()).log()) / self.temperature, -1)
        return self.unrows(S * ((z * levels).sum(-1) + Z), x)
