"""The roofline: an operation is as fast as the arithmetic units, or as the memory that feeds them.

    attainable(I) = min( peak, bandwidth·I ),      I = operations / bytes moved      (arithmetic intensity)

Left of the ridge, I < peak/bandwidth, fewer bytes mean less time and fewer operations mean nothing; right of it the
other way round. The bandwidth depends on where the data lie: each cache has its own, so it is measured for working sets
of many sizes. Everything here is for one core.

Source: Williams, Waterman, Patterson 2009, *Roofline: an insightful visual performance model for multicore
architectures*; Gholami et al. 2021, section V.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from qlab.hardware.cost import LayerCost, layer_costs
from qlab.hardware.timing import compare
from qlab.network import quantizable_layers

__all__ = ["LayerPoint", "Roofline", "layer_points", "measure_bandwidth", "measure_peak", "measure_roofline"]

WORKING_SETS = tuple(2**k for k in range(13, 28))  # 8 KB … 128 MB


@dataclass(frozen=True)
class Roofline:
    """The measured limits of one core.

    Attributes
    ----------
    peak : float
        GFLOP/s of a large fp32 matrix product; a multiply–accumulate is two operations.
    bandwidths : tuple of (int, float)
        Bytes of the working set and GB/s of reading it, smallest set first.

    Survey-map rows: B6, C4.
    """

    peak: float
    bandwidths: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        sizes = [size for size, _ in self.bandwidths]
        rates = [self.peak, *(rate for _, rate in self.bandwidths)]
        if not sizes or sizes != sorted(sizes) or not all(rate > 0 for rate in rates):
            raise ValueError(f"peak and bandwidths must be positive and in the order of the working sets, got {self}")

    @property
    def memory_bandwidth(self) -> float:
        """GB/s of the largest working set: main memory, if that set is larger than every cache."""
        return self.bandwidths[-1][1]

    def bandwidth(self, working_set: float) -> float:
        """Return GB/s for a working set in bytes: that of the smallest measured set that is at least as large."""
        return next((rate for size, rate in self.bandwidths if size >= working_set), self.memory_bandwidth)

    def ridge(self, working_set: float = float("inf")) -> float:
        """Return the intensity peak/bandwidth, in operations per byte, from which arithmetic is the limit."""
        return self.peak / self.bandwidth(working_set)

    def attainable(self, intensity: float, working_set: float = float("inf")) -> float:
        """Return min(peak, bandwidth·intensity), in GFLOP/s.

        Examples
        --------
        >>> Roofline(100.0, ((2**15, 80.0), (2**27, 10.0))).attainable(2.0)
        20.0
        """
        if not intensity >= 0:
            raise ValueError(f"intensity must be at least 0, got {intensity}")
        return min(self.peak, self.bandwidth(working_set) * intensity)

    def seconds(self, cost: LayerCost, weight_bits: float = 32, activation_bits: float = 32) -> float:
        """Return the modelled time of a layer with batch size 1: operations over what is attainable.

        The arithmetic is taken at the fp32 peak whatever the bits; only the bytes change with them.
        """
        moved = cost.bytes_moved(weight_bits, activation_bits)
        return 2e-9 * cost.macs / self.attainable(2 * cost.macs / moved, working_set=moved)


@njit(cache=True, fastmath=True)
def _read(buffer, times):  # type: ignore[no-untyped-def]  # compiled: pragma: no cover
    total = np.float32(0)
    for turn in range(times):
        for i in range(len(buffer)):
            total += buffer[i]
        buffer[turn % len(buffer)] = np.float32(0)  # so that no turn can be skipped
    return total


def measure_bandwidth(working_sets: Iterable[int] = WORKING_SETS, turns: int = 7) -> tuple[tuple[int, float], ...]:
    """Return (bytes, GB/s) of one core reading a float32 array again and again, for several sizes of the array.

    Parameters
    ----------
    working_sets : iterable of int
        Bytes, at least 1024 each.
    turns : int

    Survey-map rows: B6, C4.
    """
    sizes = sorted(working_sets)
    if not sizes or sizes[0] < 1024:
        raise ValueError(f"working_sets must be sizes of at least 1024 bytes, got {sizes}")
    _read(np.zeros(16, np.float32), 1)  # compile
    repeats = {size: max(1, 2**24 // size) for size in sizes}  # some milliseconds each

    def reader(size: int) -> Callable[[], object]:
        buffer = np.zeros(size // 4, np.float32)
        buffer.fill(0)  # touch the pages
        return lambda: _read(buffer, repeats[size])

    found = []
    for size in sizes:  # one after the other: in turns, each would push the others out of the cache
        seconds = compare({"read": reader(size)}, turns=turns).median("read")
        found.append((size, repeats[size] * (size // 4) * 4 / seconds / 1e9))
    return tuple(found)


def measure_peak(size: int = 1024, turns: int = 9) -> float:
    """Return GFLOP/s of one core multiplying two size × size fp32 matrices, the median over the turns.

    Survey-map rows: B6, C4.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator) for _ in range(2))
    out = torch.empty(size, size)
    timings = compare({"mm": lambda: torch.mm(a, b, out=out)}, turns=turns, threads=1)
    return 2 * size**3 / timings.median("mm") / 1e9


def measure_roofline(working_sets: Iterable[int] = WORKING_SETS, turns: int = 7) -> Roofline:
    """Measure the roofline of one core of this machine (a few seconds).

    Survey-map rows: B6, C4.
    """
    return Roofline(measure_peak(turns=turns), measure_bandwidth(working_sets, turns))


@dataclass(frozen=True)
class LayerPoint:
    """Where a layer lies under the roofline.

    Attributes
    ----------
    cost : LayerCost
        For batch size 1.
    intensity : float
        Operations per byte at fp32, for the measured batch.
    gflops : float
        Measured.
    seconds : float
        Measured, for the whole batch.

    Survey-map rows: B6, C7.
    """

    cost: LayerCost
    intensity: float
    gflops: float
    seconds: float


@torch.no_grad()
def layer_points(model: nn.Module, x: Tensor, turns: int = 9) -> list[LayerPoint]:
    """Time every linear and convolutional layer by itself, on the input that it gets from `x`, on one core.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    x : Tensor, shape (N, …)

    Survey-map rows: B6, C7.
    """
    if model.training:
        raise ValueError("model must be in eval mode (model.eval())")
    inputs: dict[str, Tensor] = {}
    layers = quantizable_layers(model)

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs[name] = args[0].clone()

        return hook

    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()

    def runner(name: str) -> Callable[[], object]:
        return lambda: layers[name](inputs[name])

    timings = compare({name: runner(name) for name in inputs}, turns=turns, threads=1)
    points = []
    for cost in layer_costs(model, tuple(x.shape[1:])):
        moved = 4 * (cost.parameters + len(x) * (cost.inputs + cost.outputs))
        seconds = timings.median(cost.name)
        points.append(LayerPoint(cost, 2 * len(x) * cost.macs / moved, 2e-9 * len(x) * cost.macs / seconds, seconds))
    return points
