"""CLIP-Q: prune and quantize in every forward pass, train the full weights behind it.

    t = the p-quantile of |w|
    Q(w) = 0                                     if |w| ≤ t          (clipping)
         = the mean of its bucket, else          (n equal buckets of |w| in (t, max|w|] for each sign, n = 2^(b−1) − 1)
    ∂Q/∂w := 1 for all weights, those at zero included

Threshold and buckets are found anew at each step, from weights that keep moving: what was pruned can come back, and
what is pruned depends on how it is quantized. Pruning first and quantizing afterwards can do neither.

Source: Tung, Mori 2018, *CLIP-Q: deep network compression learning by in-parallel pruning-quantization*, section 3.
(The paper clips at two thresholds, one for each sign, and chooses p and b of each layer by Bayesian optimization.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qlab.gradients import instead
from qlab.grids import Codebook, Symmetric
from qlab.network import Trainable
from qlab.quantizer import Params, QuantizedTensor, Quantizer
from qlab.validate import check_bits

__all__ = ["ClipQ"]


@dataclass(frozen=True)
class ClipQ(Trainable):
    """Pruning and quantization of a weight as one function, for ``Recipe(weight=ClipQ(0.8, 3))``.

    Parameters
    ----------
    sparsity : float
        p, the share of zeros, 0 ≤ p < 1.
    bits : int
        b, 2 … 8: zero and n = 2^(b−1) − 1 values of each sign.

    Raises
    ------
    ValueError
        If p or b is out of range.

    References
    ----------
    Tung, Mori 2018, section 3.1.

    Examples
    --------
    >>> ClipQ(0.5, 2).module(None, torch.zeros(4))(torch.tensor([0.1, -0.2, 1.0, 3.0]))  # one bucket of each sign
    tensor([0., 0., 2., 2.])

    Survey-map row: F3.
    """

    sparsity: float
    bits: int

    def __post_init__(self) -> None:
        check_bits(self.bits, 2, 8)
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity must lie in 0 ≤ p < 1, got {self.sparsity}")

    @property
    def quantizer(self) -> Quantizer:  # type: ignore[override]
        """A uniform quantizer of as many bits: what calibration asks for."""
        return Quantizer(Symmetric(self.bits))

    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module w ↦ Q(w)."""
        if x is None:
            raise TypeError("ClipQ is for weights")
        return _ClipQ(self)


class _ClipQ(nn.Module):
    def __init__(self, choice: ClipQ) -> None:
        super().__init__()
        self.sparsity, self.buckets = choice.sparsity, 2 ** (choice.bits - 1) - 1

    def codes(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return for each weight the place of its value (n for zero), and the 2n + 1 values."""
        w, n = w.detach().flatten(), self.buckets
        size, zeros = w.abs(), round(self.sparsity * w.numel())
        t = size.kthvalue(zeros).values if zeros else size.new_tensor(-1.0)
        width = ((size.max() - t.clamp(min=0)) / n).clamp(min=torch.finfo(w.dtype).tiny)
        bucket = ((size - t.clamp(min=0)) / width).ceil().clamp(1, n).long()
        code = torch.where(size <= t, 0, torch.sign(w).long() * bucket) + n
        sums = torch.zeros(2 * n + 1, dtype=w.dtype, device=w.device).scatter_add(0, code, w)
        counts = torch.bincount(code, minlength=2 * n + 1)
        levels = sums / counts.clamp(min=1)
        levels[n] = 0.0
        return code, levels

    def forward(self, w: Tensor) -> Tensor:
        code, levels = self.codes(w)
        return instead(w, levels[code].reshape(w.shape))

    def stored(self, w: Tensor) -> QuantizedTensor:
        """Return codes and table; empty buckets have no value."""
        code, levels = self.codes(w)
        used = levels.unique()  # ascending
        if len(used) == 1:
            used = torch.cat([used, used + 1])
        one = Params(torch.ones(1, device=w.device), torch.zeros(1, dtype=torch.int32, device=w.device))
        return Quantizer(Codebook(tuple(used.tolist()))).quantize(levels[code].reshape(w.shape), one)
