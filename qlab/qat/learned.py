"""What the learned quantizers share: a module x ↦ Q(x) with parameters, which can give its codes at any time.

Source: Gholami et al. 2021, section III G 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qlab.grids import Asymmetric, Symmetric
from qlab.quantizer import Params, QuantizedTensor, Quantizer

__all__ = ["LearnedQuantizer", "starting_params", "uniform_codes"]


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
