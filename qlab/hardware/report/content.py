"""What a report holds: the machine, the settings, and lists of what was measured.

Survey-map rows: C4, C5, C6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from qlab.hardware.networks import NetworkSpeed
from qlab.hardware.roofline import Roofline
from qlab.hardware.timing import Ratio

__all__ = ["FormatBytes", "KernelSpeed", "LayerSpeed", "Report", "Settings"]


class Settings(NamedTuple):
    """What is measured, and how long.

    Attributes
    ----------
    quick : bool
    turns, threads : int
    working_sets : tuple of int
        Bytes, for the bandwidth.
    shapes : tuple of (int, int)
        Rows and columns of the matrices that are multiplied with one vector.
    sweep : (int, int)
        The matrix that is multiplied with more and more vectors.
    batches : tuple of int
        How many vectors.
    patience : float
        Seconds: if one batch of the sweep took longer, those after it are left out, and the report says so.
    networks : tuple of str
    network_batches : tuple of int
    pictures : int
        For the right answers.

    Survey-map row: C4.
    """

    quick: bool
    turns: int
    threads: int
    working_sets: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]
    sweep: tuple[int, int]
    batches: tuple[int, ...]
    patience: float
    networks: tuple[str, ...]
    network_batches: tuple[int, ...]
    pictures: int


class KernelSpeed(NamedTuple):
    """One product on one shape; see `qlab.hardware.kernels.measure.Speed`.

    Survey-map row: C6.
    """

    rows: int
    columns: int
    batch: int
    kernel: str
    milliseconds: float
    ratio: float
    low: float
    high: float
    limit: float


class LayerSpeed(NamedTuple):
    """One layer in fp32 by itself; see `qlab.hardware.roofline.LayerPoint`.

    Survey-map row: C4.
    """

    network: str
    layer: str
    batch: int
    intensity: float
    gflops: float
    milliseconds: float


class FormatBytes(NamedTuple):
    """What weights take in a format: packed codes, a scale of four bytes for each row or channel up to 8 bits, biases.

    Attributes
    ----------
    what : str
        A network, or a matrix.
    format : str
    bits, bytes : int
    milliseconds : float or None
        To read them once, at the bandwidth that was measured for so many bytes.

    Survey-map row: C5.
    """

    what: str
    format: str
    bits: int
    bytes: int
    milliseconds: float | None


@dataclass(frozen=True)
class Report:
    """What was measured on one machine; numbers are rounded to three digits, so that all files say the same.

    Attributes
    ----------
    about : mapping of str to str
        The machine, in words.
    settings : Settings
    noise : Ratio or None
        The same work against itself.
    roofline : Roofline or None
    layers, kernels, sweep, memory, networks : tuples
    missing : mapping of str to str
        What could not be measured, and why.
    seconds : float
        That the whole run took.

    Survey-map rows: C4, C5, C6, C7.
    """

    about: Mapping[str, str]
    settings: Settings
    noise: Ratio | None = None
    roofline: Roofline | None = None
    layers: tuple[LayerSpeed, ...] = ()
    kernels: tuple[KernelSpeed, ...] = ()
    sweep: tuple[KernelSpeed, ...] = ()
    memory: tuple[FormatBytes, ...] = ()
    networks: tuple[NetworkSpeed, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
