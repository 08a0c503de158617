"""Measuring time so that the answer can be believed.

Machines are shared and drift. So the candidates take turns inside one process (A B C, then C B A, …), after a
warm-up; what is quoted is the median *ratio* of neighbours in the same turn, with the interval that holds the middle
half of the turns; and where that interval straddles 1, the answer is "no difference seen".

Source: Georges, Buytaert, Eeckhout 2007, *Statistically rigorous Java performance evaluation* (why intervals).
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

__all__ = ["Ratio", "Timings", "compare", "machine"]


@dataclass(frozen=True)
class Ratio:
    """How many times as long one candidate takes as another.

    Attributes
    ----------
    median, low, high : float
        Median and quartiles over the turns.

    Survey-map row: C4.
    """

    median: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """One of slower, faster, or no difference seen (where the middle half of the turns holds 1)."""
        if self.low > 1:
            return "slower"
        return "faster" if self.high < 1 else "no difference seen"

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, eq=False)
class Timings:
    """Seconds of every candidate in every turn.

    Attributes
    ----------
    seconds : mapping of name to array, shape (turns,)
    threads : int
        Threads that PyTorch was told to use.

    Survey-map row: C4.
    """

    seconds: Mapping[str, np.ndarray]
    threads: int

    def median(self, name: str) -> float:
        """Return the median time of one candidate, in seconds."""
        return float(np.median(self.seconds[name]))

    def spread(self, name: str) -> tuple[float, float]:
        """Return the quartiles of one candidate's time, in seconds."""
        low, high = np.quantile(self.seconds[name], [0.25, 0.75])
        return float(low), float(high)

    def ratio(self, name: str, baseline: str) -> Ratio:
        """Return how many times as long `name` takes as `baseline`, turn by turn."""
        for given in (name, baseline):
            if given not in self.seconds:
                raise ValueError(f"name must be one of {', '.join(self.seconds)}, got {given!r}")
        turns = self.seconds[name] / self.seconds[baseline]
        low, median, high = np.quantile(turns, [0.25, 0.5, 0.75])
        return Ratio(float(median), float(low), float(high))


def compare(
    candidates: Mapping[str, Callable[[], object]],
    turns: int = 15,
    warmup: int = 2,
    threads: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Time several functions in turn.

    Parameters
    ----------
    candidates : mapping of name to function without arguments
    turns : int
        Counted turns; every candidate runs once in each.
    warmup : int
        Turns that are not counted.
    threads : int, optional
        Threads for PyTorch while measuring; restored afterwards.
    clock : function, optional
        In seconds. `time.thread_time` does not count while another program has the core; only for work of one thread.

    Raises
    ------
    ValueError
        If there are no candidates, or fewer than three turns.

    Survey-map row: C4.
    """
    if not candidates or turns < 3:
        raise ValueError(f"give at least one candidate and three turns, got {len(candidates)} and {turns}")
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    try:
        for turn in range(warmup + turns):
            order = list(candidates.items())[:: 1 if turn % 2 == 0 else -1]
            for name, run in order:
                start = clock()
                run()
                elapsed = clock() - start
                if turn >= warmup:
                    seconds[name].append(elapsed)
        used = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    return Timings({name: np.array(values) for name, values in seconds.items()}, used)


def machine() -> str:
    """Return a line on this machine: processor, cores, vector instructions, caches, PyTorch.

    Survey-map row: C4.
    """
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0] if names else model
    capability = torch.backends.cpu.get_cpu_capability()
    facts = [model, f"{os.cpu_count()} cores", capability, *_caches(), f"PyTorch {torch.__version__.split('+')[0]}"]
    return ", ".join(facts)


def _caches() -> list[str]:
    """Return the data caches of the first core, where Linux tells: ["L1 48K", "L2 2048K", …]."""
    found = []
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        with contextlib.suppress(OSError):
            level, kind, size = ((cache / key).read_text().strip() for key in ("level", "type", "size"))
            if kind != "Instruction":
                found.append(f"L{level} {size}")
    return found
