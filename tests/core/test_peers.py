"""qlab's quantizer against other people's: PyTorch, ONNX Runtime, torchao, ml_dtypes, bitsandbytes' table."""

import warnings

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from qlab import (
    Asymmetric,
    FloatingPoint,
    Params,
    PerBlock,
    PerChannel,
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


@pytest.mark.row("Q2")
def test_the_sign_of_the_zero_point_turns_and_turns_back():
    z = torch.tensor([-200, 0, 13], dtype=torch.int32)
    assert torch.equal(from_torch_zero_point(to_torch_zero_point(z)), z)
    x, q = data(1000), Quantizer(Asymmetric(8))
    p = q.calibrate(x)
    assert (to_torch_zero_point(p.zero_point) >= 0).all()  # theirs lies among the codes 0 … 255, ours is minus that
    assert (to_torch_zero_point(p.zero_point) <= 255).all()


def onnx_quantize_dequantize(x, scale, zero_point, axis=1, block=0):
    """Return codes and values of ONNX Runtime's QuantizeLinear and DequantizeLinear."""
    attributes = {"axis": axis} | ({"block_size": block} if block else {})
    kinds = {np.dtype("uint8"): TensorProto.UINT8, np.dtype("int8"): TensorProto.INT8}
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
        ],
        "peer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [
            helper.make_tensor_value_info("q", kinds[zero_point.dtype], x.shape),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape),
        ],
        [onnx.numpy_helper.from_array(scale, "s"), onnx.numpy_helper.from_array(zero_point, "z")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options).run(["q", "y"], {"x": x})


@pytest.mark.row("Q2", "Q3", "Q7")
@pytest.mark.parametrize("kind", ["uint8 tensor", "int8 tensor", "uint8 channel", "int8 channel", "int8 block"])
def test_codes_and_values_are_onnx_runtimes_to_the_bit(kind):
    x = 3 * data(16, 64, seed=4) + 0.7
    dtype, rows = kind.split()
    grid = Asymmetric(8) if dtype == "uint8" else Symmetric(8, restricted=False)
    granularity = {"tensor": None, "channel": PerChannel(0), "block": PerBlock(16)}[rows]
    q = Quantizer(grid) if granularity is None else Quantizer(grid, granularity)
    stored = q(x)
    scale = stored.params.scale.numpy()
    zero = to_torch_zero_point(stored.params.zero_point).numpy().astype(dtype)
    if rows == "tensor":
        codes, values = onnx_quantize_dequantize(x.numpy(), scale[0], zero[0].reshape(()))
    elif rows == "channel":
        codes, values = onnx_quantize_dequantize(x.numpy(), scale, zero, axis=0)
    else:
        codes, values = onnx_quantize_dequantize(x.numpy(), scale.reshape(16, 4), zero.reshape(16, 4), 1, 16)
    np.testing.assert_array_equal(stored.codes.numpy(), codes)
    np.testing.assert_array_equal(stored.dequantize().numpy(), values)


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
