"""HAWQ-V2: the whole spectrum counts, not its top. The trace says what a random error costs on average.

    E[ δᵀH_i·δ ] = σ²·tr(H_i)   for independent errors δ of variance σ² = ‖Q_b(W_i) − W_i‖²/n_i, hence

    Ω_i(b) = tr(H_i)/n_i · ‖Q_b(W_i) − W_i‖²

    tr(H) = E[ vᵀH·v ],   v_j = ±1 by a fair coin          Hutchinson: since E[v·vᵀ] = 1, tr(H·E[v·vᵀ]) = tr(H)

One product H·v of the whole network serves all layers: v_i and v_j are independent, so E[v_iᵀ(H·v)_i] = tr(H_ii).
Half of Ω is the expected rise of the loss, where the gradient vanishes.

Sources: Dong et al. 2020, *HAWQ-V2: Hessian aware trace-weighted quantization of neural networks*, section 3;
Hutchinson 1989, *A stochastic estimator of the trace of the influence matrix*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from qlab.mixed.assignment import Space
from qlab.mixed.hessian import hessian_product
from qlab.mixed.sensitivity import weight_errors

__all__ = ["Traces", "hawq_v2_sensitivity", "hutchinson_traces"]


class Traces(NamedTuple):
    """Estimates of tr(H_i) for every layer, and their standard errors.

    Survey-map row: M2.
    """

    mean: NDArray[np.float64]
    error: NDArray[np.float64]


def hutchinson_traces(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    samples: int = 50,
    seed: int = 0,
    names: Sequence[str] | None = None,
    progress: bool = False,
) -> Traces:
    """Return Hutchinson's estimate of tr(H_i) for every layer, or for some.

    All layers share the vectors, which is cheap; the blocks between them add noise, so that a layer alone needs fewer.

    Parameters
    ----------
    model, x, labels
        As `qlab.mixed.hessian.hessian_product`.
    samples : int
        Numbers of vectors v, at least 2; the standard error falls as 1/√samples.
    seed : int
    names : sequence of str, optional
        Of the layers to estimate; all by default.
    progress : bool
        Show a bar.

    Raises
    ------
    ValueError
        If there are fewer than 2 samples, or as `hessian_product`.

    References
    ----------
    Dong et al. 2020, section 3; Hutchinson 1989.

    Survey-map row: M2.
    """
    if samples < 2:
        raise ValueError(f"samples must be at least 2, to tell a standard error, got {samples}")
    weights, product = hessian_product(model, x, labels, names)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in tqdm(range(samples), "Hutchinson", disable=not progress):
        v = [(2 * torch.randint(2, w.shape, generator=generator) - 1).to(w) for w in weights]
        found.append([float((a * b).double().sum()) for a, b in zip(v, product(v), strict=True)])
    each = np.array(found)
    return Traces(each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(samples))


def hawq_v2_sensitivity(model: nn.Module, traces: ArrayLike, space: Space) -> NDArray[np.float64]:
    """Return Ω_i(b) = tr(H_i)/n_i·‖Q_b(W_i) − W_i‖².

    Parameters
    ----------
    model : nn.Module
    traces : array of float, shape (layers,)
        A negative estimate (noise, or a saddle) counts as 0.
    space : Space

    Returns
    -------
    array of float, shape (layers, choices)

    Raises
    ------
    ValueError
        If there is not a trace for each layer.

    References
    ----------
    Dong et al. 2020, section 3.

    Survey-map row: M2.
    """
    t = np.asarray(traces, dtype=np.float64)
    if t.shape != (len(space.layers),):
        raise ValueError(f"traces must have shape ({len(space.layers)},), got {t.shape}")
    sizes = np.array([layer.parameters for layer in space.layers])
    return (t.clip(min=0) / sizes)[:, None] * weight_errors(model, space)
