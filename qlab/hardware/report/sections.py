"""The report as one list of sections, from which both pages are made, so that both say the same.

Survey-map rows: C4, C5, C6.
"""

from __future__ import annotations

from typing import NamedTuple

from qlab.hardware.report.content import Report
from qlab.hardware.report.figures import bandwidth_figure, roofline_figure, sweep_figure
from qlab.hardware.report.summary import largest, summary
from qlab.hardware.report.tables import Table, full_tables, kernel_table, memory_table, network_table, sweep_table
from qlab.hardware.report.words import number, shape

__all__ = ["Section", "sections"]


class Section(NamedTuple):
    """What stands below one heading.

    Attributes
    ----------
    heading : str
    sentences : list of str
        Paragraphs, or the points of a list.
    figures : list of (str, str)
        SVG, and what stands below it.
    tables : list of Table
    bullets : bool

    Survey-map row: C4.
    """

    heading: str
    sentences: list[str]
    figures: list[tuple[str, str]]
    tables: list[Table]
    bullets: bool = False


def sections(report: Report) -> list[Section]:
    """Return what the report says, for whatever was measured.

    Survey-map rows: C4, C5, C6.
    """
    parts = [
        _machine(report),
        Section("In short", summary(report), [], [], bullets=True),
        _limits(report),
        _kernels(report),
        _sweep(report),
        _memory(report),
        _networks(report),
        _missing(report),
        Section("All numbers", [], [], full_tables(report)),
    ]
    return [part for part in parts if part]


def _machine(report: Report) -> Section:
    s = report.settings
    threads = "one thread" if s.threads == 1 else f"{s.threads} threads"
    run = f"{'quick' if s.quick else 'full'}: {s.turns} turns, {threads}, {number(report.seconds)} seconds"
    return Section("The machine", [], [], [Table("", ("", ""), [*report.about.items(), ("run", run)], words=2)])


def _limits(report: Report) -> Section | None:
    if not (r := report.roofline):
        return None
    figures = [
        (
            roofline_figure(r, report.layers),
            "Roofline. Sloping lines: bandwidth of three working sets; level line: peak. Hollow: batch "
            f"{min((s.batch for s in report.layers), default=1)}, filled: larger. What lies far below all roofs spends "
            "its time on neither memory nor arithmetic.",
        ),
        (bandwidth_figure(r), "Where the curve falls, a cache is full. What fits a cache is read faster."),
    ]
    said = []
    fastest = max(report.layers, key=lambda s: s.gflops, default=None)
    if fastest and fastest.gflops > r.peak:
        said.append(
            f"The peak is that of PyTorch's product of two matrices. Layer {fastest.layer} of {fastest.network} does "
            f"{number(fastest.gflops)} GFLOP/s: PyTorch's product is not the best that this processor can do."
        )
    return Section("What memory and arithmetic allow", said, figures, [])


def _kernels(report: Report) -> Section | None:
    if not report.kernels:
        return None
    words = (
        "A product with one vector reads every weight once: b bits instead of 32 can gain 32/b, if fp32 reads as fast "
        "as memory allows; where it does not, more is possible."
    )
    fp32 = next((s for s in largest(report.kernels) if s.kernel == "fp32"), None)
    if fp32 and report.roofline and report.settings.threads == 1:
        rate = 4 * fp32.rows * fp32.columns / fp32.milliseconds / 1e6
        words += f" fp32 reads {number(rate)} GB/s at {shape(fp32.rows, fp32.columns)}, of "
        words += f"{number(report.roofline.memory_bandwidth)}."
    return Section("Products of packed weights", [words], [], [kernel_table(report.kernels)])


def _sweep(report: Report) -> Section | None:
    batches = sorted({s.batch for s in report.sweep})
    if len(batches) < 2:
        return None
    words = (
        "More vectors use each weight more often, until arithmetic is the limit, and fewer bytes no longer help. "
        f"Below half: the gain over fp32 against that at batch {batches[0]}; ahead of int8: of the same backend. Both "
        "only where the quartiles lie apart."
    )
    last = next((s for s in report.sweep if s.kernel == "fp32" and s.batch == batches[-1]), None)
    if last:
        rate = 2e-6 * last.rows * last.columns * last.batch / last.milliseconds
        words += f" At batch {batches[-1]} fp32 computes {number(rate)} GFLOP/s"
        fastest = max((s.gflops for s in report.layers), default=0.0)
        slow = fastest > 1.3 * rate and report.settings.threads == 1
        words += f", where the fastest layer computes {number(fastest)}: a slow fp32 flatters ratios." if slow else "."
    table = sweep_table(report.sweep, *report.settings.sweep)
    return Section("Where low precision stops paying", [words], [(sweep_figure(report.sweep), "")], [table])


def _memory(report: Report) -> Section | None:
    if not report.memory:
        return None
    words = (
        "Packed codes; up to 8 bits with a scale of four bytes for each output channel, biases in fp32: counted. "
        "For the matrix also the time to read it once, at the bandwidth measured for so many bytes. "
        "What so few bits cost in accuracy is another question, and most of the course."
    )
    return Section("Memory by format", [words], [], [memory_table(report.memory)])


def _networks(report: Report) -> Section | None:
    if not report.networks:
        return None
    words = (
        "× says how many times as fast. PyTorch as the baseline mixes two changes, of engine and of bits; against "
        "ONNX Runtime's own fp32 only the bits differ. “int8” computes layers in integers and everything between "
        "them in real numbers, “integers” uses nothing else; “qlab integers” is the same program in NumPy, slow "
        "because it is written to be read. Right answers differ by chance, too: a few of these pictures mean nothing."
    )
    return Section("Whole networks", [words], [], [network_table(report.networks)])


def _missing(report: Report) -> Section:
    said = [f"{what}: not measured, {why}." for what, why in report.missing.items()]
    if report.settings.threads == 1:
        said.append(
            "Threads: one. Kernels and networks are timed by its own clock, which stands still while another program "
            "has the core; bandwidth, peak and layers by the clock on the wall, so a busy machine looks slower there."
        )
    else:
        said.append(
            f"Threads: {report.settings.threads} for kernels and networks, by the clock on the wall; bandwidth, peak "
            "and layers are those of one core."
        )
    said.append("Energy is not measured; powers and temperatures of laptops differ, and change while they run.")
    return Section("What was not measured, and how the rest was", said, [], [], bullets=True)
