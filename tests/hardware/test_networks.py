"""Whole networks in several engines: what is timed is right, counted and held against the right baseline."""

import time

import numpy as np
import pytest
import torch

from qlab.data import load_test
from qlab.hardware.networks import BASELINE, OWN, Engine, engines, network_speeds, program_bytes, steady
from qlab.integer.agreement import exported
from qlab.zoo import load


def sleeper(seconds: float, answer: int = 0) -> Engine:
    """Answer always the same class, after a while."""

    def wait(x):
        time.sleep(seconds)
        return np.eye(10)[[answer] * len(x)]

    return Engine(lambda x: x, wait, 123)


@pytest.mark.row("C6", "C7")
def test_ratios_are_to_both_baselines_and_answers_are_counted():
    images = load_test()[:40]
    runners = {BASELINE: sleeper(0.004), OWN: sleeper(0.002, 1), "ONNX Runtime int8": sleeper(0.001, 2)}
    found = network_speeds("mlp", (1, 3), turns=5, threads=2, images=images, runners=runners)
    assert [(s.batch, s.engine) for s in found] == [(b, e) for b in (1, 3) for e in runners]
    first, own, low = found[:3]
    assert (first.ratio, first.low, first.high, first.own) == (1, 1, 1, None)
    assert own.own == 1 and 1.5 < own.ratio < 2.5
    assert 2.5 < low.ratio < 5 and 1.3 < low.own < 2.7 and low.own_low <= low.own <= low.own_high
    counts = torch.bincount(images.tensors()[1], minlength=10)
    assert [s.right for s in found[:3]] == counts[:3].tolist() and {s.pictures for s in found} == {40}
    assert {s.bytes for s in found} == {123} and {s.threads for s in found} == {2}


@pytest.mark.row("C4")
def test_short_jobs_run_often_and_are_divided_by_it():
    calls = {"short": 0, "long": 0}

    def job(name: str, seconds: float):
        def work():
            calls[name] += 1
            time.sleep(seconds)

        return work

    times = steady({"short": job("short", 0.001), "long": job("long", 0.02)}, turns=3, threads=2, window=0.02)
    assert calls["short"] > 4 * calls["long"]
    assert 5 < times.ratio("long", "short").median < 25
    assert times.threads == 2


@pytest.mark.row("C5")
def test_bytes_of_a_program_by_hand():
    layers = load("mlp").state_dict()
    weights = sum(v.numel() for k, v in layers.items() if k.endswith("weight"))
    outputs = sum(v.numel() for k, v in layers.items() if k.endswith("bias"))
    assert program_bytes(exported("mlp")[2]) == weights + outputs * (4 + 4 + 1)


@pytest.mark.row("C6")
def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="mlp, convnet, resnet, separable, got 'vgg'"):
        engines("vgg")
    with pytest.raises(ValueError, match="from 1 to the 5 pictures"):
        network_speeds("mlp", (1, 64), images=load_test()[:5], runners={BASELINE: sleeper(0)})


@pytest.mark.row("C6")
def test_without_onnx_runtime_the_others_still_run(monkeypatch):
    monkeypatch.setattr("qlab.hardware.networks.find_spec", lambda name: None)
    assert list(engines("mlp")) == [BASELINE, "qlab integers"]


@pytest.mark.slow
@pytest.mark.row("C6")
@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_every_engine_computes_the_same_network(name):
    """fp32 against fp32 nearly exactly; integers end in codes or real numbers, so what is compared is their order."""
    x = load_test()[:50].tensors()[0].numpy()
    answers = {engine: run.answer(run.prepare(x)) for engine, run in engines(name).items()}
    assert len(answers) == 5
    np.testing.assert_allclose(answers[OWN], answers[BASELINE], atol=1e-3)
    exact = answers.pop("qlab integers").argmax(1)
    for engine, scores in answers.items():
        assert (scores.argmax(1) == exact).mean() > 0.9, engine  # without VNNI some integers saturate


@pytest.mark.slow
@pytest.mark.row("C7")
def test_sizes_are_about_a_quarter():
    found = {name: engine.bytes for name, engine in engines("mlp").items()}
    assert found[BASELINE] == 4 * sum(p.numel() for p in load("mlp").parameters())
    for name in ("ONNX Runtime int8", "ONNX Runtime integers", "qlab integers"):
        assert 0.24 < found[name] / found[BASELINE] < 0.28
