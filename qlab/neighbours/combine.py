"""Combinations: prune, distil and quantize together, and count every byte.

A layer whose weights take N places, n of them not zero, at b bits each, can be stored

    dense      N·b bits
    bitmap     N + n·b bits                         a bit per place says whether a value follows
    indices    n·(⌈log2 N⌉ + b) bits                the place of every value

plus a 32-bit scale a row. Which is shortest depends on the density n/N alone: a bitmap pays from 1 − 1/b of values
downwards, indices only below 1/⌈log2 N⌉. `encode_sparse` writes the bytes that `layer_bytes` counts.

Sources: Han, Mao, Dally 2016, *Deep compression*, section 2; Gholami et al. 2021, section I.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.neighbours.pruning import prune
from qlab.network import Recipe, quantizable_layers, quantize, stored_weight
from qlab.packing import pack, unpack
from qlab.quantizer import Quantizer

__all__ = [
    "Compressed",
    "LayerBytes",
    "bits_for_bytes",
    "compress",
    "compressed_bytes",
    "decode_sparse",
    "encode_sparse",
    "layer_bytes",
    "sparsity_for_bytes",
    "storage_bytes",
]

FORMATS = ("dense", "bitmap", "indices")


def _bytes(count: int, bits: int) -> int:
    return -(-count * bits // 8)


def storage_bytes(places: int, nonzeros: int, bits: int) -> dict[str, int]:
    """Return the bytes of each way to store `nonzeros` values of `bits` bits in `places` places, without scales.

    Examples
    --------
    >>> storage_bytes(places=1024, nonzeros=256, bits=8)  # 128 bytes of bitmap; 10 bits an index
    {'dense': 1024, 'bitmap': 384, 'indices': 576}

    Survey-map row: B10.
    """
    if not 0 <= nonzeros <= places or places < 1 or bits < 1:
        raise ValueError(f"nonzeros must lie in 0 … places and bits be positive, got {nonzeros}, {places}, {bits}")
    index_bits = max(1, (places - 1).bit_length())
    return {
        "dense": _bytes(places, bits),
        "bitmap": _bytes(places, 1) + _bytes(nonzeros, bits),
        "indices": _bytes(nonzeros, index_bits) + _bytes(nonzeros, bits),
    }


def encode_sparse(codes: Tensor, bits: int, zero: int = 0) -> Tensor:
    """Return integer codes as bytes: a bitmap of those that are not `zero`, then their values, packed.

    Parameters
    ----------
    codes : Tensor of integers, in 0 … 2^bits − 1
    bits : int
    zero : int
        The code that stands for nothing.

    Survey-map row: B10.
    """
    flat = codes.flatten().to(torch.int32)
    kept = flat != zero
    return torch.cat([pack(kept.to(torch.int32), 1), pack(flat[kept], bits)])


def decode_sparse(data: Tensor, bits: int, shape: tuple[int, ...], zero: int = 0) -> Tensor:
    """Return the codes that `encode_sparse` wrote, as int32.

    Survey-map row: B10.
    """
    places = torch.Size(shape).numel()
    head = _bytes(places, 1)
    if len(data) < head:
        raise ValueError(f"data must hold a bitmap of {head} bytes for shape {shape}, got {len(data)} bytes")
    kept = unpack(data[:head], 1, places).bool()
    codes = torch.full((places,), zero, dtype=torch.int32)
    codes[kept] = unpack(data[head:], bits, int(kept.sum())).to(torch.int32)
    return codes.reshape(shape)


@dataclass(frozen=True)
class LayerBytes:
    """How a layer's weight is stored best.

    Attributes
    ----------
    name : str
    places, nonzeros, bits : int
        Weights, those that are not zero once quantized, and bits of each.
    format : {"dense", "bitmap", "indices"}
    nbytes : int
        Scales included.

    Survey-map row: B10.
    """

    name: str
    places: int
    nonzeros: int
    bits: int
    format: str
    nbytes: int


def layer_bytes(name: str, layer: Any) -> LayerBytes:
    """Return the shortest way to store a layer's weight, quantized or in floating point, pruned or not.

    Survey-map row: B10.
    """
    stored = stored_weight(layer)
    weight = layer.weight.detach()
    nonzeros = int((weight != 0).sum())
    bits = 8 * weight.element_size() if stored is None else stored.grid.width
    overhead = 0 if stored is None else stored.nbytes - _bytes(weight.numel(), bits)  # scales, zero points
    sizes = storage_bytes(weight.numel(), nonzeros, bits)
    best = min(FORMATS, key=lambda f: sizes[f])
    return LayerBytes(name, weight.numel(), nonzeros, bits, best, sizes[best] + overhead)


def compressed_bytes(model: nn.Module) -> int:
    """Return the bytes of a network: every layer's weight as short as it gets, all else as it is.

    All else is biases, and BatchNorm's parameters and statistics.

    Survey-map row: B10.
    """
    return sum(x.nbytes for x in _layers(model)) + _rest_bytes(model)


def _layers(model: nn.Module) -> list[LayerBytes]:
    return [layer_bytes(name, layer) for name, layer in quantizable_layers(model).items()]


def _rest_bytes(model: nn.Module) -> int:
    kept: list[Tensor] = [p for name, p in model.named_parameters() if not _is_weight(model, name)]
    kept += [b for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))]
    return sum(t.numel() * t.element_size() for t in kept)


def _is_weight(model: nn.Module, parameter: str) -> bool:
    layers = quantizable_layers(model)
    return any(parameter in (f"{name}.weight", f"{name}.parametrizations.weight.original") for name in layers)


@dataclass(frozen=True, eq=False)
class Compressed:
    """A compressed network and its account.

    Attributes
    ----------
    model : nn.Module
    layers : tuple of LayerBytes
    rest : int
        Bytes of biases, BatchNorm, …
    original : int
        Bytes of the network that it was made from, in its own precision.

    Survey-map row: B10.
    """

    model: nn.Module
    layers: tuple[LayerBytes, ...]
    rest: int
    original: int

    @property
    def nbytes(self) -> int:
        """All bytes."""
        return sum(x.nbytes for x in self.layers) + self.rest

    @property
    def ratio(self) -> float:
        """Original bytes over bytes."""
        return self.original / self.nbytes


def compress(
    model: nn.Module,
    sparsity: float = 0.0,
    quantizer: Quantizer | None = None,
    finetune: Callable[[nn.Module], nn.Module] | None = None,
    scope: str = "global",
) -> Compressed:
    """Prune by magnitude, fine-tune what is left, and quantize it: deep compression without its entropy code.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    sparsity : float
        0 prunes nothing.
    quantizer : Quantizer, optional
        For the weights; None leaves them in floating point. Its grid must have a code for zero.
    finetune : function of model to model, optional
        Called between pruning and quantizing, for instance
        ``lambda m: distil(m, teacher, data, settings)``; masks hold the pruned weights at zero.
    scope : {"global", "layer"}
        Of the pruning.

    References
    ----------
    Han et al. 2016, figure 1.

    Survey-map row: B10.
    """
    original = sum(t.numel() * t.element_size() for t in _stored_tensors(model))
    work = prune(model, sparsity, scope=scope) if sparsity else model
    work = work if finetune is None else finetune(work)
    if quantizer is not None:
        work = quantize(work, Recipe(weight=quantizer))
    return Compressed(work, tuple(_layers(work)), _rest_bytes(work), original)


def _stored_tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]


def sparsity_for_bytes(
    model: nn.Module, budget: int, quantizer: Quantizer | None = None, scope: str = "global"
) -> float:
    """Return the smallest sparsity, to a thousandth, at which `compress` fits into `budget` bytes.

    Parameters
    ----------
    model, quantizer, scope
        As `compress`.
    budget : int
        Bytes.

    Raises
    ------
    ValueError
        If even 99.9 % of zeros do not fit.

    Survey-map row: B10.
    """

    def fits(thousandths: int) -> bool:
        return compress(model, thousandths / 1000, quantizer, scope=scope).nbytes <= budget

    low, high = 0, 999
    if not fits(high):
        least = compress(model, high / 1000, quantizer, scope=scope).nbytes
        raise ValueError(f"budget must be at least {least} bytes for this model at 99.9 % sparsity, got {budget}")
    while low < high:  # more zeros, fewer bytes
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low / 1000


def bits_for_bytes(model: nn.Module, budget: int, lowest: int = 2, highest: int = 8) -> int:
    """Return the largest bit-width of per-channel symmetric weights that fits into `budget` bytes.

    Raises
    ------
    ValueError
        If even `lowest` bits do not fit.

    Survey-map row: B10.
    """
    for bits in range(highest, lowest - 1, -1):
        if compress(model, 0.0, Quantizer(Symmetric(bits), PerChannel(0))).nbytes <= budget:
            return bits
    raise ValueError(f"budget must hold the model at {lowest} bits, got {budget} bytes")
