"""Int(·): how a real number meets the integers.

Every rounding mode is a value that can be called on a tensor and returns whole numbers in the tensor's own
floating-point type. Deterministic modes differ by less than one step; stochastic rounding is right *on average*:

    Int(t) = ⌊t⌋ + [u < t − ⌊t⌋],  u ~ U(0, 1),   so   E[Int(t)] = t.

Sources: Gholami et al. 2021, sections III B and III H; IEEE 754-2019 section 4.3; Gupta et al. 2015, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["Floor", "HalfAway", "Nearest", "Rounding", "Stochastic", "TowardZero"]


@runtime_checkable
class Rounding(Protocol):
    """Anything that maps a tensor of reals to a tensor of whole numbers of the same shape and dtype.

    Survey-map row: Q2.
    """

    def __call__(self, t: Tensor, /) -> Tensor:
        """Return whole numbers near `t`, in the dtype of `t`."""
        ...


@dataclass(frozen=True)
class Nearest:
    """Round to nearest, ties to even: |Int(t) − t| ≤ 1/2, without the upward drift of "half up".

    References
    ----------
    IEEE 754-2019, section 4.3.1 (roundTiesToEven).

    Examples
    --------
    >>> Nearest()(torch.tensor([0.5, 1.5, 2.5, -0.5]))
    tensor([0., 2., 2., -0.])

    Survey-map row: Q2.
    """

    def __call__(self, t: Tensor) -> Tensor:
        """Return the nearest whole numbers."""
        return torch.round(t)


@dataclass(frozen=True)
class HalfAway:
    """Round to nearest, ties away from zero, as taught in school: Int(t) = sign(t)·⌊|t| + 1/2⌋.

    Computed as trunc(t) + [|t − trunc(t)| ≥ 1/2]·sign(t), right (unlike ⌊|t| + 1/2⌋) for the float just below 1/2.

    References
    ----------
    IEEE 754-2019, section 4.3.1 (roundTiesToAway).

    Examples
    --------
    >>> HalfAway()(torch.tensor([0.5, 1.5, 2.5, -0.5]))
    tensor([ 1.,  2.,  3., -1.])

    Survey-map row: Q2.
    """

    def __call__(self, t: Tensor) -> Tensor:
        """Return the nearest whole numbers."""
        whole = torch.trunc(t)
        return whole + ((t - whole).abs() >= 0.5) * torch.sign(t)


@dataclass(frozen=True)
class Floor:
    """Round down: 0 ≤ t − Int(t) < 1, hence a bias of half a step. Cheap in hardware (an arithmetic shift).

    Examples
    --------
    >>> Floor()(torch.tensor([0.9, -0.1]))
    tensor([ 0., -1.])

    Survey-map row: Q2.
    """

    def __call__(self, t: Tensor) -> Tensor:
        """Return the largest whole numbers not above `t`."""
        return torch.floor(t)


@dataclass(frozen=True)
class TowardZero:
    """Drop the fraction ("truncation" of a C cast): shrinks every magnitude by half a step on average.

    Examples
    --------
    >>> TowardZero()(torch.tensor([0.9, -0.9]))
    tensor([0., -0.])

    Survey-map row: Q2.
    """

    def __call__(self, t: Tensor) -> Tensor:
        """Return `t` without its fraction."""
        return torch.trunc(t)


@dataclass(frozen=True)
class Stochastic:
    """Round up with a probability equal to the fraction: E[Int(t)] = t, Var = f(1 − f) with f = t − ⌊t⌋.

    Parameters
    ----------
    generator : torch.Generator
        Where the randomness comes from; it must live on the device of the tensors it rounds.

    References
    ----------
    Gupta, Agrawal, Gopalakrishnan, Narayanan 2015, *Deep Learning with Limited Numerical Precision*, section 3.

    Examples
    --------
    >>> rounding = Stochastic(torch.Generator().manual_seed(0))
    >>> round(rounding(torch.full((10_000,), 0.3)).mean().item(), 2)
    0.3

    Survey-map row: G1.
    """

    generator: torch.Generator

    def __call__(self, t: Tensor) -> Tensor:
        """Return ⌊t⌋ or ⌊t⌋ + 1."""
        low = torch.floor(t)
        u = torch.rand(t.shape, generator=self.generator, dtype=t.dtype, device=t.device)
        return low + (u < t - low)
