"""The comparison of post-training methods: the same choices for all, and a table that can be made again."""

from itertools import product

import pytest
import torch

from qlab import zoo
from qlab.calibration import MinMax
from qlab.data import load_calibration, load_test
from qlab.granularity import PerChannel
from qlab.network import quantizable_layers, report
from qlab.ptq import fold_batchnorm
from qlab.ptq.comparison import METHODS, SETTINGS, plain, recipe
from qlab.ptq.comparison_table import COMPARISON
from qlab.ptq.make_comparison_table import CALIBRATION, DRAWS, NETWORKS, PICTURES, write_table


@pytest.fixture(scope="module")
def convnet():
    return fold_batchnorm(zoo.load("convnet"))


@pytest.fixture(scope="module")
def batches():
    return list(load_calibration(64).tensors()[0].split(64))


@pytest.mark.row("T6")
def test_pictures_keep_eight_bits_and_everything_else_gets_what_was_asked(convnet, batches):
    low = plain(convnet, (4, 3), batches)
    inputs = [layer.activation_quantizer.quantizer.grid.bits for layer in quantizable_layers(low).values()]
    assert inputs == [8, 3, 3, 3, 3]
    for line, layer in zip(report(low), quantizable_layers(low).values(), strict=True):
        codes = layer.parametrizations.weight[-1].stored(layer.parametrizations.weight.original).codes
        assert int(codes.abs().max()) <= 7 and line.bits < 5
    assert recipe(convnet, (4, 4), MinMax(), PerChannel(0)).weight.granularity == PerChannel(0)


@pytest.mark.slow
@pytest.mark.row("T5", "T6", "T7")
def test_no_method_changes_its_network(convnet, batches):
    before = {k: v.clone() for k, v in convnet.state_dict().items()}
    for name, method in METHODS.items():
        assert not method(convnet, (4, 4), batches).training, name
    assert all(torch.equal(before[k], v) for k, v in convnet.state_dict().items())


@pytest.mark.row("T5", "T6", "T7")
def test_the_table_is_complete():
    wanted = {(n, m, f"W{w}A{a}") for n, m, (w, a) in product(NETWORKS, METHODS, SETTINGS)}
    assert set(COMPARISON) == wanted
    assert all(len(v) == DRAWS and min(v) >= 0 and max(v) <= PICTURES for v in COMPARISON.values())


@pytest.mark.row("T5", "T6", "T7")
@pytest.mark.slow
@pytest.mark.parametrize("method", ["min/max", "splitting", "all together"])
def test_an_entry_comes_out_again(convnet, method):
    x = list(load_calibration(CALIBRATION, seed=0).tensors()[0].split(64))
    right = PICTURES * zoo.evaluate(METHODS[method](convnet, (4, 8), x), load_test()[:PICTURES], batch_size=50)
    assert abs(right - COMPARISON["convnet", method, "W4A8"][0]) <= 12


@pytest.mark.row("T7")
def test_the_table_is_written_so_that_it_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr("qlab.ptq.make_comparison_table.PLACE", tmp_path / "table.py")
    done = {f"{n}|{m}|W{w}A{a}|0": 5 for n, m, (w, a) in product(NETWORKS, METHODS, SETTINGS)}
    write_table(done, 1, "abc")
    names = {}
    exec((tmp_path / "table.py").read_text(encoding="utf-8"), names)
    assert names["COMPARISON"]["resnet", "OMSE", "W4A4"] == (5,)
    assert len(names["COMPARISON"]) == len(COMPARISON)
