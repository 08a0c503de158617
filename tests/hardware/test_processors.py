"""Peaks against units × clock, tables against their own rules and the bibliography, gates against integers."""

import itertools
import math
import random
import re
from pathlib import Path

import pytest

from qlab.hardware import energy, multiplier
from qlab.hardware.processors import KINDS, PRECISIONS, gpu_names, gpu_throughput, peak, processors

ROOT = Path(__file__).resolve().parents[2]

# fp32 cores and their clock in GHz; tensor cores, fp16 multiply-accumulates of one per cycle, their clock; the rates of
# the other formats against fp16. From the makers' descriptions of the chips, not from the tables of peaks.
UNITS = {
    "V100 SXM2": (5120, 1.53, 640, 64, 1.53, {}),
    "Titan RTX": (4608, 1.77, 576, 64, 1.77, {"int8": 2, "int4": 4}),
    "T4": (2560, 1.59, 320, 64, 1.59, {"int8": 2, "int4": 4}),
    "A100 SXM4": (6912, 1.41, 432, 256, 1.41, {"tf32": 0.5, "int8": 2, "int4": 4, "int1": 16}),
    "H100 SXM5": (16896, 1.98, 528, 512, 1.83, {"tf32": 0.5, "fp8": 2, "int8": 2}),
}


@pytest.mark.row("C2")
@pytest.mark.parametrize("name", UNITS)
def test_peaks_are_units_times_clock(name):
    cores, core_clock, tensor_cores, macs, tensor_clock, rates = UNITS[name]
    assert peak(name, "fp32") == pytest.approx(2 * cores * core_clock * 1e-3, rel=0.01)
    fp16 = 2 * tensor_cores * macs * tensor_clock * 1e-3
    assert peak(name, "fp16") == pytest.approx(fp16, rel=0.01)
    for precision, rate in rates.items():
        assert peak(name, precision) == pytest.approx(rate * fp16, rel=0.01)


@pytest.mark.row("C2")
def test_gpus_are_in_order_and_wide_formats_are_never_faster():
    years = [gpu.year for gpu in gpu_throughput()]
    assert years == sorted(years)
    for name in gpu_names():
        mine = {gpu.precision: gpu for gpu in gpu_throughput() if gpu.name == name}
        assert len({(gpu.year, gpu.watts, gpu.gbs, gpu.figure) for gpu in mine.values()}) == 1
        if name != "V100 SXM2":  # its tensor cores know fp16 only: int8 runs beside them
            peaks = [mine[p].tops for p in PRECISIONS if p in mine]
            assert peaks == sorted(peaks)
    assert gpu_throughput("int8")[0].ridge == pytest.approx(62e12 / 900e9)
    assert {gpu.name for gpu in gpu_throughput() if gpu.figure == "figure"} == {"Titan RTX", "A100 SXM4"}
    assert {gpu.name for gpu in gpu_throughput() if gpu.figure == "text"} == {"T4"}


@pytest.mark.row("C2", "C3")
def test_what_is_unknown_is_refused_by_name():
    with pytest.raises(ValueError, match=r"fp32, tf32, fp16, fp8, int8, fp4, int4, int1, got 'int5'"):
        gpu_throughput("int5")
    with pytest.raises(ValueError, match=r"name must be one of V100 SXM2, .*got 'A100'"):
        peak("A100", "int8")
    with pytest.raises(ValueError, match="no int4 figure is stated for H100 SXM5; there are fp32, tf32"):
        peak("H100 SXM5", "int4")
    with pytest.raises(ValueError, match="kind must be one of microcontroller"):
        processors("toaster")
    with pytest.raises(ValueError, match="unstated, got 'int3'"):
        processors(precision="int3")


@pytest.mark.row("C3")
def test_processors_span_the_scale_and_follow_the_rules_of_the_table():
    found = processors()
    powered = [p for p in found if p.watts is not None]
    assert len(powered) >= 12
    assert max(p.dense_gops for p in powered) > 1e4 * min(p.dense_gops for p in powered)
    assert max(p.watts for p in powered) > 1e4 * min(p.watts for p in powered)
    assert len({p.name for p in found}) == len(found)
    for p in found:
        assert p.kind in KINDS
        assert p.precision in (*PRECISIONS, "unstated")
        assert (p.zeros, p.basis, p.read) in itertools.product(
            ("dense", "sparse"), ("peak", "measured"), ("vendor", "second hand")
        )
        assert p.gops > 0
        assert p.watts is None or p.watts > 0
        assert 2010 < p.year < 2030
    kinds = [KINDS.index(p.kind) for p in found]
    assert kinds == sorted(kinds)


@pytest.mark.row("C3")
def test_peaks_of_processors_are_units_times_clock():
    by_name = {p.name: p for p in processors()}
    assert by_name["TPU v1"].gops == pytest.approx(2 * 65536 * 0.7, rel=0.01)
    assert by_name["Tesla FSD"].gops == pytest.approx(2 * 2 * 96 * 96 * 2.0, rel=0.01)
    assert by_name["Jetson Nano"].gops == pytest.approx(2 * 2 * 128 * 0.9216, rel=0.01)
    assert by_name["Jetson TX2"].gops == pytest.approx(2 * 2 * 256 * 1.3, rel=0.01)
    assert by_name["Cortex-M7, 216 MHz"].gops == pytest.approx(24.7e6 / 0.0991 * 1e-9, rel=0.01)
    orin = by_name["Jetson AGX Orin"]
    assert orin.dense_gops == 137_500
    assert orin.picojoules == pytest.approx(60 / 137.5e12 * 1e12)
    assert by_name["Apple A11"].picojoules is None
    names = [p.name for p in processors(precision="int8", gpus=True)]
    assert "A100 SXM4" in names
    assert "Titan RTX" not in names


@pytest.mark.row("C2", "C3")
def test_every_source_is_in_the_bibliography():
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(encoding="utf-8"), re.MULTILINE))
    for entry in (*gpu_throughput(), *processors()):
        assert set(entry.source.split("; ")) <= known, entry


@pytest.mark.row("C1")
def test_multiplier_of_gates_multiplies_and_its_count_is_the_formula():
    for weight_bits, activation_bits in itertools.product(range(1, 5), repeat=2):
        for w, a in itertools.product(range(1 << weight_bits), range(1 << activation_bits)):
            product, gates = multiplier.array_multiplier(w, a, weight_bits, activation_bits)
            assert product == w * a
            assert gates == multiplier.multiplier_gates(weight_bits, activation_bits)
    chance = random.Random(0)
    for _ in range(50):
        w, a = chance.getrandbits(24), chance.getrandbits(11)
        assert multiplier.array_multiplier(w, a, 24, 11)[0] == w * a
    assert multiplier.multiplier_gates(8) == (64, 56)
    with pytest.raises(ValueError, match="w must be a code from 0 to 15, got 16"):
        multiplier.array_multiplier(16, 0, 4, 4)
    with pytest.raises(ValueError, match="weight_bits must be an integer from 1 to 64"):
        multiplier.multiplier_gates(0)


@pytest.mark.row("C1")
def test_the_survey_quotes_its_own_ratios():
    assert energy.ADD_PJ["fp32"] / energy.ADD_PJ["int8"] == pytest.approx(30)
    assert round(energy.ADD_UM2["fp32"] / energy.ADD_UM2["int8"]) == 116


@pytest.mark.row("C1")
def test_energy_of_memory_and_batches():
    layer = energy.LayerCost("fc", "Linear", 100, 100, 10, 10)
    one = energy.network_energy([layer], 8, 8)
    many = energy.network_energy([layer], 8, 8, batch=16)
    assert many.weights == pytest.approx(one.weights / 16)
    assert (many.arithmetic, many.activations) == (one.arithmetic, one.activations)
    near = energy.network_energy([layer], weight_read=energy.READ_PJ["SRAM 8 KB"])
    assert near.weights == pytest.approx(500)
    assert energy.mac_energy(4, 8) == pytest.approx(0.2)
    for bad in ({"batch": 0}, {"weight_read": -1.0}, {"weight_read": math.nan}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            energy.network_energy([layer], **bad)
    with pytest.raises(ValueError, match="positive"):
        energy.mac_energy(8, 0)
