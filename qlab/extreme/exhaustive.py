"""The exact optimum by trying everything: for vectors so short that it can be done.

    signs:    min over B ∈ {−1, +1}^(K×n), α of ‖w − Σ α_k b_k‖²      about 2^((n−1)·K)/K! cases of least squares
    ternary:  min over t ∈ {−1, 0, +1}^n, α of ‖w − α·t‖²             3^n cases

(b and −b are the same with −α: the first sign of every b can be held.) What the short cuts of this room are judged by.
Source: brute force; the problems are those of Rastegari et al. 2016 (equation 2), Lin et al. 2017 (equation 1) and Li
et al. 2016 (equation 2).
"""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import torch
from torch import Tensor

from qlab.nonuniform.binary_codes import best_alphas
from qlab.validate import check_bits, check_finite, check_real

__all__ = ["best_signs", "best_ternary"]


def _vector(w: Tensor, most: int) -> Tensor:
    if check_finite(check_real(w, "w"), "w").ndim != 1 or len(w) > most:
        raise ValueError(f"w must be one vector of at most {most} numbers, got shape {tuple(w.shape)}")
    return w.detach().double()


def best_signs(w: Tensor, bases: int) -> tuple[Tensor, Tensor, float]:
    """Return the best α, shape (K,), and B, shape (K, n), of all, and the squared error ‖w − Σ α_k b_k‖².

    Parameters
    ----------
    w : Tensor, shape (n,)
        At most 9 numbers.
    bases : int
        K, 1 to 3.

    Examples
    --------
    >>> alpha, signs, error = best_signs(torch.tensor([1.0, -2.0, 3.0]), 1)
    >>> alpha, signs, round(error, 3)  # mean|w|, sign(w)
    (tensor([2.], dtype=torch.float64), tensor([[ 1., -1.,  1.]], dtype=torch.float64), 2.0)

    Survey-map row: E4.
    """
    w, bases = _vector(w, 9), check_bits(bases, 1, 3, name="bases")
    signs = torch.tensor([(1, *rest) for rest in product((-1, 1), repeat=len(w) - 1)], dtype=torch.float64)
    chosen = torch.tensor(list(combinations_with_replacement(range(len(signs)), bases)))
    found: list[tuple[float, Tensor, Tensor]] = []
    for part in chosen.split(50_000):
        codes = signs[part]
        alphas = best_alphas(w.expand(len(codes), -1), codes)
        errors = (w - torch.einsum("rk,rkn->rn", alphas, codes)).square().sum(1)
        at = int(errors.argmin())
        found.append((float(errors[at]), alphas[at], codes[at]))
    error, alpha, best = min(found, key=lambda one: one[0])
    return alpha, best, error


def best_ternary(w: Tensor) -> tuple[float, Tensor, float]:
    """Return the best α and t of all, and the squared error ‖w − α·t‖².

    Parameters
    ----------
    w : Tensor, shape (n,)
        At most 9 numbers, not all 0.

    Examples
    --------
    >>> alpha, t, error = best_ternary(torch.tensor([0.1, -0.9, 1.0, 0.2]))
    >>> round(alpha, 2), t.tolist(), round(error, 3)
    (0.95, [0.0, -1.0, 1.0, 0.0], 0.055)

    Survey-map row: E3.
    """
    w = _vector(w, 9)
    words = torch.tensor(list(product((-1, 0, 1), repeat=len(w))), dtype=torch.float64)
    dot, kept = words @ w, words.abs().sum(1).clamp(min=1)
    gain = torch.where(dot > 0, dot.square() / kept, 0)
    at = int(gain.argmax())
    return float(dot[at] / kept[at]), words[at], float(w.square().sum() - gain[at])
