"""ABC-Net: several binary bases for the weights, several shifted ones for the activations.

    weights:      W ≈ Σ_m α_m B_m,   B_m = sign(W − mean + u_m·std),  u_m = −1 … 1;   α by least squares
    activations:  R ≈ Σ_n β_n A_n,   A_n = 2·[h_n ≥ ½] − 1,  h_n = clip(R + v_n, 0, 1);   β, v learned
    backward:     ∂L/∂W := Σ_m α_m·∂L/∂W̃,   ∂A_n/∂R := 1 where 0 ≤ R + v_n ≤ 1

A convolution becomes M·N convolutions of signs. The bases do not follow from what is left over, as in
`qlab.nonuniform.greedy` and `alternating`: they are thresholds at fixed distances, so that all are found at once.
Source: Lin, Zhao, Pan 2017, *Towards accurate binary convolutional neural network*, sections 3.1 and 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qlab.extreme.levels import Few, FewLevels, ForInputs
from qlab.gradients import instead
from qlab.nonuniform.sketching import shifted_signs
from qlab.validate import check_bits

__all__ = ["ABCInput", "ABCWeight", "spread_levels"]


class _ABCWeight(FewLevels):
    def _sums(self, w: Tensor) -> Any:
        return shifted_signs(w, self.choice.bases, self.quantizer.granularity)

    def forward(self, w: Tensor) -> Tensor:
        found = self._sums(w)
        alpha = self.unrows(found.alphas.sum(1, keepdim=True).expand_as(self.rows(w)), w).to(w.dtype)
        return instead(alpha * w, found.dequantize())

    def stored(self, x: Tensor) -> Any:
        """Return M sign tensors and their coefficients."""
        return self._sums(x.detach())


@dataclass(frozen=True)
class ABCWeight(Few):
    """Weights as a sum of M shifted signs, found anew in each forward pass; one set of α for each filter by default.

    Parameters
    ----------
    bases : int
        M, 1 to 8.

    References
    ----------
    Lin et al. 2017, section 3.1, equations 1–5.

    Survey-map row: E4.
    """

    bases: int = 3
    equation = _ABCWeight

    def __post_init__(self) -> None:
        check_bits(self.bases, 1, 8, name="bases")


def spread_levels(bases: int) -> tuple[Tensor, Tensor]:
    """Return v and β to start from: thresholds ½ − v at −1 … 1, and β such that a standard normal R has least error.

    Parameters
    ----------
    bases : int
        N, 1 to 8.

    Returns
    -------
    pair of Tensor, shape (N,)

    Examples
    --------
    >>> spread_levels(1)  # β = E|R| = √(2/π)
    (tensor([0.5000]), tensor([0.7979]))

    Survey-map row: E4.
    """
    check_bits(bases, 1, 8, name="bases")
    thresholds = torch.linspace(-1, 1, bases, dtype=torch.float64) if bases > 1 else torch.zeros(1, dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    grid = normal.icdf((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)
    signs = torch.where(grid[:, None] >= thresholds, 1.0, -1.0).double()
    beta = torch.linalg.lstsq(signs, grid[:, None]).solution[:, 0]
    return (0.5 - thresholds).float(), beta.float()


class _ABCInput(nn.Module):
    def __init__(self, choice: ABCInput) -> None:
        super().__init__()
        v, beta = spread_levels(choice.bases)
        self.v, self.beta = nn.Parameter(v), nn.Parameter(beta)

    def forward(self, a: Tensor) -> Tensor:
        """Return Σ β_n A_n."""
        total = torch.zeros_like(a)
        for v, beta in zip(self.v, self.beta, strict=True):
            h = (a + v).clamp(0, 1)
            total = total + beta * instead(h, torch.where(h >= 0.5, 1.0, -1.0).to(a.dtype))
        return total


@dataclass(frozen=True)
class ABCInput(ForInputs):
    """Activations as a sum of N signs about learned thresholds, with learned coefficients.

    Parameters
    ----------
    bases : int
        N, 1 to 8.

    References
    ----------
    Lin et al. 2017, section 3.2, equations 8–11.

    Survey-map row: E4.
    """

    bases: int = 3
    equation = _ABCInput

    def __post_init__(self) -> None:
        check_bits(self.bases, 1, 8, name="bases")
