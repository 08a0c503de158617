"""Every lab's checks accept right solutions and answer every seeded mistake with its own hint."""

import importlib
import pkgutil
from pathlib import Path

import pytest

from qlab.course import checks
from qlab.course.check import CheckFailed, check

ROOT = Path(__file__).resolve().parents[2]
LABS = [importlib.import_module(f"{checks.__name__}.{found.name}") for found in pkgutil.iter_modules(checks.__path__)]
ALL = [
    pytest.param(e, id=f"{lab.__name__.rpartition('.')[2]}-{e.name}")
    for lab in LABS
    for e in (*lab.EXERCISES, *lab.QUESTIONS)
]
CASES = [pytest.param(p.values[0], m, id=f"{p.id}-{m.name}") for p in ALL for m in p.values[0].mistakes]


def test_all_labs_are_here():
    written = {path.name for path in (ROOT / "labs/source").iterdir() if path.is_dir()}
    assert {lab.__name__.rpartition(".")[2] for lab in LABS} == written


@pytest.mark.parametrize("exercise", ALL)
def test_the_right_solution_passes(exercise, capsys):
    check(exercise, exercise.solution)
    assert "✓" in capsys.readouterr().out


@pytest.mark.slow  # a thousand of them
@pytest.mark.parametrize(("exercise", "mistake"), CASES)
def test_every_seeded_mistake_is_caught_with_its_own_hint(exercise, mistake):
    with pytest.raises(CheckFailed) as caught:
        check(exercise, mistake.solution)
    assert caught.value.mistake is not None
    assert caught.value.mistake.hint == mistake.hint
