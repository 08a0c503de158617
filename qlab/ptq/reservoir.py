"""A fair sample of pictures from a stream of unknown length, for methods that must see pictures again and again.

    keep the first `size` pictures;   picture t > size takes the place of a random one of them with probability size/t

Memory holds `size` pictures and a batch, however many batches there are.
Source: Vitter 1985, *Random sampling with a reservoir*, algorithm R (which he credits to A. Waterman).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["reservoir"]


def reservoir(batches: Iterable[Tensor], size: int, seed: int = 0) -> Tensor:
    """Return `size` pictures of a stream, every set as likely as any other; all, in order, if there are no more.

    Parameters
    ----------
    batches : iterable of Tensor, shape (n, …)
    size : int
    seed : int

    Returns
    -------
    Tensor, shape (at most `size`, …)

    Raises
    ------
    ValueError
        If there are no pictures, or `size` is no integer of at least 1.

    References
    ----------
    Vitter 1985, algorithm R.

    Examples
    --------
    >>> reservoir([torch.tensor([1, 2]), torch.tensor([3])], size=5)
    tensor([1, 2, 3])

    Survey-map row: T9.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be an integer of at least 1, got {size!r}")
    random = torch.Generator().manual_seed(seed)
    kept: list[Tensor] = []
    for t, picture in enumerate((p for batch in batches for p in batch), start=1):
        if t <= size:
            kept.append(picture.clone())  # a view would keep its whole batch
        elif (place := int(torch.randint(t, (), generator=random))) < size:
            kept[place] = picture.clone()
    if not kept:
        raise ValueError("batches must hold at least one batch, got none")
    return torch.stack(kept)
