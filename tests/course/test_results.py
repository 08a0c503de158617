"""The results: runs resume, failures are told, means are means, and what the package holds comes out again."""

import csv
import math

import numpy as np
import pytest

from qlab.course.__main__ import main
from qlab.course.results import ledger, sweep, table
from qlab.course.results.ledger import RELATIONS, Claim, claims, judge, setting_of, summary
from qlab.course.results.sweep import FAMILIES, FIELDS, Entry, entry, missing
from qlab.course.results.table import cell, entries, label, origin, wide
from qlab.course.results.task import NETWORKS, SETTINGS, Family, Method, Task, inner_layers
from qlab.hardware.record import read_lines, write_lines
from qlab.zoo import load

pytestmark = pytest.mark.row("T2", "T6", "Z4")


def line(entry_):
    return {f: str(v) for f, v in entry_._asdict().items()} | {"commit": "c", "torch": "t", "machine": "m"}


@pytest.fixture
def small(monkeypatch):
    """Replace the families by one of two methods that measure nothing."""
    ran = []

    def fake(family, task, method):
        ran.append((task.seed, task.network, method))
        return Entry(task.network, method, task.weights, task.activations, task.seed, 0.5, 10, 0.1, "")

    methods = {"a": Method(lambda t: load(t.network)), "b": Method(lambda t: load(t.network), random=False)}
    monkeypatch.setattr(sweep, "FAMILIES", {"small": Family("small", "Small", methods, ((8, 8),), ("mlp", "convnet"))})
    monkeypatch.setattr(sweep, "entry", fake)
    return ran


def test_a_sweep_runs_seed_after_seed_and_keeps_the_order_of_the_tasks(small, tmp_path):
    main(["results", "small", "--seeds", "2", "--to", str(tmp_path)])
    assert small == [
        (0, "mlp", "a"),
        (0, "mlp", "b"),
        (0, "convnet", "a"),
        (0, "convnet", "b"),
        (1, "mlp", "a"),
        (1, "convnet", "a"),
    ]
    lines = read_lines(tmp_path / "small.csv")
    assert [(int(x["seed"]), x["network"], x["method"]) for x in lines] == small
    assert all(x["commit"] and x["torch"] and x["machine"] for x in lines)


def test_a_sweep_that_was_stopped_goes_on(small, tmp_path, monkeypatch):
    whole = sweep.entry

    def stopped(family, task, method):
        if len(small) == 3:
            raise KeyboardInterrupt
        return whole(family, task, method)

    monkeypatch.setattr(sweep, "entry", stopped)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(seeds=2, place=tmp_path)
    assert len(read_lines(tmp_path / "small.csv")) == 3
    monkeypatch.setattr(sweep, "entry", whole)
    sweep.sweep(seeds=2, place=tmp_path)
    assert len(small) == len(set(small)) == 6
    sweep.sweep(seeds=2, place=tmp_path)
    assert len(small) == 6
    assert not list(tmp_path.glob("*.tmp"))


def test_a_sweep_may_be_of_some_networks(small, tmp_path):
    main(["results", "--networks", "convnet", "--seeds", "2", "--to", str(tmp_path)])
    assert small == [(0, "convnet", "a"), (0, "convnet", "b"), (1, "convnet", "a")]


def test_bad_requests_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"families must be among post_training.*got nonsense"):
        sweep.sweep(["nonsense"], place=tmp_path)
    with pytest.raises(ValueError, match=r"networks must be among mlp.*got vgg"):
        sweep.sweep(place=tmp_path, networks=["vgg"])
    with pytest.raises(ValueError, match="seeds and jobs must be positive, got 0 and 1"):
        sweep.sweep(seeds=0, place=tmp_path)
    with pytest.raises(ValueError, match=r"method must be one of fp32.*got 'magic'"):
        entry("trained", Task("mlp", 8, 8, 0), "magic")
    with pytest.raises(ValueError, match="family must be one of"):
        cell("nonsense", "mlp", "fp32", (8, 8))


def test_a_run_that_diverges_is_told_and_another_error_is_not_swallowed(monkeypatch):
    def diverge(task):
        raise ValueError("loss became nan in epoch 1: the run diverged; lower lr=9")

    def broken(task):
        raise ValueError("weight must be finite")

    methods = {"diverges": Method(diverge), "broken": Method(broken)}
    monkeypatch.setitem(sweep.FAMILIES, "small", Family("small", "Small", methods))
    found = entry("small", Task("mlp", 8, 8, 0), "diverges")
    assert math.isnan(found.accuracy) and "diverged" in found.problem
    with pytest.raises(ValueError, match="weight must be finite"):
        entry("small", Task("mlp", 8, 8, 0), "broken")


def test_mean_and_spread_are_those_of_numpy_and_failures_are_counted(tmp_path):
    values = [0.71, 0.74, 0.9, math.nan]
    found = [
        Entry("mlp", "STE", 4, 8, seed, value, 100, seed, "diverged" if math.isnan(value) else "")
        for seed, value in enumerate(values)
    ]
    write_lines(tmp_path / "trained.csv", FIELDS, map(line, found))
    assert cell("trained", "mlp", "QIL", (4, 8), tmp_path).runs == 0
    got = cell("trained", "mlp", "STE", (4, 8), tmp_path)
    assert got.mean == pytest.approx(np.mean(values[:3])) and got.spread == pytest.approx(np.std(values[:3], ddof=1))
    assert (got.runs, got.failed, got.nbytes, got.seconds) == (3, 1, 100, 1.5)
    assert str(got) == "78.3 ± 10.2 (1 failed)"
    shown = wide("trained", "mlp", tmp_path)
    assert shown.loc["STE", "W4A8"] == str(got) and shown.loc["STE", "W8A8"] == ""
    assert list(shown.index) == ["STE"]
    assert origin("trained", tmp_path) == {"commit": ("c",), "torch": ("t",), "machine": ("m",)}


def test_verdicts_follow_the_differences(tmp_path):
    pairs = {"convnet": (0.90, 0.85), "resnet": (0.80, 0.805), "separable": (0.5, 0.6)}
    found = [
        Entry(network, method, 2, 32, 0, value, 1, 1, "")
        for network, values in pairs.items()
        for method, value in zip(("LSQ", "STE"), values, strict=True)
    ]
    write_lines(tmp_path / "trained.csv", FIELDS, map(line, found))

    def holds(relation):
        claim = Claim("x", "trained", "LSQ", relation, "STE", NETWORKS, ((2, 32), (3, 32)), "", "", "")
        verdicts = judge(claim, tmp_path)
        assert [v.network for v in verdicts] == ["convnet", "resnet", "separable"]
        assert [round(v.points, 6) for v in verdicts] == [5, -0.5, -10]
        return [v.holds for v in verdicts], summary(claim, tmp_path)

    assert holds("above")[0] == [True, False, False]
    assert holds("not below")[0] == [True, True, False]
    assert holds("near")[0] == [False, True, False]
    assert holds("above")[1] == "1 of 3; -0.5 points (-10.0 (separable, W2) to +5.0 (convnet, W2))"


def test_labels_and_settings_are_each_others_inverse():
    assert [setting_of(label(setting)) for setting in SETTINGS] == list(SETTINGS)


def test_the_ledger_names_methods_networks_and_settings_that_exist():
    assert len({claim.id for claim in claims()}) == len(claims()) >= 15
    for claim in claims():
        family = FAMILIES[claim.family]
        assert {claim.better, claim.worse} <= family.methods.keys()
        assert set(claim.networks) <= set(family.networks)
        assert set(claim.settings) <= set(family.settings)
        assert claim.relation in RELATIONS
        assert bool(claim.paper) <= bool(claim.source and claim.kind)


def test_the_first_layer_of_the_mlp_is_no_small_end():
    assert inner_layers(load("mlp")) == ["1", "3"]
    assert len(inner_layers(load("convnet"))) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tables_of_the_package_are_complete(family):
    """At least two seeds of every network, setting and method that draws anything at random."""
    lines = read_lines(sweep.PLACE / f"{family}.csv")
    assert tuple(lines[0]) == FIELDS
    assert all(x["commit"] and x["torch"] and x["machine"] for x in lines)
    assert missing(FAMILIES[family], lines, seeds=2) == []
    for e in entries(family):
        assert e.problem or (0.05 < e.accuracy <= 1 and e.nbytes > 0 and e.seconds >= 0)
    assert len({e[:5] for e in entries(family)}) == len(lines)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_fp32_is_the_network_of_the_zoo(family):
    for network in FAMILIES[family].networks:
        assert cell(family, network, "fp32", (8, 8)).mean == pytest.approx(
            entry(family, Task(network, 8, 8, 0), "fp32").accuracy, abs=0.002
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "network", "method", "setting", "points"),
    [
        ("post_training", "resnet", "equalized, OMSE, bias", (4, 8), 2),
        ("post_training", "convnet", "GPTQ", (3, 32), 2),
        ("non_uniform", "convnet", "k-means", (3, 32), 2),
        ("zero_shot", "separable", "DFQ", (8, 8), 2),
        ("trained", "convnet", "LSQ", (4, 4), 4),
        ("stochastic", "convnet", "rounded at random", (3, 32), 4),
    ],
)
def test_an_entry_comes_out_again(family, network, method, setting, points):
    """Within some points: training magnifies the last digits of float sums, which differ between machines."""
    kept = next(
        e
        for e in entries(family)
        if (e.network, e.method, e.weights, e.activations, e.seed) == (network, method, *setting, 0)
    )
    again = entry(family, Task(network, *setting, 0), method)
    assert again.nbytes == kept.nbytes
    assert 100 * again.accuracy == pytest.approx(100 * kept.accuracy, abs=points)


def test_the_csv_files_are_plain_and_sorted():
    for family in FAMILIES:
        with (sweep.PLACE / f"{family}.csv").open(newline="") as file:
            seeds = [int(x["seed"]) for x in csv.DictReader(file)]
        assert seeds == sorted(seeds)
    assert ledger.LEDGER.exists() and table.PLACE == sweep.PLACE
