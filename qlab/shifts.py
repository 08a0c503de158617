"""Products by shifts and additions: exact in integers, without a multiplication.

    x·level(q) = ± Σ_e (x << e),     e over the bits that are set in |level(q)|

One shift for a power of two, n shifts and n − 1 additions for a sum of n. Every multiplier does this inside, for all
b − 1 bits of a magnitude; grids of `qlab.powers_of_two` promise that few of them are set.
Sources: Zhou et al. 2017 (INQ), section 1; Li, Dong and Wang 2020 (APoT), section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qlab.grids import Codebook

__all__ = ["shift_multiply", "shifts"]


def shifts(grid: Codebook) -> list[tuple[int, ...]]:
    """Return, for every level, by how many places x is shifted: the bits that are set in |level|.

    Examples
    --------
    >>> from qlab.powers_of_two import AdditivePowersOfTwo
    >>> shifts(AdditivePowersOfTwo(4))[-3:]  # 6, 8, 10
    [(1, 2), (3,), (1, 3)]

    Survey-map row: Q8.
    """
    return [tuple(e for e in range(int(abs(v)).bit_length()) if int(abs(v)) >> e & 1) for v in grid.levels]


def shift_multiply(x: Tensor, codes: Tensor, grid: Codebook) -> Tensor:
    """Return x·level(q) for integers x by shifts, additions and changes of sign on int64: exact, no multiplication.

    Parameters
    ----------
    x : Tensor of integers
        Broadcast against `codes`.
    codes : Tensor of integers
        Codes of `grid`.
    grid : Codebook
        With whole numbers as levels.

    Raises
    ------
    TypeError
        If x does not hold integers.
    ValueError
        If a level is no whole number, a code is none of the grid's, or a product may not fit into 64 bits.

    Examples
    --------
    >>> from qlab.powers_of_two import AdditivePowersOfTwo
    >>> shift_multiply(torch.tensor([5, -3]), torch.tensor([14, 0]), AdditivePowersOfTwo(4))
    tensor([50, 30])

    Survey-map row: Q8.
    """
    if x.is_floating_point() or codes.is_floating_point():
        raise TypeError(f"x and codes must hold integers, got {x.dtype} and {codes.dtype}")
    if any(v != int(v) for v in grid.levels):
        raise ValueError(f"grid must have whole numbers as levels (PowersOfTwo, AdditivePowersOfTwo), got {grid!r}")
    x, codes = x.to(torch.int64), codes.to(torch.int64)
    top = max(map(abs, grid.levels))
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < len(grid.levels):
        raise ValueError(
            f"codes must be from 0 to {len(grid.levels) - 1}, got {int(codes.min())} to {int(codes.max())}"
        )
    if x.numel() and max(abs(int(x.min())), abs(int(x.max()))) * int(top) >= 1 << 63:
        raise ValueError(f"x must be below {(1 << 63) // int(top)} in size, or products with {int(top)} overflow")
    total = torch.zeros(torch.broadcast_shapes(x.shape, codes.shape), dtype=torch.int64, device=x.device)
    for e in range(int(top).bit_length()):
        on = torch.tensor([e in used for used in shifts(grid)], device=x.device)[codes]
        total = torch.where(on, total + (x << e), total)
    negative = torch.tensor([v < 0 for v in grid.levels], device=x.device)[codes]
    return torch.where(negative, -total, total)
