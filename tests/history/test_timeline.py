"""The timeline: in order, complete, and right about the dates that are often told wrong."""

import re
from pathlib import Path

import pytest

import qlab.history
from qlab.history import timeline

pytestmark = pytest.mark.row("H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10", "H11")

DATES = {  # reference key: year of the idea, part of a name
    "legendre1805": (1805, "Legendre"),
    "gauss1809": (1809, "Gauss"),
    "riemann1867": (1854, "Riemann"),
    "sheppard1898": (1898, "Sheppard"),
    "reeves1938": (1938, "Reeves"),
    "bennett1948": (1948, "Bennett"),
    "panter1951": (1951, "Dite"),
    "huffman1952": (1952, "Huffman"),
    "widrow1956": (1956, "Widrow"),
    "lloyd1982": (1957, "Lloyd"),
    "max1960": (1960, "Max"),
    "roberts1962": (1962, "Roberts"),
    "gersho1979": (1979, "Gersho"),
    "linde1980": (1980, "Buzo"),
    "gholami2021survey": (2021, "Keutzer"),
}


def test_order_and_fields():
    events = timeline()
    assert [e.year for e in events] == sorted(e.year for e in events)
    assert (events[0].year, events[-1].year) == (1805, 2021)
    assert len({(e.reference, e.idea) for e in events}) == len(events)
    for e in events:
        assert e.people and all(re.fullmatch(r"[\w\s.-]+", name) for name in e.people), e
        assert re.fullmatch(r"[a-z]+(18|19|20)\d\d[a-z]*", e.reference), e
        assert re.fullmatch(r"[A-Z]\d+", e.row), e
        assert re.fullmatch(r"book/\w+/\w+", e.chapter), e
        assert e.idea and not e.idea.endswith("."), e


@pytest.mark.parametrize(("reference", "expected"), DATES.items())
def test_dates(reference, expected):
    (event,) = (e for e in timeline() if e.reference == reference)
    assert event.year == expected[0]
    assert any(expected[1] in name for name in event.people)


def test_the_idea_is_never_later_than_its_printing():
    for e in timeline():
        printed = int(re.search(r"\d{4}", e.reference)[0])
        assert e.year <= printed, e


def test_everything_public_is_exported_and_documented():
    for name in qlab.history.__all__:
        thing = getattr(qlab.history, name)
        if callable(thing):
            assert thing.__doc__, name
            assert re.search(r"Survey-map rows?: [A-Z]\d+(, [A-Z]\d+)*\.\s*\Z", thing.__doc__), name
    rooms = {p.stem for p in Path(qlab.history.__file__).parent.glob("*.py") if not p.stem.startswith("_")}
    assert all(f"`{room}`" in qlab.history.__doc__ for room in rooms)
