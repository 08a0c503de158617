"""The comparison runs every method; its table is complete, and one entry of it comes out again."""

import csv

import pytest

from qlab import zoo
from qlab.data import load_test, load_train_subset
from qlab.network import quantizable_layers, stored_weight
from qlab.qat import comparison, make_qat_table
from qlab.qat.comparison import METHODS, VARIANTS, QATRun, qat_recipe, qat_table, run_qat, starting_network


@pytest.mark.row("T2")
@pytest.mark.parametrize("method", [*METHODS, *VARIANTS])
def test_every_method_has_its_bits_inside_and_eight_at_the_ends(method):
    layers = quantizable_layers(starting_network("convnet", method, 2)).values()
    assert [stored_weight(layer).grid.width for layer in layers] == [8, 2, 2, 2, 8]


@pytest.mark.row("T2")
def test_unknown_methods_are_named():
    with pytest.raises(ValueError, match="method must be one of STE"):
        qat_recipe(zoo.load("convnet"), "LSQ++", 2)


@pytest.mark.row("T2")
def test_no_epochs_is_post_training_quantization():
    run = run_qat("convnet", "STE", 2, 0, 0, test=load_test()[:500])
    assert run.start == run.accuracy and run.seconds == 0


@pytest.mark.slow
@pytest.mark.row("T2")
def test_a_short_run_learns_and_is_reproducible():
    data, test = load_train_subset()[:512], load_test()[:500]
    first = run_qat("convnet", "LSQ", 2, 1, 0, data, test)
    assert first.accuracy > first.start
    assert run_qat("convnet", "LSQ", 2, 1, 0, data, test).accuracy == pytest.approx(first.accuracy, abs=0.01)


@pytest.mark.row("T2")
def test_the_table_holds_every_run_once():
    runs = qat_table()
    assert sorted(run[:5] for run in runs) == sorted(make_qat_table.jobs())
    assert all(0.05 < run.start <= 1 and 0.05 < run.accuracy <= 1 for run in runs)


@pytest.mark.row("T2")
def test_making_the_table_resumes(tmp_path, monkeypatch):
    asked = []

    def fake(*job):
        asked.append(job)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return QATRun(*job, 0.1, 0.9, 1.234)

    jobs = [("convnet", "STE", 2, 0, 0), ("convnet", "LSQ", 2, 2, 0), ("convnet", "LSQ", 2, 2, 1)]
    monkeypatch.setattr(make_qat_table, "run_qat", fake)
    monkeypatch.setattr(make_qat_table, "jobs", lambda: iter(jobs))
    path = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt):
        make_qat_table.main(path)
    assert len(qat_table(path)) == 2
    make_qat_table.main(path)
    assert asked[3:] == jobs[2:]
    assert [run[:5] for run in qat_table(path)] == jobs
    with path.open(newline="") as file:
        assert all(row["commit"] and row["torch"] and row["machine"] for row in csv.DictReader(file))


def test_layers_at_the_ends_are_named_from_the_network():
    network = zoo.load("resnet")
    names = list(quantizable_layers(network))
    assert set(qat_recipe(network, "QIL", 3).layers) == {names[0], names[-1]}
    assert comparison.PLACE.name == "qat_table.csv"
