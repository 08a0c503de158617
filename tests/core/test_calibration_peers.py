"""Clipping ranges against brute force, closed forms, published multipliers and a second implementation."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from qlab import (
    ACIQ,
    MSE,
    Asymmetric,
    Codebook,
    Entropy,
    Fixed,
    MinMax,
    MovingAverage,
    Percentile,
    PerChannel,
    Quantizer,
    Symmetric,
    Unscaled,
    grids,
)
from qlab.calibration import Range, Sample
from qlab.quantizer import reconstruct, scales
from qlab.rounding import Nearest

pytestmark = pytest.mark.row("Q5")


def laplace(n, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).laplace(size=n)).float()[None]


def squared_error(rows, grid, low, high):
    clip = Range(torch.tensor([low]), torch.tensor([high]))
    return float((reconstruct(rows, scales(grid, clip), grid, Nearest()) - rows).double().square().sum())


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_mse_is_the_best_of_its_candidates_and_near_the_global_best(bits):
    rows, grid = laplace(4000), Symmetric(bits)
    low, high = (float(v) for v in MSE(candidates=100)(rows, grid))
    a, b = float(rows.min()), float(rows.max())
    best = min(squared_error(rows, grid, a * k / 100, b * k / 100) for k in range(1, 101))
    assert squared_error(rows, grid, low, high) == pytest.approx(best, rel=1e-6)
    anywhere = min(squared_error(rows, grid, -t, t) for t in np.linspace(0.5, 10, 400))
    assert best <= 1.01 * anywhere
    assert best < squared_error(rows, grid, a, b)


def test_mse_moves_each_end_alone_for_asymmetric_grids():
    rows = torch.cat([torch.rand(1, 2000), torch.tensor([[-5.0]])], dim=1)  # one outlier below
    grid = Asymmetric(3)
    low, high = (float(v) for v in MSE(candidates=40)(rows, grid))
    a, b = float(rows.min()), float(rows.max())
    every = min(squared_error(rows, grid, a * i / 40, b * j / 40) for i in range(1, 41) for j in range(1, 41))
    assert squared_error(rows, grid, low, high) <= 1.05 * every


def kl_by_definition(counts, end, levels):
    """Migacz's divergence, written with loops."""
    p = [float(c) for c in counts[:end]]
    p[-1] += float(sum(counts[end:]))
    q = [0.0] * end
    for level in range(levels):
        bins = [i for i in range(end) if i * levels // end == level]
        filled = [i for i in bins if counts[i] > 0]
        for i in filled:
            q[i] = sum(float(counts[k]) for k in bins) / len(filled)
    if any(pi > 0 and qi == 0 for pi, qi in zip(p, q, strict=True)):
        return math.inf
    ps, qs = sum(p), sum(q)
    return sum(pi / ps * math.log(pi / ps / (qi / qs)) for pi, qi in zip(p, q, strict=True) if pi > 0)


def test_entropy_threshold_is_the_least_divergence_of_a_second_implementation():
    rows = laplace(3000, seed=1)
    method, grid = Entropy(bins=64), Symmetric(4)
    reach = float(rows.abs().max())
    place = (rows.abs() / reach * 64).long().clamp(max=63).flatten()
    counts = torch.bincount(place, minlength=64).tolist()
    levels = 15 // 2
    ends = range(levels, 65)
    least = min(ends, key=lambda e: kl_by_definition(counts, e, levels))
    low, high = method(rows, grid)
    threshold = max(-float(low), float(high))
    assert threshold == pytest.approx(min(reach * least / 64, reach), rel=1e-5)
    assert threshold < reach


@pytest.mark.row("T6")
@pytest.mark.parametrize(
    ("density", "law", "published"),
    [
        ("laplace", stats.laplace, {2: 2.83, 3: 3.89, 4: 5.03}),
        ("gauss", stats.norm, {2: 1.71, 3: 2.15, 4: 2.55}),
    ],
)
def test_aciq_multipliers_are_the_papers_and_minimize_its_distortion(density, law, published):
    for bits, expected in published.items():
        t = ACIQ(density).multiplier(bits)
        assert t == pytest.approx(expected, abs=0.02)

        def distortion(u, bits=bits):
            tail = integrate.quad(lambda r: (r - u) ** 2 * law.pdf(r), u, np.inf)[0]
            return 2 * tail + u * u / (3 * 4**bits)

        assert optimize.minimize_scalar(distortion, bounds=(0.1, 10), method="bounded").x == pytest.approx(t, abs=1e-3)


@pytest.mark.row("T6")
def test_aciq_on_data():
    rows = laplace(200_000)
    low, high = ACIQ("laplace")(rows, Symmetric(4))
    assert float(high - low) / 2 == pytest.approx(ACIQ().multiplier(4), rel=0.01)  # E|r| = 1
    positive = rows.abs()
    low, high = ACIQ("laplace")(positive, Asymmetric(4))
    assert float(low) == float(positive.min())
    assert float(high) == pytest.approx(ACIQ().multiplier(5), rel=0.01)


@pytest.mark.parametrize("percent", [90.0, 99.0, 99.9, 100.0])
def test_percentile_is_numpys(percent):
    rows = torch.randn(3, 1001, generator=torch.Generator().manual_seed(0))
    low, high = Percentile(percent)(rows, Symmetric(8))
    tail = (100 - percent) / 2
    for row, a, b in zip(rows.numpy(), low, high, strict=True):
        assert float(a) == np.quantile(row, tail / 100, method="inverted_cdf")
        assert float(b) == np.quantile(row, 1 - tail / 100, method="inverted_cdf")


def test_moving_average_is_a_geometric_sum():
    q = Quantizer(Asymmetric(8), calibration=MovingAverage(0.8))
    state = None
    for k in range(5):
        state = q.observe(state, torch.tensor([-1.0 * k, 2.0 * k]))
    expected = sum(2 * k * 0.2 * 0.8 ** (4 - k) for k in range(1, 5))
    assert float(state.high[0]) == pytest.approx(expected, rel=1e-6)
    assert float(state.low[0]) == pytest.approx(-expected / 2, rel=1e-6)


@pytest.mark.parametrize("method", [MinMax(), Percentile(99), MSE(50), Entropy(), ACIQ()], ids=str)
def test_a_stream_of_batches_gives_what_one_batch_gives(method):
    x = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    q = Quantizer(Symmetric(6), calibration=method)
    state = None
    for batch in x.split(700):
        state = q.observe(state, batch)
    torch.testing.assert_close(q.params(state).scale, q.calibrate(x).scale, rtol=1e-5, atol=0)


def test_a_long_stream_keeps_counts_sums_and_extremes_in_bounded_memory():
    generator = torch.Generator().manual_seed(0)
    state, everything = None, []
    for _ in range(6):
        batch = torch.randn(1, 100_000, generator=generator)
        everything.append(batch)
        state = Sample.join(state, batch)
    x = torch.cat(everything, dim=1)
    assert state.points.shape[1] < 300_000
    assert float(state.counts.sum()) == 600_000
    assert float((state.points * state.counts).double().sum()) == pytest.approx(float(x.double().sum()), abs=0.5)
    assert float(state.points.min()) == float(x.min())
    assert float(state.points.max()) == float(x.max())
    for method in (MSE(30), Percentile(99.9)):
        exact = Quantizer(Symmetric(4), calibration=method).calibrate(x).scale
        approx = scales(Symmetric(4), method.range(state, Symmetric(4))).scale
        torch.testing.assert_close(approx, exact, rtol=0.02, atol=0)


def test_an_outlier_breaks_min_max_and_not_the_others():
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    x[0] = 100.0
    errors = {}
    for method in (MinMax(), Percentile(99.9), MSE(), ACIQ("gauss")):
        error = Quantizer(Symmetric(6), calibration=method).fake(x) - x
        errors[type(method).__name__] = float(error[1:].square().mean())
    assert all(errors["MinMax"] > 20 * errors[name] for name in ("Percentile", "ACIQ"))
    assert errors["MinMax"] > 2 * errors["MSE"]  # it counts the outlier's error too, and keeps a wider range for it


@pytest.mark.row("Q11")
def test_unscaled_is_a_scale_of_one_for_every_grid():
    for grid in (Symmetric(8), Symmetric(5, restricted=False), Asymmetric(6), Symmetric(4, signed=False)):
        assert float(Quantizer(grid, calibration=Unscaled()).calibrate(torch.ones(3)).scale) == 1.0


METHODS = [MinMax(), MovingAverage(0.7), Percentile(99), MSE(30), Entropy(256), ACIQ(), ACIQ("gauss"), Fixed(-0.1, 0.7)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_half_precision_data_are_calibrated_in_single_precision(method, dtype):
    q = Quantizer(Asymmetric(9), calibration=method)
    state = same = None
    for batch in torch.randn(3, 2000, generator=torch.Generator().manual_seed(0)).to(dtype):
        state, same = q.observe(state, batch), q.observe(same, batch.float())
    assert torch.equal(q.params(state).scale, q.params(same).scale)
    assert torch.equal(q.calibrate(batch).scale, q.calibrate(batch.float()).scale)


@pytest.mark.row("Q11")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_unscaled_is_a_scale_of_one_for_every_type_of_data(dtype):
    for grid in (Symmetric(16), Asymmetric(9), grids.BF16, grids.FP16, grids.E4M3):
        assert float(Quantizer(grid, calibration=Unscaled()).calibrate(torch.ones(3, dtype=dtype)).scale) == 1.0


@pytest.mark.parametrize("method", METHODS[:-1], ids=str)
@pytest.mark.parametrize("grid", [Symmetric(3), Asymmetric(4)], ids=str)
def test_ranges_follow_the_unit_of_measurement(method, grid):
    x = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    q = Quantizer(grid, calibration=method)
    s, z = q.calibrate(x)
    for unit in (2.0**-100, 2.0**100):  # squares of these errors leave the range of float32
        scaled = q.calibrate(x * unit)
        torch.testing.assert_close(scaled.scale / unit, s, rtol=1e-5, atol=0)
        assert torch.equal(scaled.zero_point, z)


@pytest.mark.row("Q7")
@pytest.mark.parametrize(
    "grid", [Symmetric(4), Asymmetric(4), grids.NF4, grids.E2M1], ids=["sym", "asym", "nf4", "e2m1"]
)
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_row_is_calibrated_as_if_alone(method, grid):
    rows = torch.stack(
        [laplace(500)[0], laplace(500, seed=1)[0].abs(), torch.zeros(500), -laplace(500, seed=2)[0].abs()]
    )
    together = method(rows, grid)
    for k in range(4):
        alone = method(rows[k : k + 1], grid)
        torch.testing.assert_close(together.low[k : k + 1], alone.low)
        torch.testing.assert_close(together.high[k : k + 1], alone.high)


@pytest.mark.parametrize("method", METHODS[:-1], ids=str)
def test_batches_that_fall_into_another_number_of_rows_are_refused(method):
    q = Quantizer(Symmetric(8), PerChannel(0), method)
    state = q.observe(None, torch.ones(1, 4))
    with pytest.raises(ValueError, match="x must fall into 1 rows as the batches before it did, got 3"):
        q.observe(state, torch.ones(3, 4))


@pytest.mark.row("T6")
def test_one_sided_data_on_a_signed_grid_have_half_its_codes():
    rows = laplace(20_000)
    for method in (ACIQ("laplace"), Entropy(256)):
        two, one = method(rows, Symmetric(4)), method(rows.abs(), Symmetric(4))
        reach = torch.maximum(-two.low, two.high)
        torch.testing.assert_close(one.high, reach, rtol=0.02, atol=0)  # the same step on the same side
        assert float(method(rows.abs(), Asymmetric(3)).high) == pytest.approx(float(one.high), rel=0.1)  # 7 steps each
    error = {}
    for method in (ACIQ("laplace"), MSE()):
        q = Quantizer(Symmetric(4), calibration=method)
        error[type(method)] = float((q.fake(rows.abs()) - rows.abs()).square().mean())
    assert error[ACIQ] < 1.15 * error[MSE]


@pytest.mark.row("H1")
def test_the_best_binary_scale_is_the_mean_magnitude():
    rows = laplace(5000)
    # min over S of Σ(r − S·sign r)² has the closed form S = mean|r| (Rastegari et al. 2016, equation 6).
    s = scales(Codebook((-1.0, 1.0)), MSE(candidates=1000)(rows, Codebook((-1.0, 1.0)))).scale
    assert float(s) == pytest.approx(float(rows.abs().mean()), abs=float(rows.abs().max()) / 1000)


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_mse_with_another_power_against_a_global_search(power):
    rows, grid = laplace(1500, seed=3), Symmetric(3)

    def error(t):
        t = float(np.asarray(t).item())
        clip = Range(torch.tensor([-t]), torch.tensor([t]))
        return float((reconstruct(rows, scales(grid, clip), grid, Nearest()) - rows).double().abs().pow(power).sum())

    reach = float(rows.abs().max())
    best = optimize.brute(error, [(reach / 100, reach)], Ns=300, finish=None, full_output=True)
    low, high = MSE(power=power)(rows, grid)
    assert error(max(-float(low), float(high))) <= 1.02 * best[1]
    assert best[1] <= error(reach)


def test_a_small_limit_is_carried_along_and_bounds_the_error():
    generator = torch.Generator().manual_seed(0)
    state = Sample(torch.empty(2, 0), torch.empty(2, 0), limit=500, bins=64)
    batches = [3 * torch.rand(2, 300, generator=generator) - 1 for _ in range(7)]
    for batch in batches:
        state = Sample.join(state, batch)
        assert state.points.shape[1] <= 500
    x = torch.cat(batches, dim=1).double()
    width = (x.amax(1) - x.amin(1)) / 62
    assert torch.equal(state.counts.sum(1).double(), torch.tensor([2100.0, 2100.0], dtype=torch.float64))
    torch.testing.assert_close((state.points.double() * state.counts).sum(1), x.sum(1), rtol=1e-5, atol=1e-3)
    assert torch.equal(state.points.amin(1).double(), x.amin(1))
    assert torch.equal(state.points.amax(1).double(), x.amax(1))
    for share in (0.01, 0.2, 0.5, 0.9):
        order = state.points.sort(1)
        cumulated = state.counts.gather(1, order.indices).cumsum(1) / 2100
        place = (cumulated < share).sum(1, keepdim=True)
        quantile = order.values.gather(1, place)[:, 0].double()
        assert ((quantile - x.quantile(share, dim=1)).abs() <= 6 * width).all()  # six times merged


def test_counts_stay_exact_where_float32_would_not_count_on():
    state = Sample(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0**24, 1.0]], dtype=torch.float64), limit=4, bins=8)
    for _ in range(3):
        state = Sample.join(state, torch.zeros(1, 3))
    assert float(state.counts.sum()) == 2**24 + 10


def test_a_huge_range_is_summed_up_without_overflow():
    rows = 3e38 * torch.linspace(-1, 1, 300_001)[None]
    state = Sample.join(None, rows)
    assert state.points.shape[1] <= 1 << 13
    assert torch.isfinite(state.points).all()
    assert len(state.points.unique()) > 8000
