"""Read the results: mean and spread over seeds, wide tables, one method against another.

    mean = Σ accuracy / n,    spread = √( Σ (accuracy − mean)² / (n − 1) )

A run that failed has no accuracy; it is counted, not left out in silence.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qlab.course.results.sweep import FAMILIES, PLACE, Entry
from qlab.course.results.task import FLOAT, Setting
from qlab.hardware.record import ORIGIN, Line, read_lines

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "cell", "entries", "label", "origin", "wide"]


class Cell(NamedTuple):
    """What is known of one method on one network at one setting.

    Attributes
    ----------
    mean, spread : float
        Accuracy over the seeds, 0 … 1, and its standard deviation (0 for a single run); NaN if no run succeeded.
    runs, failed : int
        Runs with an accuracy, and without.
    nbytes : int
        As stored.
    seconds : float
        Median processor time of a run.

    Survey-map rows: T2, T6, Z4.
    """

    mean: float
    spread: float
    runs: int
    failed: int
    nbytes: int
    seconds: float

    def __str__(self) -> str:
        if not self.runs:
            return "failed" if self.failed else ""
        spread = f" ± {100 * self.spread:.1f}" if self.runs > 1 and self.spread >= 0.0005 else ""
        lost = f" ({self.failed} failed)" if self.failed else ""
        return f"{100 * self.mean:.1f}{spread}{lost}"


def _entry(line: Line) -> Entry:
    return Entry(
        line["network"],
        line["method"],
        int(line["weights"]),
        int(line["activations"]),
        int(line["seed"]),
        float(line["accuracy"]),
        int(line["nbytes"]),
        float(line["seconds"]),
        line["problem"],
    )


def _check(family: str) -> str:
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
    return family


@cache
def entries(family: str, place: Path = PLACE) -> tuple[Entry, ...]:
    """Return the entries of a family that the package holds.

    Raises
    ------
    ValueError
        If there is no such family.

    Survey-map rows: T2, T6, Z4.
    """
    return tuple(_entry(line) for line in read_lines(place / f"{_check(family)}.csv"))


def origin(family: str, place: Path = PLACE) -> dict[str, tuple[str, ...]]:
    """Return the commits, PyTorch versions and machines that the entries of a family were made with.

    Survey-map rows: T2, T6, Z4.
    """
    lines = read_lines(place / f"{_check(family)}.csv")
    return {name: tuple(sorted({line[name] for line in lines})) for name in ORIGIN}


def _summary(found: Iterable[Entry]) -> Cell:
    found = list(found)
    good = [e.accuracy for e in found if not math.isnan(e.accuracy)]
    return Cell(
        statistics.fmean(good) if good else math.nan,
        statistics.stdev(good) if len(good) > 1 else 0.0,
        len(good),
        len(found) - len(good),
        max((e.nbytes for e in found), default=0),
        statistics.median(e.seconds for e in found) if found else math.nan,
    )


def cell(family: str, network: str, method: str, setting: Setting, place: Path = PLACE) -> Cell:
    """Return mean, spread, bytes and seconds of one method.

    Parameters
    ----------
    family, network, method : str
    setting : (int, int)
        Bits of weights and of activations.

    Survey-map rows: T2, T6, Z4.
    """
    wanted = network, method, *setting
    return _summary(e for e in entries(family, place) if (e.network, e.method, e.weights, e.activations) == wanted)


def label(setting: Setting) -> str:
    """Return W4A8 for (4, 8), and W3 where activations stay in floating point.

    Examples
    --------
    >>> label((4, 8)), label((3, 32))
    ('W4A8', 'W3')

    Survey-map row: T6.
    """
    weights, activations = setting
    return f"W{weights}" + ("" if activations == FLOAT else f"A{activations}")


def wide(family: str, network: str, place: Path = PLACE) -> pd.DataFrame:
    """Return a table: methods down, settings across, accuracies in percent as text, then kilobytes and seconds at W4A8.

    Survey-map rows: T2, T6, Z4.
    """
    import pandas as pd

    chosen = FAMILIES[_check(family)]
    table = pd.DataFrame(
        {
            label(s): {method: str(cell(family, network, method, s, place)) for method in chosen.methods}
            for s in chosen.settings
        }
    )
    size = {method: cell(family, network, method, (4, 8), place) for method in chosen.methods}
    table["kB"] = {m: f"{c.nbytes / 1000:.1f}" if c.nbytes else "" for m, c in size.items()}
    table["seconds"] = {m: "" if math.isnan(c.seconds) else f"{c.seconds:.1f}" for m, c in size.items()}
    return table[(table.drop(columns=["kB", "seconds"]) != "").any(axis=1)]
