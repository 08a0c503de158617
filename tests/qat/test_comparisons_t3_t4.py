"""Training without the straight-through estimator, and BatchNorm: the runs, their tables, and what they are made of."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from qlab.data import load_test, load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.network import quantizable_layers, stored_weight
from qlab.qat import (
    ClipWeights,
    LateFreeze,
    ProxQuant,
    batchnorm_comparison,
    batchnorm_divergence,
    dampening,
    make_batchnorm_table,
    make_without_ste_table,
    reestimate_batchnorm,
    without_ste,
)
from qlab.qat.batchnorm_comparison import TREATMENTS, batchnorm_table, cosine_dampening, lsq_weights, run_batchnorm
from qlab.qat.without_ste import WAY_VARIANTS, WAYS, run_way, settle, train_way, way_table
from qlab.quantizer import Quantizer
from qlab.zoo import build, load

SMALL = {"data": load_train_subset()[:256], "test": load_test()[:200]}


@pytest.mark.row("T3")
@pytest.mark.parametrize("method", [*WAYS, *(pytest.param(m, marks=pytest.mark.slow) for m in WAY_VARIANTS)])
def test_whatever_the_way_the_weights_end_on_a_grid_of_so_many_bits(method):
    _, final = train_way("convnet", method, 2, 1, 0, load_train_subset()[:128])
    layers = quantizable_layers(final).values()
    stored = [stored_weight(layer) for layer in layers]
    assert [s.grid.width for s in stored] == [8, 2, 2, 2, 8]
    for layer, s in list(zip(layers, stored, strict=True))[1:-1]:
        assert len(torch.unique(layer.weight)) <= 3  # −S, 0, S
        torch.testing.assert_close(layer.weight, s.dequantize())


@pytest.mark.row("T3")
def test_rounding_at_the_end_trains_like_fp32_inside():
    model, final = train_way("convnet", "round at the end", 2, 1, 0, load_train_subset()[:128])
    inner = list(quantizable_layers(model).values())[1:-1]
    assert all(stored_weight(layer) is None for layer in inner)
    assert all(len(torch.unique(layer.weight)) > 100 for layer in inner)
    assert not torch.equal(inner[0].weight, list(quantizable_layers(final).values())[1].weight)


@pytest.mark.row("T3")
def test_annealed_parameters_follow_the_clock():
    model, _ = train_way("convnet", "Relaxed, annealed", 2, 1, 0, load_train_subset()[:128])
    sigmas = [float(m.log_sigma.detach()) for m in model.modules() if hasattr(m, "log_sigma")]
    assert sigmas == pytest.approx([-4.6] * 3)
    model, _ = train_way("convnet", "DSQ, annealed", 2, 1, 0, load_train_subset()[:128])
    alphas = [float(torch.sigmoid(m.a.detach())) for m in model.modules() if hasattr(m, "a")]
    assert alphas == pytest.approx([0.01] * 3, abs=1e-3)


@pytest.mark.row("T3")
def test_settled_weights_are_those_of_the_quantizer_with_its_fixed_scale():
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    quantizer = Quantizer(Symmetric(3), PerChannel(0))
    held = ProxQuant.of(network, {"0": quantizer}).quantizers
    with torch.no_grad():
        network[0].weight.mul_(1.7)
    settled = settle(network, held)
    torch.testing.assert_close(settled[0].weight, quantizer.fake(network[0].weight.detach(), held["0"][1]))
    assert torch.equal(settled[2].weight, network[2].weight)
    assert stored_weight(network[0]) is None


@pytest.mark.row("T3")
def test_clipped_weights_stay_within_the_levels_at_the_ends():
    network = nn.Sequential(nn.Linear(6, 5))
    quantizer = Quantizer(Symmetric(3), PerChannel(0))
    held = ProxQuant.of(network, {"0": quantizer}).quantizers
    with torch.no_grad():
        network[0].weight.mul_(2)
    before = network[0].weight.detach().clone()
    ClipWeights(held)(network, 0.5)
    ends = 3 * held["0"][1].scale[:, None]
    assert (network[0].weight.abs() <= ends * (1 + 1e-6)).all()
    inside = before.abs() < ends
    assert torch.equal(network[0].weight[inside], before[inside])
    assert not inside.all()


@pytest.mark.row("T4")
def test_the_divergence_of_statistics_is_that_of_normal_distributions():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    network[1].running_mean.uniform_(-1, 1)
    network[1].running_var.uniform_(0.5, 2)
    measured = reestimate_batchnorm(network, [torch.randn(64, 3)])

    def normal(m):
        return Normal(m.running_mean, (m.running_var + m.eps).sqrt())

    expected = kl_divergence(normal(measured[1]), normal(network[1])).mean()
    assert batchnorm_divergence(network, measured) == {"1": pytest.approx(float(expected), rel=1e-5)}
    assert batchnorm_divergence(measured, measured) == {"1": pytest.approx(0, abs=1e-6)}


@pytest.mark.row("T4")
def test_late_freezing_starts_late():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train()
    freeze = LateFreeze(0.5)
    freeze(network, 0.49)
    assert network[1].training
    freeze(network, 0.5)
    assert not network[1].training and network[0].training
    before = network[1].running_mean.clone()
    network(torch.randn(8, 3))
    assert torch.equal(network[1].running_mean, before)


@pytest.mark.row("T4")
def test_dampening_grows_as_a_cosine():
    model = lsq_weights(build("convnet"), 2)
    whole = float(dampening(model, 0.3).detach())
    penalty = cosine_dampening(0.3)
    for progress in (0.0, 0.25, 0.5, 1.0):
        share = (1 - math.cos(math.pi * progress)) / 2
        assert float(penalty(model, progress).detach()) == pytest.approx(share * whole, rel=1e-5)


@pytest.mark.slow
@pytest.mark.row("T4")
@pytest.mark.parametrize("method", ["plain", "frozen, slow", "frozen late", "folded, per channel", "weights frozen"])
def test_treatments_do_what_their_names_say(method):
    run = run_batchnorm("convnet", method, 2, 1, 0, **SMALL)
    assert 0 <= run.accuracy <= 1 and 0 <= run.oscillating <= 1
    if "folded" in method or method == "frozen, slow":
        assert run.reestimated == run.accuracy
    assert (run.frozen > 0) <= (method == "weights frozen")
    again = run_batchnorm("convnet", method, 2, 1, 0, **SMALL)
    assert again.accuracy == pytest.approx(run.accuracy, abs=0.02)


@pytest.mark.row("T4")
def test_folding_leaves_one_scale_per_channel_or_one_for_all():
    layer = list(quantizable_layers(lsq_weights(load("convnet"), 2, per_channel=True)).values())[1]
    assert stored_weight(layer).params.scale.numel() == layer.weight.shape[0]
    layer = list(quantizable_layers(lsq_weights(load("convnet"), 2)).values())[1]
    assert stored_weight(layer).params.scale.numel() == 1


@pytest.mark.row("T3")
def test_no_epochs_is_post_training_quantization():
    run = run_way("convnet", "round at the end", 2, 0, 0, **SMALL)
    assert run.before > run.accuracy and run.seconds == 0


@pytest.mark.row("T3", "T4")
@pytest.mark.parametrize(
    ("table", "jobs"),
    [(way_table, make_without_ste_table.jobs), (batchnorm_table, make_batchnorm_table.jobs)],
)
def test_the_tables_hold_every_run_once(table, jobs):
    runs = table()
    assert sorted(run[:5] for run in runs) == sorted(jobs())
    assert all(0.05 < run.accuracy <= 1 and 0.05 < run.reestimated <= 1 for run in runs)


@pytest.mark.parametrize(
    ("make", "run"), [(make_without_ste_table, "run_way"), (make_batchnorm_table, "run_batchnorm")]
)
def test_making_the_tables_resumes(make, run, tmp_path, monkeypatch):
    asked = []
    row = without_ste.WayRun if run == "run_way" else batchnorm_comparison.BatchNormRun

    def fake(*job):
        asked.append(job)
        return row(*job, *[0.5] * (len(row._fields) - 5))

    jobs = [("convnet", "plain", 2, 0, 0), ("convnet", "plain", 2, 1, 0)]
    monkeypatch.setattr(make, run, fake)
    monkeypatch.setattr(make, "jobs", lambda: iter(jobs[:1]))
    make.main(tmp_path / "table.csv")
    monkeypatch.setattr(make, "jobs", lambda: iter(jobs))
    make.main(tmp_path / "table.csv")
    assert asked == jobs


@pytest.mark.parametrize(("call", "names"), [(run_way, "round at the end, STE"), (run_batchnorm, "fp32, plain")])
def test_unknown_methods_are_named(call, names):
    with pytest.raises(ValueError, match=f"method must be one of {names}"):
        call("convnet", "magic", 2, 1, 0)


def test_every_treatment_is_in_the_table_of_jobs():
    assert {job[1] for job in make_batchnorm_table.jobs()} == {*TREATMENTS}
    assert {job[1] for job in make_without_ste_table.jobs()} == {*WAYS, *WAY_VARIANTS}
