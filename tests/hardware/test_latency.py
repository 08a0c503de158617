"""Tables of latency: what is timed computes a convolution; files know their machine."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import qlab.hardware.latency as module
from qlab.hardware.kernels import pack_matrix, product
from qlab.hardware.latency import LatencyTable, latency_table, patches, read_latency, recorded_latency, write_latency


@pytest.mark.row("W1")
@pytest.mark.parametrize(("stride", "padding", "kernel"), [(1, 1, 3), (2, 0, 3), (2, 2, (1, 5)), ((1, 3), (0, 1), 2)])
def test_patches_times_packed_weights_is_the_convolution(stride, padding, kernel):
    layer = nn.Conv2d(3, 5, kernel, stride, padding, bias=False)
    rng = torch.Generator().manual_seed(1)
    x = torch.randint(-128, 128, (2, 3, 9, 8), generator=rng).to(torch.int8)
    w = torch.randint(-8, 8, layer.weight.shape, generator=rng)
    found = product(pack_matrix(w.flatten(1), 4), patches(x, layer))
    expected = nn.functional.conv2d(x.double(), w.double(), stride=stride, padding=padding)
    assert torch.equal(found.double(), expected.permute(0, 2, 3, 1).reshape(-1, 5))


@pytest.mark.row("W1")
def test_layers_that_are_no_single_product_are_refused():
    for layer in (nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, padding="same")):
        with pytest.raises(ValueError, match="one group, no dilation"):
            patches(torch.zeros(1, 4, 8, 8), layer)


@pytest.mark.row("W1")
def test_a_cached_table_is_read_back_and_another_machine_measures_anew(tmp_path, monkeypatch):
    model, cache = nn.Sequential(nn.Flatten(), nn.Linear(8, 4)), tmp_path / "t.json"
    first = latency_table(model, (8,), choices=(8, 32), turns=3, cache=cache)
    assert first.milliseconds.shape == (1, 2) and (first.turns > 0).all()
    assert list(tmp_path.iterdir()) == [cache]
    monkeypatch.setattr(module, "_measure", lambda *given: np.full((2, 3), 7.0))
    assert np.array_equal(latency_table(model, (8,), choices=(8, 32), turns=3, cache=cache).turns, first.turns)
    assert (latency_table(model, (8,), batch=2, choices=(8, 32), turns=3, cache=cache).turns == 7).all()
    monkeypatch.setattr(module, "machine", lambda: "another")
    cache.write_text(cache.read_text().replace("7.0", "9.0"))
    again = latency_table(model, (8,), batch=2, choices=(8, 32), turns=3, cache=cache)
    assert (again.turns == 7).all() and again.machine == "another" == json.loads(cache.read_text())["machine"]


@pytest.mark.row("W1")
def test_a_table_says_when_it_cannot_tell(tmp_path):
    turns = np.array([[[1.0, 2, 3], [2, 4, 6]], [[5.0, 4, 6], [5, 5, 5]]])
    table = LatencyTable(("a", "b"), (4, 8), turns, 1, 1, "avx2", "here")
    assert table.milliseconds.tolist() == [[2, 4], [5, 5]]
    assert table.ratio("a", 4, 8).verdict == "faster" and table.ratio("a", 4, 8).median == 0.5
    assert table.ratio("b", 4, 8).verdict == "no difference seen"
    assert table.compare((1, 1), (1, 1)).median == 1
    assert table.resolved().tolist() == [[2, 4], [5, 5]]
    wide = LatencyTable(("c",), (4, 8), np.array([[[5.0, 9.0, 9.9], [10, 10, 10]]]), 1, 1, "avx2", "here")
    assert wide.ratio("c", 4, 8).verdict == "faster" and wide.resolved().tolist() == [[10, 10]]  # 0.70 to 0.945
    noisy = LatencyTable(("b",), (4, 8), np.array([[[5.0, 4.0, 4.9], [5, 3, 5]]]), 1, 1, "avx2", "here")
    assert noisy.milliseconds.tolist() == [[4.9, 5]] and noisy.resolved().tolist() == [[5, 5]]
    write_latency(table, tmp_path / "t.json")
    back = read_latency(tmp_path / "t.json")
    assert np.array_equal(back.turns, turns) and (back.layers, back.machine) == (table.layers, "here")


@pytest.mark.row("W1")
def test_wrong_questions_are_answered_in_words(tmp_path):
    model = nn.Linear(8, 4)
    with pytest.raises(ValueError, match="from 2, 4, 8, 32, each once, got"):
        latency_table(model, (8,), choices=(3,))
    with pytest.raises(ValueError, match="at least 1, 3, 1, got 1, 2, 1"):
        latency_table(model, (8,), turns=2)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match="no table of latencies"):
        read_latency(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="it lacks backend"):
        read_latency(tmp_path / "x.json")


@pytest.mark.row("W1")
@pytest.mark.parametrize("batch", [1, 64])
def test_the_recorded_tables_say_where_they_come_from(batch):
    for network, layers in (("convnet", 5), ("alexnet", 6)):
        table = recorded_latency(network, batch)
        assert (table.batch, table.choices, len(table.layers)) == (batch, (2, 4, 8, 32), layers)
        assert "cores" in table.machine and (table.turns > 0).all()
    with pytest.raises(ValueError, match="must be one of alexnet_1"):
        recorded_latency("vgg", batch)
