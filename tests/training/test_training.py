"""Training in 8 bits, against the core's quantizers, PyTorch's formats, products in integers, and autograd by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from qlab import zoo
from qlab.calibration import Unscaled
from qlab.data import load_test
from qlab.grids import E4M3, E5M2, Symmetric
from qlab.network import quantizable_layers
from qlab.quantizer import Quantizer
from qlab.rounding import Stochastic
from qlab.training import (
    Float8,
    Formats,
    Integer,
    accumulate,
    keep_bits,
    make_training_table,
    quantize_training,
    round_backward,
    round_forward,
    runs,
)
from qlab.training.runs import REMOVED, TrainingRun, learn_in, run_training, training_table

E4, E5 = torch.float8_e4m3fn, torch.float8_e5m2


def normal(*shape, seed=0, size=1.0):
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.row("F4")
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_integers_are_the_cores_symmetric_quantizer(bits):
    x = normal(500, seed=bits)
    assert torch.equal(Integer(bits)(x), Quantizer(Symmetric(bits)).fake(x))


@pytest.mark.row("F4")
@pytest.mark.parametrize(("dtype", "grid"), [(E4, E4M3), (E5, E5M2)])
@given(st.integers(0, 1000), st.floats(-12, 6))
@settings(max_examples=15, deadline=None)
def test_eight_bit_floats_are_the_cores_grids_bit_for_bit(dtype, grid, seed, power):
    x = normal(300, seed=seed, size=10.0**power)
    assert torch.equal(Float8(dtype, scaled=False)(x), Quantizer(grid, calibration=Unscaled()).fake(x))
    assert torch.allclose(Float8(dtype)(x), Quantizer(grid).fake(x), rtol=0.13, atol=0)  # a tie may fall either way
    assert (Float8(dtype)(x) != Quantizer(grid).fake(x)).float().mean() < 0.02


@pytest.mark.row("F4")
@pytest.mark.parametrize("form", [Integer(8), Float8(E4), Float8(E5)])
def test_zeros_stay_zero_and_the_largest_is_kept(form):
    assert torch.equal(form(torch.zeros(3)), torch.zeros(3))
    x = normal(100)
    assert form(x).abs().max() == pytest.approx(float(x.abs().max()), rel=1e-6)


@pytest.mark.slow
@pytest.mark.row("F4")
def test_stochastic_gradients_are_right_on_average():
    form = Integer(4, Stochastic(torch.Generator().manual_seed(0)))
    x = torch.tensor([7.0, 0.3, -2.6])
    mean = torch.stack([form(x) for _ in range(4000)]).mean(0)
    assert torch.allclose(mean, x, atol=0.04)


@pytest.mark.row("F4")
def test_the_three_products_are_products_of_integers():
    """Y, dX and dW of a linear layer equal integer matrix products times two scales, the integers summed exactly."""
    layer = torch.nn.Linear(24, 5, bias=False)
    layer.weight.data = normal(5, 24, seed=1)
    form = Integer(8)
    made = quantize_training(torch.nn.Sequential(layer), Formats(form, form, form))
    x, up = normal(7, 24, seed=2).requires_grad_(), normal(7, 5, seed=3)
    y = made(x)
    y.backward(up)

    def split(t):
        q = Quantizer(Symmetric(8))(t.detach())
        return q.codes.long(), q.params.scale.double()

    (X, sx), (W, sw), (G, sg) = split(x), split(layer.weight), split(up)
    for found, codes, scale in (
        (y.detach(), X @ W.T, sx * sw),
        (x.grad, G @ W, sg * sw),
        (made[0].weight.grad, G.T @ X, sg * sx),
    ):
        assert torch.allclose(found.double(), codes * scale, rtol=1e-5, atol=1e-6)


@pytest.mark.row("F4")
def test_a_convolution_sees_rounded_factors_going_and_coming():
    conv = torch.nn.Conv2d(3, 4, 3, padding=1)
    form, back = Float8(E4), Float8(E5)
    made = quantize_training(torch.nn.Sequential(conv), Formats(form, form, back))
    x, up = normal(2, 3, 6, 6), normal(2, 4, 6, 6, seed=1)
    made(x).backward(up)
    w = form(conv.weight.detach()).requires_grad_()
    F.conv2d(form(x), w, conv.bias, padding=1).backward(back(up))
    assert torch.allclose(made[0].weight.grad, w.grad, atol=1e-5)


@pytest.mark.slow
@pytest.mark.row("F4")
def test_in_floating_point_nothing_changes():
    x, y = load_test()[:16].tensors()
    model = zoo.build("convnet", width=4)
    made = quantize_training(model, Formats())
    F.cross_entropy(model(x), y).backward()
    F.cross_entropy(made(x), y).backward()
    for p, q in zip(model.parameters(), made.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    assert type(model[0]) is torch.nn.Conv2d  # the original is left as it is


@pytest.mark.row("F4")
def test_rounding_one_way_leaves_the_other_alone():
    x = normal(50).requires_grad_()
    up = normal(50, seed=1)
    assert torch.equal(round_forward(x, Integer(3)), Integer(3)(x.detach()))
    assert torch.equal(torch.autograd.grad(round_forward(x, Integer(3)), x, up)[0], up)
    assert torch.equal(round_backward(x, Integer(3)), x)
    assert torch.equal(torch.autograd.grad(round_backward(x, Integer(3)), x, up)[0], Integer(3)(up))
    assert round_forward(x, None) is x and round_backward(x, None) is x


@pytest.mark.row("F4")
@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_kept_bits_are_those_of_bfloat16_and_float16(seed):
    x = normal(500, seed=seed)
    x = torch.cat([x, torch.arange(250.0, 270.0), torch.arange(2040.0, 2060.0)])  # with ties
    assert torch.equal(keep_bits(x, 8), x.bfloat16().float())
    normals = x[x.abs() > 1e-4]
    assert torch.equal(keep_bits(normals, 11), normals.half().float())
    assert torch.equal(keep_bits(x, 24), x)


@pytest.mark.row("F4")
def test_sums_are_those_of_a_loop_with_bfloat16():
    a, b = normal(3, 40), normal(40, 2, seed=1)
    expected = torch.zeros(3, 2, dtype=torch.bfloat16)
    for k in range(40):
        expected = (expected.double() + a[:, k, None].double() * b[None, k].double()).float().bfloat16()
    assert torch.allclose(accumulate(a, b, 8), expected.float(), rtol=1e-2, atol=1e-2)
    chunked = torch.stack([accumulate(a[:, i : i + 16], b[i : i + 16], 8) for i in (0, 16, 32)])
    total = keep_bits(keep_bits(chunked[0] + chunked[1], 8) + chunked[2], 8)
    assert torch.equal(accumulate(a, b, 8, chunk=16), total)
    assert torch.allclose(accumulate(a, b, 24), a @ b, atol=1e-4)


@pytest.mark.slow
@pytest.mark.row("F4")
def test_a_short_accumulator_swamps_and_chunks_cure_it():
    ones = torch.ones(1, 4096)
    assert accumulate(ones, ones.T, 8).item() == 256
    assert accumulate(ones, ones.T, 8, chunk=64).item() == 4096
    assert accumulate(ones, ones.T, 11).item() == 2048  # as float16


@pytest.mark.row("F4")
def test_wrong_arguments_are_named():
    mlp = zoo.build("mlp")
    with pytest.raises(ValueError, match="float8_e4m3fn or"):
        Float8(torch.float16)
    with pytest.raises(ValueError, match="bits must be an integer"):
        Integer(1)
    with pytest.raises(TypeError, match="float32"):
        keep_bits(torch.zeros(2, dtype=torch.float64), 8)
    with pytest.raises(ValueError, match="matrices"):
        accumulate(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="chunk"):
        accumulate(torch.zeros(2, 3), torch.zeros(3, 2), chunk=0)
    with pytest.raises(ValueError, match="keep must name"):
        quantize_training(mlp, Formats(), keep=["99"])
    with pytest.raises(ValueError, match="with none"):
        quantize_training(torch.nn.ReLU(), Formats())
    with pytest.raises(TypeError, match="only linear layers"):
        quantize_training(zoo.build("convnet"), Formats(accumulator=(8, None)))
    with pytest.raises(ValueError, match="recipe must be"):
        learn_in("fp4")
    with pytest.raises(ValueError, match="without must be"):
        learn_in("fp8", "sleep")
    with pytest.raises(ValueError, match="has no"):
        learn_in("int8", "gradient scale")


@pytest.mark.slow
@pytest.mark.row("F4")
@pytest.mark.parametrize(("recipe", "without"), [("fp8", "everything"), ("int8", "master, stochastic")])
def test_a_short_run_is_reproducible_and_its_weights_are_on_the_grid(recipe, without):
    one = learn_in(recipe, without, epochs=1, network="convnet")
    assert one.losses[-1] < one.losses[0] and one.lost
    layer = list(quantizable_layers(one.model).values())[1]
    assert len(layer.weight.unique()) <= 256


@pytest.mark.row("F4")
def test_a_divergence_is_a_line_and_not_an_error(monkeypatch):
    monkeypatch.setattr(runs, "train", lambda *a, **k: a[3](a[0], *a[1][:8].tensors()) * 0 + _diverge())
    line = run_training("mlp", "fp8", "nothing", 1, 0)
    assert line.finite == 0 and math.isnan(line.accuracy) and line.loss > 0


def _diverge():
    raise ValueError("loss became nan")


@pytest.mark.row("F4")
def test_the_table_holds_every_run_once():
    lines = training_table()
    assert sorted(run[:5] for run in lines) == sorted(make_training_table.jobs())
    assert all(isinstance(run, TrainingRun) and (0.05 < run.accuracy < 1 or not run.finite) for run in lines)
    assert {run.without for run in lines} >= set(REMOVED)
