"""What must hold for every quantizer, on whatever Hypothesis can think of."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open

from qlab import (
    AdditivePowersOfTwo,
    Asymmetric,
    Codebook,
    Floor,
    HalfAway,
    Nearest,
    Params,
    PerBlock,
    PerChannel,
    PerGroup,
    PerTensor,
    PowersOfTwo,
    QuantizedTensor,
    Quantizer,
    Stochastic,
    Symmetric,
    TowardZero,
    grids,
    pack,
    unpack,
)
from qlab.packing import packed_bytes

values = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
tensors = hnp.arrays(np.float32, st.integers(2, 60), elements=values).map(torch.from_numpy)
uniform = st.one_of(
    st.builds(Asymmetric, st.integers(1, 12)),
    st.builds(Symmetric, st.integers(2, 12), st.booleans()),
)
any_grid = st.one_of(
    uniform,
    st.sampled_from([grids.E4M3, grids.E5M2, grids.E2M1, grids.E3M2, grids.NF4, Codebook((-1.0, 1.0))]),
    st.sampled_from([PowersOfTwo(2), PowersOfTwo(5), AdditivePowersOfTwo(4), AdditivePowersOfTwo(7)]),
)
settings.register_profile("qlab", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("qlab")


@pytest.mark.row("Q3")
@given(tensors, any_grid)
def test_quantizing_twice_is_quantizing_once(x, grid):
    q = Quantizer(grid)
    p = q.calibrate(x)
    once = q(x, p)
    twice = q(once.dequantize(), p)
    assert torch.equal(twice.codes, once.codes)
    assert torch.equal(twice.dequantize(), once.dequantize())


@pytest.mark.row("Q2")
@given(tensors, any_grid, st.sampled_from([Nearest(), Floor(), HalfAway(), TowardZero()]))
def test_order_is_kept_and_codes_stay_in_range(x, grid, rounding):
    codes = Quantizer(grid, rounding=rounding)(x).codes.to(torch.int64)[torch.argsort(x)]
    assert (codes.diff() >= 0).all()
    assert grid.code_range[0] <= int(codes.min()) <= int(codes.max()) <= grid.code_range[1]


@pytest.mark.row("Q2", "Q4")
@given(tensors, uniform)
def test_inside_the_range_the_error_is_at_most_half_a_step(x, grid):
    q = Quantizer(grid)
    p = q.calibrate(x)
    error = (q.fake(x, p).double() - x.double()).abs().max()
    rounding_of_floats = 4 * torch.finfo(torch.float32).eps * float(x.abs().max())
    assert error <= float(p.scale) / 2 * (1 + 1e-4) + rounding_of_floats


@pytest.mark.row("Q4")
@given(tensors, uniform)
def test_zero_stays_zero(x, grid):
    q = Quantizer(grid)
    assert float(q.fake(torch.zeros(1), q.calibrate(x))) == 0


granularities = st.sampled_from(
    [PerTensor(), PerChannel(0), PerChannel(1), PerChannel(-1), PerGroup(2, 1), PerBlock(3), PerBlock(2, axis=1)]
)
boxes = hnp.arrays(np.float32, (3, 4, 6), elements=values).map(torch.from_numpy)


@pytest.mark.row("Q7")
@given(boxes, any_grid, granularities, st.sampled_from([Nearest(), Floor(), HalfAway(), TowardZero()]))
def test_every_row_is_quantized_as_if_alone(x, grid, granularity, rounding):
    q, alone = Quantizer(grid, granularity, rounding=rounding), Quantizer(grid, rounding=rounding)
    stored = q(x)
    rows, values = granularity.rows(x), granularity.rows(stored.dequantize())
    for k in range(granularity.count((3, 4, 6))):
        assert torch.equal(alone(rows[k]).dequantize(), values[k])
    assert torch.equal(q.fake(x), stored.dequantize())
    assert stored.codes.shape == x.shape


@pytest.mark.row("Q2", "Q3")
@given(boxes, any_grid, granularities)
def test_no_level_is_nearer_than_the_one_that_nearest_picks(x, grid, granularity):
    q = Quantizer(grid, granularity)
    p = q.calibrate(x)
    rows, r = granularity.rows(x).double(), granularity.rows(q.fake(x, p)).double()
    codes = torch.arange(grid.code_range[0], grid.code_range[1] + 1)
    for row, picked, s, z in zip(rows, r, p.scale.double(), p.zero_point, strict=True):
        levels = s * grid.level(codes + z).double()
        best = (row[:, None] - levels).abs().amin(1)
        slack = 1e-6 * row.abs().max() + 1e-30
        assert ((row - picked).abs() <= best + slack).all()


@pytest.mark.row("Q3")
@given(tensors, any_grid, st.sampled_from([Floor(), TowardZero(), HalfAway()]))
def test_other_roundings_stay_within_a_step_and_keep_their_side(x, grid, rounding):
    q = Quantizer(grid, rounding=rounding)
    p = q.calibrate(x)
    levels = (
        p.scale.double()
        * grid.level(torch.arange(grid.code_range[0], grid.code_range[1] + 1) + p.zero_point[:, None])
        .double()
        .flatten()
    )
    r, x = q.fake(x, p).double(), x.double()
    slack = 1e-5 * x.abs().max() + 1e-30
    inside = (x >= levels[0]) & (x <= levels[-1])
    assert ((r - x).abs()[inside] <= levels.diff().max() + slack).all()
    if rounding == Floor():
        assert (r[inside] <= x[inside] + slack).all()
    if rounding == TowardZero() and not isinstance(grid, Codebook):
        assert (r[inside].abs() <= x[inside].abs() + slack).all()


@pytest.mark.row("Q4")
@given(tensors, st.integers(2, 12))
def test_restricted_symmetric_codes_are_odd(x, bits):
    q = Quantizer(Symmetric(bits))
    assert torch.equal(q(-x).codes, -q(x).codes)


@pytest.mark.row("Q3")
@given(values.filter(lambda v: abs(v) > 1e-30), uniform)
def test_a_constant_tensor_comes_back_as_itself(value, grid):
    if isinstance(grid, Symmetric) and not grid.restricted:
        grid = Symmetric(grid.bits)  # its full range cannot hold +max exactly: half a step is its law
    x = torch.full((5,), value)
    torch.testing.assert_close(Quantizer(grid).fake(x), x, rtol=1e-6, atol=0)


@pytest.mark.row("Q4")
@given(tensors, st.sampled_from([grids.E4M3, grids.E5M2, grids.E2M1, grids.FP16, grids.BF16]))
def test_float_grids_are_odd(x, grid):
    q = Quantizer(grid)
    assert torch.equal(q.fake(-x), -q.fake(x))


@pytest.mark.row("G1")
def test_stochastic_codes_repeat_with_the_seed_and_never_leave_the_neighbours():
    x = torch.randn(500, generator=torch.Generator().manual_seed(1))
    runs = [Quantizer(Symmetric(5), rounding=Stochastic(torch.Generator().manual_seed(s)))(x).codes for s in (7, 7, 8)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    t = x / Quantizer(Symmetric(5)).calibrate(x).scale
    assert ((runs[0] - t).abs() < 1 + 1e-5).all()


@pytest.mark.row("G1")
@pytest.mark.parametrize("t", [0.1, 0.5, 0.75, -1.3])
@pytest.mark.parametrize("grid", [Symmetric(8), Codebook((-4.0, -3.0, -1.0, 0.0, 1.0, 3.0)), grids.E3M2], ids=str)
def test_stochastic_rounding_is_right_on_average_with_the_variance_of_a_coin(t, grid):
    q = Quantizer(grid, rounding=Stochastic(torch.Generator().manual_seed(0)))
    p = Quantizer(grid).calibrate(torch.tensor(grid.unit_range))  # S = 1
    n = 40_000
    r = q.fake(torch.full((n,), t), p).double()
    low, high = r.min(), r.max()
    variance = (high - t) * (t - low) if high > low else torch.tensor(0.0)  # (step)²·f(1 − f)
    assert abs(float(r.mean()) - t) <= 5 * math.sqrt(float(variance) / n) + 1e-6
    assert float(r.var()) == pytest.approx(float(variance), rel=0.05, abs=1e-9)
    assert len(r.unique()) <= 2


@pytest.mark.row("C5")
@given(st.integers(1, 16), st.data())
def test_packing_is_exact_and_wastes_less_than_a_byte(bits, data):
    codes = data.draw(hnp.arrays(np.int32, st.integers(0, 50), elements=st.integers(0, 2**bits - 1)))
    codes = torch.from_numpy(codes)
    packed = pack(codes, bits)
    assert packed.dtype == torch.uint8
    assert len(packed) == packed_bytes(len(codes), bits) == -(-len(codes) * bits // 8)
    assert torch.equal(unpack(packed, bits, len(codes)), codes)


def test_packing_by_hand():
    # 5-bit codes 1, 2, 31: 00001 00010 11111 from the lowest bit up -> 0b10000001·… read as little-endian bytes
    stream = 1 | 2 << 5 | 31 << 10
    assert pack(torch.tensor([1, 2, 31]), 5).tolist() == [stream & 255, stream >> 8]


GRIDS = [Asymmetric(16), Asymmetric(3), Symmetric(4), Symmetric(16), grids.FP16, grids.E2M1, grids.NF4]


@pytest.mark.row("C5", "Q7")
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1), PerBlock(4), PerBlock(3, axis=0)], ids=str)
def test_saved_tensors_come_back_and_bytes_are_counted_truly(grid, granularity, tmp_path):
    x = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(2))
    stored = Quantizer(grid, granularity)(x)
    stored.save(tmp_path / "w.safetensors")
    loaded = QuantizedTensor.load(tmp_path / "w.safetensors")
    assert torch.equal(loaded.codes, stored.codes)
    assert loaded.codes.dtype == stored.codes.dtype
    assert torch.equal(loaded.dequantize(), stored.dequantize())
    assert (loaded.grid, loaded.granularity) == (grid, granularity)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        tensors = sum(file.get_tensor(k).nbytes for k in file.keys())  # noqa: SIM118
    assert stored.nbytes == tensors + (4 * len(grid.levels) if isinstance(grid, Codebook) else 0)
    scales = 4 * granularity.count((6, 5, 8))
    zero_points = packed_bytes(granularity.count((6, 5, 8)), grid.width) if isinstance(grid, Asymmetric) else 0
    table = 4 * len(grid.levels) if isinstance(grid, Codebook) else 0
    assert stored.nbytes == stored.pack().numel() + scales + zero_points + table
    assert stored.bits_per_value == 8 * stored.nbytes / 240


@pytest.mark.row("C5")
def test_double_precision_scales_are_counted_and_come_back(tmp_path):
    x = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stored = Quantizer(Asymmetric(4), PerChannel(0))(x)
    assert stored.params.scale.dtype == torch.float64
    assert stored.nbytes == 18 + 4 * 8 + 2
    stored.save(tmp_path / "w.safetensors")
    assert torch.equal(QuantizedTensor.load(tmp_path / "w.safetensors").dequantize(), stored.dequantize())


@pytest.mark.row("Q2", "C5")
def test_zero_points_from_elsewhere_that_are_no_code_cannot_be_packed(tmp_path):
    p = Params(torch.ones(1), torch.tensor([5], dtype=torch.int32))  # 0 has no code: no calibration makes this
    stored = Quantizer(Asymmetric(4))(torch.arange(5.0, 20.0), p)
    assert stored.dequantize().tolist() == list(range(5, 20))
    with pytest.raises(ValueError, match=r"zero points must lie in −15 … 0"):
        stored.save(tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="written by"):
        QuantizedTensor.load(tmp_path / "x.safetensors")


@pytest.mark.row("Q7")
@pytest.mark.parametrize(
    "granularity",
    [PerTensor(), *(PerChannel(a) for a in (0, 1, 2, -1)), PerGroup(2, 1), PerBlock(3), PerBlock(2, 1), PerBlock(2, 0)],
    ids=str,
)
def test_rows_and_back_also_for_views(granularity):
    for x in (torch.arange(48.0).reshape(2, 4, 6), torch.arange(48.0).reshape(6, 4, 2).permute(2, 1, 0)):
        rows = granularity.rows(x)
        assert rows.shape == (granularity.count(tuple(x.shape)), 48 // granularity.count(tuple(x.shape)))
        assert torch.equal(granularity.unrows(rows, tuple(x.shape)), x)


@pytest.mark.row("Q7")
def test_rows_hold_the_elements_that_share_a_scale():
    x = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(PerChannel(1).rows(x)[2], x[:, 2].flatten())
    assert torch.equal(PerBlock(2).rows(x)[1], x[0, 0, 2:])
    assert torch.equal(PerBlock(3, axis=1).rows(x)[0], x[0, :, 0])
    assert torch.equal(PerGroup(2, axis=2).rows(x)[1], x[:, :, 2:].flatten())
    finer = [Quantizer(Symmetric(4), g)(torch.randn(8, 64)).dequantize() for g in (PerTensor(), PerChannel(0))]
    assert finer[0].shape == finer[1].shape


@pytest.mark.row("Q4")
def test_scale_and_zero_point_by_hand():
    x = torch.tensor([-1.0, 0.0, 3.0])
    s, z = Quantizer(Asymmetric(2)).calibrate(x)
    assert float(s) == pytest.approx(4 / 3)
    assert int(z) == -1  # Int(−1/(4/3)) = Int(−0.75)
    assert Quantizer(Asymmetric(2))(x).codes.tolist() == [0, 1, 3]
    assert float(Quantizer(Symmetric(8)).calibrate(x).scale) == pytest.approx(3 / 127)
    assert float(Quantizer(Symmetric(8, restricted=False)).calibrate(x).scale) == pytest.approx(6 / 255)
    assert float(Quantizer(Symmetric(8, signed=False)).calibrate(x).scale) == pytest.approx(3 / 255)


@pytest.mark.row("Q2")
def test_rounding_modes_where_they_differ():
    t = torch.tensor([0.5, 1.5, -0.5, -1.5, 0.49999997, 2.3, -2.7])
    assert Nearest()(t).tolist() == [0, 2, 0, -2, 0, 2, -3]
    assert HalfAway()(t).tolist() == [1, 2, -1, -2, 0, 2, -3]
    assert Floor()(t).tolist() == [0, 1, -1, -2, 0, 2, -3]
    assert TowardZero()(t).tolist() == [0, 1, 0, -1, 0, 2, -2]
