r"""AdaRound: which weights to round up and which down, learned from what the layer puts out.

    W̃ = S·( clip(⌊W/S⌋ + h(V) − Z, q_min, q_max) + Z ),    h(V) = clip( σ(V)(ζ − γ) + γ, 0, 1 ),   ζ = 1.1, γ = −0.1
    min over V:   E‖W x − W̃ x̂‖² + λ Σ ( 1 − |2h(V) − 1|^β )

h starts at the fraction of W/S, so that W̃ = W; while β falls from 20 to 2, the second term pushes every h to 0 or 1.
Nearest rounding minimizes ‖W − W̃‖², which is not what the next layer sees: it sees W x.
Source: Nagel et al. 2020, *Up or Down? Adaptive Rounding for Post-Training Quantization*, equations 21–25. There the
layer's activation function is part of the loss; here it is left out, and the loss becomes the quadratic of `moments`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from qlab.ptq.codes import put_codes, quantized_layers, spread_params, uniform_weight
from qlab.ptq.moments import InputMoments, ReconstructionLoss, grouped, layer_moments, reconstruction_error
from qlab.quantizer import QuantizedTensor

__all__ = ["AdaRoundSettings", "adaround", "adaround_codes", "best_rounding", "rectified_sigmoid"]

ZETA, GAMMA = 1.1, -0.1


@dataclass(frozen=True)
class AdaRoundSettings:
    """How long and how hard to search.

    Attributes
    ----------
    steps : int
        Of Adam (10,000 in the paper; the quadratic loss has no sampling noise and needs fewer).
    lr : float
        Of Adam.
    regularization : float
        λ, in units of the layer's output power per weight.
    beta : (float, float)
        From and to; it moves as a cosine after the warm-up.
    warmup : float
        Share of the steps without the second term.

    Survey-map row: T8.
    """

    steps: int = 1000
    lr: float = 0.03
    regularization: float = 0.1
    beta: tuple[float, float] = (20.0, 2.0)
    warmup: float = 0.2


def rectified_sigmoid(v: Tensor) -> Tensor:
    """h(V) = clip(σ(V)(ζ − γ) + γ, 0, 1): reaches 0 and 1 at finite V, and keeps a gradient until there.

    References
    ----------
    Louizos et al. 2018, *Learning sparse neural networks through L0 regularization*; Nagel et al. 2020, equation 23.

    Survey-map row: T8.
    """
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def start_of_rounding(fraction: Tensor) -> Tensor:
    """Return V with h(V) = fraction."""
    p = ((fraction - GAMMA) / (ZETA - GAMMA)).clamp(1e-4, 1 - 1e-4)
    return torch.log(p / (1 - p))


def _beta(step: int, s: AdaRoundSettings) -> float:
    t = max(0.0, (step / s.steps - s.warmup) / (1 - s.warmup))
    high, low = s.beta
    return low + (high - low) * (1 + float(torch.cos(torch.tensor(t * torch.pi)))) / 2


def rounding_push(h: Sequence[Tensor], step: int, s: AdaRoundSettings) -> Tensor:
    """Return λ·mean(1 − |2h − 1|^β), which pushes every h to 0 or 1; nothing during the warm-up.

    References
    ----------
    Nagel et al. 2020, equation 24.

    Survey-map row: T8.
    """
    if step < s.warmup * s.steps:
        return torch.zeros(())
    beta = _beta(step, s)
    return s.regularization * torch.cat([1 - (2 * each - 1).abs().pow(beta).flatten() for each in h]).mean()


def adaround_codes(
    weight: Tensor, stored: QuantizedTensor, moments: InputMoments, settings: AdaRoundSettings
) -> Tensor:
    """Return the codes that AdaRound finds for one layer.

    Parameters
    ----------
    weight : Tensor
        W.
    stored : QuantizedTensor
        The layer's weight as quantized: its grid, S and Z are kept.
    moments : InputMoments
        Of the layer's input.
    settings : AdaRoundSettings

    Returns
    -------
    Tensor of int32, in the shape of the weight

    Survey-map row: T8.
    """
    groups = len(moments.second)
    S, Z = spread_params(stored)
    floor = torch.floor(weight / S)
    low, high = stored.grid.code_range
    W = grouped(weight.detach(), groups)
    error = ReconstructionLoss(W, moments)
    power = error.constant + 1e-30
    V = start_of_rounding(weight / S - floor).requires_grad_()
    optimizer = torch.optim.Adam([V], lr=settings.lr)
    for step in range(settings.steps):
        h = rectified_sigmoid(V)
        rounded = S * ((floor + h - Z).clamp(low, high) + Z)
        loss = error(grouped(rounded, groups)) / power + rounding_push([h], step, settings)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    up = (rectified_sigmoid(V.detach()) >= 0.5).to(floor.dtype)
    return (floor + up - Z).clamp(low, high).to(torch.int32)


def adaround(
    quantized: nn.Module,
    original: nn.Module,
    batches: Iterable[Tensor],
    settings: AdaRoundSettings | None = None,
    progress: bool = False,
) -> nn.Module:
    """Return a copy of `quantized` with learned rounding, layer after layer, each seeing the rounded ones before it.

    Parameters
    ----------
    quantized : nn.Module
        From `qlab.quantize`, with uniform grids; left as it is.
    original : nn.Module
        The network that it was made from.
    batches : iterable of Tensor
        Inputs, streamed once per layer.
    settings : AdaRoundSettings, optional
    progress : bool
        Show a bar over the layers.

    References
    ----------
    Nagel et al. 2020, section 3.3.

    Survey-map row: T8.
    """
    settings = settings or AdaRoundSettings()
    result = copy.deepcopy(quantized)
    for name, layer in tqdm(quantized_layers(result).items(), "AdaRound", disable=not progress):
        stored = uniform_weight(layer, name)
        moments = layer_moments(result, original, name, batches)
        before: Any = original.get_submodule(name)
        put_codes(layer, adaround_codes(before.weight.detach(), stored, moments, settings), name)
    return result


def best_rounding(weight: Tensor, stored: QuantizedTensor, moments: InputMoments) -> Tensor:
    """Return the codes with the least reconstruction error among all 2^n ways to round: for tiny layers, as a judge.

    Parameters
    ----------
    weight : Tensor
        At most 16 weights per output, in one group.

    Raises
    ------
    ValueError
        If there are more.

    References
    ----------
    Nagel et al. 2020, equation 19 (a quadratic unconstrained binary optimization, QUBO).

    Survey-map row: T8.
    """
    outputs, d = weight.flatten(1).shape
    if d > 16 or len(moments.second) > 1:
        raise ValueError(f"weight must have at most 16 weights per output in one group, got {d}")
    S, Z = (t.flatten(1).double() for t in spread_params(stored))
    floor = torch.floor(weight.flatten(1) / S)
    low, high = stored.grid.code_range
    ways = torch.tensor(list(product((0.0, 1.0), repeat=d)), dtype=torch.float64)  # (2^d, d)
    best = torch.empty(outputs, d, dtype=torch.float64)
    for o in range(outputs):
        codes = (floor[o] + ways - Z[o]).clamp(low, high)
        rounded = S[o] * (codes + Z[o])
        w = weight.flatten(1)[o].double().expand_as(rounded)
        error = reconstruction_error(w[None], rounded[None], moments)[0]
        best[o] = codes[int(error.argmin())]
    return best.reshape(weight.shape).to(torch.int32)
