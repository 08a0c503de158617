"""Granularity: which elements share one scale.

Layer, group of channels, channel, sub-channel (block): each is a way to lay a tensor out as *rows*, one row per scale.
Calibration then works row by row, and S and Z have one entry per row. Finer rows follow the data more closely and cost
more scales: with b-bit codes and s bits of scale per row of n elements, a weight takes b + s/n bits.

Source: Gholami et al. 2021, section III E and figure 3; "sub-channel" is the block of Dai et al. 2021 (VS-Quant).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod

from torch import Tensor

from qlab.validate import check_bits

__all__ = ["Granularity", "Layout", "PerBlock", "PerChannel", "PerGroup", "PerTensor"]


def _axis(axis: int, shape: tuple[int, ...]) -> int:
    if not shape:
        raise ValueError(f"axis {axis} was given, but x has no axes (shape ()): use PerTensor()")
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis must lie in {-len(shape)} … {len(shape) - 1} for shape {shape}, got {axis}")
    return axis % len(shape)


@dataclass(frozen=True)
class Layout:
    """Where rows lie in memory: a contiguous tensor seen as (outer, rows, inner) has its row index in the middle.

    Survey-map row: Q7.
    """

    outer: int
    rows: int
    inner: int


class Granularity(ABC):
    """How a tensor falls into rows that share a scale.

    Survey-map row: Q7.
    """

    @abstractmethod
    def layout(self, shape: tuple[int, ...]) -> Layout:
        """Return how a tensor of this shape falls into rows; ValueError if it does not."""

    def arrange(self, x: Tensor) -> Tensor:
        """Return `x` with its axes in the order that `layout` means (most granularities: as they are)."""
        return x

    def restore(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Undo `arrange`, giving the tensor back in `shape`."""
        return x.reshape(shape)

    def rows(self, x: Tensor) -> Tensor:
        """Return `x` as (rows, elements per row): a view where the memory allows it."""
        at = self.layout(tuple(x.shape))
        return self.arrange(x).reshape(at.outer, at.rows, at.inner).movedim(1, 0).reshape(at.rows, -1)

    def unrows(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Undo `rows`: give the elements back in `shape`."""
        at = self.layout(shape)
        return self.restore(rows.reshape(at.rows, at.outer, at.inner).movedim(0, 1), shape)

    def count(self, shape: tuple[int, ...]) -> int:
        """Return how many rows, hence scales, a tensor of this shape has."""
        return self.layout(shape).rows


@dataclass(frozen=True)
class PerTensor(Granularity):
    """One scale for the whole tensor ("layerwise" in the survey).

    Examples
    --------
    >>> PerTensor().count((64, 32, 3, 3))
    1

    Survey-map row: Q7.
    """

    def layout(self, shape: tuple[int, ...]) -> Layout:
        """Return one row."""
        return Layout(1, 1, prod(shape))


@dataclass(frozen=True)
class PerGroup(Granularity):
    """One scale for every `channels` consecutive channels along `axis` ("groupwise", as Q-BERT's groups of heads).

    Parameters
    ----------
    channels : int
        Channels per group; must divide the number of channels.
    axis : int
        The channel axis. PyTorch keeps output channels of weights on axis 0, channels of activations on axis 1.

    Raises
    ------
    ValueError
        If `channels` is below 1 or does not divide the axis, or the axis does not exist.

    References
    ----------
    Shen et al. 2020, *Q-BERT*, section 3.2.

    Examples
    --------
    >>> PerGroup(channels=16).count((64, 32, 3, 3))
    4

    Survey-map row: Q7.
    """

    channels: int
    axis: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", check_bits(self.channels, 1, 2**31, name="channels"))
        object.__setattr__(self, "axis", check_bits(self.axis, -64, 63, name="axis"))

    def layout(self, shape: tuple[int, ...]) -> Layout:
        """Return one row per group of channels."""
        axis = _axis(self.axis, shape)
        if shape[axis] % self.channels:
            raise ValueError(
                f"channels must divide the {shape[axis]} channels on axis {axis} of shape {shape}, got {self.channels}"
            )
        return Layout(prod(shape[:axis]), shape[axis] // self.channels, self.channels * prod(shape[axis + 1 :]))


@dataclass(frozen=True)
class PerChannel(Granularity):
    """One scale for each channel ("channelwise"): groups of one channel.

    Parameters
    ----------
    axis : int
        The channel axis (0 for weights in PyTorch's layout).

    Raises
    ------
    ValueError
        If the axis does not exist.

    References
    ----------
    Krishnamoorthi 2018, *Quantizing deep convolutional networks for efficient inference*, section 2.

    Examples
    --------
    >>> PerChannel(axis=0).count((64, 32, 3, 3))
    64

    Survey-map row: Q7.
    """

    axis: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", check_bits(self.axis, -64, 63, name="axis"))

    def layout(self, shape: tuple[int, ...]) -> Layout:
        """Return one row per channel."""
        return PerGroup(1, self.axis).layout(shape)


@dataclass(frozen=True)
class PerBlock(Granularity):
    """One scale for every `size` consecutive elements along `axis` ("sub-channelwise", block or group quantization).

    Parameters
    ----------
    size : int
        Elements per block; must divide the axis.
    axis : int
        The axis along which blocks run; the last one by default (the inputs of a linear layer's weight).

    Raises
    ------
    ValueError
        If `size` is below 1 or does not divide the axis, or the axis does not exist.

    References
    ----------
    Gholami et al. 2021, section III E d; Dai et al. 2021, *VS-Quant*, section 3.

    Examples
    --------
    >>> PerBlock(32).count((64, 128))
    256

    Survey-map row: Q7.
    """

    size: int
    axis: int = -1

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", check_bits(self.size, 1, 2**31, name="size"))
        object.__setattr__(self, "axis", check_bits(self.axis, -64, 63, name="axis"))

    def layout(self, shape: tuple[int, ...]) -> Layout:
        """Return one row per block."""
        axis = _axis(self.axis, shape)
        if shape[axis] % self.size:
            raise ValueError(
                f"size must divide the {shape[axis]} elements on axis {axis} of shape {shape}, got {self.size}; "
                "pad the tensor or choose a divisor"
            )
        return Layout(1, prod(shape) // self.size, self.size)

    def arrange(self, x: Tensor) -> Tensor:
        """Return `x` with the blocked axis last."""
        return x.movedim(_axis(self.axis, tuple(x.shape)), -1)

    def restore(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Put the blocked axis back in its place."""
        axis = _axis(self.axis, shape)
        return x.reshape(*shape[:axis], *shape[axis + 1 :], shape[axis]).movedim(-1, axis)
