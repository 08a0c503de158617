"""What the quantizers of this room share: a few levels per row, weights that keep their real values behind them.

    x ↦ S·level(q),   levels (−1, 1) or (−1, 0, 1),   S for each row of the granularity

Source: Gholami et al. 2021, section IV E.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from qlab.granularity import PerChannel
from qlab.grids import Codebook, Symmetric
from qlab.network import Trainable
from qlab.qat.learned import LearnedQuantizer
from qlab.quantizer import Params, QuantizedTensor, Quantizer
from qlab.validate import check_finite, check_real

__all__ = ["BINARY", "TERNARY", "Few", "FewLevels", "ForInputs"]

BINARY, TERNARY = Codebook((-1.0, 1.0)), Codebook((-1.0, 0.0, 1.0))
Soft = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Few(Trainable):
    """A quantizer of weights to a few levels; subclasses name the module that holds the equation.

    Parameters
    ----------
    quantizer : Quantizer
        Its granularity says which weights share a scale; its grid and calibration are not used.

    Raises
    ------
    TypeError
        For activations.

    Survey-map rows: E1, E2, E3.
    """

    quantizer: Quantizer = field(default_factory=lambda: Quantizer(Symmetric(8), PerChannel(0)), kw_only=True)
    equation: ClassVar[type[FewLevels]]

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module w ↦ Q(w)."""
        if x is None:
            raise TypeError(f"{type(self).__name__} is for weights; activations have quantizers of their own")
        check_finite(check_real(x.detach()))
        return self.equation(self, x)


class FewLevels(LearnedQuantizer):
    """The module w ↦ S·level(q): `forward` is the paper's equation, `coded` says which level and which S.

    Survey-map rows: E1, E2, E3.
    """

    grid: ClassVar[Codebook] = BINARY

    def __init__(self, choice: Any, w: Tensor) -> None:
        super().__init__(choice.quantizer)
        self.choice = choice

    def coded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the level of every weight, shape (rows, n), and the scale of every row, shape (rows,)."""
        raise NotImplementedError

    @torch.no_grad()
    def stored(self, x: Tensor) -> QuantizedTensor:
        """Return the codes: one bit for two levels, two for three."""
        level, scale = self.coded(self.rows(x.detach()))
        places = torch.searchsorted(torch.tensor(self.grid.levels, dtype=level.dtype), level.contiguous())
        params = Params(scale.detach().to(x.dtype), torch.zeros(len(scale), dtype=torch.int32))
        return QuantizedTensor(
            self.unrows(places.to(torch.uint8), x), params, self.grid, self.quantizer.granularity, x.dtype
        )


@dataclass(frozen=True)
class ForInputs(Trainable):
    """A quantizer of layers' inputs that needs no data to start from: put it into ``Recipe(..., dynamic=True)``.

    Raises
    ------
    TypeError
        For weights.

    Survey-map rows: E1, E2, E4.
    """

    quantizer: Quantizer = field(init=False, repr=False, default_factory=lambda: Quantizer(Symmetric(8)))
    equation: ClassVar[type[nn.Module]]

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module a ↦ Q(a)."""
        if x is not None:
            raise TypeError(f"{type(self).__name__} is for activations; weights have quantizers of their own")
        return self.equation(self)
