"""What a trained network remembers of its data: the mean and variance that BatchNorm kept of every channel.

    L_BN(x) = Σ_layers mean_c[ (μ̃_c − μ_c)² + (σ̃_c − σ_c)² ]

μ̃, σ̃ are those of a batch x, μ, σ the stored ones. Zero-shot methods look for inputs that make L_BN small. The mean over
channels lets every layer count alike. With BatchNorm folded, what it left behind (`Folded`: β, |γ|) serves as well.
Sources: Cai et al. 2020 (ZeroQ), equation 4; Yin et al. 2020 (DeepInversion), equation 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from qlab.ptq.fold import Folded

__all__ = ["Match", "statistics_loss", "watch_statistics"]

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Match(NamedTuple):
    """A layer's channels as a batch has them and as the network remembers them, shape (channels,) each.

    Survey-map row: Z3.
    """

    name: str
    mean: Tensor
    std: Tensor
    known_mean: Tensor
    known_std: Tensor

    @property
    def loss(self) -> Tensor:
        """The mean over channels of (μ̃ − μ)² + (σ̃ − σ)²."""
        return ((self.mean - self.known_mean).square() + (self.std - self.known_std).square()).mean()


@contextmanager
def watch_statistics(model: nn.Module) -> Iterator[list[Match]]:
    """Collect, while the block runs, the statistics at each BatchNorm of every forward pass; gradients flow through.

    Raises
    ------
    ValueError
        If the model has no BatchNorm (nor a folded one), so that there is nothing to compare with.

    Survey-map row: Z3.
    """
    found: list[Match] = []
    places: dict[str, Any] = {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, Folded) or (isinstance(m, NORMS) and m.running_mean is not None)
    }
    if not places:
        raise ValueError("model must have BatchNorm statistics, its memory of the data; it has none")

    def watch(name: str, module: Any) -> Any:
        def hook(_: Any, args: tuple[Tensor, ...]) -> None:
            axes = [axis for axis in range(args[0].dim()) if axis != 1]
            std, mean = torch.std_mean(args[0], axes, correction=0)
            if isinstance(module, Folded):
                found.append(Match(name, mean, std, module.mean, module.std))
            else:
                found.append(Match(name, mean, std, module.running_mean, module.running_var.sqrt()))

        return hook

    hooks = [module.register_forward_pre_hook(watch(name, module)) for name, module in places.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def statistics_loss(model: nn.Module, x: Tensor) -> Tensor:
    """Return L_BN(x), with gradients to x.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    x : Tensor
        A batch of inputs.

    Survey-map row: Z3.
    """
    with watch_statistics(model) as found:
        model(x)
    return torch.stack([match.loss for match in found]).sum()
