"""Codebooks fitted to a tensor: k-means (weight sharing), and quantiles.

    k-means:    minimize Σ_m (x_m − Δ_{q(m)})²  over the 2^b levels Δ
    quantiles:  Δ_i = F⁻¹( (i + ½)/2^b ),       every code equally frequent

Both return a `Codebook`, a grid like any other. Where a tensor has a scale for each row, the rows share one codebook:
each is brought to mean square 1 before the levels are fitted, and the quantizer finds its scale again (by `MSE`).
Sources: Lloyd 1957; Bruce 1964 (dynamic programming); Han, Mao and Dally 2016 (Deep Compression), section 3; Dettmers
et al. 2022 (quantiles).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qlab.granularity import Granularity, PerTensor
from qlab.grids import Codebook
from qlab.history.lloyd_samples import lloyd_samples
from qlab.validate import check_bits, check_finite, check_real

__all__ = ["kmeans_codebook", "quantile_codebook"]


def _samples(x: Tensor, granularity: Granularity, levels: int) -> np.ndarray:
    """Return the numbers to fit to, as float64: as they are, or every row with mean square 1."""
    rows = granularity.rows(check_finite(check_real(x)).detach()).double()
    if len(rows) > 1:
        size = rows.square().mean(1, keepdim=True).sqrt()
        rows = rows / torch.where(size > 0, size, 1.0)
    samples: np.ndarray = rows.cpu().numpy().ravel()
    distinct = np.unique(samples).size
    if distinct < levels:
        raise ValueError(f"x must hold at least {levels} different numbers for {levels} levels, got {distinct}")
    return samples


def _start(samples: np.ndarray, n: int, bins: int = 1024) -> np.ndarray | None:
    """Return the best n levels for the histogram of the samples, by dynamic programming over where it is cut.

    E_k(j) = min_i E_{k−1}(i) + cost(i, j),     cost(i, j) = Σ c x² − (Σ c x)²/Σ c  over bins i … j−1
    """
    count, edges = np.histogram(samples, bins)
    total, _ = np.histogram(samples, edges, weights=samples)
    mean = total[count > 0] / count[count > 0]
    if mean.size < n:
        return None
    c0, c1, c2 = (np.cumsum([0.0, *(count[count > 0] * mean**p)]) for p in range(3))
    i, j = np.arange(mean.size)[:, None], np.arange(1, mean.size + 1)[None, :]
    held = np.where(j > i, c0[j] - c0[i], 1.0)
    cost = np.where(j > i, c2[j] - c2[i] - (c1[j] - c1[i]) ** 2 / held, np.inf)
    best, cut = cost[0], np.zeros((n, mean.size), dtype=np.int64)
    for k in range(1, n):
        table = best[:-1, None] + cost[1:]
        cut[k], best = table.argmin(axis=0) + 1, table.min(axis=0)
    ends = [mean.size]
    for k in range(n - 1, 0, -1):
        ends.append(int(cut[k, ends[-1] - 1]))
    at = np.array([0, *reversed(ends)])
    return np.asarray(np.diff(c1[at]) / np.diff(c0[at]))


def kmeans_codebook(x: Tensor, bits: int, granularity: Granularity | None = None) -> Codebook:
    """Return the 2^b levels that k-means finds for `x`: the least squared error that any table can have, nearly.

    Lloyd's iteration ends in a local optimum, far from the global one where tails are heavy. So it starts from the best
    levels of a histogram of 1024 bins, which dynamic programming finds at once. (Deep Compression starts at equal
    distances, to keep the few large weights.)

    Parameters
    ----------
    x : Tensor of reals
        With at least 2^b different numbers.
    bits : int
        1 to 12.
    granularity : Granularity, optional
        Whose rows share the codebook, each with its own scale; by default the tensor is one row.

    Returns
    -------
    Codebook
        In the units of x if there is one row (quantize with ``calibration=Unscaled()``), else in units of a row's root
        mean square (quantize with ``calibration=MSE()``).

    Raises
    ------
    ValueError
        If x has fewer different numbers than there are levels.

    References
    ----------
    Han et al. 2016, section 3.

    Examples
    --------
    >>> kmeans_codebook(torch.tensor([0.0, 1.0, 9.0, 10.0, 11.0]), 1)
    Codebook(levels=(0.5, 10.0))

    Survey-map row: Q9.
    """
    n = 1 << check_bits(bits, 1, 12)
    samples = _samples(x, granularity or PerTensor(), n)
    return Codebook(tuple(np.asarray(lloyd_samples(samples, n, _start(samples, n)).levels)))


def quantile_codebook(x: Tensor, bits: int, granularity: Granularity | None = None) -> Codebook:
    """Return levels at the quantiles (i + ½)/2^b of `x`: every code is used equally often.

    Its codes carry b bits each, so no entropy coder can shorten them; but the error is not what it makes small.

    Parameters
    ----------
    x : Tensor of reals
        With at least 2^b different numbers.
    bits : int
        1 to 12.
    granularity : Granularity, optional
        As in `kmeans_codebook`.

    References
    ----------
    Dettmers et al. 2022, *8-bit optimizers via block-wise quantization*, section 2 (quantile quantization).

    Examples
    --------
    >>> quantile_codebook(torch.arange(8.0), 2)
    Codebook(levels=(0.5, 2.5, 4.5, 6.5))

    Survey-map row: Q9.
    """
    n = 1 << check_bits(bits, 1, 12)
    samples = _samples(x, granularity or PerTensor(), n)
    levels = np.quantile(samples, (np.arange(n) + 0.5) / n, method="hazen")
    if np.unique(levels).size < n:  # a value so frequent that two quantiles fall on it
        levels = np.quantile(np.unique(samples), (np.arange(n) + 0.5) / n, method="hazen")
    return Codebook(tuple(levels))
