"""The report as HTML and as Markdown, and its files.

The HTML asks no other host for anything: style and figures stand in it. It follows the reader's choice of light or
dark, a narrow window scrolls its wide tables, and on paper the long lists at the end stay folded.

Survey-map row: C4.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from qlab.hardware.report.content import Report
from qlab.hardware.report.files import to_json
from qlab.hardware.report.sections import Section, sections
from qlab.hardware.report.tables import Table, markdown_table

__all__ = ["to_html", "to_markdown", "write"]

TITLE = "What low precision gains on this machine"
STYLE = Path(__file__).with_name("style.css")


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


def to_html(report: Report) -> str:
    """Return the report as one HTML page that needs nothing beside it.

    Survey-map row: C4.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    body = "\n".join(_html_section(part) for part in sections(report))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(TITLE)}</title><style>\n{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><main><h1>{escape(TITLE)}</h1>\n{body}\n</main></body></html>\n"
    )


def _html_section(part: Section) -> str:
    element = "li" if part.bullets else "p"
    said = "".join(f"<{element}>{escape(s)}</{element}>" for s in part.sentences)
    figures = "".join(
        f"<figure>{svg}{f'<figcaption>{escape(below)}</figcaption>' if below else ''}</figure>"
        for svg, below in part.figures
    )
    tables = "".join(_html_table(table, part.heading) for table in part.tables)
    folded = any(table.folded for table in part.tables)
    return (
        f"<section{' class=numbers' if folded else ''}><h2>{escape(part.heading)}</h2>"
        + (f"<ul>{said}</ul>" if part.bullets else said)
        + (f'<div class="figures">{figures}{tables}</div>' if figures else tables)
        + "</section>"
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
