"""The report as HTML and as Markdown, from one list of sections, so that both say the same.

The HTML asks no other host for anything: style and figures stand in it. It follows the reader's choice of light or
dark, a narrow window scrolls its wide tables, and on paper the long lists at the end stay folded.

Survey-map rows: C4, C5, C6.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from qlab.hardware.networks import OWN, NetworkSpeed
from qlab.hardware.report import KernelSpeed, Report, ahead_until, best_kernels, chance, gain, stops_paying, to_json
from qlab.hardware.report_figures import bandwidth_figure, number, roofline_figure, sweep_figure, working_set

__all__ = ["Section", "Table", "sections", "speed", "to_html", "to_markdown", "write"]

TITLE = "What low precision gains on this machine"
NOTHING = number(None)


class Table(NamedTuple):
    """A table; its first column, or several, hold words, the others numbers.

    Survey-map row: C4.
    """

    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    folded: bool = False
    words: int = 1


class Section(NamedTuple):
    """A heading, sentences, figures (SVG and what stands below) and tables.

    Survey-map row: C4.
    """

    heading: str
    sentences: list[str]
    figures: list[tuple[str, str]]
    tables: list[Table]
    bullets: bool = False


def speed(ratio: float | None, low: float | None, high: float | None) -> str:
    """Return "times as fast" with its quartiles, and in words where it is not faster.

    Examples
    --------
    >>> speed(2.0, 1.9, 2.2)
    '2 (1.9–2.2)'
    >>> speed(1.01, 0.98, 1.1)
    '1.01 (0.98–1.1), no difference seen'
    >>> speed(1.0, 1.0, 1.0)  # the baseline itself
    '1'

    Survey-map row: C4.
    """
    if ratio is None or low is None or high is None:
        return NOTHING
    if ratio == low == high == 1:
        return "1"
    verdict = gain(ratio, low, high).verdict
    return f"{number(ratio)} ({number(low)}–{number(high)})" + ("" if verdict == "faster" else f", {verdict}")


def sections(report: Report) -> list[Section]:
    """Return what the report says, for whatever was measured.

    Survey-map rows: C4, C5, C6.
    """
    parts = [_machine(report), _short(report), _limits(report), _kernels(report), _sweep(report), _memory(report)]
    return [part for part in (*parts, _networks(report), _missing(report), _numbers(report)) if part]


def _machine(report: Report) -> Section:
    s = report.settings
    about = [(key, value) for key, value in report.about.items()]
    run = f"{'quick' if s.quick else 'full'}: {s.turns} turns, {_threads(s.threads)}, {number(report.seconds)} seconds"
    return Section("The machine", [], [], [Table("", ("", ""), [*about, ("run", run)], words=2)])


def _threads(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


def _short(report: Report) -> Section:
    """Say in a few sentences what the numbers allow to be said."""
    said = []
    if r := report.roofline:
        said.append(
            f"One core computes {number(r.peak)} GFLOP/s in fp32 and reads {number(r.memory_bandwidth)} GB/s from "
            f"memory: a layer with fewer than {number(r.ridge())} operations per byte waits for memory, "
            "and gains from fewer bits."
        )
    if largest := _largest(report.kernels):
        best = [f"{k.kernel} {speed(k.ratio, k.low, k.high)}" for f, k in best_kernels(largest).items() if f != "fp32"]
        shape = _shape(largest[0].rows, largest[0].columns)
        said.append(f"Times as fast as fp32, one vector, {shape}: {'; '.join(best)}.")
    if paying := _paying(report):
        said.append(paying)
    said += _network_verdicts(report.networks)
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
    return Section("In short", said, [], [], bullets=True)


def _shape(rows: int, columns: int) -> str:
    return f"{number(rows)}\u00a0×\u00a0{number(columns)}"  # not broken between lines


def _largest(speeds: Sequence[KernelSpeed]) -> list[KernelSpeed]:
    """Return the speeds at the largest shape."""
    most = max((s.rows * s.columns for s in speeds), default=0)
    return [s for s in speeds if s.rows * s.columns == most]


def _paying(report: Report) -> str:
    batches = sorted({s.batch for s in report.sweep})
    kernels = list(dict.fromkeys(s.kernel for s in report.sweep if s.kernel != "fp32"))
    if len(batches) < 2 or not kernels:
        return ""
    where: dict[str, list[str]] = {}
    for kernel in kernels:
        some = sorted(_of(report.sweep, kernel), key=lambda s: s.batch)
        first = gain(some[0].ratio, some[0].low, some[0].high).verdict
        batch = stops_paying(some)
        place = f"from batch {batch}" if batch else f"nowhere up to batch {batches[-1]}"
        where.setdefault(place if first == "faster" else f"{first} to begin with", []).append(kernel)
    said = f"Where the gain over fp32 falls below half of that at batch {batches[0]}: "
    said += "; ".join(f"{', '.join(which)} {place}" for place, which in where.items()) + "."
    if list(where) == [f"nowhere up to batch {batches[-1]}"]:
        said = (
            f"The gain over fp32 stays above half of that at batch {batches[0]} up to batch {batches[-1]}, everywhere."
        )
    ahead = [f"{k} up to batch {b}" for k in kernels if (b := _ahead(report.sweep, k))]
    return f"{said} Ahead of int8: {', '.join(ahead)}." if ahead else said


def _network_verdicts(networks: Sequence[NetworkSpeed]) -> list[str]:
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
    shapes = list(dict.fromkeys((s.rows, s.columns, s.batch) for s in report.kernels))
    names = list(dict.fromkeys(s.kernel for s in report.kernels))
    at = {(s.kernel, (s.rows, s.columns, s.batch)): s for s in report.kernels}
    header = ["kernel", "memory allows"]
    for rows, columns, batch in shapes:
        header += [f"{_shape(rows, columns)}, batch\u00a0{number(batch)}: ms", "times as fast as fp32", "reached"]
    lines = []
    for name in names:
        limit = next(s.limit for s in report.kernels if s.kernel == name)
        line = [name, f"{number(limit)}×"]
        for shape in shapes:
            s = at.get((name, shape))
            cells = [number(s.milliseconds), speed(s.ratio, s.low, s.high), f"{s.ratio / limit:.0%}"] if s else []
            line += cells or [NOTHING] * 3
        lines.append(tuple(line))
    words = (
        "A product with one vector reads every weight once: b bits instead of 32 can gain 32/b, if fp32 reads as fast "
        "as memory allows; where it does not, more is possible."
    )
    fp32 = next((s for s in _largest(report.kernels) if s.kernel == "fp32"), None)
    if fp32 and report.roofline and report.settings.threads == 1:
        rate = 4 * fp32.rows * fp32.columns / fp32.milliseconds / 1e6
        words += f" fp32 reads {number(rate)} GB/s at {_shape(fp32.rows, fp32.columns)}, of "
        words += f"{number(report.roofline.memory_bandwidth)}."
    return Section("Products of packed weights", [words], [], [Table("", tuple(header), lines)])


def _sweep(report: Report) -> Section | None:
    batches = sorted({s.batch for s in report.sweep})
    if len(batches) < 2:
        return None
    rows, columns = report.settings.sweep
    names = [k for k in dict.fromkeys(s.kernel for s in report.sweep) if k != "fp32"]
    at = {(s.kernel, s.batch): s for s in report.sweep}
    lines = []
    for name in names:
        half, ahead = stops_paying(_of(report.sweep, name)), _ahead(report.sweep, name)
        cells = [number(at[name, b].ratio) if (name, b) in at else NOTHING for b in batches]
        lines.append((name, *cells, *(NOTHING if b is None else str(b) for b in (half, ahead))))
    table = Table(
        f"Times as fast as fp32, {_shape(rows, columns)}",
        ("batch", *map(str, batches), "below half from", "ahead of int8 up to"),
        lines,
    )
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
    return Section("Where low precision stops paying", [words], [(sweep_figure(report.sweep), "")], [table])


def _of(speeds: Sequence[KernelSpeed], kernel: str) -> list[KernelSpeed]:
    return [s for s in speeds if s.kernel == kernel]


def _ahead(speeds: Sequence[KernelSpeed], kernel: str) -> int | None:
    """Return the batch up to which a kernel is ahead of int8 by the same backend."""
    _, _, backend = kernel.partition(" ")
    return ahead_until(_of(speeds, kernel), _of(speeds, f"int8 {backend}"))


def _memory(report: Report) -> Section | None:
    if not report.memory:
        return None
    things = list(dict.fromkeys(m.what for m in report.memory))
    formats = list(dict.fromkeys((m.format, m.bits) for m in report.memory))
    at = {(m.what, m.format): m for m in report.memory}
    read = [t for t in things if any(m.what == t and m.milliseconds is not None for m in report.memory)]
    header = ("format", "bits", *(f"{t}, bytes" for t in things), *(f"{t}: read once, ms" for t in read))
    lines = [
        (f, str(b), *(number(at[t, f].bytes) for t in things), *(number(at[t, f].milliseconds) for t in read))
        for f, b in formats
    ]
    words = (
        "Packed codes; up to 8 bits with a scale of four bytes for each output channel, biases in fp32: counted. "
        "For the matrix also the time to read it once, at the bandwidth measured for so many bytes. "
        "What so few bits cost in accuracy is another question, and most of the course."
    )
    return Section("Memory by format", [words], [], [Table("", header, lines)])


def _networks(report: Report) -> Section | None:
    if not report.networks:
        return None
    batches = sorted({n.batch for n in report.networks})
    pairs = list(dict.fromkeys((n.network, n.engine) for n in report.networks))
    at = {(n.network, n.engine, n.batch): n for n in report.networks}
    pictures = report.networks[0].pictures
    header = ["network", "engine", "bytes", f"right of {number(pictures)}"]
    for batch in batches:
        header += [f"batch {batch}: ms", "× PyTorch fp32", "× ONNX Runtime fp32"]
    lines = []
    for network, engine in pairs:
        some = [at.get((network, engine, b)) for b in batches]
        known = next(n for n in some if n)
        line = [network, engine, number(known.bytes), number(known.right)]
        for n in some:
            line += (
                [number(n.milliseconds), speed(n.ratio, n.low, n.high), speed(n.own, n.own_low, n.own_high)]
                if n
                else [NOTHING] * 3
            )
        lines.append(tuple(line))
    words = (
        "× says how many times as fast. PyTorch as the baseline mixes two changes, of engine and of bits; against "
        "ONNX Runtime's own fp32 only the bits differ. “int8” computes layers in integers and everything between "
        "them in real numbers, “integers” uses nothing else; “qlab integers” is the same program in NumPy, slow "
        "because it is written to be read. Right answers differ by chance, too: a few of these pictures mean nothing."
    )
    return Section("Whole networks", [words], [], [Table("", tuple(header), lines, words=2)])


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


def _numbers(report: Report) -> Section:
    tables = []
    if r := report.roofline:
        tables.append(
            Table(
                "Bandwidth by working set",
                ("bytes", "working set", "GB/s"),
                [(number(size), working_set(size), number(rate)) for size, rate in r.bandwidths],
                True,
            )
        )
    if report.layers:
        tables.append(
            Table(
                "Layers in fp32, one core",
                ("network", "layer", "batch", "operations per byte", "GFLOP/s", "ms"),
                [
                    (s.network, s.layer, str(s.batch), number(s.intensity), number(s.gflops), number(s.milliseconds))
                    for s in report.layers
                ],
                True,
                words=2,
            )
        )
    if report.sweep:
        tables.append(
            Table(
                "The batch sweep in full",
                ("kernel", "batch", "ms", "times as fast as fp32"),
                [(s.kernel, str(s.batch), number(s.milliseconds), speed(s.ratio, s.low, s.high)) for s in report.sweep],
                True,
            )
        )
    return Section("All numbers", [], [], tables)


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown.

    Survey-map row: C4.
    """
    safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (header, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in safe]
    return "\n".join([lines[0], "|" + " --- |" * len(header), *lines[1:]])


def to_markdown(report: Report) -> str:
    """Return the report in Markdown: everything but the figures.

    Survey-map row: C4.
    """
    blocks = [f"# {TITLE}"]
    for part in sections(report):
        blocks.append(f"## {part.heading}")
        blocks.append("\n".join(f"- {s}" for s in part.sentences) if part.bullets else "\n\n".join(part.sentences))
        for table in part.tables:
            blocks += [f"**{table.caption}**"] if table.caption else []
            blocks.append(markdown_table(table.header, table.rows))
    return "\n\n".join(block for block in blocks if block) + "\n"


# --- HTML -------------------------------------------------------------------------------------------------------------

STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1b;--soft:#555;--paper:#fff;--card:#f6f6f4;--line:#d5d5d0;
--s0:#0072b2;--s1:#c04a00;--s2:#007a59;--s3:#a8487f;--s4:#8a5f00;--s5:#2b7fb0}
@media (prefers-color-scheme:dark){:root{--ink:#e9e9e6;--soft:#b4b4ae;--paper:#17181a;--card:#202225;--line:#3d4045;
--s0:#63b3e8;--s1:#ff9a5c;--s2:#45cfa4;--s3:#ec9cc6;--s4:#f0c04a;--s5:#9fd6f7}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem 1.2rem 2rem;max-width:80rem;color:var(--ink);background:var(--paper);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.5rem;line-height:1.2;margin:.4rem 0}h2{font-size:1.1rem;margin:1.4rem 0 .4rem}
p,ul{margin:.4rem 0;max-width:62rem}ul{padding-left:1.2rem}
.scroll{overflow-x:auto;margin:.5rem 0}.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--s0)}
table{border-collapse:collapse;font-size:.8rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:.2rem 0}
th,td{padding:.18rem .45rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
td{white-space:nowrap}thead+tbody .words{white-space:nowrap}td.words{white-space:normal}
thead th{vertical-align:bottom;color:var(--soft);font-weight:600}
.words{text-align:left}tbody th{font-weight:600;white-space:nowrap}
.figures{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}
.figures>figure{flex:1 1 22rem}.figures>.scroll{flex:0 1 auto;min-width:0;max-width:100%}
figure{margin:.4rem 0;padding:.6rem;background:var(--card);border:1px solid var(--line);border-radius:6px;
max-width:36rem}
figcaption{color:var(--soft);font-size:.86rem}
svg{display:block;width:100%;height:auto;font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg text{fill:var(--ink)}
svg .note{fill:var(--soft);font-size:11px;paint-order:stroke;stroke:var(--card);stroke-width:3px}
.grid{stroke:var(--line);stroke-width:1;fill:none}.roof{stroke:var(--soft);stroke-width:1.6;fill:none}
.line{fill:none;stroke-width:2}.mark{stroke-width:1.6}.mark.hollow{fill:var(--card)}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}
.s5{stroke:var(--s5)}
.mark.s0:not(.hollow){fill:var(--s0)}.mark.s1:not(.hollow){fill:var(--s1)}.mark.s2:not(.hollow){fill:var(--s2)}
.mark.s3:not(.hollow){fill:var(--s3)}.mark.s4:not(.hollow){fill:var(--s4)}.mark.s5:not(.hollow){fill:var(--s5)}
details{margin:.4rem 0}summary{cursor:pointer;color:var(--soft)}
@media print{@page{size:A4;margin:11mm}
:root{color-scheme:light;--ink:#000;--soft:#444;--paper:#fff;--card:#fff;--line:#bbb;
--s0:#0072b2;--s1:#c04a00;--s2:#007a59;--s3:#a8487f;--s4:#8a5f00;--s5:#2b7fb0}
body{padding:0;max-width:none;font-size:8.3pt;line-height:1.25}
h1{font-size:14pt}h2{font-size:10.5pt;margin:.5rem 0 .15rem}
table{font-size:6.3pt}th,td{padding:.05rem .22rem}.scroll{overflow:visible}
.figures{flex-wrap:nowrap;gap:.5rem}.figures>figure{flex:0 1 74mm}figure,tr{break-inside:avoid}h2{break-after:avoid}
figure{padding:.2rem}figcaption{font-size:7pt}.numbers{display:none}}
"""


def to_html(report: Report) -> str:
    """Return the report as one HTML page that needs nothing beside it.

    Survey-map row: C4.
    """
    body = []
    for part in sections(report):
        inner = [f"<h2>{escape(part.heading)}</h2>"]
        said = [escape(s) for s in part.sentences]
        if part.bullets:
            inner.append("<ul>" + "".join(f"<li>{s}</li>" for s in said) + "</ul>")
        else:
            inner += [f"<p>{s}</p>" for s in said]
        figures = [
            f"<figure>{svg}{f'<figcaption>{escape(below)}</figcaption>' if below else ''}</figure>"
            for svg, below in part.figures
        ]
        tables = [_html_table(table, part.heading) for table in part.tables]
        inner += ['<div class="figures">' + "".join(figures + tables) + "</div>"] if figures else tables
        folded = any(table.folded for table in part.tables)
        body.append(f"<section{' class=numbers' if folded else ''}>{''.join(inner)}</section>")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(TITLE)}</title><style>{STYLE}</style></head>\n"
        f"<body><main><h1>{escape(TITLE)}</h1>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def _html_table(table: Table, heading: str) -> str:
    def looks(column: int) -> str:
        return ' class="words"' if column < table.words else ""

    def content(cell: str) -> str:
        return escape(cell).replace("), ", "),<wbr> ")  # cells stay on one line, but a verdict may stand on the next

    head = "".join(f'<th scope="col"{looks(k)}>{escape(cell)}</th>' for k, cell in enumerate(table.header))
    rows = "".join(
        f'<tr><th scope="row"{looks(0)}>{escape(row[0])}</th>'
        + "".join(f"<td{looks(k)}>{content(cell)}</td>" for k, cell in enumerate(row[1:], 1))
        + "</tr>"
        for row in table.rows
    )
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption and not table.folded else ""
    top = f"<thead><tr>{head}</tr></thead>" if any(table.header) else ""
    label = escape(table.caption or heading)
    text = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table>{caption}{top}<tbody>{rows}</tbody></table></div>"
    )
    return f"<details><summary>{label}</summary>{text}</details>" if table.folded else text


# --- files ------------------------------------------------------------------------------------------------------------


def write(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write report.html, report.md and report.json under temporary names, then rename them: all of them, or none.

    Survey-map row: C4.
    """
    texts = {"report.html": to_html(report), "report.md": to_markdown(report), "report.json": to_json(report)}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {folder / f"{name}.tmp": folder / name for name in texts}
    try:
        for path, text in zip(temporary, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        for path, final in temporary.items():
            os.replace(path, final)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)
    return tuple(temporary.values())
