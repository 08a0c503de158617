"""Quantizing a network: which quantizer goes where.

PyTorch has the mechanism already. A weight's quantizer is a *parametrization* of `weight`, so gradients, state dicts
and removal are PyTorch's business; an activation's quantizer is a small module called by a pre-hook on the layer's
input. There is no second zoo of QuantConv2d, QuantLinear, ...

    h_i = layer_i( Q_a(a_i); Q_w(W_i) )

Source: Gholami et al. 2021, sections III A and IV A (simulated quantization, figure 6).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qlab.calibration import Range
from qlab.quantizer import Params, QuantizedTensor, Quantizer, scales

__all__ = [
    "ActivationQuantizer",
    "LayerReport",
    "Recipe",
    "Trainable",
    "WeightQuantizer",
    "format_report",
    "network_bytes",
    "quantizable_layers",
    "quantize",
    "report",
    "sqnr_db",
]

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Trainable(ABC):
    """A quantizer with parameters that training learns: a recipe takes it wherever it takes a `Quantizer`.

    Attributes
    ----------
    quantizer : Quantizer
        What it starts from; its calibration gives the first range.

    Survey-map row: T2.
    """

    quantizer: Quantizer

    @abstractmethod
    def module(self, params: Params | None, x: Tensor | None) -> nn.Module:
        """Return the module x ↦ Q(x) that holds the parameters.

        Parameters
        ----------
        params : Params or None
            The calibrated S and Z to start from; None if there are no data yet.
        x : Tensor or None
            The weight, or None for an activation.

        Returns
        -------
        nn.Module
            With a method ``stored(x)`` that returns x as a `QuantizedTensor`.
        """


@dataclass(frozen=True)
class Recipe:
    """Which quantizer goes where.

    Parameters
    ----------
    weight : Quantizer, Trainable or None
        For the weights of every layer; None leaves them in floating point.
    activation : Quantizer, Trainable or None
        For the input of every layer; None leaves them in floating point.
    dynamic : bool
        True: the range of activations is measured anew on every batch. False: it is calibrated once and fixed.
    layers : mapping of pattern to Recipe or None
        Exceptions by module name, shell-style (``{"fc": None, "features.0*": Recipe(...)}``); the first match wins,
        None keeps the layer in floating point.

    Survey-map rows: Q1, Q6.
    """

    weight: Quantizer | Trainable | None = None
    activation: Quantizer | Trainable | None = None
    dynamic: bool = False
    layers: Mapping[str, Recipe | None] = field(default_factory=dict)

    def for_layer(self, name: str) -> Recipe | None:
        """Return what the layer `name` gets."""
        for pattern, recipe in self.layers.items():
            if fnmatchcase(name, pattern):
                return recipe
        return self


class WeightQuantizer(nn.Module):
    """The parametrization W ↦ Q_w(W): fake quantization of a weight.

    Parameters
    ----------
    quantizer : Quantizer
    params : Params, optional
        Fixed S and Z; by default they follow the weight, as in quantization-aware training.

    Survey-map rows: Q1, T1.
    """

    scale: Tensor | None
    zero_point: Tensor | None

    def __init__(self, quantizer: Quantizer, params: Params | None = None) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.register_buffer("scale", None if params is None else params.scale)
        self.register_buffer("zero_point", None if params is None else params.zero_point)

    @property
    def params(self) -> Params | None:
        """S and Z if they are fixed."""
        return None if self.scale is None or self.zero_point is None else Params(self.scale, self.zero_point)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the fake-quantized weight."""
        return self.quantizer.fake(weight, self.params)

    def stored(self, weight: Tensor) -> QuantizedTensor:
        """Return the weight's integer form."""
        return self.quantizer(weight.detach(), self.params)


class ActivationQuantizer(nn.Module):
    """a ↦ Q_a(a) for a layer's input: static once S and Z are set, dynamic while they are None.

    Survey-map row: Q6.
    """

    scale: Tensor | None
    zero_point: Tensor | None

    def __init__(self, quantizer: Quantizer, params: Params | None = None) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.register_buffer("scale", None if params is None else params.scale)
        self.register_buffer("zero_point", None if params is None else params.zero_point)

    @property
    def params(self) -> Params | None:
        """S and Z if they are fixed."""
        return None if self.scale is None or self.zero_point is None else Params(self.scale, self.zero_point)

    def forward(self, a: Tensor) -> Tensor:
        """Return the fake-quantized activation."""
        return self.quantizer.fake(a, self.params)


def _quantize_input(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (module.activation_quantizer(args[0]), *args[1:])


def quantizable_layers(model: nn.Module) -> dict[str, Any]:
    """Return the linear and convolutional layers of `model` by name, in order.

    Survey-map row: Q1.
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}


def quantize(
    model: nn.Module,
    recipe: Recipe,
    batches: Iterable[Tensor] | None = None,
    ranges: Mapping[str, Range] | None = None,
) -> nn.Module:
    """Return a copy of `model` that computes with fake-quantized weights and activations.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    recipe : Recipe
    batches : iterable of Tensor, optional
        Inputs for calibrating static activation ranges, one batch at a time (memory does not grow with their number).
    ranges : mapping of layer name to Range, optional
        Clipping ranges [α, β] of inputs that are known without data; batches calibrate the others.

    Returns
    -------
    nn.Module
        In the same train/eval mode. Weights are `torch.nn.utils.parametrize` parametrizations with fixed S and Z.
        Do not call PyTorch's ``remove_parametrizations`` on it: that changes a class which copies of the network share.

    Raises
    ------
    ValueError
        If the recipe has static activations but there are no batches, or the model has no layer to quantize, or a
        pattern of the recipe matches none, or what is to be quantized is quantized already, or `ranges` names a layer
        whose input is not static.

    References
    ----------
    Gholami et al. 2021, sections III D and IV A.

    Survey-map rows: Q1, Q6, A1.
    """
    model = copy.deepcopy(model)
    layers = quantizable_layers(model)
    if not layers:
        raise ValueError(f"model must have a linear or convolutional layer, got {type(model).__name__} with none")
    for pattern in recipe.layers:
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise ValueError(f"layers: pattern {pattern!r} matches no layer; the layers are {', '.join(layers)}")
    plan = {name: r for name in layers if (r := recipe.for_layer(name)) is not None}
    for name, r in plan.items():
        for choice, what, done in (
            (r.weight, "weight", stored_weight(layers[name]) is not None),
            (r.activation, "input", hasattr(layers[name], "activation_quantizer")),
        ):
            if choice is not None and done:
                raise ValueError(f"model: layer {name!r} has a quantized {what} already; start from the original")
    static = {name: _core(r.activation) for name, r in plan.items() if r.activation is not None and not r.dynamic}
    given = dict(ranges or {})
    if odd := given.keys() - static.keys():
        raise ValueError(f"ranges must name layers with a static activation quantizer, got {', '.join(sorted(odd))}")
    params = {name: scales(static[name].grid, clip) for name, clip in given.items()}
    unknown = {name: quantizer for name, quantizer in static.items() if name not in given}
    if unknown:
        params |= _calibrate(model, {n: layers[n] for n in unknown}, unknown, batches)
    for name, r in plan.items():
        layer = layers[name]
        if r.weight is not None:
            start = _core(r.weight).calibrate(layer.weight)
            weight = layer.weight.detach()
            parametrize.register_parametrization(layer, "weight", _module(r.weight, WeightQuantizer, start, weight))
        if r.activation is not None:
            layer.activation_quantizer = _module(r.activation, ActivationQuantizer, params.get(name), None)
            layer.register_forward_pre_hook(_quantize_input)
    return model


def _core(choice: Quantizer | Trainable) -> Quantizer:
    return choice if isinstance(choice, Quantizer) else choice.quantizer


def _module(choice: Quantizer | Trainable, kind: Any, params: Params | None, x: Tensor | None) -> nn.Module:
    return kind(choice, params) if isinstance(choice, Quantizer) else choice.module(params, x)


def _calibrate(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    quantizers: Mapping[str, Quantizer],
    batches: Iterable[Tensor] | None,
) -> dict[str, Params]:
    """Stream `batches` through the floating-point model and return S and Z of every layer's input."""
    states: dict[str, Any] = dict.fromkeys(layers)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            states[name] = quantizers[name].observe(states[name], args[0])

        return hook

    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            for batch in batches or ():
                model(batch)
    finally:
        for module, training in modes.items():
            module.training = training
        for hook in hooks:
            hook.remove()
    unseen = [name for name, state in states.items() if state is None]
    if unseen:
        raise ValueError(
            "batches must reach every layer with a static activation quantizer; nothing came to "
            f"{', '.join(unseen)}. Give calibration batches, or choose dynamic=True"
        )
    return {name: quantizers[name].params(state) for name, state in states.items()}


@dataclass(frozen=True)
class LayerReport:
    """One line of `report`: what quantization did to one layer.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of the weight.
    bits : float
        Bits per weight, scales included.
    nbytes : int
        Bytes of the weight as stored.
    sqnr : float
        Signal to quantization noise of the weight, in dB.

    Survey-map rows: H12, Q7.
    """

    name: str
    shape: tuple[int, ...]
    bits: float
    nbytes: int
    sqnr: float


def sqnr_db(signal: Tensor, quantized: Tensor) -> float:
    """Return the signal to quantization noise ratio 10·log10(Σr² / Σ(r − r̃)²), in dB; inf where they are equal.

    Examples
    --------
    >>> round(sqnr_db(torch.tensor([1.0, 1.0]), torch.tensor([0.9, 1.1])), 1)
    20.0

    Survey-map row: H4.
    """
    signal, quantized = signal.detach(), quantized.detach()
    noise = (signal.double() - quantized.double()).square().sum()
    if noise == 0:
        return float("inf")
    return float(10 * torch.log10(signal.double().square().sum() / noise))


def stored_weight(layer: Any) -> QuantizedTensor | None:
    """Return the integer form of a quantized layer's weight, or None if it is in floating point."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    chain = layer.parametrizations.weight
    last = chain[-1]
    return last.stored(chain.original.detach()) if hasattr(last, "stored") else None


def report(model: nn.Module) -> list[LayerReport]:
    """Return a line per layer: name, shape, bits per weight, bytes, and the weight's SQNR.

    Survey-map rows: H12, Q7.
    """
    lines = []
    for name, layer in quantizable_layers(model).items():
        stored = stored_weight(layer)
        if stored is None:
            w = layer.weight
            width = 8 * w.element_size()
            lines.append(LayerReport(name, tuple(w.shape), width, w.numel() * w.element_size(), float("inf")))
        else:
            original = layer.parametrizations.weight.original
            sqnr = sqnr_db(original.detach(), stored.dequantize())
            lines.append(LayerReport(name, tuple(stored.shape), stored.bits_per_value, stored.nbytes, sqnr))
    return lines


def format_report(lines: list[LayerReport]) -> str:
    """Return the report as a table of text.

    Survey-map row: H12.
    """
    wide = max(len(line.name) for line in lines)
    head = f"{'layer':<{wide}}  {'weight shape':<18} {'bits':>6} {'bytes':>9} {'SQNR/dB':>8}"
    body = [f"{x.name:<{wide}}  {x.shape!s:<18} {x.bits:>6.2f} {x.nbytes:>9,} {x.sqnr:>8.1f}" for x in lines]
    return "\n".join([head, *body])


def network_bytes(model: nn.Module) -> int:
    """Return the bytes of all parameters and statistics as stored: quantized weights packed, the rest as they are.

    Survey-map row: B1.
    """
    layers = quantizable_layers(model)
    weights = sum(line.nbytes for line in report(model)) if layers else 0
    counted = set()
    for layer in layers.values():
        w = layer.parametrizations.weight.original if parametrize.is_parametrized(layer) else layer.weight
        counted.add(id(w))
    for module in model.modules():  # what a quantizer holds is part of the codes' bytes already
        if isinstance(module, ActivationQuantizer) or hasattr(module, "stored"):
            counted |= {id(t) for t in (*module.parameters(), *module.buffers())}
    rest = [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point() and id(t) not in counted]
    return weights + sum(t.numel() * t.element_size() for t in rest)
