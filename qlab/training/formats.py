"""A tensor rounded to 8 bits with one scale, measured on the tensor itself: what training has to do at every step.

    Integer(b)     x̃ = S·Int(x/S),              S = max|x| / (2^(b−1) − 1)
    Float8(E4M3)   x̃ = S·fp8(x/S),              S = max|x| / 448;  E5M2: 57344;  S = 1 without scaling

Both are `qlab.Quantizer` with min–max ranges, written for speed: fp8(·) is PyTorch's cast. A test holds them equal to
the core's, bit for bit.

Sources: Micikevicius et al. 2022, *FP8 formats for deep learning*, sections 3 and 4; Banner et al. 2018, *Scalable
methods for 8-bit training of neural networks*; Gupta et al. 2015, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from qlab.rounding import Nearest, Rounding
from qlab.validate import check_bits

__all__ = ["Float8", "Format", "Integer"]

Format = Callable[[Tensor], Tensor]
"""A tensor ↦ the same tensor rounded, in its own dtype."""


def _scale(x: Tensor, top: float) -> Tensor:
    s = x.abs().amax() / top
    return torch.where(s > 0, s.clamp(min=torch.finfo(s.dtype).tiny), torch.ones_like(s))


@dataclass(frozen=True)
class Integer:
    """x̃ = S·Int(x/S) with S = max|x|/(2^(b−1) − 1): nothing is clipped.

    Parameters
    ----------
    bits : int
        b, 2 … 16.
    rounding : Rounding
        `Nearest`, or `Stochastic(generator)` for gradients.

    Examples
    --------
    >>> Integer(3)(torch.tensor([3.0, 1.4, -0.2]))
    tensor([3., 1., -0.])

    Survey-map row: F4.
    """

    bits: int = 8
    rounding: Rounding = field(default_factory=Nearest)

    def __post_init__(self) -> None:
        check_bits(self.bits, 2, 16)

    def __call__(self, x: Tensor) -> Tensor:
        """Return x̃."""
        top = float(2 ** (self.bits - 1) - 1)
        S = _scale(x, top)
        return S * self.rounding(x / S).clamp(-top, top)


@dataclass(frozen=True)
class Float8:
    """x̃ = S·fp8(x/S): ties to even, what is too large saturates.

    Parameters
    ----------
    dtype : torch.dtype
        ``torch.float8_e4m3fn`` (largest 448, 3 mantissa bits) or ``torch.float8_e5m2`` (57344, 2 bits).
    scaled : bool
        Put the largest magnitude at the format's largest number. False: S = 1, a plain cast.

    Raises
    ------
    ValueError
        If the dtype is not one of the two.

    Examples
    --------
    >>> Float8(torch.float8_e4m3fn, scaled=False)(torch.tensor([0.3, 500.0, 0.0009]))
    tensor([3.1250e-01, 4.4800e+02, 0.0000e+00])

    Survey-map row: F4.
    """

    dtype: torch.dtype = torch.float8_e4m3fn
    scaled: bool = True

    def __post_init__(self) -> None:
        if self.dtype not in (torch.float8_e4m3fn, torch.float8_e5m2):
            raise ValueError(f"dtype must be torch.float8_e4m3fn or torch.float8_e5m2, got {self.dtype}")

    def __call__(self, x: Tensor) -> Tensor:
        """Return x̃."""
        top = torch.finfo(self.dtype).max
        S = _scale(x, top) if self.scaled else torch.ones((), dtype=x.dtype, device=x.device)
        return S * (x / S).clamp(-top, top).to(self.dtype).to(x.dtype)
