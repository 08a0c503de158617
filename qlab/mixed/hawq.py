"""HAWQ: a layer whose loss is sharply curved gets more bits; curvature is the Hessian's top eigenvalue.

    v ← H_i·v / ‖H_i·v‖,   λ_i = vᵀH_i·v        power iteration on the block of layer i
    S_i = λ_i / n_i                             in falling order of S, bits never rise
    Ω_i(b) = λ_i·‖Q_b(W_i) − W_i‖²              the paper orders its fine-tuning by it

S gives an order, not an assignment: of B choices in L layers it leaves C(L+B−1, L) of B^L, and the authors chose among
them by hand. We take the one of least Σ_i Ω_i that fits the budget.

Source: Dong et al. 2019, *HAWQ: Hessian aware quantization of neural networks with mixed precision*, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from qlab.mixed.assignment import Space
from qlab.mixed.hessian import hessian_product
from qlab.mixed.sensitivity import weight_errors

__all__ = ["hawq_allocate", "hawq_order", "monotone_choices", "top_eigenvalues"]


def top_eigenvalues(
    model: nn.Module, x: Tensor, labels: Tensor, steps: int = 50, tolerance: float = 1e-3, seed: int = 0
) -> NDArray[np.float64]:
    """Return the eigenvalue of largest magnitude of every layer's block H_i of the Hessian.

    Parameters
    ----------
    model, x, labels
        As `qlab.mixed.hessian.hessian_product`.
    steps : int
        At most so many iterations; the error falls as |λ_2/λ_1|^(2·steps).
    tolerance : float
        Stop when λ changes by less than this share.
    seed : int
        Of the first v.

    Returns
    -------
    array of float, shape (layers,)

    Raises
    ------
    ValueError
        If steps is not positive, or as `hessian_product`.

    References
    ----------
    Dong et al. 2019, algorithm 1.

    Survey-map row: M2.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    weights, product = hessian_product(model, x, labels)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for i, w in enumerate(weights):
        blocks = [torch.zeros_like(other) for other in weights]
        v = torch.randn(w.shape, generator=generator, dtype=w.dtype).to(w.device)
        v, last = v / v.norm(), 0.0
        for _ in range(steps):
            Hv = product([*blocks[:i], v, *blocks[i + 1 :]])[i]
            eigenvalue = float((v * Hv).sum())
            if Hv.norm() == 0 or abs(eigenvalue - last) <= tolerance * abs(eigenvalue):
                break
            v, last = Hv / Hv.norm(), eigenvalue
        found.append(eigenvalue)
    return np.array(found)


def hawq_order(eigenvalues: ArrayLike, space: Space) -> NDArray[np.int64]:
    """Return the layers in falling order of S_i = λ_i/n_i: the first deserves the most bits.

    References
    ----------
    Dong et al. 2019, equation 3.

    Survey-map row: M2.
    """
    sizes = np.array([layer.parameters for layer in space.layers])
    return np.argsort(-np.asarray(eigenvalues, dtype=np.float64) / sizes, kind="stable")


def monotone_choices(space: Space, order: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the choices whose bits never rise along an order of the layers, shape (C(L+B−1, L), L).

    Survey-map row: M2.
    """
    choices = space.all_choices()
    return choices[(np.diff(choices[:, np.asarray(order)], axis=1) <= 0).all(axis=1)]


def hawq_allocate(model: nn.Module, eigenvalues: ArrayLike, space: Space, limit: float) -> tuple[int, ...]:
    """Return the choice of least Σ_i λ_i·‖Q(W_i) − W_i‖² among those in HAWQ's order and within a budget of bytes.

    Parameters
    ----------
    model : nn.Module
    eigenvalues : array of float, shape (layers,)
        From `top_eigenvalues`.
    space : Space
    limit : float
        Bytes of weights and scales.

    Raises
    ------
    ValueError
        If nothing in that order fits.

    Survey-map row: M2.
    """
    values = np.asarray(eigenvalues, dtype=np.float64)
    allowed = monotone_choices(space, hawq_order(values, space))
    allowed = allowed[space.total(space.nbytes, allowed) <= limit]
    if not len(allowed):
        raise ValueError(f"limit must hold {space.nbytes[:, 0].sum():g} bytes, the fewest there are, got {limit:g}")
    omega = np.abs(values)[:, None] * weight_errors(model, space)
    return tuple(int(b) for b in allowed[space.total(omega, allowed).argmin()])
