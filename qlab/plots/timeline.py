"""The timeline as a picture, and as a table whose chapters are linked where they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from qlab.history.timeline import Event
from qlab.plots.style import COLORS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["THREADS", "draw_timeline", "thread_of", "timeline_table"]

THREADS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "errors": ("H1", "H2", "H3", "H10"),
        "levels": ("H4", "H7"),
        "bits": ("H5", "H6", "H8", "H9"),
        "networks": (),
    }
)
"""The threads of the story and their rows of the survey map; the last thread takes all other rows."""


def thread_of(event: Event) -> str:
    """Name the thread that an event belongs to.

    Examples
    --------
    >>> from qlab.history import timeline
    >>> thread_of(timeline()[0])
    'errors'

    Survey-map rows: H1, H11.
    """
    return next((name for name, rows in THREADS.items() if event.row in rows), "networks")


def draw_timeline(ax: Axes, events: Sequence[Event]) -> None:
    """Draw time downwards, one lane for each thread; gaps grow with the logarithm of the years between.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        About as tall as 0.27 inch times the number of events.
    events : sequence of Event
        In order of time.

    Survey-map rows: H1, H11.
    """
    lanes = list(THREADS)
    places = [0.0]
    for before, after in pairwise(events):
        places.append(places[-1] + 0.8 + 0.4 * math.log2(1 + after.year - before.year))
    for lane, name in enumerate(lanes):
        mine = [(y, e) for y, e in zip(places, events, strict=True) if thread_of(e) == name]
        ax.plot([lane] * len(mine), [y for y, _ in mine], color=COLORS[lane], marker=MARKERS[lane], linestyle="-")
        for y, e in mine:
            who = e.people[0].split()[-1]
            ax.text(lane + 0.09, y, f"{e.year} {who}{' +' if len(e.people) > 1 else ''}", va="center", fontsize=9)
    ax.set(xlim=(-0.2, len(lanes) + 0.05), ylim=(places[-1] + 1, -1), yticks=[], xticks=range(len(lanes)))
    ax.set_xticklabels(lanes, ha="left")
    ax.tick_params(axis="x", labeltop=True, labelbottom=False, length=0)
    ax.set_ylabel("time →  (gaps: logarithm of the years between)", rotation=270, labelpad=12)
    ax.grid(visible=False)
    for side in ax.spines.values():
        side.set_visible(False)


def timeline_table(events: Sequence[Event], root: Path | str, up: str = "../../") -> str:
    """Write the timeline as a MyST table; a chapter is linked as soon as its file exists under `root`.

    Parameters
    ----------
    events : sequence of Event
    root : path
        The top folder of the course.
    up : str
        The way from the page that shows the table to the top folder.

    Returns
    -------
    str
        Markdown with ``{cite}`` roles.

    Survey-map rows: H1, H11.
    """
    lines = ["| Year | Who | What |", "|---|---|---|"]
    for e in events:
        found = next((f for end in (".ipynb", ".md") if (f := Path(root) / f"{e.chapter}{end}").exists()), None)
        idea = f"[{e.idea}]({up}{e.chapter}{found.suffix})" if found else e.idea
        lines.append(f"| {e.year} | {', '.join(e.people)} | {idea} {{cite:p}}`{e.reference}` |")
    return "\n".join(lines)
