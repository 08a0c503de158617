"""Weight sharing: the weights that are left take one of a few values, and only the values are trained.

    C = k-means of the weights that are not zero,       w̃_i = C[q_i],       w̃_i = 0 where w_i was pruned
    ∂𝓛/∂C_k = Σ_i ∂𝓛/∂w̃_i · 1(q_i = k)                 all weights of a cluster pull at their centroid together

k-means starts from levels at equal distances between the smallest and the largest weight: a start that follows the
density puts no centroid near the few large weights, and they matter most.

With the sum, learning rates are hard to choose: a centroid of 20,000 weights moves 20,000 times as far as one of them.
Divided by the number n_k of its weights it is gradient descent on the weights themselves, projected onto those that
share, and the rates of the weights do. Both are here: ``gradient="sum"`` and ``"mean"``.
Source: Han, Mao, Dally 2016, *Deep compression*, section 3, equations 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qlab.history.lloyd_samples import lloyd_samples
from qlab.neighbours.pruning import bake
from qlab.network import quantizable_layers
from qlab.validate import check_bits, check_finite, check_real

__all__ = ["STARTS", "SharedWeight", "share", "share_weights", "shared_of"]

STARTS = ("linear", "density", "forgy")
"""Where k-means may start: at equal distances, at equal shares of the weights, or at weights drawn at random."""


def _start(w: np.ndarray, n: int, how: str, seed: int) -> np.ndarray:
    if how == "linear":
        return np.linspace(w.min(), w.max(), n)
    if how == "density":
        return np.quantile(w, (np.arange(n) + 0.5) / n)
    return np.sort(np.random.default_rng(seed).choice(np.unique(w), n, replace=False))


def share(w: Tensor, bits: int, start: str = "linear", seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the centroids of the weights that are not zero, and every weight's code: 0 for a zero, else 1 … 2^b.

    Parameters
    ----------
    w : Tensor of reals
        Zeros are weights that were pruned: they stay zero and cost no centroid.
    bits : int
        b, 1 to 8: at most 2^b centroids, fewer if there are fewer different weights.
    start : {"linear", "density", "forgy"}
    seed : int
        Of "forgy".

    Returns
    -------
    centroids : Tensor, shape (n,)
        In increasing order, in w's type.
    codes : Tensor of int64, shape of w

    Raises
    ------
    ValueError
        If all weights are zero, or `start` is unknown.

    References
    ----------
    Han et al. 2016, sections 3.1 and 3.2.

    Examples
    --------
    >>> share(torch.tensor([0.0, 1.0, 0.0, 1.2, -3.0]), 1)
    (tensor([-3.0000,  1.1000]), tensor([0, 2, 0, 2, 1]))

    Survey-map row: V1.
    """
    if start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, got {start!r}")
    check_finite(check_real(w, "w"), "w")
    kept = (w != 0).flatten()
    x = w.detach().flatten()[kept].double().cpu().numpy()
    if x.size == 0:
        raise ValueError("w must have a weight that is not zero: nothing is left to share")
    n = min(1 << check_bits(bits, 1, 8), np.unique(x).size)
    found = lloyd_samples(x, n, _start(x, n, start, seed))
    codes = torch.zeros(w.numel(), dtype=torch.int64)
    nearest = np.searchsorted(found.thresholds, x, side="right")
    used, nearest = np.unique(nearest, return_inverse=True)  # a centroid that nobody is nearest to is not stored
    codes[kept.cpu()] = torch.from_numpy(nearest + 1)
    centroids = torch.as_tensor(np.asarray(found.levels)[used], dtype=w.dtype, device=w.device)
    return centroids, codes.reshape(w.shape).to(w.device)


class _Divided(torch.autograd.Function):
    """The identity, to the last bit; what comes back is divided."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, by: Tensor) -> Tensor:
        ctx.save_for_backward(by)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (by,) = ctx.saved_tensors
        return grads[0] / by, None


def divided_gradient(x: Tensor, by: Tensor) -> Tensor:
    """Return x, whose gradient is divided by `by`."""
    return cast(Tensor, _Divided.apply(x, by))


class SharedWeight(nn.Module):
    """The parametrization W ↦ C[q]: the weight itself is not looked at any more.

    Autograd adds the gradients of all weights that share a centroid. A pruned weight stays zero.

    Attributes
    ----------
    centroids : Parameter, shape (n,)
    codes : Tensor of int64, shape of the weight
        0 for a pruned weight, k for ``centroids[k − 1]``.

    Survey-map row: V1.
    """

    codes: Tensor
    uses: Tensor | None

    def __init__(self, centroids: Tensor, codes: Tensor, gradient: str = "sum") -> None:
        if gradient not in ("sum", "mean"):
            raise ValueError(f'gradient must be "sum" or "mean", got {gradient!r}')
        super().__init__()
        uses = codes.flatten().bincount(minlength=centroids.numel() + 1)[1:].to(centroids.dtype)
        self.register_buffer("uses", uses if gradient == "mean" else None)
        self.centroids = nn.Parameter(centroids)
        self.register_buffer("codes", codes)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the table looked up: zero, or the centroid."""
        c = self.centroids if self.uses is None else divided_gradient(self.centroids, self.uses)
        return torch.cat([c.new_zeros(1), c])[self.codes]


def share_weights(
    model: nn.Module,
    bits: int | Mapping[str, int],
    start: str = "linear",
    seed: int = 0,
    gradient: str = "sum",
) -> nn.Module:
    """Return a copy of `model` whose linear and convolutional layers share weights; training it trains the centroids.

    Parameters
    ----------
    model : nn.Module
        Left as it is. What is zero (pruned, with a mask or without) stays zero.
    bits : int or mapping of layer name to int
        A layer that the mapping does not name is left as it is.
    start, seed
        As `share` takes them.
    gradient : {"sum", "mean"}
        What a centroid gets from its weights; the paper's is the sum.

    Raises
    ------
    ValueError
        If there is no layer to share, or the mapping names a layer that does not exist.

    References
    ----------
    Han et al. 2016, section 3.

    Survey-map row: V1.
    """
    model = bake(model)
    layers = quantizable_layers(model)
    widths = dict.fromkeys(layers, bits) if isinstance(bits, int) else dict(bits)
    if not widths or not widths.keys() <= layers.keys():
        raise ValueError(f"bits must name layers of the model ({', '.join(layers)}), got {', '.join(widths) or 'none'}")
    for name, width in widths.items():
        layer = layers[name]
        part = SharedWeight(*share(layer.weight, width, start, seed), gradient)
        parametrize.register_parametrization(layer, "weight", part)
        layer.parametrizations.weight.original.requires_grad_(False)
    return model


def shared_of(layer: Any) -> SharedWeight | None:
    """Return a layer's `SharedWeight`, or None.

    Survey-map row: V1.
    """
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    return next((part for part in layer.parametrizations.weight if isinstance(part, SharedWeight)), None)
