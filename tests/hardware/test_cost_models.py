"""Cost models by hand, their scores against scipy, and what the recording must say of itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from torch import nn

from qlab.hardware import Roofline, layer_costs, network_energy
from qlab.hardware.cost import LayerCost
from qlab.hardware.cost_models import COUNTS, Job, fitted, predict, record_roof, roof
from qlab.hardware.layer_times import PLACE, recorded_times
from qlab.hardware.make_layer_times import BATCHES, WIDTHS, convolution_peak, equal_macs, kind, time_network
from qlab.hardware.scores import error_factor, fitted_scale, kendall, ranks, score, spearman
from qlab.network import quantizable_layers
from qlab.zoo import build
from qlab.zoo.efficientnet import efficientnet_lite0

pytestmark = pytest.mark.row("C7")

CONV = LayerCost("conv", "dense", parameters=100, macs=6400, inputs=128, outputs=640)
LIMITS = Roofline(100.0, ((1_000, 50.0), (1_000_000, 10.0)))


def test_counts_by_hand():
    job = Job(CONV, weight_bits=4, activation_bits=8, batch=3)
    assert COUNTS["MACs"](job) == 3 * 6400
    assert COUNTS["BOPs"](job) == 3 * 6400 * 4 * 8
    assert COUNTS["weight bytes"](job) == 50
    assert COUNTS["bytes moved"](job) == 50 + 3 * (128 + 640)
    energy = 3 * (6400 * (0.2 * 32 / 64 + 0.1) + 768 * 8 * 5 / 32) + 100 * 4 * 20
    assert COUNTS["energy"](job) == pytest.approx(energy)
    assert COUNTS["energy"](Job(CONV)) == pytest.approx(network_energy([CONV]).total)


def test_the_roof_is_the_slower_of_arithmetic_and_memory_after_the_call():
    """At 100 GFLOP/s 12,800 operations take 128 ns; 3,472 bytes at 10 GB/s take 347.2 ns."""
    assert roof(LIMITS)(Job(CONV)) == pytest.approx(347.2e-9)
    assert roof(LIMITS, call=1e-6)(Job(CONV)) == pytest.approx(1347.2e-9)
    few = Job(CONV, 8, 8)  # 868 bytes fit into the smaller set: 17.36 ns, so arithmetic decides
    assert roof(LIMITS)(few) == pytest.approx(128e-9)
    for batch in (1, 7):  # the same as the roofline's own seconds, where both are defined
        many = replace(CONV, macs=CONV.macs * batch, inputs=CONV.inputs * batch, outputs=CONV.outputs * batch)
        assert roof(LIMITS)(Job(CONV, batch=batch)) == pytest.approx(LIMITS.seconds(many))


def test_a_roof_of_records_touches_its_records_and_bounds_all_from_below():
    rng = np.random.default_rng(0)
    jobs = [Job(replace(CONV, macs=int(m), parameters=int(p))) for m, p in rng.integers(100, 100_000, (20, 2))]
    seconds = rng.uniform(1e-6, 1e-3, 20)
    at_least = np.array([record_roof(jobs, seconds)(job) for job in jobs]) - seconds.min()
    assert (at_least <= seconds * (1 + 1e-9)).all()
    assert np.isclose(at_least, seconds).sum() in (1, 2)  # the records of arithmetic and of bytes


def test_fitting_finds_the_numbers_that_made_the_times():
    truth = {"dense": (5e-6, 2e-9, 1e-10), "linear": (1e-6, 0.0, 3e-10)}
    rng = np.random.default_rng(1)
    jobs, seconds = [], []
    for name, (a, c, d) in truth.items():
        for macs, parameters in rng.integers(1_000, 1_000_000, (8, 2)):
            job = Job(LayerCost("x", name, int(parameters), int(macs), 10, 10))
            jobs.append(job)
            seconds.append(a + c * job.macs + d * job.bytes_moved)
    model = fitted(jobs, seconds)
    new = Job(LayerCost("y", "dense", 4_000, 3_000_000, 10, 10))
    assert model(new) == pytest.approx(5e-6 + 2e-9 * 3e6 + 1e-10 * new.bytes_moved, rel=1e-6)
    assert [model(job) for job in jobs] == pytest.approx(seconds, rel=1e-6)
    with pytest.raises(ValueError, match=r"kind must be one that was fitted \(dense, linear\), got depthwise"):
        model(Job(LayerCost("z", "depthwise", 1, 1, 1, 1)))
    with pytest.raises(ValueError, match="at least three layers of each kind, got 2 of dense"):
        fitted(jobs[:2], seconds[:2])


def test_a_network_is_the_sum_of_its_layers():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    jobs = [Job(cost) for cost in layer_costs(net, (4,))]
    assert predict(COUNTS["MACs"], [jobs, jobs[:1]]).tolist() == [18, 12]


@pytest.mark.parametrize("levels", [4, 1000])
def test_rank_correlations_are_those_of_scipy_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    for _ in range(20):
        x = rng.integers(0, levels, 30)
        y = x + rng.integers(0, levels, 30)
        assert np.array_equal(ranks(x), scipy.stats.rankdata(x))
        assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
        assert kendall(x, y) == pytest.approx(scipy.stats.kendalltau(x, y, variant="b").statistic)


def test_kendall_counts_pairs_and_order_alone_matters():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(1, 9, (2, 12))
    pairs = [(x[i] - x[j]) * (y[i] - y[j]) > 0 for i in range(12) for j in range(i)]
    assert (1 + kendall(x, y)) / 2 == pytest.approx(np.mean(pairs))
    assert kendall(x + 5, y) == kendall(np.exp(x), y) == kendall(x, y)
    assert spearman(x**3, y) == spearman(x, y)


def test_no_other_scale_has_a_smaller_mean_distance():
    rng = np.random.default_rng(4)
    p, t = rng.lognormal(size=(2, 25))

    def distance(scale):
        return np.abs(np.log(t / (scale * p))).mean()

    best = fitted_scale(p, t)
    assert all(distance(best) <= distance(best * factor) for factor in np.geomspace(0.1, 10, 101))
    assert (np.log(t / (best * p)) > 1e-12).sum() == (np.log(t / (best * p)) < -1e-12).sum() == 12


def test_the_factor_of_error_does_not_see_units():
    p, t = np.array([1.0, 2, 3, 8]), np.array([2.0, 4, 12, 4])
    found = score(p, t)
    assert score(1e9 * p, t) == found
    assert error_factor(p, t).tolist() == pytest.approx([1, 1, 2, 4])  # t/p is 2, 2, 4, 0.5
    assert found.factor == pytest.approx(1.5) and found.worst == pytest.approx(4)
    assert error_factor(p, t, scale=1).tolist() == pytest.approx([2, 2, 4, 2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: spearman([1, 2], [1, 2, 3]), "of one length, got 2 and 3"),
        (lambda: kendall([5, 5, 5], [1, 2, 3]), "a constant orders nothing"),
        (lambda: spearman([1, float("nan")], [1, 2]), "finite"),
        (lambda: ranks([]), "finite"),
        (lambda: score([1, -2], [1, 2]), "positive"),
        (lambda: error_factor([1, 2], [1, 2, 3]), "of one length"),
        (lambda: error_factor([1, 2], [1, 2], scale=0), "scale must be positive"),
        (lambda: Job(CONV, batch=0), "at least 1"),
        (lambda: roof(LIMITS, call=-1), "call must be a time"),
        (lambda: record_roof([Job(CONV)], [1.0, 2.0]), "as many as jobs"),
        (lambda: fitted([Job(CONV)], [float("inf")]), "positive and finite"),
    ],
)
def test_wrong_input_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_the_recording_holds_the_counts_of_the_networks_it_names():
    recording = recorded_times()
    assert "cores" in recording.machine and recording.roofline.peak >= recording.product > 0
    assert 0 < recording.call < 1e-3
    assert len(recording.networks) == len(BATCHES) * sum(map(len, WIDTHS.values())) + 1
    by_name = {(n.name, n.batch): n for n in recording.networks}
    for name, model, shape, batch in (
        ("convnet 16", build("convnet"), (1, 28, 28), 64),
        ("separable 16-6", build("separable"), (1, 28, 28), 1),
        ("EfficientNet-Lite0", efficientnet_lite0(), (3, 224, 224), 1),
    ):
        network, modules = by_name[name, batch], quantizable_layers(model)
        counted = [replace(cost, kind=kind(modules[cost.name])) for cost in layer_costs(model, shape)]
        assert [job.cost for job in network.jobs] == counted
        assert {job.batch for job in network.jobs} == {batch}
    for timed in [*recording.networks, *(layer for n in recording.networks for layer in n.layers)]:
        assert 0 < timed.low <= timed.median <= timed.high


def test_layers_of_equal_macs_have_equal_macs():
    recorded = recorded_times().equal_macs
    made = equal_macs()
    assert list(recorded) == list(made)
    for group, members in made.items():
        costs = [layer_costs(nn.Sequential(layer), shape)[0] for _, layer, shape in members]
        assert len({cost.macs for cost in costs}) == 1
        assert [(t.job.cost.name, t.job.cost.macs, t.job.cost.parameters) for t in recorded[group]] == [
            (name, cost.macs, cost.parameters) for (name, _, _), cost in zip(members, costs, strict=True)
        ]
    kinds = [[kind(layer) for _, layer, _ in members] for members in made.values()]
    assert kinds[0] == ["dense", "depthwise"] and set(kinds[1]) == {"1×1"}
    assert kinds[2] == ["1×1", "grouped", "grouped", "grouped"] and kinds[3] == ["1×1", "1×1", "linear"]


def test_what_is_no_recording_is_refused(tmp_path):
    content = json.loads(PLACE.read_text(encoding="utf-8"))
    del content["networks"][0]["layers"][0]["macs"]
    (tmp_path / "wrong.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"wrong.json is no recording of layers and networks: KeyError\('macs'\)"):
        recorded_times(tmp_path / "wrong.json")
    (tmp_path / "text.json").write_text("no", encoding="utf-8")
    with pytest.raises(ValueError, match="no recording"):
        recorded_times(tmp_path / "text.json")


@pytest.mark.slow
def test_a_network_is_timed_with_its_layers():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    found = time_network(net, (2, 8, 8), batch=2, turns=3)
    assert [layer["kind"] for layer in found["layers"]] == ["dense", "linear"]
    assert 0 < found["low"] <= found["median"] <= found["high"]
    assert not any(m._forward_pre_hooks for m in net.modules())
    assert convolution_peak(3) > 1
