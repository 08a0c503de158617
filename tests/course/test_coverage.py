"""The coverage table is complete for the rows whose chapters are written."""

import json

import pytest

from qlab.course.coverage import collect, parse_rows, rows_of_docstring, survey_rows, table, table_html

# Rows that are done: code, chapter and test exist for each. A row never leaves this list.
DONE = [
    f"{part}{n}"
    for part, last in {
        "B": 12,
        "H": 12,
        "Q": 11,
        "T": 10,
        "Z": 4,
        "G": 3,
        "A": 3,
        "M": 5,
        "D": 1,
        "E": 5,
        "V": 3,
        "W": 1,
    }.items()
    for n in range(1, last + 1)
]
DONE += ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "F1", "F2", "F3", "F4"]


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


@pytest.fixture(scope="module")
def rows():
    """Read the whole project once."""
    return {row.id: row for row in collect()}


@pytest.mark.parametrize("wanted", DONE)
def test_a_row_that_is_done_has_code_chapter_test_and_lab(rows, wanted):
    row = rows[wanted]
    assert row.code
    assert row.chapters
    assert row.tests
    assert row.labs or not row.wants_lab


def test_lists_and_spans_of_rows_are_read():
    assert tuple(parse_rows("Q2, Q3.")) == ("Q2", "Q3")
    assert tuple(parse_rows("B7–B9")) == ("B7", "B8", "B9")


def test_rows_of_a_docstring_go_on_over_a_line_break():
    assert rows_of_docstring("Title.\n\nSurvey-map rows: Q2,\n    Q3.\n") == ("Q2", "Q3")
    assert rows_of_docstring("H6 is not meant here.") == ()


@pytest.fixture
def small(tmp_path):
    """Make a project with one piece of code, one test, one chapter and one lab."""
    (tmp_path / "qlab/history").mkdir(parents=True)
    code = '"""Codes."""\n\ndef encode():\n    """Encode.\n\n    Survey-map row: H6.\n    """\n'
    (tmp_path / "qlab/history/huffman.py").write_text(code)
    (tmp_path / "qlab/history/_hidden.py").write_text(code)
    (tmp_path / "tests").mkdir()
    marked = "import pytest\npytestmark = pytest.mark.row('H5')\n\n@pytest.mark.row('H6')\ndef test_it():\n    pass\n"
    (tmp_path / "tests/test_huffman.py").write_text(marked)
    notebook = {
        "metadata": {"qlab": {"rows": ["H6"]}},
        "cells": [{"cell_type": "markdown", "source": ["# Entropy <&>\n"]}],
    }
    for place in ("book/history/entropy.ipynb", "labs/source/lab/lab.ipynb"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(json.dumps(notebook))
    return tmp_path


def test_every_kind_of_place_is_found(small):
    rows = {row.id: row for row in collect(small)}
    huffman = rows["H6"]
    assert [place.name for place in huffman.code] == ["history.huffman.encode"]
    assert huffman.code[0].address == "book/api/history.html#qlab.history.huffman.encode"
    assert [place.address for place in huffman.chapters] == ["book/history/entropy.html"]
    assert [place.address for place in huffman.labs] == ["labs/release/lab/lab.html"]
    assert (
        [place.name for place in huffman.tests]
        == ["tests/test_huffman.py::test_it"]
        == [place.name for place in rows["H5"].tests]
    )
    assert not rows["B1"].started


def test_tables_show_what_was_found_and_what_was_not(small):
    frame = table(small)
    assert frame.loc["H6", "chapters"] == "Entropy <&>"
    assert frame.loc["B1", "code"] == ""
    page = table_html(small)
    assert "Entropy &lt;&amp;&gt;" in page
    assert page.count("<tr>") == 81 + page.count("<table")
    assert page.count("in preparation") >= 79


def test_a_row_that_does_not_exist_is_refused(small):
    (small / "tests/test_wrong.py").write_text("@pytest.mark.row('H99')\ndef test_it():\n    pass\n")
    with pytest.raises(ValueError, match="H99"):
        collect(small)
