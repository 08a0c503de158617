"""Every pass of ptq and zsq on a network that others made, and what the table says of it."""

import hashlib

import pytest
import torch

from qlab.network import sqnr_db, stored_weight
from qlab.ptq.codes import quantized_layers
from qlab.zoo import load_efficientnet_lite0
from qlab.zsq.efficientnet_comparison import METHODS, PLACE, Setting, efficientnet_table, photographs, run
from qlab.zsq.make_efficientnet_table import TUNED, jobs, main

pytestmark = pytest.mark.row("T5", "T6", "T7", "T8", "T9", "T10", "Z1", "Z2", "Z3", "Z4")


@pytest.fixture(scope="module")
def network():
    return load_efficientnet_lite0()


@pytest.fixture(scope="module")
def small():
    return photographs("calibration", 1, size=32)[:4]


def fingerprint(model):
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "OMSE"])  # "all together" holds OMSE
def test_every_pass_runs_and_leaves_the_network_alone(method, network, small):
    before = fingerprint(network)
    quantized = METHODS[method](Setting(network, 6, "channel", [small], steps=2))
    assert fingerprint(network) == before
    layers = quantized_layers(quantized)
    assert len(layers) == 50
    for k, layer in enumerate(layers.values()):
        codes = stored_weight(layer).codes
        assert int(codes.abs().max()) <= (127 if k in (0, 49) else 31)
    with torch.no_grad():
        logits = quantized(small)
    assert logits.shape == (4, 1000) and bool(torch.isfinite(logits).all())
    assert sqnr_db(network(small), logits) < 60  # something was rounded


@pytest.mark.slow
def test_ceilings_save_what_relu_loses_and_squant_needs_no_data():
    """At 8 bits per tensor, then at 6 per channel; on smaller pictures, with room to spare."""
    eight = {
        name: run(name, 8, "tensor", crops=1, size=96).sqnr
        for name in ("min/max", "equalized, ReLU", "equalized, ceilings")
    }
    assert eight["equalized, ceilings"] > eight["min/max"] + 2 > eight["equalized, ReLU"] + 4
    assert run("min/max", 8, "channel", crops=1, size=96).sqnr > eight["min/max"] + 3
    six = {name: run(name, 6, "channel", crops=1, size=96).sqnr for name in ("min/max", "SQuant", "no data: SQuant")}
    assert min(six["SQuant"], six["no data: SQuant"]) > six["min/max"] + 2


def test_the_table_is_complete():
    assert [row[:3] for row in efficientnet_table()] == list(jobs())


def test_the_table_says_what_we_say_of_it():
    table = {row[:3]: row for row in efficientnet_table()}

    def sqnr(method, bits, granularity="channel"):
        return table[method, bits, granularity].sqnr

    assert sqnr("min/max", 8) > sqnr("min/max", 8, "tensor") + 5
    assert sqnr("equalized, ceilings", 8, "tensor") > sqnr("min/max", 8, "tensor") + 3
    assert sqnr("equalized, ReLU", 8, "tensor") < sqnr("min/max", 8, "tensor")
    for bits in (6, 4):
        assert sqnr("AdaRound", bits) > sqnr("GPTQ", bits) > sqnr("SQuant", bits) > sqnr("min/max", bits) + 1
    assert max(sqnr("no data: DFQ, ReLU", 8, g) for g in ("tensor", "channel")) < 0  # DFQ as published fails
    for granularity in ("tensor", "channel"):  # generators move little in a few steps; SQuant, from there, much
        start = sqnr("no data: ranges", 8, granularity)
        assert all(abs(sqnr(name, 8, granularity) - start) < 1.5 for name in TUNED)
        assert sqnr("no data: SQuant", 8, granularity) > start + 3
    assert all(abs(sqnr(name, 6) - sqnr("min/max", 6)) < 1.5 for name in TUNED)


@pytest.mark.slow
def test_an_entry_comes_out_again():
    wanted = {row[:3]: row for row in efficientnet_table()}["min/max", 8, "tensor"]
    found = run("min/max", 8, "tensor")
    assert found.sqnr == pytest.approx(wanted.sqnr, abs=0.5)
    assert found.agreement == pytest.approx(wanted.agreement, abs=3 / 32)


def test_a_complete_table_is_left_as_it_is(tmp_path):
    copy = tmp_path / "table.csv"
    copy.write_bytes(PLACE.read_bytes())
    main(copy)
    assert copy.read_bytes() == PLACE.read_bytes()
