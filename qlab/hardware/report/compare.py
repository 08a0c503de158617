"""Several machines in one table: a line for each report.

A number is bold where it is ahead of all others and the middle halves of the turns do not overlap; otherwise no
difference between the best was seen.

Survey-map rows: C4, C6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qlab.hardware.report.content import KernelSpeed, Report
from qlab.hardware.report.files import read_report
from qlab.hardware.report.tables import markdown_table
from qlab.hardware.report.verdicts import best_kernels, of_kernel, stops_paying
from qlab.hardware.report.words import NOTHING, number

__all__ = ["compare_reports", "labels"]

Interval = tuple[float, float, float]
"""Median and quartiles of "times as fast"."""


def labels(paths: Sequence[Path]) -> list[str]:
    """Return short names of files that tell them apart: the name, or folder and name, or the whole path.

    Examples
    --------
    >>> labels([Path("a/report.json"), Path("b/report.json")]), labels([Path("x/ann.json"), Path("ben.json")])
    (['a', 'b'], ['ann', 'ben'])

    Survey-map row: C4.
    """
    for name in (lambda p: p.stem, lambda p: p.resolve().parent.name, str):
        found = [name(p) for p in paths]
        if len(set(found)) == len(found) and "" not in found:
            return found
    return [f"{i}: {p}" for i, p in enumerate(paths, 1)]


def compare_reports(paths: Sequence[Path]) -> str:
    """Return one Markdown table, a line for each report, and below it what must be known to read it.

    Raises
    ------
    ValueError
        If a file is no report, or there are none.

    Survey-map rows: C4, C6.
    """
    if not paths:
        raise ValueError("give at least one report")
    reports = {name: read_report(path) for name, path in zip(labels(paths), paths, strict=True)}
    columns: dict[str, list[str]] = {
        "processor": [r.about.get("machine", NOTHING).split(", PyTorch")[0] for r in reports.values()],
        "run": [_run(r) for r in reports.values()],
        "fp32 peak, GFLOP/s": [number(r.roofline.peak if r.roofline else None) for r in reports.values()],
        "memory, GB/s": [number(r.roofline.memory_bandwidth if r.roofline else None) for r in reports.values()],
    }
    columns |= _kernel_columns(list(reports.values()))
    columns |= _network_columns(list(reports.values()))
    rows = [(name, *(column[i] for column in columns.values())) for i, name in enumerate(reports)]
    return markdown_table(("laptop", *columns), rows) + "\n\n" + "\n".join(_notes(reports)) + "\n"


def _run(report: Report) -> str:
    s = report.settings
    return f"{'quick' if s.quick else 'full'}, {s.turns} turns, {s.threads} thread{'s' if s.threads > 1 else ''}"


def _kernel_columns(reports: list[Report]) -> dict[str, list[str]]:
    """Return the best kernel of each format at the largest shape that all have measured, and where it stops paying."""
    common = set.intersection(*({(s.rows, s.columns) for s in r.kernels} for r in reports))
    if not common:
        return {}
    shape = max(common, key=lambda s: s[0] * s[1])
    chosen = [best_kernels(s for s in r.kernels if (s.rows, s.columns) == shape) for r in reports]
    columns = {}
    for form in _all_keys(chosen):
        found = [some.get(form) for some in chosen]
        cells = _cells([s and (s.ratio, s.low, s.high) for s in found])
        how = [f" {s.kernel.removeprefix(form).strip()}".rstrip() if s else "" for s in found]
        name = f"{form} × fp32, {number(shape[0])} × {number(shape[1])}"
        columns[name] = [cell + backend for cell, backend in zip(cells, how, strict=True)]
    first = [best_kernels(s for s in r.sweep if s.batch == min(x.batch for x in r.sweep)) for r in reports]
    for form in _all_keys(first):
        if form in ("int8", "int4"):
            stops = [_stop(r, some.get(form)) for r, some in zip(reports, first, strict=True)]
            columns[f"{form} gains less than half from batch"] = stops
    return columns


def _all_keys(found: Sequence[Mapping[str, object]]) -> list[str]:
    return [key for key in dict.fromkeys(k for some in found for k in some) if key != "fp32"]


def _stop(report: Report, kernel: KernelSpeed | None) -> str:
    if kernel is None:
        return NOTHING
    some = of_kernel(report.sweep, kernel.kernel)
    batch = stops_paying(some)
    return f"not up to {max(s.batch for s in some)}" if batch is None else str(batch)


def _network_columns(reports: list[Report]) -> dict[str, list[str]]:
    """Return how many times as fast as its own fp32 ONNX Runtime's integers are, on the last network that all have."""
    engine = "ONNX Runtime integers"
    found = [{(n.network, n.batch): n for n in r.networks if n.engine == engine} for r in reports]
    common = [key for key in found[0] if all(key in some for some in found)]
    columns = {}
    for network, batch in common:
        if network == common[-1][0]:
            lines = [some[network, batch] for some in found]
            known = [(n.own, n.own_low, n.own_high) if n.own and n.own_low and n.own_high else None for n in lines]
            columns[f"{engine} × its fp32, {network}, batch {batch}"] = _cells(known)
    return columns


def _cells(found: Sequence[Interval | None]) -> list[str]:
    """Write intervals down, the one in bold that lies above all others."""
    cells = []
    for i, one in enumerate(found):
        if one is None:
            cells.append(NOTHING)
            continue
        others = [other for k, other in enumerate(found) if k != i and other is not None]
        text = f"{number(one[0])} ({number(one[1])}–{number(one[2])})"
        ahead = bool(others) and all(one[1] > other[2] for other in others)
        cells.append(f"**{text}**" if ahead else text)
    return cells


def _notes(reports: Mapping[str, Report]) -> list[str]:
    notes = [
        "Times as fast, with the quartiles over turns. Bold: ahead of all others, and the quartiles do not overlap; "
        f"where nothing is bold, no difference between the best was seen. {NOTHING}: not measured."
    ]
    if len({(r.settings.quick, r.settings.threads) for r in reports.values()}) > 1:
        notes.append("The runs were made differently (quick or full, threads): compare with care.")
    disturbed = [name for name, r in reports.items() if r.noise and r.noise.verdict != "no difference seen"]
    if disturbed:
        notes.append(f"Disturbed, the same work seemed to differ from itself: {', '.join(disturbed)}.")
    for name, r in reports.items():
        notes += [f"{name}: {what} not measured, {why}." for what, why in r.missing.items()]
    return [f"- {note}" for note in notes]
