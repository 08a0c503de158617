"""A report on the reader's own machine: what memory and arithmetic allow, and what low precision gains here.

    python -m qlab.hardware report --to DIR [--quick] [--threads 1] [--turns 25]
    python -m qlab.hardware compare anna/report.json ben/report.json …

`collect` measures, step by step; `qlab.hardware.report_pages` writes it down. A step that fails does not end the run:
the report says what could not be measured, and why. All times are ratios taken in turns, with quartiles; where the
middle half of the turns holds 1, the report says "no difference seen" and draws no conclusion.

Survey-map rows: C4, C5, C6, C7.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm.auto import tqdm

from qlab.data import load_test
from qlab.hardware.cost import layer_costs
from qlab.hardware.kernels.measure import measure
from qlab.hardware.kernels.products import BACKENDS, available
from qlab.hardware.networks import NetworkSpeed, network_speeds, steady
from qlab.hardware.record import commit
from qlab.hardware.roofline import WORKING_SETS, Roofline, layer_points, measure_roofline
from qlab.hardware.timing import Ratio, machine
from qlab.integer.agreement import exported
from qlab.zoo import names

__all__ = [
    "FULL",
    "QUICK",
    "FormatBytes",
    "KernelSpeed",
    "LayerSpeed",
    "Report",
    "Settings",
    "Tools",
    "ahead_until",
    "best_kernels",
    "chance",
    "collect",
    "format_bytes",
    "gain",
    "read_report",
    "stops_paying",
    "to_json",
]

KIND = "qlab hardware report"
VERSION = 1
FORMATS = {"fp32": 32, "fp16": 16, "int8": 8, "int4": 4, "int2": 2, "binary": 1}
ROOM = 1_600_000_000
"""Bytes of free memory that the largest step may take."""


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


SHAPES = ((4096, 4096), (8192, 8192))
FULL = Settings(
    False, 25, 1, WORKING_SETS, SHAPES, (4096, 4096), tuple(1 << k for k in range(9)), 40, names(), (1, 64), 500
)
QUICK = Settings(
    True, 17, 1, WORKING_SETS[::2], SHAPES, (2048, 2048), (1, 4, 16, 64, 256), 8, ("convnet", "resnet"), (1, 64), 200
)


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


def gain(median: float, low: float, high: float) -> Ratio:
    """Return "so many times as fast" as a ratio of times, whose verdict is then on the thing that is fast.

    Examples
    --------
    >>> gain(2.0, 1.6, 2.5).verdict, gain(1.0, 0.9, 1.2).verdict
    ('faster', 'no difference seen')

    Survey-map row: C4.
    """
    return Ratio(1 / median, 1 / high, 1 / low)


def chance(turns: int) -> float:
    """Return how often at most a verdict falls although there is no difference, each turn being a toss of a coin.

    The lower quartile of n turns lies above 1 only if at least n − ⌈(n − 1)/4⌉ of them do; and so below.

    Examples
    --------
    >>> [round(chance(n), 3) for n in (5, 9, 17, 25)]
    [0.375, 0.18, 0.049, 0.015]

    Survey-map row: C4.
    """
    least = turns - math.ceil((turns - 1) / 4)
    return min(1.0, 2 * sum(math.comb(turns, k) for k in range(least, turns + 1)) / 2**turns)


def stops_paying(speeds: Sequence[KernelSpeed], share: float = 0.5) -> int | None:
    """Return the smallest batch at which one kernel gains less than a share of what it gains at the smallest batch.

    high(B) < share · low(1): the quartiles too must lie apart, so that noise does not decide.

    Parameters
    ----------
    speeds : sequence of KernelSpeed
        Of one kernel, at several batches.
    share : float

    Returns
    -------
    int or None
        None if no such batch was measured.

    Raises
    ------
    ValueError
        If the speeds belong to several kernels, or there are none.

    Survey-map row: C6.
    """
    if len({s.kernel for s in speeds}) != 1:
        raise ValueError(f"speeds must be those of one kernel, got {sorted({s.kernel for s in speeds})}")
    first, *others = sorted(speeds, key=lambda s: s.batch)
    return next((s.batch for s in others if s.high < share * first.low), None)


def ahead_until(speeds: Sequence[KernelSpeed], rivals: Sequence[KernelSpeed]) -> int | None:
    """Return the largest batch up to which one kernel is ahead of another at every batch that was measured.

    Ahead is low > high of the rival: the quartiles lie apart. fp32 does not enter: it may be slow itself.

    Parameters
    ----------
    speeds, rivals : sequence of KernelSpeed
        Of one kernel each, at several batches.

    Returns
    -------
    int or None
        None if it is not ahead at the smallest batch, or the rival was not measured there.

    Survey-map row: C6.
    """
    high = {s.batch: s.high for s in rivals}
    until = None
    for s in sorted(speeds, key=lambda s: s.batch):
        if not s.low > high.get(s.batch, math.inf):
            break
        until = s.batch
    return until


def best_kernels(speeds: Iterable[KernelSpeed]) -> dict[str, KernelSpeed]:
    """Return the fastest of qlab's own kernels for each format, and every library's by its name; fp32 too.

    Parameters
    ----------
    speeds : iterable of KernelSpeed
        On one shape, at one batch.

    Survey-map row: C6.
    """
    best: dict[str, KernelSpeed] = {}
    for s in speeds:
        form, _, backend = s.kernel.partition(" ")
        key = form if backend in BACKENDS else s.kernel
        if key not in best or s.ratio > best[key].ratio:
            best[key] = s
    return best


def format_bytes(roofline: Roofline | None, networks: Sequence[str], matrix: tuple[int, int]) -> list[FormatBytes]:
    """Return what networks of the zoo and one matrix take in each format.

    Parameters
    ----------
    roofline : Roofline or None
        For the time to read the matrix.
    networks : sequence of str
    matrix : (int, int)
        Rows and columns.

    Survey-map row: C5.
    """
    sizes = {name: _sizes(name) for name in networks}
    sizes[f"{matrix[0]} × {matrix[1]}"] = [(matrix[0] * matrix[1], matrix[0], 0)]
    found = []
    for what, layers in sizes.items():
        for form, bits in FORMATS.items():
            total = sum(-(-count * bits // 8) + (4 * rows if bits <= 8 else 0) + 4 * b for count, rows, b in layers)
            read = total / roofline.bandwidth(total) / 1e6 if roofline and what not in networks else None
            found.append(FormatBytes(what, form, bits, total, read))
    return found


def _sizes(network: str) -> list[tuple[int, int, int]]:
    """Return weights, output channels and biases of every layer."""
    model = exported(network)[0]
    found = []
    for cost in layer_costs(model, (1, 28, 28)):
        layer: Any = model.get_submodule(cost.name)
        found.append((cost.parameters, len(layer.weight), 0 if layer.bias is None else len(layer.bias)))
    return found


# --- measuring --------------------------------------------------------------------------------------------------------


def _noise(turns: int, threads: int) -> Ratio:
    """Return the time of a product against the very same product: what is left is noise."""
    weight, x = torch.ones(2048, 2048), torch.ones(2048)

    def work() -> object:
        return torch.mv(weight, x)

    return steady({"once": work, "again": work}, turns, threads).ratio("again", "once")


def _layers(network: str, batch: int, turns: int) -> list[LayerSpeed]:
    model, x = exported(network)[0], load_test()[:batch].tensors()[0]
    points = layer_points(model, x, turns)
    return [LayerSpeed(network, p.cost.name, batch, p.intensity, p.gflops, p.seconds * 1e3) for p in points]


def _kernels(rows: int, columns: int, batch: int, turns: int, threads: int, plain: bool) -> list[KernelSpeed]:
    free = _free_memory()
    if free is not None and free < ROOM:
        raise MemoryError(f"needs {ROOM / 1e9:.1f} GB of free memory, there are {free / 1e9:.1f}")
    speeds = measure(rows, columns, batch, turns, threads, plain)
    return [KernelSpeed(*(getattr(s, part) for part in KernelSpeed._fields)) for s in speeds]


def _networks(network: str, batches: Sequence[int], turns: int, threads: int, pictures: int) -> list[NetworkSpeed]:
    return network_speeds(network, batches, turns, threads, load_test()[:pictures])


def _free_memory() -> int | None:
    """Return bytes of memory that programs may still take, where Linux tells."""
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), None)


@dataclass(frozen=True)
class Tools:
    """The functions that measure; tests put others in their place.

    Survey-map row: C4.
    """

    noise: Callable[[int, int], Ratio] = _noise
    roofline: Callable[[Sequence[int], int], Roofline] = measure_roofline
    layers: Callable[[str, int, int], list[LayerSpeed]] = _layers
    kernels: Callable[[int, int, int, int, int, bool], list[KernelSpeed]] = _kernels
    networks: Callable[[str, Sequence[int], int, int, int], list[NetworkSpeed]] = _networks


def _about() -> dict[str, str]:
    """Return the machine in words: no names of people, of computers or of folders."""
    versions = []
    for package in ("numpy", "numba", "onnxruntime"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    return {
        "machine": machine(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "libraries": ", ".join(versions),
        "kernels": ", ".join(available()),
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, qlab at {commit()}",
    }


def _steps(s: Settings, tools: Tools) -> list[tuple[str, str, Callable[[], Any]]]:
    """Return what belongs to which part of the report, its name, and the function that measures it."""
    turns, threads = s.turns, s.threads
    steps: list[tuple[str, str, Callable[[], Any]]] = [
        ("noise", "the same work against itself", lambda: [tools.noise(turns, threads)]),
        ("roofline", "bandwidth and peak", lambda: [tools.roofline(s.working_sets, turns)]),
    ]
    for name in s.networks:
        for b in s.network_batches:
            steps.append(("layers", f"layers of {name}, batch {b}", partial(tools.layers, name, b, turns)))
    for shape in s.shapes:
        job = partial(tools.kernels, *shape, 1, turns, threads, True)
        steps.append(("kernels", f"kernels at {shape[0]} × {shape[1]}", job))
    for b in s.batches:
        job = partial(tools.kernels, *s.sweep, b, turns, threads, False)
        steps.append(("sweep", f"kernels at {s.sweep[0]} × {s.sweep[1]}, batch {b}", job))
    for name in s.networks:
        timed = partial(tools.networks, name, s.network_batches, turns, threads, s.pictures)
        steps.append(("networks", f"{name} in every engine", timed))
    return steps


def collect(settings: Settings, tools: Tools | None = None, progress: bool = True) -> Report:
    """Measure everything, with a bar over the steps.

    Parameters
    ----------
    settings : Settings
        `FULL` or `QUICK`, or either with other numbers (`_replace`).
    tools : Tools, optional
    progress : bool

    Survey-map rows: C4, C6.
    """
    begin = time.perf_counter()
    found: dict[str, list[Any]] = {key: [] for key in ("noise", "roofline", "layers", "kernels", "sweep", "networks")}
    missing = {f"{b} kernels": "this processor lacks the instructions" for b in BACKENDS if b not in available()}
    last = 0.0
    bar = tqdm(_steps(settings, tools or Tools()), unit="step", disable=not progress)
    for part, name, step in bar:
        bar.set_description(name)
        if part == "sweep" and last > settings.patience:
            missing[name] = f"the batch before took {last:.0f} seconds"
            continue
        start = time.perf_counter()
        try:
            found[part] += step()
        except Exception as error:  # whatever a strange machine may raise: the rest is still worth having
            missing[name] = f"{type(error).__name__}: {error}".rstrip(": ")
        if part == "sweep":
            last = time.perf_counter() - start
    roofline = next(iter(found.pop("roofline")), None)
    noise = next(iter(found.pop("noise")), None)
    found["memory"] = format_bytes(roofline, settings.networks, settings.shapes[-1])
    report = Report(
        _about(), settings, noise, roofline, **{k: tuple(v) for k, v in found.items()}, missing=missing, seconds=0.0
    )
    return _from_content(_content(report) | {"seconds": _short(time.perf_counter() - begin)})


# --- files ------------------------------------------------------------------------------------------------------------


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _content(report: Report) -> dict[str, Any]:
    """Return the report as dictionaries, lists, words and numbers."""

    def plain(value: Any) -> Any:
        if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
            return value
        if isinstance(value, float):
            return _short(value)
        if hasattr(value, "_asdict"):
            return {k: plain(v) for k, v in value._asdict().items()}
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        return [plain(v) for v in value]

    roofline, noise = report.roofline, report.noise
    parts = {key: getattr(report, key) for key in ("about", "settings", *PARTS, "missing", "seconds")}
    parts["noise"] = noise and {"median": noise.median, "low": noise.low, "high": noise.high}
    parts["roofline"] = roofline and {
        "peak": roofline.peak,
        "bandwidths": [{"bytes": size, "gigabytes_per_second": rate} for size, rate in roofline.bandwidths],
    }
    return {"kind": KIND, "version": VERSION} | {key: plain(value) for key, value in parts.items()}


PARTS: Mapping[str, Any] = {
    "layers": LayerSpeed,
    "kernels": KernelSpeed,
    "sweep": KernelSpeed,
    "memory": FormatBytes,
    "networks": NetworkSpeed,
}


def _from_content(content: Mapping[str, Any]) -> Report:
    def tuples(value: Any) -> Any:
        return tuple(tuples(v) for v in value) if isinstance(value, list) else value

    roofline, noise = content["roofline"], content["noise"]
    if roofline is not None:
        pairs = tuple((int(b["bytes"]), float(b["gigabytes_per_second"])) for b in roofline["bandwidths"])
        roofline = Roofline(roofline["peak"], pairs)
    return Report(
        dict(content["about"]),
        Settings(**{key: tuples(value) for key, value in content["settings"].items()}),
        None if noise is None else Ratio(**noise),
        roofline,
        **{part: tuple(kind(**line) for line in content[part]) for part, kind in PARTS.items()},
        missing=dict(content["missing"]),
        seconds=content["seconds"],
    )


def to_json(report: Report) -> str:
    """Return the report for machines.

    Survey-map row: C4.
    """
    return json.dumps(_content(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_report(path: Path) -> Report:
    """Read a report that was written before, perhaps on another machine.

    Raises
    ------
    ValueError
        If there is no such file, or it is no report; the message says what it is instead.

    Survey-map row: C4.
    """
    hint = "`python -m qlab.hardware report --to DIR` makes one, DIR/report.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); {hint}") from None
    except ValueError:
        raise ValueError(f"{path} must be a report in JSON, got something that is no JSON; {hint}") from None
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind != KIND:
        raise ValueError(f"{path} must be a {KIND}, got JSON of kind {kind!r}; {hint}")
    if content.get("version") != VERSION:
        raise ValueError(f"{path} is a report of version {content.get('version')}, this qlab reads {VERSION}; {hint}")
    try:
        return _from_content(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is a report that lacks something or was changed by hand: {error!r}; {hint}") from None
