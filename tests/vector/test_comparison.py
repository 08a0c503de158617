"""The comparison runs every method and counts every byte; its table is complete, and making it resumes."""

import csv

import pytest

from qlab import zoo
from qlab.data import load_test, load_train_subset
from qlab.network import network_bytes, quantizable_layers
from qlab.vector import make_vector_table, to_bytes
from qlab.vector.comparison import METHODS, VectorRun, compress, run_vector, stored_bytes, vector_table

pytestmark = [pytest.mark.row(row) for row in ("V1", "V2", "V3")]


@pytest.mark.slow
def test_uniform_bytes_are_those_of_the_core():
    model = compress("mlp", "uniform", "b=3")
    packed, coded = stored_bytes(model)
    assert packed == network_bytes(model)
    assert 0.7 * packed < coded < packed


@pytest.mark.slow
def test_bytes_by_hand():
    biases = 4 * (128 + 64 + 10)
    weights = 784 * 128 + 128 * 64 + 640
    shared = compress("mlp", "k-means", "b=2")
    assert stored_bytes(shared)[0] == weights * 2 // 8 + 3 * 4 * 4 + biases
    blocks = compress("mlp", "PQ", "d=8 k=16")
    eight = 640 + 10 * 4
    assert stored_bytes(blocks)[0] == (784 * 128 + 128 * 64) // 8 // 2 + 2 * 16 * 8 * 2 + eight + biases
    with pytest.raises(ValueError, match="quantized"):
        stored_bytes(zoo.load("mlp"))


@pytest.mark.slow
def test_deep_compressions_bytes_are_its_files():
    model = compress("mlp", "Deep Compression", "p=0.9 b=3")
    assert stored_bytes(model)[0] == min(len(to_bytes(model, bits)) for bits in range(4, 9))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("PQ, activations", "d=9 k=16"),
        ("RVQ", "d=9 k=16 T=2"),
        ("additive", "d=9 k=16 T=2"),
        ("k-means", "b=2"),
        ("uniform", "b=2"),
    ],
)
def test_every_method_runs_learns_and_repeats(method, setting):
    data, test = load_train_subset()[:500], load_test()[:500]
    first = run_vector("convnet", method, setting, 1, 0, data, test)
    plain = zoo.evaluate(compress("convnet", method, setting), test)
    assert first.accuracy > plain + 0.03
    assert first.nbytes < network_bytes(zoo.load("convnet")) / 6
    assert run_vector("convnet", method, setting, 1, 0, data, test).accuracy == pytest.approx(first.accuracy, abs=0.03)


@pytest.mark.slow
def test_small_layers_have_eight_bits_and_what_does_not_exist_is_named():
    model = compress("mlp", "PQ", "d=4 k=16")
    last = list(quantizable_layers(model).values())[-1]
    assert last.weight.unique().numel() > 100
    with pytest.raises(ValueError, match="method must be one of uniform"):
        compress("mlp", "magic", "b=2")


def test_the_table_holds_every_run_once():
    runs = vector_table()
    assert sorted(run[:5] for run in runs) == sorted(make_vector_table.jobs())
    assert {run.method for run in runs} == set(METHODS)
    assert all(0.05 < run.accuracy < 1 and run.nbytes > 0 and run.coded > 0 for run in runs)


def test_making_the_table_resumes(tmp_path, monkeypatch):
    asked = []

    def fake(*job):
        asked.append(job)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return VectorRun(*job, 0.9, 1000, 900, 1.234)

    jobs = [("mlp", "PQ", "d=4 k=16", 0, 0), ("mlp", "PQ", "d=4 k=16", 2, 0), ("mlp", "PQ", "d=4 k=16", 2, 1)]
    monkeypatch.setattr(make_vector_table, "run_vector", fake)
    monkeypatch.setattr(make_vector_table, "jobs", lambda: iter(jobs))
    path = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt):
        make_vector_table.main(path)
    make_vector_table.main(path)
    assert asked[3:] == jobs[2:]
    assert [run[:5] for run in vector_table(path)] == jobs
    with path.open(newline="") as file:
        assert all(row["commit"] and row["torch"] and row["machine"] for row in csv.DictReader(file))
