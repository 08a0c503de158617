"""Trainings on a grid: the table is complete, masters and grid share a scale, and a run can be made again."""

import pytest
import torch

from qlab.calibration import Unscaled
from qlab.grids import BF16, Symmetric
from qlab.network import quantizable_layers
from qlab.quantizer import Quantizer
from qlab.stochastic.grid_runs import _first, _master, grid_table, learn, run_on_grid
from qlab.stochastic.make_grid_table import SEEDS, jobs
from qlab.stochastic.on_grid import OnGrid

pytestmark = pytest.mark.row("G2")


def test_the_table_holds_every_run_once():
    table = grid_table()
    assert sorted(run[:6] for run in table) == sorted(jobs())
    assert len({run[:6] for run in table}) == len(table)
    assert {run.seed for run in table} == set(SEEDS)
    assert all(0.05 < run.accuracy < 0.95 and 0 <= run.lost <= 1 and run.seconds > 0 for run in table)


def test_updates_are_lost_where_weights_have_no_other_copy():
    for run in grid_table():
        assert (run.lost > 0) == (run.method in ("nearest", "stochastic"))


def test_masters_have_the_scale_of_the_grid():
    model, quantizer = _first("fresh", 0), Quantizer(Symmetric(4))
    grid = OnGrid.of(model, dict.fromkeys(quantizable_layers(model), quantizer), headroom=2.0)
    for name, layer in quantizable_layers(_master(model, quantizer, 2.0)).items():
        torch.testing.assert_close(layer.parametrizations.weight[0].params.scale, grid.quantizers[name][1].scale)
        torch.testing.assert_close(layer.weight, quantizable_layers(grid.place(model))[name].weight)


def test_fresh_weights_come_from_the_seed_alone():
    before = torch.random.get_rng_state()
    a, b, other = _first("fresh", 3), _first("fresh", 3), _first("fresh", 4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(a[1].weight, b[1].weight)
    assert not torch.equal(a[1].weight, other[1].weight)


@pytest.mark.slow
def test_at_three_bits_nearest_never_moves_and_a_fine_grid_is_none_at_all():
    stuck = learn(0, Quantizer(Symmetric(3)), epochs=1)
    assert stuck.lost == [1.0] * (len(stuck.losses) - 1)
    free, fine = learn(0, epochs=1), learn(0, Quantizer(Symmetric(16)), master=True, epochs=1)
    assert fine.accuracy == pytest.approx(free.accuracy, abs=0.01)
    torch.testing.assert_close(torch.tensor(fine.losses), torch.tensor(free.losses), atol=2e-3, rtol=0)


@pytest.mark.slow
def test_a_run_can_be_made_again():
    noted = next(run for run in grid_table() if run[:6] == ("fresh", "8", "nearest", 0.05, 3, 1))
    again = run_on_grid(*noted[:6])
    assert again.accuracy == pytest.approx(noted.accuracy, abs=0.04)
    assert again.lost == pytest.approx(noted.lost, abs=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: learn(0, master=True), "master: a master copy needs a quantizer"),
        (lambda: learn(0, start="old"), "start must be one of"),
        (lambda: run_on_grid("fresh", "8", "coins", 0.05, 1, 0), "method must be one of"),
    ],
)
def test_what_cannot_be_run_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_bfloat16_is_a_grid_like_any_other():
    model = _first("fresh", 0)
    cast = Quantizer(BF16, calibration=Unscaled())
    placed = OnGrid.of(model, {"1": cast}).place(model)
    assert torch.equal(placed[1].weight, model[1].weight.to(torch.bfloat16).float())
