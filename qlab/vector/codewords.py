"""Blocks of d weights as numbers of codewords, and the module that trains the codewords.

    w̃_block = Σ_t C_t[ q_t ],         bytes = T·n·⌈log2 k⌉/8 + codebooks        (n blocks, T stages, k codewords each)

Product quantization has T = 1, residual and additive quantization T > 1. Codebooks are part of the file: they are
counted, at 16 bits a number.
Source: Stock et al. 2020, *And the bit goes down*, section 3 (gradients of codewords: section 3.4, as Han et al. 2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qlab.neighbours.pruning import bake
from qlab.network import quantizable_layers
from qlab.validate import check_bits, check_finite, check_real
from qlab.vector.shared import divided_gradient

__all__ = ["BlockCode", "Codewords", "blocks", "codewords_of", "with_codewords"]


def blocks(w: Tensor, size: int) -> Tensor:
    """Return a weight, each row of it cut into blocks of `size` neighbours, shape (rows · blocks, size).

    A row is what one output sums over: a convolution's 3×3 kernels are its blocks of 9.

    Raises
    ------
    ValueError
        If rows do not fall into whole blocks.

    Examples
    --------
    >>> blocks(torch.arange(8.0).reshape(2, 4), 2).tolist()
    [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]

    Survey-map row: V2.
    """
    check_finite(check_real(w, "w"), "w")
    check_bits(size, 1, 1 << 20, "size")
    if w.dim() < 2 or (row := w[0].numel()) % size:
        raise ValueError(
            f"size must divide the rows of w, shape {tuple(w.shape)}, got {size}"
            + (f" for rows of {row}" if w.dim() > 1 else "")
        )
    return w.detach().reshape(-1, size)


@dataclass(frozen=True, eq=False)
class BlockCode:
    """A weight in codewords.

    Attributes
    ----------
    books : Tensor, shape (stages, size, d)
    codes : Tensor of int64, shape (stages, blocks)
    shape : tuple of int
        Of the weight.
    books_per_stage : int
        How many codebooks `size` is made of: one, or one for each place in a row (then only ``size/books_per_stage``
        codewords can be chosen from at a place, and a code takes fewer bits).

    Survey-map rows: V2, V3.
    """

    books: Tensor
    codes: Tensor
    shape: tuple[int, ...]
    books_per_stage: int = 1

    @classmethod
    def of(cls, w: Tensor, books: NDArray[Any], codes: NDArray[Any], books_per_stage: int = 1) -> BlockCode:
        """Return the code of a weight, in its type and on its device, from NumPy arrays of the shapes above."""
        table = torch.as_tensor(np.array(books), dtype=w.dtype, device=w.device)
        return cls(table, torch.as_tensor(codes, device=w.device), tuple(w.shape), books_per_stage)

    def decode(self) -> Tensor:
        """Return w̃ = Σ_t C_t[q_t] in the weight's shape."""
        parts = [book[code] for book, code in zip(self.books, self.codes, strict=True)]
        return torch.stack(parts).sum(0).reshape(self.shape)

    @property
    def code_bits(self) -> int:
        """Bits of one code, ⌈log2 k⌉."""
        return int(np.ceil(np.log2(max(1, self.books.shape[1] // self.books_per_stage))))

    def nbytes(self, book_bits: int = 16) -> int:
        """Return the bytes of codes, packed, and of the codebooks."""
        return -(-self.codes.numel() * self.code_bits // 8) + self.books.numel() * book_bits // 8

    def bits_per_weight(self, book_bits: int = 16) -> float:
        """Return the rate R, codebooks included."""
        return 8 * self.nbytes(book_bits) / float(np.prod(self.shape))


class Codewords(nn.Module):
    """The parametrization W ↦ Σ_t C_t[q_t], with codewords that training moves and codes that stay.

    A codeword's gradient is the mean of those of its blocks, so that the learning rates of weights do (see `shared`).

    Survey-map rows: V2, V3.
    """

    codes: Tensor
    uses: Tensor

    def __init__(self, code: BlockCode) -> None:
        super().__init__()
        self.books = nn.Parameter(code.books.clone())
        self.register_buffer("codes", code.codes)
        self.shape, self.books_per_stage = code.shape, code.books_per_stage
        count = [row.bincount(minlength=code.books.shape[1]) for row in code.codes]
        self.register_buffer("uses", torch.stack(count).clamp(min=1).to(code.books.dtype)[..., None])

    @property
    def code(self) -> BlockCode:
        """What it holds now, the codewords rounded to 16 bits as they are stored."""
        return BlockCode(self.books.detach().half().float(), self.codes, self.shape, self.books_per_stage)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the decoded weight."""
        return BlockCode(divided_gradient(self.books, self.uses), self.codes, self.shape).decode()


def with_codewords(model: nn.Module, codes: Mapping[str, BlockCode]) -> nn.Module:
    """Return a copy of `model` whose layers compute with these codes; training it trains the codewords.

    Raises
    ------
    ValueError
        If a code is not of the shape of its layer's weight.

    Survey-map rows: V2, V3.
    """
    model = bake(model)
    layers = quantizable_layers(model)
    for name, code in codes.items():
        if name not in layers or tuple(layers[name].weight.shape) != tuple(code.shape):
            raise ValueError(f"codes must be in the shape of a layer of the model; {name!r}, {code.shape}, is not")
        add_codewords(model, name, code)
    return model


def add_codewords(model: nn.Module, name: str, code: BlockCode) -> None:
    """Let one layer of `model` itself compute with a code."""
    layer: Any = model.get_submodule(name)
    parametrize.register_parametrization(layer, "weight", Codewords(code))
    layer.parametrizations.weight.original.requires_grad_(False)


def codewords_of(layer: Any) -> Codewords | None:
    """Return a layer's `Codewords`, or None.

    Survey-map rows: V2, V3.
    """
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    return next((part for part in layer.parametrizations.weight if isinstance(part, Codewords)), None)
