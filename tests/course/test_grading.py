"""A class of ten hands in a lab; every submission comes back graded or reported, and a second run has nothing to do."""

import json
import math
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from qlab.course.grading import Grade, grade, make_template, suspicious
from qlab.hardware.record import read_as

TEMPLATE = Path(__file__).resolve().parents[2] / "labs/template"
SOLUTION = "### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
CHECKS = """from qlab.course.check import Exercise, Mistake, check
DOUBLE = Exercise("double", lambda x: 2 * x, [(3.0,), (5.0,)],
                  [Mistake("squared", "What is 3 + 3?", lambda x: x * x)])
ADD = Exercise("add", lambda a, b: a + b, [(3.0, 4.0)], [])"""


def cell(source, name=None, points=None):
    made = new_code_cell(source)
    if name:
        made.metadata["nbgrader"] = {
            "grade": points is not None,
            "grade_id": name,
            "locked": points is not None,
            "schema_version": 3,
            "solution": points is None,
            "task": False,
        } | ({} if points is None else {"points": points})
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class") / "source"
    nb = new_notebook(
        cells=[
            cell(CHECKS),
            cell(f"def double(x):\n    {SOLUTION}", "double"),
            cell(
                "check(DOUBLE, double, seconds=2)\n### BEGIN HIDDEN TESTS\n"
                "assert double(-1.0) == -2.0\n### END HIDDEN TESTS",
                "double-check",
                2,
            ),
            cell("def add(a, b):\n    ### BEGIN SOLUTION\n    return a + b\n    ### END SOLUTION", "add"),
            cell("check(ADD, add)", "add-check", 3),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    (folder / "tiny").mkdir(parents=True)
    nbformat.write(nb, folder / "tiny/tiny.ipynb")
    return folder


def written(double, add="return a + b"):
    """A student's notebook: what stands in the two functions."""
    nb = new_notebook(
        cells=[
            cell(CHECKS),
            cell(f"def double(x):\n    {double}", "double"),
            cell("check(DOUBLE, double, seconds=2)", "double-check", 2),
            cell(f"def add(a, b):\n    {add}", "add"),
            cell("check(ADD, add)", "add-check", 3),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    return nb


BLANK = "# YOUR CODE HERE\n    raise NotImplementedError()"
PEEK = (
    "return 2 * x\nfrom pathlib import Path\n"
    "print([p.read_text() for p in Path('.').resolve().rglob('*.ipynb')])\n"
    "print(list(Path('.').resolve().parents[2].rglob('*.db')))"
)


@pytest.fixture(scope="module")
def submitted(source):
    folder = source.parent / "submitted"
    books = {
        "01-perfect": written("return 2 * x"),
        "02-blank": written(BLANK, BLANK),
        "03-squared": written("return x * x"),
        "04-dies": written("import os; os._exit(1)"),
        "05-loops": written("\n    while True: pass"),
        "06-loops-outside": written("return 2 * x\nwhile True: pass"),
        "07-deleted": written("return 2 * x"),
        "08-peeks": written(PEEK),
        "09-takes-the-answer": written("return DOUBLE.solution(x)"),
        "10-weakens-the-check": written("return x\ndef check(*anything, **more): pass"),
        "11-edited": written("return x * x"),
        "12-kills-the-grader": written("import os, signal; os.kill(os.getppid(), signal.SIGKILL)"),
    }
    del books["07-deleted"].cells[4]
    books["11-edited"].cells[2].source = "pass"  # a locked cell
    for name, nb in books.items():
        (folder / name / "tiny").mkdir(parents=True)
        nbformat.write(nb, folder / name / "tiny/tiny.ipynb")
    for name in ("13-no-notebook", "14-no-json"):
        (folder / name / "tiny").mkdir(parents=True)
    (folder / "13-no-notebook/tiny/answers.txt").write_text("4")
    (folder / "14-no-json/tiny/tiny.ipynb").write_text('{"cells": [')
    return folder


@pytest.fixture(scope="module")
def graded(source, submitted):
    target = source.parent / "graded"
    return target, {g.student: g for g in grade("tiny", source, submitted, target, jobs=2, cell_seconds=6)}


@pytest.mark.slow
def test_everyone_is_graded_or_reported(graded, submitted):
    target, grades = graded
    assert sorted(grades) == sorted(p.name for p in submitted.iterdir())
    assert {g.student: g.status for g in grades.values() if g.status != "graded"} == {
        "04-dies": "died",
        "12-kills-the-grader": "failed",
        "13-no-notebook": "no notebook",
        "14-no-json": "unreadable",
    }
    assert all(math.isnan(g.points) == (g.status != "graded") for g in grades.values())
    assert all(g.message for g in grades.values() if g.status != "graded")
    assert "answers.txt" in grades["13-no-notebook"].message
    kept = {g.student: g for g in read_as(target / "grades.csv", Grade)}
    assert {s: (g.points, g.status) for s, g in kept.items() if g.status == "graded"} == {
        s: (g.points, g.status) for s, g in grades.items() if g.status == "graded"
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("student", "points"),
    [
        ("01-perfect", 5),
        ("02-blank", 0),
        ("03-squared", 3),
        ("05-loops", 3),
        ("06-loops-outside", 5),  # the function stands before the loop that is cut off
        ("07-deleted", 5),  # the deleted check comes back, and the function is right
        ("11-edited", 3),  # a locked cell comes back as it was
    ],
)
def test_points(graded, student, points):
    g = graded[1][student]
    assert (g.points, g.possible, g.look_at) == (points, 5, "")


@pytest.mark.slow
def test_what_a_person_should_see_is_pointed_at_and_its_feedback_held(graded):
    target, grades = graded
    for student, what in {
        "08-peeks": "read_text",
        "09-takes-the-answer": ".solution",
        "10-weakens-the-check": "redefines check",
        "04-dies": "imports os",
    }.items():
        assert what in grades[student].look_at
        assert not (target / "feedback" / student).exists()
    assert (target / "held/08-peeks/tiny/tiny.html").is_file()
    outputs = (target / "autograded/08-peeks/tiny/tiny.ipynb").read_text()
    assert "gradebook.db" not in outputs  # the database with the sources is out of the way


@pytest.mark.slow
def test_feedback_names_the_mistake(graded):
    page = (graded[0] / "feedback/03-squared/tiny/tiny.html").read_text()
    assert "What is 3 + 3?" in page
    assert "nothing here yet" in (graded[0] / "feedback/02-blank/tiny/tiny.html").read_text()


@pytest.mark.slow
def test_a_second_run_grades_only_what_changed(graded, source, submitted, monkeypatch):
    target, grades = graded
    path = submitted / "02-blank/tiny/tiny.ipynb"
    nbformat.write(written("return 2 * x", BLANK), path)
    before = {s: (target / f"autograded/{s}/tiny/tiny.ipynb") for s in ("01-perfect", "02-blank")}
    stamps = {s: p.stat().st_mtime_ns for s, p in before.items()}
    again = {g.student: g for g in grade("tiny", source, submitted, target)}
    assert again["02-blank"].points == 2
    assert {s: before[s].stat().st_mtime_ns == stamps[s] for s in before} == {"01-perfect": True, "02-blank": False}
    assert again["01-perfect"] == grades["01-perfect"]


@pytest.mark.slow
def test_the_template_is_a_lab_and_its_checks_come_back_as_they_were(tmp_path):
    made, name = tmp_path / "made", "lab_template"
    made.mkdir()
    make_template(name, TEMPLATE, made)
    release = nbformat.read(made / f"release/{name}/{name}.ipynb", as_version=4)
    assert not any("SOLUTION" in c.source or "HIDDEN" in c.source for c in release.cells)
    solved = nbformat.read(TEMPLATE / f"{name}/{name}.ipynb", as_version=4)
    for student, nb in {"ada": solved, "bob": release}.items():
        folder = tmp_path / "submitted" / student / name
        folder.mkdir(parents=True)
        nbformat.write(nb, folder / f"{name}.ipynb")
        (folder / "lab_template_checks.py").write_text(
            "class Weak:\n    def __getattr__(self, name): return 1\nMEAN_SQUARE = WHICH_IS_LARGER = Weak()\n"
        )
    grades = grade(name, TEMPLATE, tmp_path / "submitted", tmp_path / "graded", jobs=2)
    assert [(g.student, g.points, g.possible) for g in grades] == [("ada", 4, 4), ("bob", 0, 4)]


def test_bad_input(source, tmp_path):
    with pytest.raises(ValueError, match="submitted must hold folders STUDENT/tiny"):
        grade("tiny", source, tmp_path, tmp_path / "to")
    (tmp_path / "a/other").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"lab must be one of those in .* \(tiny\), got 'other'"):
        grade("other", source, tmp_path, tmp_path / "to")
    with pytest.raises(ValueError, match="jobs and seconds must be positive"):
        grade("tiny", source, tmp_path, tmp_path / "to", jobs=0)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("x = 1", []),
        ("import torch\nfrom math import pi", []),
        ("!cat secret", ["runs !cat secret"]),
        ("import os.path", ["imports os.path"]),
        ("from qlab.course.checks import lab1_uniform", ["imports qlab.course.checks"]),
        ("lab = 3", ["redefines lab"]),
        ("def f(:", []),
        ("model.solution", ["uses .solution"]),
        ("open('x').read()", ["uses open"]),
    ],
)
def test_suspicious(tmp_path, code, found):
    for name, source in (("release", "y = 2"), ("student", code)):
        (tmp_path / name).write_text(nbformat.writes(new_notebook(cells=[new_code_cell(source)])))
    assert suspicious(tmp_path / "student", tmp_path / "release") == [f"cell 1 {what}" for what in found]


def test_suspicious_refuses_what_is_no_notebook(tmp_path):
    (tmp_path / "a").write_text(json.dumps([1, 2]))
    with pytest.raises(ValueError, match="a is no notebook"):
        suspicious(tmp_path / "a", tmp_path / "a")
