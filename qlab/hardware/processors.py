"""Peak throughput of processors as their makers state it: GPUs by precision, and processors from milliwatts upwards.

    peak = 2 · (multiply–accumulates per cycle) · (cycles per second)

One operation is a multiplication or an addition, so a multiply–accumulate counts as two. GPU figures are dense: vendors
like to print twice as much, for weights of which two in four are zero. Each line of the two tables names its source
(a key of the book's bibliography) and whether it was read there or at second hand.

>>> peak("A100 SXM4", "int8"), peak("A100 SXM4", "fp32")
(624.0, 19.5)

Survey-map rows: C2, C3.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from qlab.hardware.record import Line, read_lines

__all__ = [
    "KINDS",
    "PRECISIONS",
    "Processor",
    "Throughput",
    "gpu_names",
    "gpu_throughput",
    "peak",
    "processors",
]

HERE = Path(__file__).parent
PRECISIONS = ("fp32", "tf32", "fp16", "fp8", "int8", "fp4", "int4", "int1")
"""Number formats of products, widest first; fp16 stands for bf16 too, which has the same peak wherever it exists."""
UNSTATED = "unstated"
KINDS = ("microcontroller", "accelerator", "module", "phone", "car", "data centre")


class Throughput(NamedTuple):
    """The peak of one GPU in one precision.

    Attributes
    ----------
    name, year : str, int
    watts : float
        Largest power of the board.
    gbs : float
        Memory bandwidth, gigabytes per second.
    figure : str
        "figure": in the survey's figure 7; "text": in its text; "after": added here.
    precision, tops : str, float
        10^12 operations per second, dense.
    read, source : str
        "vendor" or "second hand", and the key of the source.

    Survey-map row: C2.
    """

    name: str
    year: int
    watts: float
    gbs: float
    figure: str
    precision: str
    tops: float
    read: str
    source: str

    @property
    def ridge(self) -> float:
        """Operations per byte from DRAM above which arithmetic, not memory, is the limit."""
        return self.tops * 1e3 / self.gbs


class Processor(NamedTuple):
    """One processor of the scatter of throughput against power.

    Attributes
    ----------
    name, kind, year : str, str, int
    precision : str
        One of `PRECISIONS`, or "unstated" where the maker does not say what an operation is.
    gops : float
        10^9 operations per second.
    watts : float or None
        None where no power is stated.
    zeros : str
        "dense", or "sparse" if the figure holds only when half of the weights are zero.
    basis : str
        "peak" or "measured".
    read, source, note : str

    Survey-map row: C3.
    """

    name: str
    kind: str
    year: int
    precision: str
    gops: float
    watts: float | None
    zeros: str
    basis: str
    read: str
    source: str
    note: str

    @property
    def dense_gops(self) -> float:
        """Throughput without the factor of two for zeros."""
        return self.gops / 2 if self.zeros == "sparse" else self.gops

    @property
    def picojoules(self) -> float | None:
        """Energy of one dense operation if the processor runs as fast and draws as much as stated, pJ."""
        return None if self.watts is None else 1e3 * self.watts / self.dense_gops


def gpu_throughput(precision: str | None = None) -> tuple[Throughput, ...]:
    """Return the peaks of GPUs, in order of years.

    Parameters
    ----------
    precision : str, optional
        Only this one.

    Raises
    ------
    ValueError
        If the precision is unknown.

    Examples
    --------
    >>> [(gpu.name, gpu.tops) for gpu in gpu_throughput("int4")]
    [('Titan RTX', 522.0), ('T4', 260.0), ('A100 SXM4', 1248.0)]

    Survey-map row: C2.
    """
    if precision is not None:
        _one_of("precision", precision, PRECISIONS)
    return tuple(gpu for gpu in _gpus() if precision in (None, gpu.precision))


def gpu_names() -> tuple[str, ...]:
    """Return the names of the GPUs, in order of years.

    Survey-map row: C2.
    """
    return tuple(dict.fromkeys(gpu.name for gpu in _gpus()))


def peak(name: str, precision: str) -> float:
    """Return the dense peak of a GPU, 10^12 operations per second.

    Raises
    ------
    ValueError
        If the GPU or the precision is unknown, or its maker states no figure; the message names those that exist.

    Survey-map row: C2.
    """
    _one_of("name", name, gpu_names())
    _one_of("precision", precision, PRECISIONS)
    stated = {gpu.precision: gpu.tops for gpu in _gpus() if gpu.name == name}
    if precision not in stated:
        raise ValueError(f"no {precision} figure is stated for {name}; there are {', '.join(stated)}")
    return stated[precision]


def processors(kind: str | None = None, precision: str | None = None, *, gpus: bool = False) -> tuple[Processor, ...]:
    """Return processors, by kind from the microcontroller to the data centre, and within a kind by year.

    Parameters
    ----------
    kind : str, optional
        Only this kind, one of `KINDS`.
    precision : str, optional
        Only this one; "unstated" is allowed.
    gpus : bool
        Also the GPUs of `gpu_throughput` by their int8 peaks, as "data centre" (without Titan RTX, a card for desks).

    Raises
    ------
    ValueError
        If kind or precision is unknown.

    Examples
    --------
    >>> [p.name for p in processors("accelerator", "int8")]
    ['Edge TPU', 'Ethos-U55, 256 MACs', 'Hailo-8']

    Survey-map row: C3.
    """
    if kind is not None:
        _one_of("kind", kind, KINDS)
    if precision is not None:
        _one_of("precision", precision, (*PRECISIONS, UNSTATED))
    found = _processors()
    if gpus:
        found += tuple(_from_gpu(gpu) for gpu in gpu_throughput("int8") if gpu.name != "Titan RTX")
    kept = [p for p in found if kind in (None, p.kind) and precision in (None, p.precision)]
    return tuple(sorted(kept, key=lambda p: (KINDS.index(p.kind), p.year, p.name)))


@cache
def _gpus() -> tuple[Throughput, ...]:
    return tuple(_throughput(line) for line in read_lines(HERE / "gpu_throughput.csv"))


@cache
def _processors() -> tuple[Processor, ...]:
    return tuple(_processor(line) for line in read_lines(HERE / "processors.csv"))


def _throughput(line: Line) -> Throughput:
    numbers = {field: float(line[field]) for field in ("watts", "gbs", "tops")}
    return Throughput(**{**line, **numbers, "year": int(line["year"])})  # type: ignore[arg-type]


def _processor(line: Line) -> Processor:
    watts = float(line["watts"]) if line["watts"] else None
    return Processor(**{**line, "year": int(line["year"]), "gops": float(line["gops"]), "watts": watts})  # type: ignore[arg-type]


def _from_gpu(gpu: Throughput) -> Processor:
    return Processor(
        gpu.name,
        "data centre",
        gpu.year,
        gpu.precision,
        1e3 * gpu.tops,
        gpu.watts,
        "dense",
        "peak",
        gpu.read,
        gpu.source,
        "largest power of the board",
    )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
