"""The report in short: a few sentences, and only what the numbers allow to be said.

Survey-map rows: C4, C6.
"""

from __future__ import annotations

from collections.abc import Sequence

from qlab.hardware.networks import OWN, NetworkSpeed
from qlab.hardware.report.content import KernelSpeed, Report
from qlab.hardware.report.verdicts import ahead_of_int8, best_kernels, chance, gain, of_kernel, stops_paying
from qlab.hardware.report.words import number, shape, speed

__all__ = ["largest", "summary"]


def summary(report: Report) -> list[str]:
    """Return a few sentences on whatever was measured.

    Survey-map rows: C4, C6.
    """
    said = []
    if r := report.roofline:
        said.append(
            f"One core computes {number(r.peak)} GFLOP/s in fp32 and reads {number(r.memory_bandwidth)} GB/s from "
            f"memory: a layer with fewer than {number(r.ridge())} operations per byte waits for memory, "
            "and gains from fewer bits."
        )
    if some := largest(report.kernels):
        best = [f"{k.kernel} {speed(k.ratio, k.low, k.high)}" for f, k in best_kernels(some).items() if f != "fp32"]
        where = shape(some[0].rows, some[0].columns)
        said.append(f"Times as fast as fp32, one vector, {where}: {'; '.join(best)}.")
    said += _paying(report.sweep) + _networks(report.networks)
    if n := report.noise:
        takes = (
            f"The same work against itself takes {number(n.median)} ({number(n.low)}–{number(n.high)}) times as long"
        )
        none = n.verdict == "no difference seen"
        said.append(f"{takes}: {n.verdict}, as it should be." if none else f"{takes}: distrust gains as small as that.")
    turns = report.settings.turns
    said.append(
        f"Ratios are medians over {turns} turns, with quartiles. If there were no difference, chance would still find "
        f"one in at most {100 * chance(turns):.1f} % of the comparisons."
    )
    return said


def largest(speeds: Sequence[KernelSpeed]) -> list[KernelSpeed]:
    """Return the speeds at the largest shape.

    Survey-map row: C6.
    """
    most = max((s.rows * s.columns for s in speeds), default=0)
    return [s for s in speeds if s.rows * s.columns == most]


def _paying(sweep: Sequence[KernelSpeed]) -> list[str]:
    """Say from which batch on each kernel gains less than half, and up to which it is ahead of int8."""
    batches = sorted({s.batch for s in sweep})
    kernels = list(dict.fromkeys(s.kernel for s in sweep if s.kernel != "fp32"))
    if len(batches) < 2 or not kernels:
        return []
    first, last = batches[0], batches[-1]
    nowhere = f"nowhere up to batch {last}"
    where: dict[str, list[str]] = {}
    for kernel in kernels:
        some = of_kernel(sweep, kernel)
        begin = min(some, key=lambda s: s.batch)
        verdict, batch = gain(begin.ratio, begin.low, begin.high).verdict, stops_paying(some)
        place = f"from batch {batch}" if batch else nowhere
        where.setdefault(place if verdict == "faster" else f"{verdict} to begin with", []).append(kernel)
    if list(where) == [nowhere]:
        said = f"The gain over fp32 stays above half of that at batch {first} up to batch {last}, everywhere."
    else:
        places = "; ".join(f"{', '.join(which)} {place}" for place, which in where.items())
        said = f"Where the gain over fp32 falls below half of that at batch {first}: {places}."
    ahead = [f"{k} up to batch {b}" for k in kernels if (b := ahead_of_int8(sweep, k))]
    return [f"{said} Ahead of int8: {', '.join(ahead)}." if ahead else said]


def _networks(networks: Sequence[NetworkSpeed]) -> list[str]:
    """Say, for ONNX Runtime's integers, on which networks they are faster than its own fp32, and where not."""
    said = []
    for engine in dict.fromkeys(n.engine for n in networks):
        by: dict[str, list[NetworkSpeed]] = {}
        for n in networks:
            if n.engine == engine and n.engine != OWN and n.own and n.own_low and n.own_high:
                by.setdefault(gain(n.own, n.own_low, n.own_high).verdict, []).append(n)
        words = []
        for verdict, some in by.items():
            where = "for " + ", ".join(f"{n.network} at batch {n.batch}" for n in some) if len(by) > 1 else "everywhere"
            owns = [n.own for n in some if n.own]
            words.append(f"{verdict} {where} ({number(min(owns))} to {number(max(owns))} times as fast)")
        said += [f"Networks, {engine} against ONNX Runtime's own fp32: {'; '.join(words)}."] if words else []
    return said
