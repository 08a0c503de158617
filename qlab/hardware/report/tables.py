"""The tables of the report, in cells of words.

Survey-map rows: C4, C5, C6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qlab.hardware.networks import NetworkSpeed
from qlab.hardware.report.content import FormatBytes, KernelSpeed, Report
from qlab.hardware.report.verdicts import ahead_of_int8, of_kernel, stops_paying
from qlab.hardware.report.words import NOTHING, number, shape, speed, working_set

__all__ = ["Table", "full_tables", "kernel_table", "markdown_table", "memory_table", "network_table", "sweep_table"]


class Table(NamedTuple):
    """A table; its first column, or several, hold words, the others numbers.

    Attributes
    ----------
    caption : str
    header : tuple of str
    rows : list of tuples of str
    folded : bool
        Shown only to those who ask, and not printed.
    words : int
        How many columns hold words.

    Survey-map row: C4.
    """

    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    folded: bool = False
    words: int = 1


def kernel_table(speeds: Sequence[KernelSpeed]) -> Table:
    """Return a line for each kernel, three columns for each shape.

    Survey-map row: C6.
    """
    at = {(s.kernel, s.rows, s.columns, s.batch): s for s in speeds}
    shapes = list(dict.fromkeys(key[1:] for key in at))
    header = ["kernel", "memory allows"]
    for rows, columns, batch in shapes:
        header += [f"{shape(rows, columns)}, batch\u00a0{number(batch)}: ms", "times as fast as fp32", "reached"]
    lines = []
    for kernel, limit in {s.kernel: s.limit for s in speeds}.items():
        line = [kernel, f"{number(limit)}×"]
        for place in shapes:
            s = at.get((kernel, *place))
            cells = [number(s.milliseconds), speed(s.ratio, s.low, s.high), f"{s.ratio / limit:.0%}"] if s else []
            line += cells or [NOTHING] * 3
        lines.append(tuple(line))
    return Table("", tuple(header), lines)


def sweep_table(speeds: Sequence[KernelSpeed], rows: int, columns: int) -> Table:
    """Return a line for each kernel, a column for each batch, and where it stops paying.

    Survey-map row: C6.
    """
    batches = sorted({s.batch for s in speeds})
    ratios = {(s.kernel, s.batch): s.ratio for s in speeds}
    lines = []
    for kernel in dict.fromkeys(s.kernel for s in speeds if s.kernel != "fp32"):
        cells = [number(ratios.get((kernel, b))) for b in batches]
        ends = stops_paying(of_kernel(speeds, kernel)), ahead_of_int8(speeds, kernel)
        lines.append((kernel, *cells, *(NOTHING if b is None else str(b) for b in ends)))
    header = ("batch", *map(str, batches), "below half from", "ahead of int8 up to")
    return Table(f"Times as fast as fp32, {shape(rows, columns)}", header, lines)


def memory_table(memory: Sequence[FormatBytes]) -> Table:
    """Return a line for each format, a column for each network and matrix.

    Survey-map row: C5.
    """
    at = {(m.what, m.format): m for m in memory}
    things = list(dict.fromkeys(m.what for m in memory))
    read = list(dict.fromkeys(m.what for m in memory if m.milliseconds is not None))
    lines = [
        (f, str(b), *(number(at[t, f].bytes) for t in things), *(number(at[t, f].milliseconds) for t in read))
        for f, b in dict.fromkeys((m.format, m.bits) for m in memory)
    ]
    return Table(
        "", ("format", "bits", *(f"{t}, bytes" for t in things), *(f"{t}: read once, ms" for t in read)), lines
    )


def network_table(networks: Sequence[NetworkSpeed]) -> Table:
    """Return a line for each network in each engine, three columns for each batch.

    Survey-map row: C6.
    """
    at = {(n.network, n.engine, n.batch): n for n in networks}
    batches = sorted({n.batch for n in networks})
    header = ["network", "engine", "bytes", f"right of {number(networks[0].pictures)}"]
    for batch in batches:
        header += [f"batch {batch}: ms", "× PyTorch fp32", "× ONNX Runtime fp32"]
    lines = []
    for network, engine in dict.fromkeys((n.network, n.engine) for n in networks):
        some = [at.get((network, engine, b)) for b in batches]
        known = next(n for n in some if n)
        line = [network, engine, number(known.bytes), number(known.right)]
        for n in some:
            cells = n and [number(n.milliseconds), speed(n.ratio, n.low, n.high), speed(n.own, n.own_low, n.own_high)]
            line += cells or [NOTHING] * 3
        lines.append(tuple(line))
    return Table("", tuple(header), lines, words=2)


def full_tables(report: Report) -> list[Table]:
    """Return everything that the other tables and the figures leave out; these tables are folded.

    Survey-map rows: C4, C6.
    """
    sets = report.roofline.bandwidths if report.roofline else ()
    tables = [
        Table(
            "Bandwidth by working set",
            ("bytes", "working set", "GB/s"),
            [(number(size), working_set(size), number(rate)) for size, rate in sets],
            folded=True,
        ),
        Table(
            "Layers in fp32, one core",
            ("network", "layer", "batch", "operations per byte", "GFLOP/s", "ms"),
            [
                (s.network, s.layer, str(s.batch), number(s.intensity), number(s.gflops), number(s.milliseconds))
                for s in report.layers
            ],
            folded=True,
            words=2,
        ),
        Table(
            "The batch sweep in full",
            ("kernel", "batch", "ms", "times as fast as fp32"),
            [(s.kernel, str(s.batch), number(s.milliseconds), speed(s.ratio, s.low, s.high)) for s in report.sweep],
            folded=True,
        ),
    ]
    return [table for table in tables if table.rows]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table in Markdown.

    Examples
    --------
    >>> print(markdown_table(("a", "b"), [("1", "x|y")]))
    | a | b |
    | --- | --- |
    | 1 | x\|y |

    Survey-map row: C4.
    """
    safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (header, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in safe]
    return "\n".join([lines[0], "|" + " --- |" * len(header), *lines[1:]])
