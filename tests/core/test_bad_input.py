"""Bad input gets the right answer or an error that teaches; never a wrong number."""

import numpy as np
import pytest
import torch

from qlab import (
    Asymmetric,
    Codebook,
    Fixed,
    Floor,
    MinMax,
    MovingAverage,
    Params,
    PerBlock,
    Percentile,
    PerChannel,
    PerGroup,
    QuantizedTensor,
    Quantizer,
    Symmetric,
    grids,
    pack,
    unpack,
)

REFERENCE = Quantizer(Symmetric(8), rounding=Floor())  # a rounding that the fast path does not know
FAST = Quantizer(Symmetric(8))


@pytest.mark.parametrize("quantizer", [REFERENCE, FAST])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.tensor([1.0, float("nan")]), ValueError, "x must be finite, got 1 NaN or infinite values among 2"),
        (torch.tensor([-float("inf"), 1.0, float("inf")]), ValueError, "got 2 NaN or infinite"),
        (torch.zeros(0), ValueError, r"x must not be empty, got shape \(0,\)"),
        (torch.zeros(3, 0), ValueError, "must not be empty"),
        (torch.arange(3), TypeError, "x must hold real numbers .* got torch.int64"),
        (torch.tensor([True]), TypeError, "got torch.bool"),
        (torch.zeros(2, dtype=torch.complex64), TypeError, "complex64"),
        (torch.ones(2).to(torch.float8_e4m3fn), TypeError, r"got torch.float8_e4m3fn; convert it first: x.float\(\)"),
        (np.zeros(3, np.float32), TypeError, "x must be a torch.Tensor, got ndarray"),
        ([1.0], TypeError, "got list"),
    ],
)
def test_tensors_that_no_quantizer_takes(quantizer, x, error, message):
    for run in (quantizer, quantizer.fake, quantizer.calibrate):
        with pytest.raises(error, match=message):
            run(x)


@pytest.mark.parametrize("bits", [0, 17, -1])
def test_bits_out_of_range(bits):
    for make in (Symmetric, Asymmetric):
        with pytest.raises(ValueError, match=f"bits must be an integer from 1 to 16, got {bits}"):
            make(bits)
    with pytest.raises(ValueError, match="got"):
        pack(torch.zeros(1, dtype=torch.int32), bits)


@pytest.mark.parametrize("bits", [8.0, "8", True, None])
def test_bits_of_the_wrong_type(bits):
    for make in (Symmetric, Asymmetric):
        with pytest.raises(TypeError, match="bits must be an integer"):
            make(bits)


def test_integers_of_numpy_are_integers(tmp_path):
    q = Quantizer(Symmetric(np.int64(4)), PerBlock(np.int32(2), np.int64(-1)))
    q(torch.ones(2, 4)).save(tmp_path / "w.safetensors")
    loaded = QuantizedTensor.load(tmp_path / "w.safetensors")
    assert (loaded.grid, loaded.granularity) == (Symmetric(4), PerBlock(2))


def test_one_bit():
    with pytest.raises(ValueError, match=r"Codebook\(\(-1.0, 1.0\)\)"):
        Symmetric(1)
    x = torch.tensor([0.0, 0.2, 0.9, 1.0])
    assert Quantizer(Asymmetric(1))(x).codes.tolist() == [0, 0, 1, 1]
    assert Quantizer(Symmetric(1, signed=False))(x).codes.tolist() == [0, 0, 1, 1]
    assert Quantizer(Codebook((-1.0, 1.0)))(torch.tensor([-3.0, 3.0])).dequantize().tolist() == [-3.0, 3.0]


def test_zero_dimensions():
    assert float(FAST.fake(torch.tensor(0.7))) == pytest.approx(0.7)
    assert FAST(torch.tensor(0.7)).codes.shape == ()
    with pytest.raises(ValueError, match="no axes"):
        Quantizer(Symmetric(8), PerChannel(0))(torch.tensor(0.7))


@pytest.mark.parametrize("grid", [Symmetric(8), Asymmetric(8), grids.E4M3, grids.NF4], ids=str)
def test_all_zero_and_all_equal(grid):
    q = Quantizer(grid)
    assert q.fake(torch.zeros(4)).tolist() == [0.0] * 4
    assert float(q.calibrate(torch.zeros(4)).scale) == 1  # any scale is right
    for value in (5.0, -5.0):
        torch.testing.assert_close(q.fake(torch.full((3,), value)), torch.full((3,), value), rtol=1e-6, atol=0)


@pytest.mark.parametrize("grid", [Symmetric(8), Asymmetric(8), Symmetric(16, restricted=False), grids.E5M2], ids=str)
def test_denormal_and_huge_ranges(grid):
    tiny = torch.tensor([-1e-40, 0.0, 1e-41])
    q = Quantizer(grid)
    r = q.fake(tiny)
    assert torch.isfinite(r).all()
    assert (r - tiny).abs().max() <= torch.finfo(torch.float32).tiny
    huge = torch.tensor([-3.3e38, 1e38, 3.3e38])
    r = q.fake(huge)
    assert torch.isfinite(r).all()
    assert ((r - huge).abs() <= q.calibrate(huge).scale * 0.51 + 0.13 * huge.abs()).all()


def test_a_range_whose_outermost_level_would_overflow_is_refused():
    with pytest.raises(ValueError, match="room for half a step"):
        Quantizer(Asymmetric(8))(torch.tensor([-3.4e38, 3.4e38]))


@pytest.mark.parametrize("low", [3.0, -9.0])
def test_ranges_that_do_not_hold_zero_are_widened_and_the_error_stays_bounded(low):
    x = torch.linspace(low, low + 1, 50)  # all positive, or all negative
    q = Quantizer(Asymmetric(8))
    p = q.calibrate(x)
    assert 0 <= -int(p.zero_point) <= 255
    assert (q.fake(x, p) - x).abs().max() <= float(p.scale) * 0.501
    assert float(q.fake(torch.zeros(1), p)) == 0


@pytest.mark.parametrize(
    ("granularity", "message"),
    [
        (PerChannel(2), "axis must lie in -2 … 1 for shape"),
        (PerChannel(-3), "axis must lie in"),
        (PerBlock(5), "size must divide the 8 elements on axis 1"),
        (PerGroup(4, 0), "channels must divide the 6 channels on axis 0"),
    ],
)
def test_granularity_that_does_not_fit(granularity, message):
    with pytest.raises(ValueError, match=message):
        Quantizer(Symmetric(8), granularity)(torch.ones(6, 8))


def test_groups_of_no_size():
    with pytest.raises(ValueError, match="size"):
        PerBlock(0)
    with pytest.raises(ValueError, match="channels"):
        PerGroup(0)
    with pytest.raises(TypeError, match="size"):
        PerBlock(2.5)
    for make in (PerChannel, lambda axis: PerGroup(1, axis), lambda axis: PerBlock(1, axis)):
        for axis in (0.0, None, True):
            with pytest.raises(TypeError, match="axis must be an integer"):
                make(axis)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_keep_their_type_and_bound(dtype):
    x = torch.linspace(-2, 3, 101).to(dtype)
    q = Quantizer(Asymmetric(8))
    r = q.fake(x)
    assert r.dtype == q(x).dequantize().dtype == dtype
    step = float(q.calibrate(x).scale)
    assert (r.double() - x.double()).abs().max() <= step / 2 + 3 * torch.finfo(dtype).eps


def test_views_are_quantized_like_copies():
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    for view in (x.t(), x[::2], x[:, 1:4], x.expand(2, 8, 6)):
        for q in (FAST, Quantizer(Asymmetric(4), PerChannel(-1))):
            assert torch.equal(q(view).codes, q(view.contiguous()).codes)
            assert torch.equal(q.fake(view), q.fake(view.contiguous()))


def test_outputs_that_cannot_take_the_result():
    x = torch.ones(4)
    for out in (torch.empty(5), torch.empty(4, dtype=torch.float64)):
        with pytest.raises(ValueError, match="out must have shape"):
            FAST.fake(x, out=out)
    with pytest.raises(ValueError, match="while a gradient is recorded"):
        FAST.fake(x.requires_grad_(), out=torch.empty(4))
    with pytest.raises(ValueError, match=r"torch\.int8"):
        FAST(x.detach(), out=torch.empty(4, dtype=torch.int32))


def test_parameters_for_another_shape():
    p = Params(torch.ones(3), torch.zeros(3, dtype=torch.int32))
    with pytest.raises(ValueError, match="params must hold 1 scales and zero points"):
        FAST.fake(torch.ones(4), p)


def test_arguments_are_never_changed():
    x = torch.randn(20, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    FAST(x), FAST.fake(x), REFERENCE.fake(x), FAST.calibrate(x)
    assert torch.equal(x, before)


def test_parts_of_the_wrong_kind():
    with pytest.raises(TypeError, match="grid must be a Grid"):
        Quantizer(8)
    with pytest.raises(TypeError, match="calibration must be a Calibration"):
        Quantizer(Symmetric(8), calibration=MinMax)  # the class, not an instance
    with pytest.raises(TypeError, match="rounding must be a Rounding"):
        Quantizer(Symmetric(8), rounding="nearest")
    with pytest.raises(ValueError, match="nothing has been observed"):
        FAST.params(None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Percentile(40), "percent must lie in"),
        (lambda: Percentile(101), "percent must lie in"),
        (lambda: MovingAverage(1.0), "momentum must lie in"),
        (lambda: Fixed(1, 2), "low ≤ 0 ≤ high"),
        (lambda: Fixed(0, 0), "low < high"),
        (lambda: Codebook((1.0,)), "levels must be"),
        (lambda: Codebook((1.0, 1.0)), "strictly increasing"),
        (lambda: Codebook((0.0, float("nan"))), "levels must be"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_packing_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="must lie in 0 … 15"):
        pack(torch.tensor([16]), 4)
    with pytest.raises(ValueError, match="must lie in 0 … 15"):
        pack(torch.tensor([-1]), 4)
    with pytest.raises(TypeError, match="integers"):
        pack(torch.tensor([1.0]), 4)
    with pytest.raises(ValueError, match="must hold 2 bytes for 3 codes of 4 bits, got 1"):
        unpack(torch.zeros(1, dtype=torch.uint8), 4, 3)
    with pytest.raises(TypeError, match="uint8"):
        unpack(torch.zeros(1), 4, 2)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("quantizer", [REFERENCE, FAST])
def test_scales_that_are_none(quantizer, bad):
    p = Params(torch.tensor([bad]), torch.zeros(1, dtype=torch.int32))
    for run in (quantizer, quantizer.fake):
        with pytest.raises(ValueError, match=r"params.scale must be positive and finite, got"):
            run(torch.tensor([0.0, 0.5]), p)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("quantizer", [REFERENCE, FAST])
def test_values_that_are_not_finite_are_refused_also_in_place(quantizer, bad):
    x = torch.tensor([0.5, bad, 0.1])
    p = quantizer.calibrate(torch.ones(1))
    with pytest.raises(ValueError, match="x must be finite"):
        quantizer.fake(x, p, out=x)


def test_in_place_is_allowed():
    x = torch.randn(50, generator=torch.Generator().manual_seed(0))
    expected, p = FAST.fake(x), FAST.calibrate(x)
    assert FAST.fake(x, p, out=x) is x
    assert torch.equal(x, expected)


@pytest.mark.parametrize("granularity", [PerChannel(0), PerBlock(2)], ids=str)
def test_zeros_stay_small_on_a_grid_without_zero(granularity):
    x = torch.zeros(2, 4)
    x[1] = 3.0
    r = Quantizer(Codebook((-1.0, 1.0)), granularity).fake(x)  # a dead channel of a binary network must not wake up
    assert r[0].abs().max() <= torch.finfo(torch.float32).tiny
    assert r[1].tolist() == [3.0] * 4


def test_codes_and_parameters_that_do_not_belong_together():
    codes = torch.ones(4, 4, dtype=torch.int8)
    for p in (
        Params(torch.ones(2), torch.zeros(2, dtype=torch.int32)),
        Params(torch.ones(4), torch.zeros(1, dtype=torch.int32)),
    ):
        with pytest.raises(ValueError, match="params must hold 4 scales and zero points"):
            QuantizedTensor(codes, p, Symmetric(8), PerChannel(0))


def test_an_out_that_is_a_view_is_filled():
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    for q in (FAST, REFERENCE, Quantizer(Asymmetric(4), PerChannel(1))):
        wide = torch.full((6, 16), 9.0)
        q.fake(x, out=wide[:, ::2])
        assert torch.equal(wide[:, ::2], q.fake(x))
        assert (wide[:, 1::2] == 9).all()
        stored = q(x)
        stored.dequantize(out=wide[:, 1::2])
        assert torch.equal(wide[:, 1::2], q.fake(x))
