"""Binary-code quantization: a row of weights as a sum of K sign vectors with real coefficients.

    w ≈ Σ_i α_i b_i,   b_i ∈ {−1, +1}^n:      min over α, B of ‖w − Bα‖²

Either half of the problem is easy: α = (BᵀB)⁻¹Bᵀw for given B; every w_j to the nearest of the 2^K sums for given α.
A product with x is then K sums of ±x: xᵀw ≈ Σ α_i xᵀb_i.
Sources: Guo et al. 2017, *Network sketching*; Xu et al. 2018, *Alternating multi-bit quantization for recurrent neural
networks*, section 3. K = 1 is the binary weight of XNOR-Net (Rastegari et al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from qlab.granularity import Granularity
from qlab.packing import packed_bytes

__all__ = ["BinaryCodes", "best_alphas", "best_codes"]

SIGNS = (-1.0, 1.0)


@dataclass(frozen=True, eq=False)
class BinaryCodes:
    """Sign vectors and their coefficients.

    Attributes
    ----------
    alphas : Tensor, shape (rows, K)
    codes : Tensor of int8, shape (rows, K, n)
    granularity : Granularity
        How the tensor falls into rows.
    shape : tuple of int
        Of the tensor.
    dtype : torch.dtype

    Survey-map row: Q10.
    """

    alphas: Tensor
    codes: Tensor
    granularity: Granularity
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    def dequantize(self) -> Tensor:
        """Return Σ α_i b_i in the shape of the original."""
        rows = torch.einsum("rk,rkn->rn", self.alphas.double(), self.codes.double())
        return self.granularity.unrows(rows, self.shape).to(self.dtype)

    @property
    def nbytes(self) -> int:
        """A bit for every sign, 4 bytes for every coefficient."""
        return packed_bytes(self.codes.numel(), 1) + 4 * self.alphas.numel()

    @property
    def bits_per_value(self) -> float:
        """Bits per element, coefficients included."""
        return 8 * self.nbytes * self.alphas.shape[1] / self.codes.numel()


def best_alphas(rows: Tensor, codes: Tensor) -> Tensor:
    """Return the coefficients of least squares, α = (BᵀB)⁻¹Bᵀw (of least norm where B has dependent columns).

    Parameters
    ----------
    rows : Tensor, shape (rows, n)
    codes : Tensor, shape (rows, K, n)

    Survey-map row: Q10.
    """
    b, w = codes.double(), rows.double()
    gram = b @ b.mT
    return (torch.linalg.pinv(gram, hermitian=True) @ (b @ w[..., None]))[..., 0]


def best_codes(rows: Tensor, alphas: Tensor, digits: tuple[float, float] = SIGNS) -> Tensor:
    """Return, for every number, the digits of the nearest of the 2^K sums Σ α_i b_i.

    Parameters
    ----------
    rows : Tensor, shape (rows, n)
    alphas : Tensor, shape (rows, K)
    digits : pair
        What a code's bit stands for: −1 and 1, or 0 and 1 for data without negative values.

    Returns
    -------
    Tensor of int8, shape (rows, K, n)

    Survey-map row: Q10.
    """
    words = torch.tensor(list(product(digits, repeat=alphas.shape[1])), dtype=torch.float64, device=rows.device)
    sums, order = (alphas.double() @ words.T).sort(dim=1)
    thresholds = (sums[:, 1:] + sums[:, :-1]) / 2  # a search on a sorted list is the paper's binary tree
    place = torch.searchsorted(thresholds.contiguous(), rows.double().contiguous())
    return words.to(torch.int8)[order.gather(1, place)].movedim(-1, 1)
