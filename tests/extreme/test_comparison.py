"""The comparison runs every method; its table is complete, and making it resumes."""

import csv

import pytest

from qlab.data import load_test, load_train_subset
from qlab.extreme import make_extreme_table
from qlab.extreme.comparison import METHODS, NETWORKS, ExtremeRun, extreme_network, extreme_table, run_extreme
from qlab.network import quantizable_layers, stored_weight

pytestmark = [pytest.mark.row(row) for row in ("E1", "E2", "E3", "E4", "E5")]
WIDTH = {"W1": 1, "W2": 2, "W3": 3}


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m in METHODS if not m.startswith("fp32")])
def test_every_method_keeps_the_ends_and_has_its_bits_inside(method):
    network = "hard tanh" if METHODS[method].activation else "convnet"
    model = extreme_network(network, method, 0)
    stored = [stored_weight(layer) for layer in quantizable_layers(model).values()]
    assert stored[0] is None and stored[-1] is None
    bits = WIDTH[METHODS[method].bits[:2]]
    assert all(bits <= s.bits_per_value < bits + 1 for s in stored[1:-1])


def test_real_shortcuts_stay_real():
    model = extreme_network("shortcuts of layers", "Bi-Real's sign", 0)
    layers = quantizable_layers(model)
    kept = [name for name, layer in layers.items() if stored_weight(layer) is None]
    assert kept == [n for n, layer in layers.items() if n in ("0", "15") or layer.kernel_size == (1, 1)]


@pytest.mark.parametrize(("network", "method"), [("mlp", "BWN"), ("convnet", "XNOR")])
def test_what_does_not_exist_is_named(network, method):
    with pytest.raises(ValueError, match="must be one of"):
        extreme_network(network, method, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "method"), [("convnet", "BWN"), ("hard tanh", "Bi-Real's sign, taught")])
def test_a_short_run_learns_and_is_reproducible(network, method):
    data, test = load_train_subset()[:384], load_test()[:300]
    first = run_extreme(network, method, 1, 0, data, test)
    assert first.reestimated > first.start + 0.1
    if method == "BWN":
        again = run_extreme(network, method, 1, 0, data, test)
        assert again.reestimated == pytest.approx(first.reestimated, abs=0.02)


def test_the_table_holds_every_run_once():
    runs = extreme_table()
    assert sorted(run[:4] for run in runs) == sorted(make_extreme_table.jobs())
    assert {run.network for run in runs} == set(NETWORKS)
    assert all(0.05 < run.accuracy <= 1 and 0.05 < run.reestimated <= 1 and run.seconds > 0 for run in runs)


def test_making_the_table_resumes(tmp_path, monkeypatch):
    asked = []

    def fake(*job):
        asked.append(job)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return ExtremeRun(*job, 0.1, 0.8, 0.9, 14144, 1.234)

    jobs = [("convnet", "BWN", 2, 0), ("hard tanh", "BNN", 2, 0), ("convnet", "BWN", 2, 1)]
    monkeypatch.setattr(make_extreme_table, "run_extreme", fake)
    monkeypatch.setattr(make_extreme_table, "jobs", lambda: iter(jobs))
    path = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt):
        make_extreme_table.main(path)
    make_extreme_table.main(path)
    assert asked[3:] == jobs[2:]
    assert [run[:4] for run in extreme_table(path)] == jobs
    with path.open(newline="") as file:
        assert all(row["commit"] and row["torch"] and row["machine"] for row in csv.DictReader(file))
