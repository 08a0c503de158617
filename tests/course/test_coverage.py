"""The coverage table is complete for the rows whose chapters are written."""

import pytest

from qlab.course.coverage import collect, parse_rows, survey_rows

# Rows that are done: code, chapter and test exist for each. A row never leaves this list.
DONE = ["B1", "Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7"]


def test_all_rows_of_the_survey_are_known():
    ids = [row.id for row in survey_rows()]
    assert len(ids) == len(set(ids)) == 81
    for part, count in {
        "B": 12,
        "H": 12,
        "Q": 11,
        "T": 10,
        "Z": 4,
        "G": 3,
        "M": 5,
        "E": 5,
        "V": 3,
        "C": 7,
        "F": 4,
    }.items():
        assert sum(i.startswith(part) for i in ids) == count


@pytest.mark.parametrize("wanted", DONE)
def test_a_row_that_is_done_has_code_chapter_and_test(wanted):
    row = next(r for r in collect() if r.id == wanted)
    assert row.code
    assert row.chapters
    assert row.tests


def test_lists_and_spans_of_rows_are_read():
    assert tuple(parse_rows("Q2, Q3.")) == ("Q2", "Q3")
    assert tuple(parse_rows("B7–B9")) == ("B7", "B8", "B9")
