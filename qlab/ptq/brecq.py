"""BRECQ: learned rounding, but a whole block at a time, and errors weighed by what the loss thinks of them.

    min_V  E[ Σ_i (∂L/∂z_i)² · (ẑ_i − z_i)² ] + λ·Σ(1 − |2h(V) − 1|^β),      z the output of a block

The layers of a block learn their roundings together: inside it one may mend what another breaks. The squared gradients
are the diagonal of the Fisher matrix; L is the divergence of the quantized network's answer from the original's.
Source: Li et al. 2021, *BRECQ: pushing the limit of post-training quantization by block reconstruction*, equation 10,
algorithm 1.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from qlab.ptq.adaround import AdaRoundSettings, rectified_sigmoid, rounding_push, start_of_rounding
from qlab.ptq.codes import put_codes, quantized_layers, spread_params, uniform_weight
from qlab.ptq.moments import layer_inputs
from qlab.ptq.reservoir import reservoir

__all__ = ["BrecqSettings", "blocks_of", "brecq"]


@dataclass(frozen=True)
class BrecqSettings:
    """How a block is reconstructed.

    Attributes
    ----------
    rounding : AdaRoundSettings
        Steps per block, rate, regularization.
    batch_size : int
        Pictures per step.
    pictures : int
        Most pictures that are kept, with a block's input and output for each (1,024 in the authors' script). Of more,
        a sample is drawn while they stream by; up to this number all are kept, in their order.
    fisher : bool
        Weigh errors by squared gradients; False takes them all alike.
    seed : int
        Of the sample and the batches.

    Raises
    ------
    ValueError
        If `pictures` is no integer of at least 1.

    Survey-map row: T9.
    """

    rounding: AdaRoundSettings = field(default_factory=lambda: AdaRoundSettings(steps=300))
    batch_size: int = 32
    pictures: int = 1024
    fisher: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.pictures, int) or self.pictures < 1:
            raise ValueError(f"pictures must be an integer of at least 1, got {self.pictures!r}")


class _SoftRounding(nn.Module):
    """The parametrization W ↦ S·(clip(⌊W/S⌋ + h(V) − Z) + Z), while V is learned."""

    def __init__(self, weight: Tensor, stored: Any) -> None:
        super().__init__()
        self.S, self.Z = spread_params(stored)
        self.low, self.high = stored.grid.code_range
        self.floor = torch.floor(weight / self.S)
        self.V = nn.Parameter(start_of_rounding(weight / self.S - self.floor))

    def codes(self, h: Tensor) -> Tensor:
        return (self.floor + h - self.Z).clamp(self.low, self.high)

    def forward(self, _: Tensor) -> Tensor:
        return self.S * (self.codes(rectified_sigmoid(self.V)) + self.Z)


def blocks_of(quantized: nn.Module) -> list[str]:
    """Return the direct children of a network that hold quantized weights: residual blocks, and single layers.

    Survey-map row: T9.
    """
    found: list[str] = []
    for name in quantized_layers(quantized):
        block = name.split(".")[0]
        if block not in found:
            found.append(block)
    return found


def _outputs(model: nn.Module, name: str, x: Tensor) -> Tensor:
    kept: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(lambda m, a, out: kept.append(out))
    try:
        model(x)
    finally:
        handle.remove()
    return kept[0]


def _fisher(result: nn.Module, original: nn.Module, name: str, x: Tensor) -> Tensor:
    """Return (∂L/∂z)² at the block's output, scaled to mean 1."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: Any, out: Tensor) -> Tensor:
        kept.append(out.detach().requires_grad_())
        return kept[0]

    handle = result.get_submodule(name).register_forward_hook(keep)
    try:
        with torch.no_grad():
            target = F.log_softmax(original(x), 1)
        with torch.enable_grad():
            loss = F.kl_div(F.log_softmax(result(x), 1), target, reduction="sum", log_target=True)
            (gradient,) = torch.autograd.grad(loss, kept[0])
    finally:
        handle.remove()
    squared = gradient.square()
    return squared / squared.mean().clamp(min=1e-30)


def brecq(
    quantized: nn.Module,
    original: nn.Module,
    batches: Iterable[Tensor],
    settings: BrecqSettings | None = None,
    blocks: Sequence[str] | None = None,
    progress: bool = False,
) -> nn.Module:
    """Return a copy of `quantized` with roundings learned block after block.

    Parameters
    ----------
    quantized : nn.Module
        From `qlab.quantize`, with uniform grids; left as it is.
    original : nn.Module
        The network that it was made from.
    batches : iterable of Tensor
        Inputs, streamed once. At most `settings.pictures` of them are kept, however many there are.
    settings : BrecqSettings, optional
    blocks : sequence of str, optional
        Names of modules with one input and one output; by default `blocks_of`.
    progress : bool
        Show a bar over the blocks.

    Raises
    ------
    ValueError
        If there are no batches, or a block holds no quantized weight.

    References
    ----------
    Li et al. 2021, sections 3.2 and 3.3.

    Survey-map row: T9.
    """
    s = settings or BrecqSettings()
    result = copy.deepcopy(quantized)
    x = reservoir(batches, s.pictures, s.seed)
    for name in tqdm(blocks if blocks is not None else blocks_of(quantized), "BRECQ", disable=not progress):
        inside = [layer for layer in quantized_layers(result) if layer == name or layer.startswith(f"{name}.")]
        if not inside:
            raise ValueError(f"blocks: {name!r} holds no quantized weight")
        with torch.no_grad():
            parts = x.split(256)
            inputs = torch.cat([layer_inputs(result, name, part) for part in parts])
            target = torch.cat([_outputs(original, name, part) for part in parts])
        weights = torch.cat([_fisher(result, original, name, p) for p in parts]) if s.fisher else torch.ones(1)
        for layer, new in _learn(result, original, name, inside, inputs, target, weights, s).items():
            put_codes(result.get_submodule(layer), new, layer)
    return result


def _learn(
    result: nn.Module,
    original: nn.Module,
    name: str,
    inside: list[str],
    inputs: Tensor,
    target: Tensor,
    weights: Tensor,
    s: BrecqSettings,
) -> dict[str, Tensor]:
    network = copy.deepcopy(result).eval()
    block = network.get_submodule(name)
    soft = {}
    for layer_name in inside:
        layer: Any = network.get_submodule(layer_name)
        before: Any = original.get_submodule(layer_name)
        soft[layer_name] = _SoftRounding(before.weight.detach(), uniform_weight(layer, layer_name))
        chain = layer.parametrizations.weight
        chain[len(chain) - 1] = soft[layer_name]
    optimizer = torch.optim.Adam([m.V for m in soft.values()], lr=s.rounding.lr)
    random = torch.Generator().manual_seed(s.seed)
    power = float((weights * target.square()).mean()) + 1e-30
    for step in range(s.rounding.steps):
        pick = torch.randint(len(inputs), (s.batch_size,), generator=random)
        here = weights[pick] if s.fisher else weights
        loss = (here * (block(inputs[pick]) - target[pick]).square()).mean() / power
        push = rounding_push([rectified_sigmoid(m.V) for m in soft.values()], step, s.rounding)
        optimizer.zero_grad()
        (loss + push).backward()
        optimizer.step()
    with torch.no_grad():
        hard = {n: m.codes((rectified_sigmoid(m.V) >= 0.5).float()).to(torch.int32) for n, m in soft.items()}
    return hard
