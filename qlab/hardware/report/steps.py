"""What is measured, step by step; a step that fails does not end the run, and the report says why it is missing.

Survey-map rows: C4, C5, C6, C7.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from qlab.data import load_test
from qlab.hardware.kernels.measure import measure
from qlab.hardware.kernels.products import BACKENDS, available
from qlab.hardware.networks import NetworkSpeed, network_speeds, steady
from qlab.hardware.record import commit
from qlab.hardware.report.content import KernelSpeed, LayerSpeed, Report, Settings
from qlab.hardware.report.files import LISTS, rounded
from qlab.hardware.report.memory import format_bytes
from qlab.hardware.roofline import WORKING_SETS, Roofline, layer_points, measure_roofline
from qlab.hardware.timing import Ratio, machine
from qlab.integer.agreement import exported
from qlab.zoo import names

__all__ = ["FULL", "QUICK", "Tools", "collect"]

ROOM = 1_600_000_000
"""Bytes of free memory that the largest step may take."""
SHAPES = ((4096, 4096), (8192, 8192))
FULL = Settings(
    False, 25, 1, WORKING_SETS, SHAPES, (4096, 4096), tuple(1 << k for k in range(9)), 40, names(), (1, 64), 500
)
QUICK = Settings(
    True, 17, 1, WORKING_SETS[::2], SHAPES, (2048, 2048), (1, 4, 16, 64, 256), 8, ("convnet", "resnet"), (1, 64), 200
)


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
    roofline, noise = next(iter(found["roofline"]), None), next(iter(found["noise"]), None)
    found["memory"] = format_bytes(roofline, settings.networks, settings.shapes[-1])
    lists = {part: tuple(found[part]) for part in LISTS}
    seconds = time.perf_counter() - begin
    return rounded(Report(_about(), settings, noise, roofline, **lists, missing=missing, seconds=seconds))
