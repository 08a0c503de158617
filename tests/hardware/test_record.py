"""A record loses nothing, runs nothing twice, and knows where its lines came from."""

import csv
from typing import NamedTuple

import pandas as pd
import pytest
import torch

from qlab.hardware.record import ORIGIN, commit, complete, read_as, read_lines, write_lines

pytestmark = pytest.mark.row("C7")


class Run(NamedTuple):
    name: str
    seed: int
    value: float


JOBS = [("a, with a comma", 0), ("b", 0), ("b", 1)]


def test_what_is_written_is_read_by_another_reader(tmp_path):
    path = tmp_path / "x.csv"
    complete(path, JOBS, lambda name, seed: Run(name, seed, 0.5 + seed))
    frame = pd.read_csv(path, dtype={"commit": str})  # one that has only digits is not a number
    assert list(frame.columns) == [*Run._fields, *ORIGIN]
    assert frame["name"].tolist() == [name for name, _ in JOBS]
    assert frame["value"].tolist() == [0.5, 0.5, 1.5]
    assert (frame["torch"] == torch.__version__.split("+")[0]).all()
    assert read_as(path, Run) == tuple(Run(name, seed, 0.5 + seed) for name, seed in JOBS)
    assert (frame["commit"] == commit()).all() and frame["machine"].str.len().min() > 5


def test_an_interrupted_record_goes_on(tmp_path):
    path, asked = tmp_path / "x.csv", []

    def run(name, seed):
        asked.append((name, seed))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return Run(name, seed, 0.5)

    with pytest.raises(KeyboardInterrupt):
        complete(path, JOBS, run)
    assert len(read_lines(path)) == 2
    complete(path, JOBS, run)
    assert asked == [*JOBS, JOBS[2]]
    assert [(x["name"], int(x["seed"])) for x in read_lines(path)] == JOBS
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.csv"
    write_lines(path, ["a"], [{"a": "1"}])
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        write_lines(path, ["a"], [{"b": "2"}])
    with path.open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"a": "1"}]


def test_outside_a_repository_the_commit_is_unknown(tmp_path):
    assert commit(tmp_path) == "unknown"
    assert read_lines(tmp_path / "none.csv") == []


def test_seconds_are_rounded(tmp_path):
    class Timed(NamedTuple):
        name: str
        seconds: float

    complete(tmp_path / "x.csv", [("a",)], lambda name: Timed(name, 1.23456))
    assert read_lines(tmp_path / "x.csv")[0]["seconds"] == "1.23"
