"""A trained network with noisy wires, and whether quantizing what travels on them helps.

    analog       a ↦ a + σ·rms(a)·ε
    discrete     a ↦ Q( Q(a) + σ·rms(a)·ε )          sent as levels, and read as the nearest level

The noise is the same in both, in units of the layer's own rms activation. A wire of n relays does this n times: noise
of √n·σ on the analog wire, levels restored at every relay on the discrete one. The discrete wire pays the quantization
error always, and in return loses the noise, as long as that stays below half a step.

Sources: Gholami et al. 2021, section I (quantization and neuroscience); Faisal, Selen, Wolpert 2008.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from qlab.network import quantizable_layers
from qlab.quantizer import Params, Quantizer

__all__ = ["NoisyWire", "noisy_network"]


class NoisyWire(nn.Module):
    """What happens to a layer's input on its way.

    Parameters
    ----------
    sigma : float
        Noise in units of `rms`.
    rms : float
        Of the layer's input on calibration data.
    quantizer, params
        Of the discrete wire; None for an analog one.
    generator : torch.Generator
        Of the noise; it goes on from batch to batch.
    relays : int
        How often noise is added, and on a discrete wire removed.

    Survey-map row: B12.
    """

    def __init__(
        self,
        sigma: float,
        rms: float,
        quantizer: Quantizer | None,
        params: Params | None,
        generator: torch.Generator,
        relays: int = 1,
    ) -> None:
        super().__init__()
        self.sigma, self.rms, self.quantizer, self.params, self.generator = sigma, rms, quantizer, params, generator
        self.relays = relays

    def forward(self, a: Tensor) -> Tensor:
        """Return what arrives."""
        passed = a if self.quantizer is None else self.quantizer.fake(a, self.params)
        for _ in range(self.relays):
            noise = torch.randn(a.shape, generator=self.generator).to(a)
            heard = passed + self.sigma * self.rms * noise
            passed = heard if self.quantizer is None else self.quantizer.fake(heard, self.params)
        return passed


@torch.no_grad()
def noisy_network(
    model: nn.Module,
    sigma: float,
    batches: Iterable[Tensor],
    quantizer: Quantizer | None = None,
    seed: int = 0,
    skip_first: bool = True,
    relays: int = 1,
) -> nn.Module:
    """Return a copy of `model` whose linear and convolutional layers get their inputs over noisy wires.

    Parameters
    ----------
    model : nn.Module
        In eval mode; left as it is.
    sigma : float
        Standard deviation of the noise in units of every layer's rms input, ≥ 0.
    batches : iterable of Tensor
        Calibration inputs, for the rms and for the quantizer's range.
    quantizer : Quantizer, optional
        None: analog wires.
    seed : int
        Of the noise: the same seed gives the same answers to the same sequence of batches.
    skip_first : bool
        Leave the input of the first layer, the picture itself, as it is.
    relays : int
        Of every wire.

    Raises
    ------
    ValueError
        If sigma is negative, relays are fewer than 1, the model is in training mode, or nothing reaches a layer.

    Survey-map row: B12.
    """
    if not 0 <= sigma < float("inf"):
        raise ValueError(f"sigma must be a finite number of at least 0, got {sigma}")
    if relays < 1:
        raise ValueError(f"relays must be at least 1, got {relays}")
    if model.training:
        raise ValueError("model must be in eval mode (model.eval())")
    watched = copy.deepcopy(model)
    squares: dict[str, list[float]] = {name: [0.0, 0] for name in quantizable_layers(watched)}
    states: dict[str, Any] = dict.fromkeys(squares)

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            squares[name][0] += float(args[0].double().square().sum())
            squares[name][1] += args[0].numel()
            if quantizer is not None:
                states[name] = quantizer.observe(states[name], args[0])

        return hook

    for name, layer in quantizable_layers(watched).items():
        layer.register_forward_pre_hook(watch(name))
    for batch in batches:
        watched(batch)
    unseen = [name for name, (_, count) in squares.items() if not count]
    if unseen or not squares:
        raise ValueError(f"batches must reach every linear and convolutional layer; nothing came to {unseen}")

    model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for name in list(squares)[1 if skip_first else 0 :]:
        rms = (squares[name][0] / squares[name][1]) ** 0.5
        params = None if quantizer is None else quantizer.params(states[name])
        wire = NoisyWire(sigma, rms, quantizer, params, generator, relays)
        layer = model.get_submodule(name)
        layer.wire = wire
        layer.register_forward_pre_hook(_through_wire)
    return model


def _through_wire(layer: Any, args: tuple[Tensor, ...]) -> tuple[Any, ...]:
    return (layer.wire(args[0]), *args[1:])
