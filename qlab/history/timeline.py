"""Two centuries of quantization, as data: who had which idea when, and where the course treats it.

The dates are those of the idea where it is known to be older than its printing (Riemann, Reeves, Lloyd); the
reference key leads to the printed work. Selection after Gray and Neuhoff 1998 and Gholami et al. 2021, section II.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

__all__ = ["Event", "timeline"]


@dataclass(frozen=True)
class Event:
    """One line of the timeline.

    Parameters
    ----------
    year : int
    people : tuple of str
        Full names.
    idea : str
        A few words.
    reference : str
        Key in `book/references.bib`.
    row : str
        Row of the survey map.
    chapter : str
        File of the chapter, without its ending.

    Survey-map rows: H1, H2, H3, H4, H5, H6, H7, H8, H9, H10, H11.
    """

    year: int
    people: tuple[str, ...]
    idea: str
    reference: str
    row: str
    chapter: str


def timeline() -> list[Event]:
    """Read the timeline, in order of time.

    Examples
    --------
    >>> first = timeline()[0]
    >>> first.year, first.people, first.idea
    (1805, ('Adrien-Marie Legendre',), 'Least squares in print')

    Survey-map rows: H1, H2, H3, H4, H5, H6, H7, H8, H9, H10, H11.
    """
    text = resources.files("qlab.history").joinpath("timeline.csv").read_text(encoding="utf-8")
    return [
        Event(int(r["year"]), tuple(r["people"].split(", ")), r["idea"], r["reference"], r["row"], r["chapter"])
        for r in csv.DictReader(text.splitlines())
    ]
