"""A report on the reader's own machine: what memory and arithmetic allow, and what low precision gains here.

    python -m qlab.hardware report --to DIR [--quick] [--threads 1] [--turns 25]
    python -m qlab.hardware compare anna/report.json ben/report.json …

| file | what | rows |
|---|---|---|
| `content` | what a report holds | C4, C5, C6 |
| `steps` | what is measured, step by step | C4, C6, C7 |
| `memory` | bytes by format, counted | C5 |
| `files` | the report as JSON, and back | C4 |
| `verdicts` | what ratios allow to be said | C4, C6 |
| `words` | how numbers are written | C4 |
| `summary`, `tables`, `plane`, `figures` | sentences, tables, figures | C4, C5, C6 |
| `sections`, `pages`, `style.css` | all of it in order, as Markdown and as HTML | C4, C5, C6 |
| `compare` | several machines in one table | C4, C6 |

All times are ratios taken in turns, with quartiles; where the middle half of the turns holds 1, the report says "no
difference seen" and draws no conclusion.

Survey-map rows: C4, C5, C6, C7.
"""

from qlab.hardware.report.compare import compare_reports
from qlab.hardware.report.content import Report, Settings
from qlab.hardware.report.files import read_report
from qlab.hardware.report.pages import to_html, to_markdown, write
from qlab.hardware.report.steps import FULL, QUICK, Tools, collect

__all__ = [
    "FULL",
    "QUICK",
    "Report",
    "Settings",
    "Tools",
    "collect",
    "compare_reports",
    "read_report",
    "to_html",
    "to_markdown",
    "write",
]
