"""Oscillating weights: near a decision threshold the straight-through estimator pushes to and fro, step after step.

    o_t = [ Q_t ≠ Q_{t−1}  and  sign(Q_t − Q_{t−1}) = −sign(the change before) ]
    f_t = m·o_t + (1 − m)·f_{t−1}                            frequency, an exponential average
    freeze:   where f_t > f_th,  W ← S·Int(average of Q)      and leave it there
    dampen:   loss + λ·Σ (r̃ − clip(W))²                       keeps weights near the middle of their cells

Source: Nagel, Fournarakis, Bondarenko, Blankevoort 2022, *Overcoming oscillations in quantization-aware training*,
equations 4–9.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qlab.network import quantizable_layers, stored_weight
from qlab.ptq.codes import spread_params

__all__ = ["OscillationTracker", "dampening"]


class OscillationTracker:
    """Counts oscillations, and freezes what oscillates: ``train(model, data, after_step=OscillationTracker())``.

    It is a record that grows with the run, so it is no frozen dataclass.

    Parameters
    ----------
    momentum : float
        m.
    threshold : float or None
        f_th above which a weight is frozen; None only watches.

    Attributes
    ----------
    frequency : dict of layer name to Tensor
        f, in the shape of the weight.
    frozen : dict of layer name to Tensor of bool

    References
    ----------
    Nagel et al. 2022, section 4.3.

    Survey-map row: T4.
    """

    def __init__(self, momentum: float = 0.01, threshold: float | None = None) -> None:
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum must lie in (0, 1], got {momentum}")
        self.momentum, self.threshold = momentum, threshold
        self.frequency: dict[str, Tensor] = {}
        self.frozen: dict[str, Tensor] = {}
        self._codes: dict[str, Tensor] = {}
        self._average: dict[str, Tensor] = {}
        self._direction: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, model: nn.Module, progress: float) -> None:
        """Record one step of training (and freeze)."""
        for name, layer in quantizable_layers(model).items():
            stored = stored_weight(layer)
            if stored is None:
                continue
            codes = stored.codes.to(torch.float32)
            if name not in self._codes:
                self._codes[name] = self._average[name] = codes
                self._direction[name], self.frequency[name] = torch.zeros_like(codes), torch.zeros_like(codes)
                self.frozen[name] = torch.zeros_like(codes, dtype=torch.bool)
                continue
            change = torch.sign(codes - self._codes[name])
            back = (change != 0) & (change == -self._direction[name])
            self._direction[name] = torch.where(change != 0, change, self._direction[name])
            self._codes[name] = codes
            m = self.momentum
            self.frequency[name] = m * back + (1 - m) * self.frequency[name]
            self._average[name] = m * codes + (1 - m) * self._average[name]
            if self.threshold is not None:
                self._freeze(name, layer, stored, self.threshold)

    def _freeze(self, name: str, layer: Any, stored: Any, threshold: float) -> None:
        new = (self.frequency[name] > threshold) & ~self.frozen[name]
        self.frozen[name] |= new
        # held at the level it was frozen at, whatever the optimizer and its momentum do
        self._average[name] = torch.where(new, torch.round(self._average[name]), self._average[name])
        S, Z = spread_params(stored)
        held = S * (torch.round(self._average[name]) + Z)
        original = layer.parametrizations.weight.original
        original.copy_(torch.where(self.frozen[name], held, original))

    def oscillating(self, above: float = 0.005) -> float:
        """Return the share of weights whose frequency is above `above`."""
        all_of_them = torch.cat([f.flatten() for f in self.frequency.values()])
        return float((all_of_them > above).double().mean())


def dampening(model: nn.Module, strength: float) -> Tensor:
    """Return λ·Σ(r̃ − clip(W))² over the quantized weights; r̃ and the clip's ends are held.

    References
    ----------
    Nagel et al. 2022, equation 5.

    Survey-map row: T4.
    """
    terms = []
    for layer in quantizable_layers(model).values():
        stored = stored_weight(layer)
        if stored is None:
            continue
        S, Z = spread_params(stored)
        low, high = stored.grid.code_range
        W = layer.parametrizations.weight.original
        clipped = torch.minimum(torch.maximum(W, S * (low + Z)), S * (high + Z))
        terms.append((stored.dequantize() - clipped).square().sum())
    if not terms:
        raise ValueError("model must have quantized weights (qlab.quantize); it has none")
    return strength * torch.stack(terms).sum()
