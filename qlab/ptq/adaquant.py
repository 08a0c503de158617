"""AdaQuant: move the weights and the step until the layer's output fits; rounding may go further than one code.

    min_{V, S}  E‖ W x − Q_S(W + V) x̂ ‖²

V is free, so a code may end up anywhere near, where AdaRound allows only ⌊·⌋ and ⌈·⌉; gradients go straight through
Int. More freedom, and with few data more of it to overfit. Source: Hubara et al. 2021, *Accurate post training
quantization with small calibration sets* (2020: *Improving post training neural quantization: layer-wise calibration
and integer programming*), equation 2.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from qlab.ptq.codes import put_stored, quantized_layers, uniform_weight
from qlab.ptq.moments import InputMoments, ReconstructionLoss, grouped, layer_moments
from qlab.quantizer import Params, QuantizedTensor

__all__ = ["AdaQuantSettings", "adaquant", "adaquant_weight"]


@dataclass(frozen=True)
class AdaQuantSettings:
    """How V and S are optimized.

    Attributes
    ----------
    steps : int
        Of Adam, per layer.
    lr : float
        Of V, in steps S.
    scale_lr : float
        Of S, relative to itself.

    Survey-map row: T9.
    """

    steps: int = 300
    lr: float = 0.02
    scale_lr: float = 1e-3

    def __post_init__(self) -> None:
        if self.steps < 1 or not min(self.lr, self.scale_lr) > 0:
            raise ValueError(f"steps and rates must be positive, got {self}")


def adaquant_weight(
    weight: Tensor, stored: QuantizedTensor, moments: InputMoments, settings: AdaQuantSettings
) -> QuantizedTensor:
    """Return the integer form, with its own scales, that AdaQuant finds for one layer.

    The best step seen is kept: the result is never worse than the start, measured by the layer's own error.

    Parameters
    ----------
    weight : Tensor
        W.
    stored : QuantizedTensor
        Where to start; uniform grid.
    moments : InputMoments
        Of the layer's input.
    settings : AdaQuantSettings

    Survey-map row: T9.
    """
    g, shape, groups = stored.granularity, tuple(weight.shape), len(moments.second)
    low, high = stored.grid.code_range
    Z = stored.params.zero_point[:, None]
    start, rows = stored.params.scale, g.rows(weight.detach())
    T = (rows / start[:, None]).requires_grad_()  # (W + V)/S₀
    log_s = torch.zeros_like(start).requires_grad_()  # ln S/S₀
    optimizer = torch.optim.Adam([{"params": [T], "lr": settings.lr}, {"params": [log_s], "lr": settings.scale_lr}])
    error = ReconstructionLoss(grouped(weight.detach(), groups), moments)
    power = error.constant + 1e-30
    best: tuple[float, Tensor, Tensor] | None = None
    for step in range(settings.steps + 1):
        S = start * log_s.exp()
        t = torch.minimum(torch.maximum(T * (start / S)[:, None], low + Z), high + Z)
        k = t + (torch.round(t) - t).detach()
        rounded = grouped(g.unrows(S[:, None] * k, shape), groups)
        loss = error(rounded) / power
        if best is None or loss.item() < best[0]:
            best = loss.item(), torch.round(k.detach()), S.detach().clone()
        if step == settings.steps:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert best is not None
    codes = g.unrows((best[1] - Z).clamp(low, high), shape).to(stored.codes.dtype)
    params = Params(best[2], stored.params.zero_point)
    return QuantizedTensor(codes, params, stored.grid, g, stored.dtype)


def adaquant(
    quantized: nn.Module,
    original: nn.Module,
    batches: Iterable[Tensor],
    settings: AdaQuantSettings | None = None,
    progress: bool = False,
) -> nn.Module:
    """Return a copy of `quantized` with weights and scales fitted, layer after layer.

    Parameters
    ----------
    quantized : nn.Module
        From `qlab.quantize`, with uniform grids; left as it is.
    original : nn.Module
        The network that it was made from.
    batches : iterable of Tensor
        Inputs, streamed once per layer.
    settings : AdaQuantSettings, optional
    progress : bool
        Show a bar over the layers.

    References
    ----------
    Hubara et al. 2021, section 3.1 (sequential AdaQuant).

    Survey-map row: T9.
    """
    settings = settings or AdaQuantSettings()
    result = copy.deepcopy(quantized)
    for name, layer in tqdm(quantized_layers(result).items(), "AdaQuant", disable=not progress):
        stored = uniform_weight(layer, name)
        moments = layer_moments(result, original, name, batches)
        before: Any = original.get_submodule(name)
        put_stored(layer, adaquant_weight(before.weight, stored, moments, settings))
    return result
