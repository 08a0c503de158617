"""What the learned quantizers share: a module x ↦ Q(x) with parameters, which can give its codes at any time.

Source: Gholami et al. 2021, section III G 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qlab.grids import Asymmetric, Symmetric
from qlab.qat.estimators import slowed
from qlab.quantizer import Params, QuantizedTensor, Quantizer

__all__ = ["LearnedQuantizer", "LearnedScale", "starting_params", "uniform_codes"]


class LearnedQuantizer(nn.Module):
    """A quantizer whose parameters are learned with the weights.

    Subclasses write `forward`, the method's equation, and `params`, what the equation means for the codes.

    Survey-map row: T2.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    @property
    def params(self) -> Params:
        """S and Z that the parameters stand for now."""
        raise TypeError(f"{type(self).__name__} has no scale and zero point of its own")

    def stored(self, x: Tensor) -> QuantizedTensor:
        """Return the integer form of x."""
        return self.quantizer.quantize(x.detach(), self.params)

    def rows(self, x: Tensor) -> Tensor:
        """Return x as (rows, n): a row for every scale."""
        return self.quantizer.granularity.rows(x)

    def unrows(self, rows: Tensor, x: Tensor) -> Tensor:
        """Undo `rows`."""
        return self.quantizer.granularity.unrows(rows, tuple(x.shape))


class LearnedScale(LearnedQuantizer):
    """A learned quantizer of a uniform grid that learns its scale S, and keeps its Z.

    S is slowed down as LSQ does it: ∂L/∂S is multiplied by g = 1/√(N·Q_P), with N values that share S.

    Parameters
    ----------
    quantizer : Quantizer
        With a uniform grid.
    params : Params
        S and Z to start from.
    activation : bool
        Of an activation, N counts the features of one input, not of the whole batch.
    name : str
        Of the method, for messages.

    References
    ----------
    Esser et al. 2020, section 2.2.

    Survey-map rows: T2, T3.
    """

    zero_point: Tensor

    def __init__(self, quantizer: Quantizer, params: Params, activation: bool, name: str) -> None:
        super().__init__(quantizer)
        self.q_min, self.q_max = uniform_codes(quantizer.grid, name)
        self.activation = activation
        self.scale = nn.Parameter(params.scale)
        self.register_buffer("zero_point", params.zero_point)

    @property
    def params(self) -> Params:
        """S and Z as they are now."""
        return Params(self.positive(self.scale).detach(), self.zero_point)

    @staticmethod
    def positive(scale: Tensor) -> Tensor:
        """Return S, at least the smallest normal number: a long step may throw it across zero."""
        return scale.clamp(min=torch.finfo(scale.dtype).tiny)

    def slow(self, parameter: Tensor, x: Tensor) -> Tensor:
        """Return a parameter, whose gradient is multiplied by g, as a column: a row of x for each element."""
        sharing = x.numel() / parameter.numel() / (len(x) if self.activation else 1)  # features, not pictures
        return slowed(parameter, (max(sharing, 1) * self.q_max) ** -0.5)[:, None]


def uniform_codes(grid: Any, name: str) -> tuple[int, int]:
    """Return (q_min, q_max) of a uniform grid, and refuse any other.

    Raises
    ------
    TypeError
        If the grid is not uniform.

    Survey-map row: T2.
    """
    if not isinstance(grid, (Asymmetric, Symmetric)):
        raise TypeError(f"{name} learns the step of a uniform grid: Symmetric or Asymmetric, got {grid!r}")
    return grid.code_range


def starting_params(params: Params | None, name: str) -> Params:
    """Return the calibrated S and Z, and refuse to start without.

    Raises
    ------
    ValueError
        If there are none: an activation's recipe was dynamic.

    Survey-map row: T2.
    """
    if params is None:
        raise ValueError(f"{name} must start from a calibrated range: give batches, and no dynamic=True")
    if not bool(torch.isfinite(params.scale).all()):
        raise ValueError(f"{name} must start from finite scales, got {params.scale}")
    return Params(params.scale.detach().clone(), params.zero_point.clone())
