"""The rehearsal with a class of 200: wrong answers are wrong as said, and what is not due is seen; the record of it."""

import math
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab2_huffman
from qlab.course.grading import Grade
from qlab.hardware.record import ORIGIN, read_lines, write_lines

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import grading_scale as scale  # noqa: E402

EXERCISES = {e.name: e for e in (*lab2_huffman.EXERCISES, *lab2_huffman.QUESTIONS)}
CASES = [(answer, name) for answer, found in scale.MISTAKES.items() for name in found]


@pytest.mark.parametrize(("answer", "name"), CASES)
def test_every_wrong_answer_is_the_mistake_that_it_says(answer, name):
    space = {"math": math}
    exec(scale.MISTAKES[answer][name], space)
    written = next(key for key in EXERCISES if key.replace("_", "-").endswith(answer))
    with pytest.raises(CheckFailed) as caught:
        check(EXERCISES[written], space[written])
    assert caught.value.mistake is not None
    assert caught.value.mistake.name == name


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    return folder, scale.make(folder)


@pytest.mark.slow
def test_the_class_is_as_planned(made):
    folder, dues = made
    assert Counter(due.kind for due in dues) == scale.KINDS
    assert len(dues) == len({due.student for due in dues}) == 200
    _, _, points = scale.solved()
    assert sum(points.values()) == 22
    for due in dues:
        lost = {hint.split(": ")[0] for hint in due.hints.split("; ")} - {""}
        if due.kind in ("right", "one mistake", "two mistakes", "edited a check", "deleted a check"):
            assert due.points == 22 - sum(points[answer] for answer in lost)
    path = folder / "submitted" / next(due.student for due in dues if due.kind == "right") / scale.LAB
    sources = [cell.source for cell in nbformat.read(path / f"{scale.LAB}.ipynb", as_version=4).cells]
    assert not any(("YOUR CODE HERE" in s and "def " in s) or "### BEGIN" in s for s in sources)


@pytest.mark.slow
def test_what_is_not_due_is_seen(made):
    folder, dues = made
    grades, pages = {}, {}
    for due in dues:
        message = "" if due.status == "graded" else "told"
        look_at = "cell 1" if due.look_at else ""
        grades[due.student] = Grade(due.student, scale.LAB, due.points, 22.0, due.status, message, look_at, 1.0, "")
        if due.status == "graded":
            page = folder / f"graded/{'held' if due.look_at else 'feedback'}/{due.student}/{scale.LAB}/{scale.LAB}.html"
            page.parent.mkdir(parents=True)
            page.write_text(" ".join(scale.hints(due)))
            pages[due.student] = page

    def differences():
        lines = [{k: str(v) for k, v in g._asdict().items()} for g in grades.values()]
        write_lines(folder / "graded/grades.csv", Grade._fields, lines)
        return scale.differences(folder)

    assert differences() == []
    wrong = next(due for due in dues if due.kind == "one mistake")
    reader = next(due for due in dues if due.kind == "reads the hidden tests")
    dead = next(due for due in dues if due.kind == "ends Python")
    lost = next(due for due in dues if due.kind == "blank")
    grades[wrong.student] = grades[wrong.student]._replace(points=wrong.points - 1)
    pages[wrong.student].write_text("well done")
    pages[reader.student].rename(folder / "graded/gone.html")
    grades[dead.student] = grades[dead.student]._replace(message="")
    del grades[lost.student]
    found = differences()
    assert len(found) == 5
    for due, words in (
        (wrong, "due graded"),
        (wrong, "no word of"),
        (reader, "held"),
        (dead, "why"),
        (lost, "missing"),
    ):
        assert any(line.startswith(due.student) and words in line for line in found)


def test_the_record_holds_everyone_and_both_ways_to_run():
    people = read_lines(scale.PLACE / "grading_class.csv")
    assert Counter(line["kind"] for line in people) == scale.KINDS
    assert all(line["points"] == line["due"] for line in people)
    times = read_lines(scale.PLACE / "grading_time.csv")
    assert [(line["turn"], line["jobs"]) for line in times] == [(str(t), j) for t in range(scale.TURNS) for j in "12"]
    assert all(line[field] for line in people + times for field in ORIGIN)
