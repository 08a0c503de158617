"""Lowered networks: what they compute, against simulation and against ONNX Runtime running the same program."""

from collections import Counter
from fractions import Fraction

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from qlab import Asymmetric, Codebook, PerBlock, PerChannel, PerTensor, Quantizer, Recipe, Symmetric, quantize, zoo
from qlab.data import load_calibration, load_test
from qlab.integer import lower, program_to_onnx, run, simulate, trace
from qlab.integer.program import Add, AveragePool, Clamp, Conv2d, Linear, Rescale
from qlab.integer.simulate import _ends, _real, simulate_all
from qlab.network import sqnr_db, stored_weight
from qlab.ptq import fold_batchnorm
from qlab.qat import LSQ
from qlab.zoo import load_efficientnet_lite0
from qlab.zsq.efficientnet_comparison import photographs

pytestmark = [pytest.mark.row("A1"), pytest.mark.row("A2")]


class Everything(nn.Module):
    """All that can be lowered, in few lines."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8))
        self.left, self.right = nn.Conv2d(8, 6, 1), nn.Conv2d(8, 4, 3, padding=1)
        self.pool, self.mean, self.relu = nn.MaxPool2d(2), nn.AvgPool2d(2), nn.ReLU()
        self.last, self.drop = nn.Conv2d(10, 12, 3, stride=2, dilation=1), nn.Dropout(0.5)
        self.all, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(12, 5)

    def forward(self, x):
        h = self.first(x)
        h = self.pool(torch.relu(h + self.inner(h)))
        h = torch.cat([self.left(h), self.right(h)], dim=1)
        h = self.mean(self.relu(h))
        h = self.relu(self.last(h))
        return self.head(self.drop(torch.flatten(self.all(h), 1)))


def pictures(n=48):
    return torch.randn(n, 2, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 + 0.3


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    net = Everything()
    with torch.no_grad():
        net(torch.randn(64, 2, 16, 16))
    return fold_batchnorm(net.eval())


def recipe(bits=8, granularity=None, activation=None, **layers):
    grid = Quantizer(Symmetric(bits), granularity or PerChannel(0))
    return Recipe(grid, Quantizer(activation or Asymmetric(8)), layers=layers)


RECIPES = {
    "channel": recipe(),
    "tensor": recipe(granularity=PerTensor()),
    "w4a4": recipe(4, activation=Asymmetric(4)),
    "signed": recipe(activation=Symmetric(8)),
    "mixed": recipe(head=recipe(3, activation=Asymmetric(5)), left=recipe(activation=Asymmetric(6))),
}


@pytest.fixture(scope="module", params=RECIPES)
def lowered(request, original):
    quantized = quantize(original, RECIPES[request.param], [pictures()])
    return quantized, lower(quantized, [pictures()])


def codes_of(program, simulated):
    """The codes that real values stand for."""
    return {
        k: np.rint(v.double().numpy() / program.codes[k].scale) - program.codes[k].zero_point
        for k, v in simulated.items()
    }


def session(data, fused=False):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if not fused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def results(program, form, q, **options):
    data = program_to_onnx(program, form, outputs=list(program.shapes), **options)
    return dict(zip(program.shapes, session(data).run(None, {"input": q}), strict=True))


def test_the_integer_model_is_equal_to_the_last_integer(lowered):
    program = lowered[1]
    q = program.input.encode(pictures().numpy())
    ours = trace(program, q)
    theirs = results(program, "integer", q)
    for name, value in theirs.items():
        assert value.dtype == ours[name].dtype
        np.testing.assert_array_equal(value, ours[name], err_msg=name)


def test_simulation_in_float64_is_the_same_function(lowered):
    """Float64 sums are exact enough; what is left are multipliers of 31 bits, and ties."""
    program = lowered[1]
    ours = trace(program, program.input.encode(pictures().numpy()))
    for name, value in codes_of(program, simulate_all(program, pictures(), torch.float64)).items():
        np.testing.assert_array_equal(value, ours[name], err_msg=name)


def test_the_program_is_near_the_recipes_simulation(lowered):
    """The recipe's simulation keeps sums and shortcuts in floating point: near, not equal."""
    quantized, program = lowered
    with torch.no_grad():
        expected = quantized(pictures()).numpy()
    got = program.output.decode(run(program, program.input.encode(pictures().numpy())))
    noise = np.square(got - expected).mean() / np.square(expected - expected.mean(0)).mean()
    steps = {program.codes[op.name].high - program.codes[op.name].low for op in program.operations[:-1]}
    assert noise < (0.02 if min(steps) >= 250 else 0.5)


def one_by_one(program, ours):
    """Simulate every operation in float64 on our codes; return how many codes differ, at most by one and at ties."""
    different = total = 0
    for op in program.operations:
        given = [program.codes[s] for s in op.sources]
        out = program.codes[op.name]
        real = _real(
            program, op, [torch.from_numpy(c.decode(ours[s])) for c, s in zip(given, op.sources, strict=True)], given
        )
        low, high = _ends(op, out)
        t = real.numpy() / out.scale
        off = np.clip(np.rint(t) - out.zero_point, low, high) != ours[op.name]
        different, total = different + int(off.sum()), total + off.size
        tie = np.abs(t[off] - np.floor(t[off]) - 0.5)
        assert (tie <= np.maximum(np.abs(t[off]), 1) * 2.0**-29).all(), op.name
    return different, total


class Nearness:
    """How far M·v is from a tie, for requantizations of one operation."""

    def __init__(self, program, op):
        scale_in, out = program.codes[op.sources[0]].scale, program.codes[op.name]
        weight = program.weight_scales.get(op.name, np.ones(1, np.float32)).astype(np.float64)
        if isinstance(op, AveragePool):
            weight = weight / (op.kernel[0] * op.kernel[1])
        self.factor = weight * scale_in / out.scale

    def __call__(self, v):
        t = v * self.factor.reshape(-1, *[1] * (v.ndim - 2))
        return np.abs(t - np.floor(t) - 0.5), np.abs(t)


def test_the_qlinear_model_differs_only_next_to_ties(original):
    """One operation at a time, on our codes: float32's M·v is off by 2^-22 of itself at most."""
    program = lower(quantize(original, RECIPES["channel"], [pictures()]), [pictures()])
    ours = trace(program, program.input.encode(pictures().numpy()))
    different = total = 0
    for op in program.operations:
        feed = {name: ours[name] for name in op.sources}
        part = program_to_onnx(program, "qlinear", outputs=[op.name], inputs=list(feed))
        value = session(part).run(None, feed)[0]
        if value.dtype == np.float32:
            np.testing.assert_allclose(
                value, program.output.decode(ours[op.name]), rtol=1e-5, atol=program.output.scale
            )
            continue
        off = value.astype(int) != ours[op.name]
        different, total = different + off.sum(), total + off.size
        assert np.abs(value.astype(int) - ours[op.name]).max() <= 1, op.name
        if off.any() and isinstance(op, (Conv2d, Linear, AveragePool)):
            tie, size = Nearness(program, op)(op.accumulate(ours[op.sources[0]]).astype(np.float64))
            assert (tie[off] <= size[off] * 2.0**-22).all(), op.name
    assert total > 100_000 and different <= 1e-3 * total


@pytest.mark.parametrize("form", ["qlinear", "qdq"])
def test_models_with_float_requantization_choose_the_same_class(lowered, form):
    program = lowered[1]
    q = program.input.encode(pictures().numpy())
    last = program.operations[-1].name
    theirs = results(program, form, q)[last]
    ours = program.output.decode(run(program, q))
    assert np.abs(theirs - ours).max() < 0.05 * np.abs(ours).max()
    assert (theirs.argmax(1) == ours.argmax(1)).mean() >= 0.95


def test_weights_as_int8_are_the_same_integers(original):
    """With 7-bit weights u8·s8 products cannot saturate, and the two ways to store them agree."""
    program = lower(quantize(original, recipe(7), [pictures()]), [pictures()])
    q = program.input.encode(pictures().numpy())
    for name, value in results(program, "integer", q, unsigned_weights=False).items():
        np.testing.assert_array_equal(value, results(program, "integer", q)[name], err_msg=name)


def test_fused_graphs_keep_the_integers(original):
    program = lower(quantize(original, RECIPES["channel"], [pictures()]), [pictures()])
    q = program.input.encode(pictures().numpy())
    out = session(program_to_onnx(program), fused=True).run(None, {"input": q})[0]
    np.testing.assert_array_equal(out, run(program, q))


def test_batchnorm_bias_and_multipliers_are_the_numbers_of_the_paper(original):
    """Jacob et al. 2018, equations 5 and 11, from the module's own numbers."""
    quantized = quantize(original, RECIPES["channel"], [pictures()])
    program = lower(quantized, [pictures()])
    layer, op = quantized.last, next(op for op in program.operations if op.name == "last")
    s_h, z_h = layer.activation_quantizer.scale.double(), int(layer.activation_quantizer.zero_point)
    s_w = layer.parametrizations.weight[0].scale.double()
    weight = layer.parametrizations.weight[0].stored(layer.parametrizations.weight.original).codes
    plain = torch.round(layer.bias.double() / (s_h * s_w))
    np.testing.assert_array_equal(op.weight, weight)
    np.testing.assert_array_equal(op.bias, (plain + z_h * weight.double().sum((1, 2, 3))).detach().numpy())
    s_a = program.codes["last"].scale
    m = op.requantize.multiplier * 0.5 ** op.requantize.shift.astype(float)
    np.testing.assert_allclose(m, (s_h * s_w / s_a).numpy(), rtol=2.0**-31)
    assert op.pad_code == -z_h
    # ReLU is fused: the lowest code is that of 0.
    assert op.requantize.low == -program.codes["last"].zero_point


def test_relu6_is_fused_as_a_clamp(original):
    program = lower(quantize(original, RECIPES["channel"], [pictures()]), [pictures()])
    first, codes = program.operations[0], program.codes["first.0"]
    top = codes.decode(np.array(first.requantize.high))
    assert codes.decode(np.array(first.requantize.low)) == 0
    assert abs(top - 6) <= codes.scale / 2 or first.requantize.high == codes.high


def test_a_concatenation_costs_no_rescaling_and_a_second_scale_does(original):
    program = lower(quantize(original, RECIPES["channel"], [pictures()]), [pictures()])
    assert not any(isinstance(op, Rescale) for op in program.operations)
    assert any(isinstance(op, Clamp) for op in program.operations)  # the ReLU behind the concatenation
    assert program.codes["left"] == program.codes["right"] == program.codes["cat"]
    # "left" and "right" read the same tensor; with grids of their own, one of them needs it in another scale.
    program = lower(quantize(original, RECIPES["mixed"], [pictures()]), [pictures()])
    (rescale,) = [op for op in program.operations if isinstance(op, Rescale)]
    assert rescale.name == "pool→right" and program.codes[rescale.name].high == 255
    assert program.codes["pool"].high == 63


def test_scales_of_sums_come_from_batches(original):
    quantized = quantize(original, RECIPES["channel"], [pictures()])
    branch = "inner.0"  # only the addition reads it
    wide = lower(quantized, [pictures()]).codes[branch]
    narrow = lower(quantized, [pictures() * 0.1]).codes[branch]
    assert narrow.scale < wide.scale
    assert lower(quantized, [pictures()[:20], pictures()[20:]]).codes == lower(quantized, [pictures()]).codes
    coarse = lower(quantized, [pictures()], Quantizer(Asymmetric(4)))
    assert coarse.codes[branch].high == 15


def test_multipliers_with_few_bits_move_codes(original):
    quantized = quantize(original, RECIPES["channel"], [pictures()])
    exact, rough = (lower(quantized, [pictures()], multiplier_bits=b) for b in (31, 4))
    assert all(op.requantize.multiplier.max() < 16 for op in rough.operations if isinstance(op, (Conv2d, Linear)))
    q = exact.input.encode(pictures().numpy())
    assert (trace(exact, q)["last"] != trace(rough, q)["last"]).mean() > 0.05


def test_a_network_trained_with_learned_steps_lowers(original):
    learned = LSQ(Quantizer(Symmetric(4), PerChannel(0)))
    quantized = quantize(original, Recipe(learned, LSQ(Quantizer(Asymmetric(8)))), [pictures()]).eval()
    program = lower(quantized, [pictures()])
    q = program.input.encode(pictures().numpy())
    out = session(program_to_onnx(program)).run(None, {"input": q})[0]
    np.testing.assert_array_equal(out, run(program, q))


def test_modules_called_twice_are_two_operations():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.pool, self.relu = nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()

        def forward(self, x):
            return self.one(self.pool(self.relu(self.one(self.pool(x)))))

    torch.manual_seed(0)
    x = torch.randn(4, 1, 8, 8)
    quantized = quantize(Twice().eval(), recipe(), [x])
    program = lower(quantized, [x])
    assert len(program.operations) == 4
    got = program.output.decode(run(program, program.input.encode(x.numpy())))
    np.testing.assert_allclose(got, quantized(x).detach().numpy(), atol=0.05 * float(quantized(x).detach().abs().max()))


def test_channels_of_zeros_keep_their_bias():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)).eval()
    with torch.no_grad():
        net[0].weight[1] = 0.0
        net[0].bias.copy_(torch.tensor([0.1, 0.734, -0.2]))
        net[3].weight[2] = 0.0
    x = torch.rand(16, 1, 4, 4) * 100  # a coarse input: S_h is 0.39
    program = lower(quantize(net, recipe(), [x]), [x])
    values = program.codes["0"].decode(trace(program, program.input.encode(x.numpy()))["0"])
    assert np.abs(values[:, 1] - 0.734).max() <= program.codes["0"].scale * 0.51
    answers = program.output.decode(run(program, program.input.encode(x.numpy())))
    np.testing.assert_allclose(answers[:, 2], float(net[3].bias[2]), atol=program.output.scale)


class Padded(nn.Module):
    """Zeros on some sides only: a border that two convolutions read, one of which pads too; a border in two parts."""

    def __init__(self):
        super().__init__()
        self.first, self.relu = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU6()
        self.border = nn.ZeroPad2d((0, 1, 2, 3))  # left, right, top, bottom
        self.small = nn.Conv2d(4, 3, 3, stride=2)
        self.large = nn.Conv2d(4, 3, 5, stride=2, padding=1)
        self.parts = nn.Sequential(nn.ZeroPad2d((1, 0, 0, 0)), nn.ZeroPad2d((2, 0, 0, 1)))
        self.last = nn.Conv2d(3, 2, 2)

    def forward(self, x):
        h = self.border(self.relu(self.first(x)))
        return self.last(self.parts(torch.relu(self.small(h) + self.large(h))))


@pytest.fixture(scope="module", params=[Asymmetric(8), Symmetric(8)], ids=["asymmetric", "signed"])
def padded(request):
    torch.manual_seed(0)
    x = torch.randn(4, 2, 6, 5) * 2 + 0.3
    quantized = quantize(Padded().eval(), recipe(activation=request.param), [x])
    return quantized, lower(quantized, [x]), x


def by_hand(op, q, z):
    """v of a convolution of one group, in Python's integers: places outside of the picture are left out."""
    w, (count, channels, high, wide) = op.weight.tolist(), q.shape
    b = [int(b) - z * int(np.sum(k)) for b, k in zip(op.bias, w, strict=True)]
    top, left, bottom, right = op.padding
    rows = range(-top, high + bottom - len(w[0][0]) + 1, op.stride[0])
    columns = range(-left, wide + right - len(w[0][0][0]) + 1, op.stride[1])

    def sum_at(n, o, y, x):
        return b[o] + sum(
            weight * (int(q[n, c, y + i, x + j]) + z)
            for c in range(channels)
            for i, row in enumerate(w[o][c])
            for j, weight in enumerate(row)
            if 0 <= y + i < high and 0 <= x + j < wide
        )

    return [[[[sum_at(n, o, y, x) for x in columns] for y in rows] for o in range(len(w))] for n in range(count)]


def test_zeros_on_some_sides_are_the_convolutions_padding(padded):
    """No step is left of them: what they are in the program is the code of 0, on the sides where the network has 0."""
    quantized, program, x = padded
    ours = trace(program, program.input.encode(x.numpy()))
    convolutions = {op.name: op for op in program.operations if isinstance(op, Conv2d)}
    assert {name: op.padding for name, op in convolutions.items()} == {
        "first": (1, 1, 1, 1),
        "small": (2, 0, 3, 1),
        "large": (3, 1, 4, 2),
        "last": (0, 3, 1, 0),
    }
    assert len(program.operations) == len(convolutions) + 1 and isinstance(program.operations[-2], Add)
    for name, op in convolutions.items():
        (source,) = op.sources
        z = program.codes[source].zero_point
        np.testing.assert_array_equal(op.accumulate(ours[source]), by_hand(op, ours[source], z), err_msg=name)
    with torch.no_grad():
        expected = quantized(x).numpy()
    got = program.output.decode(ours["last"])
    assert got.shape == expected.shape
    assert np.square(got - expected).mean() < 1e-3 * np.square(expected).mean()


def test_zeros_on_some_sides_are_equal_in_simulation_and_in_an_independent_engine(padded):
    _, program, x = padded
    q = program.input.encode(x.numpy())
    ours = trace(program, q)
    for name, value in codes_of(program, simulate_all(program, x, torch.float64)).items():
        np.testing.assert_array_equal(value, ours[name], err_msg=name)
    for name, value in results(program, "integer", q).items():
        np.testing.assert_array_equal(value, ours[name], err_msg=name)
    answers = program.output.decode(ours["last"])
    for form in ("qlinear", "qdq"):
        theirs = results(program, form, q)["last"]
        assert np.abs(theirs - answers).max() < 0.02 * np.abs(answers).max(), form


def test_a_network_prints_the_sides_that_are_padded(padded):
    _, program, _ = padded
    assert f"stride 2 pad top 2 left 0 bottom 3 right 1 with {-program.codes['first'].zero_point}" in str(program)


def weak_net(weakness):
    """Two convolutions; channel 1 of the first has next to no weights, but a bias, as a dead channel after folding."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3)).eval()
    with torch.no_grad():
        net[0].weight[1] *= weakness / net[0].weight[1].abs().max()
        net[0].bias.copy_(torch.tensor([0.1, 0.734, -0.2]))
    return net


@pytest.mark.parametrize("exponent", range(-14, -6))
def test_weak_channels_keep_their_bias(exponent):
    program = lower(quantize(weak_net(10.0**exponent), recipe(), [pictures()]), [pictures()])
    first = program.operations[0]
    q = program.input.encode(pictures().numpy())
    ours = trace(program, q)
    values = program.codes["0"].decode(ours["0"])
    assert np.abs(values[:, 1] - 0.734).max() <= program.codes["0"].scale * 0.51
    unit = program.weight_scales["0"][1] * program.input.scale
    assert abs(first.bias[1] * unit - 0.734) < 1e-4
    if 0.734 / (10.0**exponent / 127 * program.input.scale) < 2**30:
        assert np.abs(first.weight[1]).max() == 127  # as the recipe left them
    else:
        assert abs(first.bias[1]) > 2**28 and np.abs(first.weight[1]).max() < 127
    assert (np.abs(first.weight[[0, 2]]).reshape(2, -1).max(1) == 127).all()  # and the others in any case
    for name, value in results(program, "integer", q).items():
        np.testing.assert_array_equal(value, ours[name], err_msg=name)


def test_weak_channels_lose_low_bits_of_their_weights():
    """Against the definition, and no bits more than the bias needs."""
    quantized = quantize(weak_net(1e-8), recipe(), [pictures()])
    program = lower(quantized, [pictures()])
    given, op = stored_weight(quantized[0]), program.operations[0]
    power = program.weight_scales["0"][1] / float(given.params.scale[1])
    assert power >= 2 and np.log2(power) % 1 == 0
    np.testing.assert_array_equal(op.weight[1], np.rint(given.codes[1].numpy() / power))
    assert 2**29 < 0.734 / (program.weight_scales["0"][1] * program.input.scale) <= 2**30


def test_one_scale_for_all_weights_cannot_be_raised():
    net = nn.Sequential(nn.Conv2d(2, 3, 3)).eval()
    with torch.no_grad():
        net[0].weight *= 1e-12
        net[0].bias.fill_(0.7)
    with pytest.raises(OverflowError, match="layer '0': the bias"):
        lower(quantize(net, recipe(granularity=PerTensor()), [pictures()]), [pictures()])


def conv_net(*rest):
    return nn.Sequential(nn.Conv2d(2, 4, 3), *rest).eval()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: quantize(net, recipe(), [pictures()]).train(), "eval mode"),
        (lambda net: net, "is not quantized"),
        (lambda net: quantize(net, Recipe(None, Quantizer(Asymmetric(8))), [pictures()]), "weight is not quantized"),
        (lambda net: quantize(net, Recipe(Quantizer(Symmetric(8)))), "input is not quantized"),
        (lambda net: quantize(net, Recipe(Quantizer(), Quantizer(Asymmetric(8)), dynamic=True)), "static"),
        (lambda net: quantize(net, recipe(activation=Asymmetric(12)), [pictures()]), "up to 8 bits"),
        (lambda net: quantize(net, recipe(10), [pictures()]), "2 to 8 bits"),
        (lambda net: quantize(net, recipe(granularity=PerBlock(1)), [pictures()]), "per tensor or per channel"),
        (
            lambda net: quantize(net, Recipe(Quantizer(Codebook((-1.0, 1.0))), Quantizer(Asymmetric(8))), [pictures()]),
            "Symmetric",
        ),
    ],
)
def test_quantizers_without_an_integer_form_are_named(original, change, message):
    with pytest.raises(ValueError, match=message):
        lower(change(original), [pictures()])


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ([nn.BatchNorm2d(4)], "fold it first"),
        ([nn.Sigmoid()], "Sigmoid"),
        ([nn.AdaptiveAvgPool2d(3)], "must divide"),
        ([nn.AvgPool2d(2, padding=1)], "padding"),
        ([nn.MaxPool2d(3, ceil_mode=True)], "ceil_mode"),
        ([nn.Conv2d(4, 4, 3, padding="same")], "padding"),
        ([nn.ZeroPad2d(1), nn.MaxPool2d(2)], "zeros of '1' must be read by convolutions"),
        ([nn.ZeroPad2d(1)], "zeros of '1' must be read by convolutions"),
        ([nn.ZeroPad2d((-1, 1, 0, 0)), nn.Conv2d(4, 4, 3)], "cuts off"),
    ],
)
def test_operations_without_an_integer_form_are_named(rest, message):
    net = conv_net(*rest)
    with pytest.raises(ValueError, match=message):
        lower(quantize(net, recipe(), [pictures()]), [pictures()])


def test_no_batches_no_program(original):
    quantized = quantize(original, RECIPES["channel"], [pictures()])
    with pytest.raises(ValueError, match="at least one batch"):
        lower(quantized, [])
    program = lower(quantized, [pictures()])
    with pytest.raises(ValueError, match="form"):
        program_to_onnx(program, "qoperator")
    with pytest.raises(ValueError, match="outputs"):
        program_to_onnx(program, outputs=["nothing"])
    with pytest.raises(ValueError, match="'input' is needed"):
        program_to_onnx(program, inputs=["left"])


def test_the_model_is_written_whole(original, tmp_path):
    program = lower(quantize(original, RECIPES["channel"], [pictures()]), [pictures()])
    data = program_to_onnx(program, path=tmp_path / "program.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["program.onnx"]
    assert (tmp_path / "program.onnx").read_bytes() == data


# --- the course's own networks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibration():
    return load_calibration(128).tensors()[0]


@pytest.mark.row("F1")
@pytest.mark.slow
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0)], ids=["tensor", "channel"])
@pytest.mark.parametrize("name", zoo.names())
def test_shipped_networks_are_equal_in_an_independent_engine(name, granularity, calibration):
    quantized = quantize(fold_batchnorm(zoo.load(name)), recipe(granularity=granularity), [calibration])
    program = lower(quantized, [calibration])
    x, labels = load_test()[:200].tensors()
    q = program.input.encode(x.numpy())
    ours = trace(program, q)
    for key, value in results(program, "integer", q).items():
        np.testing.assert_array_equal(value, ours[key], err_msg=key)
    answers = ours[program.operations[-1].name]
    assert (simulate(program, x, torch.float64).numpy().argmax(1) == answers.argmax(1)).mean() >= 0.995
    off, total = one_by_one(program, ours)  # a single tie may move what follows: so every operation on our codes
    assert off <= 1e-5 * total and total > 100_000
    qlinear = results(program, "qlinear", q)[program.operations[-1].name]
    assert (qlinear.argmax(1) == answers.argmax(1)).mean() >= 0.995
    with torch.no_grad():
        simulated = quantized(x).argmax(1).numpy()
    right = labels.numpy()
    if granularity == PerChannel(0):
        assert (simulated == answers.argmax(1)).mean() > 0.97
        assert abs((simulated == right).mean() - (answers.argmax(1) == right).mean()) < 0.02


@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_few_pictures_of_shipped_networks(name, calibration):
    quantized = quantize(fold_batchnorm(zoo.load(name)), recipe(), [calibration])
    program = lower(quantized, [calibration])
    x = load_test()[:16].tensors()[0]
    q = program.input.encode(x.numpy())
    ours = trace(program, q)
    for key, value in results(program, "integer", q).items():
        np.testing.assert_array_equal(value, ours[key], err_msg=key)
    for op in program.operations:
        if isinstance(op, Linear):
            wide = (
                torch.from_numpy(ours[op.sources[0]].astype(np.int64)) @ torch.from_numpy(op.weight.astype(np.int64)).T
            )
            np.testing.assert_array_equal(op.accumulate(ours[op.sources[0]]), wide.numpy() + op.bias)
    assert Fraction(program.output.scale) > 0


# --- a network that others made ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def efficientnet():
    calibration, x = (photographs(part, 1, size=64) for part in ("calibration", "test"))
    quantized = quantize(fold_batchnorm(load_efficientnet_lite0()), recipe(), [calibration])
    return quantized, lower(quantized, [calibration]), x


@pytest.mark.row("F1")
@pytest.mark.slow
def test_efficientnet_is_equal_in_an_independent_engine(efficientnet):
    _, program, x = efficientnet
    q = program.input.encode(x.numpy())
    ours = trace(program, q)
    for name, value in results(program, "integer", q).items():
        np.testing.assert_array_equal(value, ours[name], err_msg=name)
    last = program.operations[-1].name
    answers = program.output.decode(ours[last])
    for form in ("qlinear", "qdq"):
        assert sqnr_db(torch.from_numpy(answers), torch.from_numpy(results(program, form, q)[last])) > 22, form


@pytest.mark.slow
def test_efficientnet_is_its_simulation(efficientnet):
    quantized, program, x = efficientnet
    ours = trace(program, program.input.encode(x.numpy()))
    off, total = one_by_one(program, ours)
    assert off <= 3e-4 * total and total > 4_000_000  # the pooling keeps its scale: means of four codes do meet ties
    last = program.operations[-1].name
    answers = torch.from_numpy(program.output.decode(ours[last]))
    assert sqnr_db(simulate(program, x, torch.float64), answers) > 40
    with torch.no_grad():
        recipe, real = quantized(x).double(), load_efficientnet_lite0()(x).double()
    assert sqnr_db(recipe, answers) > 20  # the recipe keeps sums and means in floating point
    assert sqnr_db(real, answers) > sqnr_db(real, recipe) - 1


@pytest.mark.slow
def test_efficientnets_zeros_and_clips_are_in_its_convolutions(efficientnet):
    _, program, _ = efficientnet
    kinds = Counter(type(op).__name__ for op in program.operations)
    assert kinds == {"Conv2d": 49, "Add": 9, "AveragePool": 1, "Flatten": 1, "Linear": 1}
    strided = [op for op in program.operations if isinstance(op, Conv2d) and op.stride == (2, 2)]
    assert [op.padding for op in strided] == [(0, 0, 1, 1), (0, 0, 1, 1), (1, 1, 2, 2), (0, 0, 1, 1), (1, 1, 2, 2)]
    assert [program.shapes[op.name][1] for op in strided] == [32, 16, 8, 4, 2]
    assert str(program).count("pad top 0 left 0 bottom 1 right 1") == 3
    ends = [
        program.codes[op.name].decode(np.array([op.requantize.low, op.requantize.high]))
        for op in program.operations
        if isinstance(op, Conv2d)
    ]
    clipped = [(low, high) for low, high in ends if low == 0]
    assert len(clipped) == 33  # ReLU6 after all of them but the 16 linear projections
    assert max(high for _, high in clipped) < 6.02
