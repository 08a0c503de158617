"""Rule-based non-uniform grids: powers of two, and sums of a few of them, so that products need only shifts and adds.

    powers of two:           levels 0, ±1, ±2, ±4, …, ±2^(m−1),      m = 2^(b−1) − 1
    additive powers of two:  levels ±(p_0 + … + p_(n−1)),            p_i from a set of its own: 0 and a few powers

In units of S all levels are whole numbers: see `qlab.shifts` for products with them, exact in integers.
Sources: Miyashita, Lee and Murmann 2016; Zhou et al. 2017 (INQ); Li, Dong and Wang 2020 (APoT).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from qlab.grids import Codebook, Grid
from qlab.rounding import Rounding
from qlab.validate import check_bits

__all__ = ["AdditivePowersOfTwo", "PowersOfTwo"]


@dataclass(frozen=True)
class _Rule(Codebook):
    """A list of levels that follows from a rule: it need not travel with the codes."""

    levels: tuple[float, ...] = field(init=False, repr=False)

    @classmethod
    def of_width(cls, bits: int) -> tuple[Grid, ...]:
        return ()

    @property
    def table_bytes(self) -> int:
        return 0

    def _set(self, magnitudes: list[int], signed: bool) -> None:
        negative = [-m for m in magnitudes if m > 0] if signed else []
        object.__setattr__(self, "levels", tuple(float(v) for v in sorted([*negative, *magnitudes])))
        super().__post_init__()


@dataclass(frozen=True)
class PowersOfTwo(_Rule):
    """The logarithmic grid: 0 and ±2^e, e = 0 … 2^(b−1) − 2, in units of S.

    Parameters
    ----------
    bits : int
        Bits per code: 2 to 6 with sign, 1 to 5 without.
    signed : bool
        False for data without negative values: 2^b − 1 powers and 0.
    in_logarithm : bool
        True: round the exponent, Int(log2|t|), as Miyashita does; numbers other than 0 never become 0.
        False: the nearest level, as in INQ, where 2^e reaches from 3/4·2^e to 3/2·2^e.

    References
    ----------
    Miyashita et al. 2016, section 3 (LogQuant); Zhou et al. 2017, section 2 (INQ), whose S is a power of two too, and
    whose b bits are 2^(b−2) powers with sign, and one bit more for the zero.

    Examples
    --------
    >>> PowersOfTwo(3).levels
    (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)

    Survey-map row: Q8.
    """

    bits: int = 4
    signed: bool = True
    in_logarithm: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits, 1 + self.signed, 5 + self.signed))
        self._set([0, *(1 << e for e in range((1 << (self.bits - self.signed)) - 1))], self.signed)

    @classmethod
    def of_width(cls, bits: int) -> tuple[Grid, ...]:
        """Return the signed grid of `bits` bits."""
        return (cls(bits),) if 2 <= bits <= 6 else ()

    def index(self, t: Tensor, rounding: Rounding) -> Tensor:
        """Return the place in the list that `rounding` picks, of the number or of its exponent."""
        if not self.in_logarithm:
            return super().index(t, rounding)
        t = t.double() if self.signed else t.double().clamp(min=0)
        powers = len(self.levels) // 2 if self.signed else len(self.levels) - 1
        exponent = rounding(torch.log2(t.abs())).clamp(0, powers - 1)
        return torch.where(t == 0, 0, torch.sign(t) * (exponent + 1)) + (powers if self.signed else 0)


@dataclass(frozen=True)
class AdditivePowersOfTwo(_Rule):
    """APoT: sums of n powers of two, n = half the bits of the magnitude (rounded up).

    The paper's equation, with k = 2 bits for each of n = m/2 terms, m = b − 1 (or b without sign), is

        γ·Σ_i p_i,     p_i ∈ {0, 2^(−i), 2^(−i−n), 2^(−i−2n)}:

    powers dealt out like cards, in turn. If m is odd, one more term has one bit: it gets a single power, in round two.

    Parameters
    ----------
    bits : int
        Bits per code: 2 to 8 with sign, 1 to 7 without.
    signed : bool
        False for data without negative values.

    References
    ----------
    Li et al. 2020, section 2.2, equation 5; for odd m the authors' code (github.com/yhhhli/APoT_Quantization).

    Examples
    --------
    >>> AdditivePowersOfTwo(4).levels[7:]  # {0, 1, 4, 8} + {0, 2}
    (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)

    Survey-map row: Q8.
    """

    bits: int = 4
    signed: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits, 1 + self.signed, 7 + self.signed))
        n, odd = divmod(self.bits - self.signed, 2)
        hands: list[list[int]] = [[0] for _ in range(n + odd)]
        order = [*range(n), *range(n), *([n] if odd else []), *range(n)]
        for power, term in enumerate(reversed(order)):  # the last card dealt is the smallest power
            hands[term].append(1 << power)
        self._set([sum(terms) for terms in product(*hands)], self.signed)

    @classmethod
    def of_width(cls, bits: int) -> tuple[Grid, ...]:
        """Return the signed grid of `bits` bits (below 4 it has one term, and is `PowersOfTwo`)."""
        return (cls(bits),) if 4 <= bits <= 8 else ()
