"""qlab's quantizer against other people's: PyTorch, ONNX Runtime, torchao, ml_dtypes, bitsandbytes' table."""

import warnings

import ml_dtypes
import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from qlab import (
    Asymmetric,
    FloatingPoint,
    Params,
    PerBlock,
    PerChannel,
    PerTensor,
    Quantizer,
    Symmetric,
    Unscaled,
    from_torch_zero_point,
    grids,
    to_torch_zero_point,
)


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def power_of_two(params):
    """The same parameters with scales rounded up to powers of two: products and quotients by them are exact."""
    return Params(2.0 ** torch.ceil(torch.log2(params.scale)), params.zero_point)


@pytest.mark.row("Q2", "Q3", "Q4")
@pytest.mark.parametrize("grid", [Asymmetric(8), Symmetric(8), Symmetric(8, restricted=False), Asymmetric(3)])
def test_fake_quantization_is_pytorchs(grid):
    x, q = data(64, 96) + 0.3, Quantizer(grid)
    p = power_of_two(q.calibrate(x))
    zp, (low, high) = int(to_torch_zero_point(p.zero_point)), grid.code_range
    # PyTorch multiplies by 1/S where we divide by S: equal to the bit for powers of two.
    expected = torch.fake_quantize_per_tensor_affine(x, float(p.scale), zp, low, high)
    assert torch.equal(q.fake(x, p), expected)


@pytest.mark.row("Q2", "Q7")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_fake_quantization_per_channel_is_pytorchs(axis):
    x, q = data(6, 10, 7), Quantizer(Asymmetric(8), PerChannel(axis))
    p = power_of_two(q.calibrate(x))
    zp = to_torch_zero_point(p.zero_point)
    expected = torch.fake_quantize_per_channel_affine(x, p.scale, zp, axis, 0, 255)
    assert torch.equal(q.fake(x, p), expected)


@pytest.mark.row("Q2")
def test_other_scales_differ_from_pytorch_by_ties_only():
    x, q = data(200_000), Quantizer(Symmetric(8))
    p = q.calibrate(x)
    ours = q.fake(x, p)
    theirs = torch.fake_quantize_per_tensor_affine(x, float(p.scale), 0, -127, 127)
    differ = (ours - theirs).abs() > 1e-6
    assert differ.sum() <= 5
    at_a_tie = ((x / p.scale).abs() % 1 - 0.5).abs() < 1e-4
    assert bool(at_a_tie[differ].all())


@pytest.mark.row("T1")
def test_the_gradient_is_pytorchs():
    x = (4 * data(500)).requires_grad_()
    q = Quantizer(Symmetric(4))
    p = Params(torch.tensor([0.5]), torch.zeros(1, dtype=torch.int32))
    upstream = data(500, seed=1)
    (ours,) = torch.autograd.grad(q.fake(x, p), x, upstream)
    (theirs,) = torch.autograd.grad(torch.fake_quantize_per_tensor_affine(x, 0.5, 0, -7, 7), x, upstream)
    assert torch.equal(ours, theirs)
    assert 0 < (ours == 0).sum() < 500


@pytest.mark.row("Q2")
def test_codes_are_those_of_pytorchs_quantized_tensors():
    x = data(50, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        q = Quantizer(Asymmetric(8))
        p = power_of_two(q.calibrate(x))
        theirs = torch.quantize_per_tensor(x, float(p.scale), int(to_torch_zero_point(p.zero_point)), torch.quint8)
        assert torch.equal(q(x, p).codes, theirs.int_repr())
        assert torch.equal(q(x, p).dequantize(), theirs.dequantize())
        c = Quantizer(Symmetric(8, restricted=False), PerChannel(0))
        p = power_of_two(c.calibrate(x))
        zero = torch.zeros(50, dtype=torch.int64)
        theirs = torch.quantize_per_channel(x, p.scale.double(), zero, 0, torch.qint8)
        assert torch.equal(c(x, p).codes, theirs.int_repr())
        a = Quantizer(Asymmetric(8), PerChannel(1))
        p = power_of_two(a.calibrate(x))
        zero = to_torch_zero_point(p.zero_point).long()
        theirs = torch.quantize_per_channel(x, p.scale.double(), zero, 1, torch.quint8)
        assert torch.equal(a(x, p).codes, theirs.int_repr())
        torch.testing.assert_close(a(x, p).dequantize(), theirs.dequantize(), rtol=0, atol=0)


@pytest.mark.row("Q2")
@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(-20, 20), st.integers(0, 255), st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=40))
def test_our_sign_of_the_zero_point_is_minus_theirs_for_every_scale_and_value(exponent, zp, numbers):
    x, s = torch.tensor(numbers, dtype=torch.float32), 2.0**exponent
    theirs = (torch.round(x / s) + zp).clamp(0, 255)  # PyTorch, ONNX: q = clip(round(r/S) + zp), r̃ = S·(q − zp)
    p = Params(torch.tensor([s]), from_torch_zero_point(torch.tensor([zp], dtype=torch.int32)))
    stored = Quantizer(Asymmetric(8))(x, p)
    assert torch.equal(stored.codes.float(), theirs)
    assert torch.equal(stored.dequantize(), s * (theirs - zp))
    assert torch.equal(stored.dequantize(), torch.fake_quantize_per_tensor_affine(x, s, zp, 0, 255))


@pytest.mark.row("Q2")
def test_the_sign_of_the_zero_point_turns_and_turns_back():
    z = torch.tensor([-200, 0, 13], dtype=torch.int32)
    assert torch.equal(from_torch_zero_point(to_torch_zero_point(z)), z)
    x, q = data(1000), Quantizer(Asymmetric(8))
    p = q.calibrate(x)
    assert (to_torch_zero_point(p.zero_point) >= 0).all()  # theirs lies among the codes 0 … 255, ours is minus that
    assert (to_torch_zero_point(p.zero_point) <= 255).all()


KINDS = {
    "uint4": (Asymmetric(4), TensorProto.UINT4),
    "int4": (Symmetric(4, restricted=False), TensorProto.INT4),
    "uint8": (Asymmetric(8), TensorProto.UINT8),
    "int8": (Symmetric(8, restricted=False), TensorProto.INT8),
    "uint16": (Asymmetric(16), TensorProto.UINT16),
    "int16": (Symmetric(16, restricted=False), TensorProto.INT16),
}


def onnx_quantize_dequantize(x, kind, scale, zp, **attributes):
    """Return codes and values of ONNX Runtime's QuantizeLinear and DequantizeLinear, with its optimizations off."""
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
            helper.make_node("Cast", ["q"], ["codes"], to=TensorProto.INT32),
        ],
        "peer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [
            helper.make_tensor_value_info("codes", TensorProto.INT32, x.shape),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape),
        ],
        [
            helper.make_tensor("s", TensorProto.FLOAT, scale.shape, scale.flatten().tolist()),
            helper.make_tensor("z", kind, zp.shape, zp.flatten().tolist()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options).run(["codes", "y"], {"x": x.numpy()})


@pytest.mark.row("Q2", "Q3", "Q7")
@pytest.mark.parametrize("rows", ["tensor", "axis 0", "axis 1", "blocks"])
@pytest.mark.parametrize("name", KINDS)
def test_codes_and_values_are_onnx_runtimes_to_the_bit(name, rows):
    grid, kind = KINDS[name]
    granularity, shape, attributes = {
        "tensor": (PerTensor(), (), {}),
        "axis 0": (PerChannel(0), (16,), {"axis": 0}),
        "axis 1": (PerChannel(1), (64,), {"axis": 1}),
        "blocks": (PerBlock(16), (16, 4), {"axis": 1, "block_size": 16}),
    }[rows]
    x = 3 * data(16, 64, seed=4) + 0.7
    q = Quantizer(grid, granularity)
    for p in (q.calibrate(x), q.calibrate(x / 3)):  # the second one clips
        stored = q(x, p)
        zp = to_torch_zero_point(p.zero_point)
        codes, values = onnx_quantize_dequantize(x, kind, p.scale.reshape(shape), zp.reshape(shape), **attributes)
        np.testing.assert_array_equal(stored.codes.int().numpy(), codes)
        np.testing.assert_array_equal(stored.dequantize().numpy(), values)


@pytest.mark.row("Q2")
def test_ties_are_onnx_runtimes():
    p = Params(torch.tensor([0.25]), torch.tensor([-100], dtype=torch.int32))
    x = torch.arange(-120.5, 170) / 4
    codes, values = onnx_quantize_dequantize(x, TensorProto.UINT8, p.scale[0], to_torch_zero_point(p.zero_point)[0])
    stored = Quantizer(Asymmetric(8))(x, p)
    np.testing.assert_array_equal(stored.codes.int().numpy(), codes)
    np.testing.assert_array_equal(stored.dequantize().numpy(), values)


@pytest.mark.row("Q2", "Q4")
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_brevitas_integer_quantizer_agrees_to_the_bit(bits):
    from brevitas.core.function_wrapper import RoundSte, TensorClamp
    from brevitas.core.quant import IntQuant

    x = data(4000, seed=6)
    for grid, narrow, signed in (
        (Symmetric(bits), True, True),
        (Symmetric(bits, restricted=False), False, True),
        (Asymmetric(bits), False, False),
    ):
        theirs = IntQuant(narrow, signed, torch.nn.Identity(), RoundSte(), TensorClamp())
        q = Quantizer(grid)
        p = q.calibrate(x / 2)
        zp = to_torch_zero_point(p.zero_point)[0].float()
        assert torch.equal(q.fake(x, p), theirs(p.scale[0], zp, torch.tensor(float(bits)), x))


@pytest.mark.row("Q4", "Q7")
def test_torchaos_primitives_agree():
    from torchao.quantization.quant_primitives import (
        MappingType,
        choose_qparams_affine,
        dequantize_affine,
        quantize_affine,
    )

    x = data(32, 64, seed=5)
    q = Quantizer(Asymmetric(8), PerBlock(32))
    stored = q(x)
    scale, zp = choose_qparams_affine(x, MappingType.ASYMMETRIC, (1, 32), torch.uint8, 0, 255, eps=1e-12)
    torch.testing.assert_close(stored.params.scale, scale.flatten(), rtol=1e-6, atol=0)
    assert (to_torch_zero_point(stored.params.zero_point) - zp.flatten()).abs().max() <= 1
    ours = Params(stored.params.scale, stored.params.zero_point)
    zp = to_torch_zero_point(ours.zero_point).reshape(32, 2)
    codes = quantize_affine(x, (1, 32), ours.scale.reshape(32, 2), zp, torch.uint8, 0, 255)
    assert (codes.int() - stored.codes.int()).abs().max() <= 1  # it multiplies by 1/S: ties may fall the other way
    assert (codes != stored.codes).float().mean() < 1e-3
    values = dequantize_affine(codes, (1, 32), ours.scale.reshape(32, 2), zp, torch.uint8, 0, 255)
    same = codes == stored.codes
    torch.testing.assert_close(values[same], stored.dequantize()[same])


FORMATS = {
    "FP16": (grids.FP16, np.float16),
    "BF16": (grids.BF16, ml_dtypes.bfloat16),
    "E5M2": (grids.E5M2, ml_dtypes.float8_e5m2),
    "E4M3": (grids.E4M3, ml_dtypes.float8_e4m3fn),
    "E3M2": (grids.E3M2, ml_dtypes.float6_e3m2fn),
    "E2M3": (grids.E2M3, ml_dtypes.float6_e2m3fn),
    "E2M1": (grids.E2M1, ml_dtypes.float4_e2m1fn),
}


@pytest.mark.row("Q11")
@pytest.mark.parametrize("name", FORMATS)
def test_every_level_of_a_float_format_is_ml_dtypes(name):
    grid, dtype = FORMATS[name]
    patterns = np.arange(grid.top + 1)
    raw = patterns.astype(np.uint16 if grid.width > 8 else np.uint8)
    expected = raw.view(dtype).astype(np.float64)
    np.testing.assert_array_equal(grid.level(torch.from_numpy(patterns)).numpy(), expected)
    np.testing.assert_array_equal(grid.level(torch.from_numpy(-patterns)).numpy(), -expected)
    assert grid.unit_range[1] == float(ml_dtypes.finfo(dtype).max)
    assert grid.width == (16 if name.endswith("16") else 1 + int(name[1]) + int(name[3]))


@pytest.mark.row("Q11")
@pytest.mark.parametrize("name", FORMATS)
def test_rounding_to_a_float_format_is_ml_dtypes_to_the_bit(name):
    grid, dtype = FORMATS[name]
    levels = grid.level(torch.arange(-grid.top, grid.top + 1)).float()
    middle = (levels[1:].double() + levels[:-1].double()) / 2
    exact = middle.float()[middle.float().double() == middle]  # ties that float32 can hold
    beside = torch.cat([torch.nextafter(exact, exact + 1), torch.nextafter(exact, exact - 1)])
    spread = torch.exp2(60 * torch.rand(20_000, generator=torch.Generator().manual_seed(0)) - 30)
    x = torch.cat([levels, exact, beside, spread, -spread]).float()
    x = x[x.abs() <= grid.unit_range[1]]
    ours = Quantizer(grid, calibration=Unscaled()).fake(x)
    theirs = torch.from_numpy(x.numpy().astype(dtype).astype(np.float32))
    assert torch.equal(ours, theirs)


@pytest.mark.row("Q4", "Q7")
@pytest.mark.parametrize("bits", [4, 8])
def test_torchaos_symmetric_scales_are_ours_in_full_range(bits):
    from torchao.quantization.quant_primitives import MappingType, choose_qparams_affine

    x = data(32, 64, seed=5)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for block, granularity in (((1, 64), PerChannel(0)), ((1, 16), PerBlock(16)), ((32, 64), PerTensor())):
        scale, zp = choose_qparams_affine(x, MappingType.SYMMETRIC, block, torch.int8, low, high, eps=1e-12)
        ours = Quantizer(Symmetric(bits, restricted=False), granularity).calibrate(x)
        torch.testing.assert_close(ours.scale, scale.flatten(), rtol=1e-6, atol=0)  # max|r|/((2^b − 1)/2)
        assert not zp.any()
        assert not ours.zero_point.any()


@pytest.mark.row("Q11")
@pytest.mark.parametrize("name", ["E4M3", "E5M2", "E3M2", "E2M3", "E2M1"])
def test_every_half_precision_number_is_cast_as_ml_dtypes_casts_it(name):
    grid, dtype = FORMATS[name]
    x = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16)
    x = x[np.isfinite(x) & (np.abs(x.astype(np.float64)) <= grid.unit_range[1])]
    stored = Quantizer(grid, calibration=Unscaled())(torch.from_numpy(x))
    theirs = x.astype(dtype)
    np.testing.assert_array_equal(stored.dequantize().numpy(), theirs.astype(np.float16))
    # Our code ±k is the magnitude's own bit pattern.
    patterns = theirs.view(np.uint8) & ((1 << (grid.width - 1)) - 1)
    np.testing.assert_array_equal(stored.codes.abs().numpy(), patterns)


@pytest.mark.row("Q11")
@pytest.mark.parametrize(("name", "kernel"), [("E2M1", "f4"), ("E3M2", "f6_e3m2"), ("E2M3", "f6_e2m3")])
def test_torchaos_microscaling_casts_saturate_like_ours(name, kernel):
    from torchao.prototype.mx_formats import kernels

    to, back = getattr(kernels, f"f32_to_{kernel}_unpacked"), getattr(kernels, f"{kernel}_unpacked_to_f32")
    x = torch.cat([40 * data(20_000, seed=8), data(20_000, seed=9)])
    assert torch.equal(Quantizer(FORMATS[name][0], calibration=Unscaled()).fake(x), back(to(x)))


@pytest.mark.row("Q11")
def test_casts_are_pytorchs_and_what_lies_beyond_saturates():
    x = torch.cat([data(5000) * 100, torch.tensor([1e-9, -3e-5, 0.0])])
    for grid, dtype in (
        (grids.E4M3, torch.float8_e4m3fn),
        (grids.E5M2, torch.float8_e5m2),
        (grids.BF16, torch.bfloat16),
    ):
        assert torch.equal(Quantizer(grid, calibration=Unscaled()).fake(x), x.to(dtype).float())
    assert Quantizer(grids.E4M3, calibration=Unscaled()).fake(torch.tensor([1e6, -1e6])).tolist() == [448.0, -448.0]
    assert isinstance(grids.E4M3, FloatingPoint)


@pytest.mark.row("Q9")
def test_nf4_is_made_of_the_normals_quantiles():
    from scipy.stats import norm

    # QLoRA, appendix E: eight positive and seven negative quantiles, equally spaced in probability, and zero.
    offset = 0.9677083
    positive = norm.ppf(np.linspace(offset, 0.5, 9)[:-1])
    negative = -norm.ppf(np.linspace(offset, 0.5, 8)[:-1])
    levels = np.sort(np.concatenate([positive, [0.0], negative]))
    np.testing.assert_allclose(grids.NF4.levels, levels / levels.max(), atol=1e-6)
