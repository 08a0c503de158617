"""A Sphinx extension: docstrings may be written for the eye that reads the source.

Absolute values are written |x|, which reStructuredText would take for a substitution; and an equation is an indented
block, which it would take for a quotation and run together.
"""

import re
from typing import Any

LITERAL = re.compile(r"(``.*?``|:math:`.*?`)")


def escape(line: str) -> str:
    """Escape the bars of one line, outside of literals and formulas."""
    parts = LITERAL.split(line)
    return "".join(part if i % 2 else part.replace("|", "\\|") for i, part in enumerate(parts))


def keep_blocks(lines: list[str]) -> list[str]:
    """Put `::` before each indented block that follows a paragraph at the margin and a blank line."""
    kept: list[str] = []
    for line in lines:
        if line.startswith("  ") and len(kept) >= 2 and not kept[-1].strip():
            before = next((text for text in reversed(kept) if text.strip()), "")
            directive = before.startswith(("..", ":", "-", "*", ">>>")) or before.rstrip().endswith("::")
            if before and not before.startswith(" ") and not directive:
                kept += ["::", ""]
        kept.append(line)
    return kept


def escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep indented blocks as they are; elsewhere escape bars, except in examples, tables and literal blocks."""
    lines[:] = keep_blocks(lines)
    literal: int | None = None
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None:
            if line.lstrip().startswith((">>>", "...", "|", "+-")):
                continue
            lines[i] = escape(line)
            if line.rstrip().endswith("::") or line.lstrip().startswith(".. math::"):
                literal = indent


def setup(app: Any) -> dict[str, bool]:
    """Register the extension, to run before napoleon."""
    app.connect("autodoc-process-docstring", escape_bars, priority=400)
    return {"parallel_read_safe": True}
