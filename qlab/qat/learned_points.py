"""Differentiable quantization: the weights stay, the *levels* are learned, under a teacher or not.

    Q(v)_i = α·p_k,  k the level nearest to v_i/α;       ∂Q(v)_i/∂p_k = α if v_i went to level k, else 0
    ∂L/∂p_k = α · Σ over the weights of level k of ∂L/∂Q(v)_i

Every level hears from all weights that it stands for. No straight-through estimator is needed: the levels are ordinary
parameters. The staircase in v still has none of its own, so v does not move (``weights=True`` moves it all the same,
straight through).

Source: Polino, Pascanu, Alistarh 2018, *Model compression via distillation and quantization*, section 4, algorithm 2.
The levels start at quantiles of the weights; α is the largest magnitude of the layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qlab.grids import Codebook, Symmetric
from qlab.network import Trainable
from qlab.quantizer import Params, QuantizedTensor, Quantizer
from qlab.validate import check_bits

__all__ = ["LearnedPoints"]


@dataclass(frozen=True)
class LearnedPoints(Trainable):
    """2^b levels of a layer's weight, learned by gradient descent: for ``Recipe(weight=LearnedPoints(2))``.

    Parameters
    ----------
    bits : int
        b, 1 … 8.
    weights : bool
        Let the weights move as well, straight through the staircase.

    References
    ----------
    Polino et al. 2018, section 4.

    Examples
    --------
    >>> points = LearnedPoints(1).module(None, torch.tensor([-1.0, -0.5, 0.5, 1.0]))
    >>> points(torch.tensor([-1.0, -0.5, 0.5, 1.0]))  # quantiles 1/4 and 3/4
    tensor([-0.6250, -0.6250,  0.6250,  0.6250], grad_fn=<MulBackward0>)

    Survey-map row: D1.
    """

    bits: int = 2
    weights: bool = False

    def __post_init__(self) -> None:
        check_bits(self.bits, 1, 8)

    @property
    def quantizer(self) -> Quantizer:  # type: ignore[override]
        """A uniform quantizer of as many bits: what calibration asks for; the levels start elsewhere."""
        return Quantizer(Symmetric(max(self.bits, 2)))

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module that holds the levels.

        Raises
        ------
        TypeError
            If it is to quantize an activation: there is no tensor to take quantiles of.
        """
        if x is None:
            raise TypeError("LearnedPoints is for weights: it starts from their quantiles")
        return _Points(self, x.detach())


class _Points(nn.Module):
    alpha: Tensor

    def __init__(self, choice: LearnedPoints, x: Tensor) -> None:
        super().__init__()
        self.weights = choice.weights
        n = 2**choice.bits
        alpha = x.abs().max().clamp(min=torch.finfo(x.dtype).tiny)
        self.register_buffer("alpha", alpha)
        self.points = nn.Parameter(torch.quantile(x.flatten() / alpha, (torch.arange(n) + 0.5) / n))

    def nearest(self, v: Tensor) -> Tensor:
        """Return k, the place of the level nearest to v/α among the levels in ascending order."""
        p = self.points.detach().sort().values
        return torch.bucketize((v.detach() / self.alpha).contiguous(), (p[1:] + p[:-1]) / 2)

    def forward(self, v: Tensor) -> Tensor:
        levels = self.points.sort().values[self.nearest(v)]
        if self.weights:
            levels = levels + (v - v.detach()) / self.alpha
        return self.alpha * levels

    def stored(self, v: Tensor) -> QuantizedTensor:
        """Return codes and table of levels; levels that have met are one."""
        p = (self.alpha * self.points.detach()).unique()
        out_of_reach = p[-1:] + 4 * (v.detach().abs().max() + p.abs().max()) + 1  # a table needs two levels
        grid = Codebook(tuple((p if len(p) > 1 else torch.cat([p, out_of_reach])).tolist()))
        one = Params(torch.ones(1, device=v.device), torch.zeros(1, dtype=torch.int32, device=v.device))
        return Quantizer(grid).quantize(v.detach(), one)
