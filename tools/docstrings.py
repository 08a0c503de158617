"""A Sphinx extension: docstrings may write |x|, which reStructuredText would take for a substitution."""

import re
from typing import Any

LITERAL = re.compile(r"(``.*?``|:math:`.*?`)")


def escape(line: str) -> str:
    """Escape the bars of one line, outside of literals and formulas."""
    parts = LITERAL.split(line)
    return "".join(part if i % 2 else part.replace("|", "\\|") for i, part in enumerate(parts))


def escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape bars in a docstring, except in its examples, its tables and its literal blocks."""
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
    """Register the extension, before napoleon reads the docstrings."""
    app.connect("autodoc-process-docstring", escape_bars, priority=400)
    return {"parallel_read_safe": True}
