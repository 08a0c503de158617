"""All quantizers on one plane, against Shannon's bound and closed forms."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from qlab import MinMax, PerTensor, Quantizer, Symmetric
from qlab.grids import Codebook, Grid
from qlab.history.entropy import code_entropy
from qlab.history.lloyd_max import lloyd_max
from qlab.history.plane import every_grid, rate_distortion_plane, samples_rate_distortion
from qlab.history.rate_distortion import gaussian_rate
from qlab.history.sources import gaussian, laplace

pytestmark = pytest.mark.row("H8")


@pytest.fixture(scope="module")
def x():
    return gaussian().sample(8192, seed=3)


@pytest.fixture(scope="module")
def points(x):
    return rate_distortion_plane(x, bits=(1, 2, 4))


@pytest.mark.parametrize("bits", range(1, 17))
def test_every_class_of_grid_is_asked_and_widths_are_right(bits):
    grids = every_grid(bits)
    assert all(isinstance(grid, Grid) and grid.width == bits for grid in grids)
    assert len(set(map(repr, grids))) == len(grids)


def test_every_class_of_grid_has_a_place_on_the_plane():
    found = {type(grid) for bits in range(1, 17) for grid in every_grid(bits)}
    kinds = {kind for kind in Grid.__subclasses__() if kind.__module__.startswith("qlab.")}
    assert kinds <= found


def test_a_new_grid_joins_by_existing(x):
    @dataclass(frozen=True)
    class Ternary(Codebook):
        levels: tuple[float, ...] = (-1.0, 0.0, 1.0)

        @classmethod
        def of_width(cls, bits: int) -> tuple[Grid, ...]:
            return (cls(),) if bits == 2 else ()

    assert any(type(grid) is Ternary for grid in every_grid(2))
    before = {p.name for p in rate_distortion_plane(x[:1024], bits=[3])}
    assert not any("Codebook of 3" in name for name in before)
    now = {p.name for p in rate_distortion_plane(x[:1024], bits=[2])}
    assert any("Codebook of 3" in name for name in now)
    del Ternary


def test_nothing_lies_below_the_bound(points):
    # The sample's own R(D) differs from the Gaussian's by about 1/√n; vector quantizers are fitted to the sample.
    assert min(p.point.gap_bits() for p in points) > -0.05


def test_entropy_coding_never_costs_and_fixed_rates_are_the_widths(points):
    by_name = {}
    for p in points:
        by_name.setdefault(p.name, {})[p.coding] = p.point
    both = [pair for pair in by_name.values() if len(pair) == 2]
    assert len(both) > 20
    assert all(pair["entropy"].rate <= pair["fixed"].rate + 1e-12 for pair in both)
    assert by_name["Symmetric(bits=4, restricted=True, signed=True), MinMax"]["fixed"].rate == pytest.approx(
        4 + 32 / 8192
    )


def test_a_point_of_the_plane_is_what_the_quantizer_says(x, points):
    name = "Symmetric(bits=4, restricted=True, signed=True), MinMax"
    point = next(p.point for p in points if p.name == name and p.coding == "entropy")
    unit = torch.from_numpy(x / np.sqrt(np.mean(x**2))).float()
    stored = Quantizer(Symmetric(4), PerTensor(), MinMax())(unit)
    assert point.rate == pytest.approx(code_entropy(stored.codes.numpy()) + 32 / 8192)
    assert point.distortion == pytest.approx(float((stored.dequantize() - unit).square().mean()), rel=1e-5)


def test_lloyd_max_points_reach_the_density_s_own_optimum(points):
    for bits in (1, 2, 4):
        found = next(p for p in points if p.family == "Lloyd–Max" and p.coding == "fixed" and p.point.rate == bits)
        assert found.point.distortion == pytest.approx(
            lloyd_max(gaussian(), 1 << bits).distortion(gaussian()), rel=0.06
        )
        assert found.snr_db == pytest.approx(-10 * np.log10(found.point.distortion))


def test_lloyd_max_points_are_as_good_as_another_library_s(x, points):
    from sklearn.cluster import KMeans

    unit = x / np.sqrt(np.mean(x**2))
    theirs = KMeans(16, n_init=3, random_state=0).fit(unit[:, None]).inertia_ / unit.size
    ours = next(p for p in points if p.name == "Lloyd–Max, 16 levels" and p.coding == "fixed")
    assert ours.point.distortion <= 1.003 * theirs


def test_same_numbers_twice(x):
    assert rate_distortion_plane(x[:2048], bits=[2]) == rate_distortion_plane(x[:2048], bits=[2])


@pytest.mark.parametrize("slope", [1.0, 2.0, 8.0, 32.0])
def test_blahut_on_samples_follows_the_gaussian(slope):
    point = samples_rate_distortion(gaussian().sample(40_000, seed=4), slope)
    assert point.rate == pytest.approx(gaussian_rate(point.distortion), abs=0.03)
    assert point.distortion == pytest.approx(1 / (2 * slope), rel=0.05)


def test_the_variance_inside_coarse_cells_is_counted():
    x = gaussian().sample(40_000, seed=4)
    width = np.ptp(x) / 25
    point = samples_rate_distortion(x, 2000.0, points=25)  # so steep that every cell is told apart
    assert point.distortion == pytest.approx(width**2 / 12, rel=0.05)


def test_blahut_on_samples_of_laplace_lies_below_the_gaussian():
    point = samples_rate_distortion(laplace().sample(40_000, seed=5), 4.0)
    assert point.rate < gaussian_rate(point.distortion)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros(2000), "only zeros"),
        (np.ones(10), "1024"),
        (np.full(2000, np.nan), "finite"),
    ],
)
def test_bad_input(x, words):
    with pytest.raises(ValueError, match=words):
        rate_distortion_plane(x)
    with pytest.raises((ValueError, TypeError)):
        every_grid(0)
