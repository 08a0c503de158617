"""Depth-wise separable convolution: filter every channel by itself, then mix the channels.

    standard    y_o = Σ_c W[o, c] ∗ x_c             C_out·C_in·k² parameters
    separable   y_o = Σ_c P[o, c]·(D[c] ∗ x_c)      C_in·k² + C_out·C_in parameters

    separable / standard = 1/C_out + 1/k²           in parameters and, at stride 1, in multiply–accumulates

So a separable convolution is a standard one whose filters W[:, c], laid out as a C_out × k² matrix for every input
channel c, have rank one: W[o, c] = P[o, c]·D[c].

Sources: Howard et al. 2017, *MobileNets*, section 3.1; Gholami et al. 2021, section I.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["nearest_separable", "separable_like", "separable_ratio"]


def separable_ratio(out_channels: int, kernel: int) -> float:
    """Return 1/C_out + 1/k²: parameters (and MACs at stride 1) of a separable convolution over those of a standard one.

    Parameters
    ----------
    out_channels : int
        C_out.
    kernel : int
        k, of a square kernel.

    Raises
    ------
    ValueError
        If one of them is below 1.

    References
    ----------
    Howard et al. 2017, section 3.1.

    Examples
    --------
    >>> round(separable_ratio(64, 3), 4)  # 1/64 + 1/9
    0.1267

    Survey-map row: B2.
    """
    if out_channels < 1 or kernel < 1:
        raise ValueError(f"out_channels and kernel must be at least 1, got {out_channels} and {kernel}")
    return 1 / out_channels + 1 / kernel**2


def separable_like(conv: nn.Conv2d, seed: int = 0) -> nn.Sequential:
    """Return a fresh depth-wise separable convolution with the shape of a standard one.

    Parameters
    ----------
    conv : nn.Conv2d
        With groups=1; only its shape is read.
    seed : int
        Of the initial weights.

    Returns
    -------
    nn.Sequential
        A k×k convolution with one group per channel (kernel, stride, padding and dilation of `conv`), then a 1×1
        convolution, which has the bias if `conv` has one.

    Raises
    ------
    TypeError
        If `conv` is not an nn.Conv2d.
    ValueError
        If it has groups.

    Examples
    --------
    >>> standard = nn.Conv2d(32, 64, 3, padding=1, bias=False)
    >>> count = lambda m: sum(p.numel() for p in m.parameters())
    >>> count(standard), count(separable_like(standard))
    (18432, 2336)

    Survey-map row: B2.
    """
    _check(conv)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        depthwise = nn.Conv2d(
            conv.in_channels,
            conv.in_channels,
            conv.kernel_size,  # type: ignore[arg-type]  # torch's own attribute, typed wider than its argument
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            groups=conv.in_channels,
            bias=False,
            padding_mode=conv.padding_mode,
        )
        pointwise = nn.Conv2d(conv.in_channels, conv.out_channels, 1, bias=conv.bias is not None)
    return nn.Sequential(depthwise, pointwise).to(conv.weight.device, conv.weight.dtype).train(conv.training)


@torch.no_grad()
def nearest_separable(conv: nn.Conv2d) -> nn.Sequential:
    """Return the separable convolution whose weights are nearest to those of a standard one.

    For every input channel c the best rank-one form of the C_out × k² matrix W[:, c] is its first singular pair,
    σ₁·u₁v₁ᵀ; what is lost is Σ_c Σ_{i>1} σ_i². No separable convolution has a smaller squared weight error.

    Parameters
    ----------
    conv : nn.Conv2d
        With groups=1; left as it is.

    Raises
    ------
    TypeError, ValueError
        As `separable_like`.

    References
    ----------
    Eckart and Young 1936.

    Survey-map rows: B2, B3.
    """
    both = separable_like(conv)
    depthwise, pointwise = (cast(nn.Conv2d, layer) for layer in both)
    w = conv.weight.movedim(1, 0).flatten(2)  # (C_in, C_out, k²): a matrix per input channel
    u, sigma, vt = torch.linalg.svd(w.double(), full_matrices=False)
    gain = sigma[:, 0].sqrt()  # share σ₁ between the two factors
    depthwise.weight.copy_((gain[:, None] * vt[:, 0]).reshape(depthwise.weight.shape))
    pointwise.weight.copy_((gain[:, None] * u[:, :, 0]).T[:, :, None, None])
    if conv.bias is not None:
        cast(Tensor, pointwise.bias).copy_(conv.bias)
    return both


def _check(conv: nn.Conv2d) -> None:
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"conv must be an nn.Conv2d, got {type(conv).__name__}")
    if conv.groups != 1:
        raise ValueError(f"conv must be a standard convolution (groups=1), got groups={conv.groups}")
