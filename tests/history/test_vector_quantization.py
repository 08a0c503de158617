"""Vector quantizers and lattices: scikit-learn, brute force, published second moments, gains over scalar."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from qlab.history import (
    A2,
    D4,
    E8,
    VectorQuantizer,
    Z,
    ball_second_moment,
    gaussian,
    gaussian_shape_gain_db,
    granular_gain_db,
    kmeans,
    lbg,
    lloyd_max,
    lloyd_samples,
)

pytestmark = pytest.mark.row("H9")


def test_encode_is_nearest_neighbour():
    rng = np.random.default_rng(0)
    c, x = rng.standard_normal((37, 3)), rng.standard_normal((2000, 3))
    np.testing.assert_array_equal(VectorQuantizer(c).encode(x), cdist(x, c).argmin(axis=1))


@pytest.mark.parametrize(("N", "d"), [(4, 2), (10, 5)])
def test_kmeans_against_sklearn_from_the_same_start(N, d):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((600, d))
    start = x[:N]
    peer = KMeans(N, init=start, n_init=1, tol=0, max_iter=2000, algorithm="lloyd").fit(x)
    ours = kmeans(x, start, tolerance=0.0)
    np.testing.assert_allclose(ours.codebook, peer.cluster_centers_, atol=1e-9)
    assert ours.distortion(x) == pytest.approx(peer.inertia_ / x.size, rel=1e-12)


def test_lbg_comes_close_to_the_best_of_several_random_starts():
    x = np.random.default_rng(2).standard_normal((1500, 2))
    peer = KMeans(16, n_init=3, random_state=0).fit(x).inertia_ / x.size
    assert 0.97 * peer < lbg(x, 16).distortion(x) < 1.06 * peer  # both are local optima


def test_lbg_in_one_dimension_is_lloyd():
    x = np.random.default_rng(3).standard_normal(5000)
    q = lbg(x[:, None], 8, tolerance=0.0)
    scalar = lloyd_samples(x, 8, np.sort(q.codebook[:, 0]))
    np.testing.assert_allclose(np.sort(q.codebook[:, 0]), scalar.levels, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_lbg_reaches_any_size_and_separated_clusters(size):
    centres = 10 * np.array([[np.cos(a), np.sin(a)] for a in np.arange(size) * 2 * np.pi / size])
    x = (centres[:, None] + np.random.default_rng(4).normal(0, 0.1, (size, 100, 2))).reshape(-1, 2)
    q = lbg(x, size)
    assert np.shape(q.codebook) == (size, 2)
    assert q.rate == pytest.approx(np.log2(size) / 2)
    if size <= 3:
        assert cdist(centres, q.codebook).min(axis=1).max() < 0.1


def test_an_orphan_vector_is_put_to_work():
    x = np.concatenate([np.zeros((50, 2)), np.ones((50, 2)), np.full((50, 2), 5.0)])
    q = kmeans(x, start=[[0.0, 0.0], [3.0, 3.0], [100.0, 100.0]])
    assert q.distortion(x) == pytest.approx(0.0, abs=1e-12)


def test_vectors_beat_scalars_at_equal_rate_by_what_theory_allows():
    """2 bits per number on a Gaussian: Lloyd–Max < pairs < the bound; memory adds on top."""
    x = gaussian().sample(20_000, seed=0)
    scalar = lloyd_max(gaussian(), 4).distortion(gaussian())
    pairs = lbg(x.reshape(-1, 2), 16).distortion(gaussian().sample(20_000, seed=1).reshape(-1, 2))
    assert 2.0**-4 < pairs < 0.97 * scalar
    limit = gaussian_shape_gain_db(2) + granular_gain_db(5 / (36 * np.sqrt(3)))
    assert 0 < 10 * np.log10(scalar / pairs) < limit
    rho = 0.9
    corr = x.reshape(-1, 2) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T
    assert lbg(corr, 16).distortion(corr) < 0.6 * pairs


def brute_nearest(lattice, x, reach):
    """All lattice points with coefficients within `reach` of x's own coefficients."""
    basis = np.array(lattice.basis)
    base = np.rint(x @ np.linalg.inv(basis))
    offsets = np.array(list(itertools.product(range(-reach, reach + 1), repeat=lattice.dimension)))
    points = (base[:, None] + offsets) @ basis
    d = ((x[:, None] - points) ** 2).sum(axis=-1)
    return points[np.arange(len(x)), d.argmin(axis=1)], d.min(axis=1)


@pytest.mark.parametrize(("lattice", "reach"), [(Z, 1), (A2, 2), (D4, 3)])
def test_nearest_point_against_brute_force(lattice, reach):
    x = np.random.default_rng(5).normal(0, 3, (20, lattice.dimension))
    _, best = brute_nearest(lattice, x, reach)
    np.testing.assert_allclose(((x - lattice.nearest(x)) ** 2).sum(axis=1), best, atol=1e-12)


def test_e8_nearest_against_its_neighbours():
    """No lattice point is nearer: try the shortest vectors around the answer, which bound its Voronoi cell."""
    pairs = [v for v in itertools.product((-1.0, 0.0, 1.0), repeat=8) if sum(map(abs, v)) == 2]
    halves = [v for v in itertools.product((-0.5, 0.5), repeat=8) if sum(v) % 2 == 0]
    fours = [v for v in itertools.product((-1.0, 0.0, 1.0), repeat=8) if sum(map(abs, v)) == 4]
    neighbours = np.array(pairs + halves + fours)
    assert len(pairs) + len(halves) == 240  # the kissing number
    x = np.random.default_rng(6).normal(0, 2, (60, 8))
    found = E8.nearest(x)
    ours = ((x - found) ** 2).sum(axis=1)
    for f, xi, best in zip(found, x, ours, strict=True):
        assert best <= ((xi - f - neighbours) ** 2).sum(axis=1).min() + 1e-12


@pytest.mark.parametrize("lattice", [Z, A2, D4, E8])
@settings(max_examples=30)
@given(data=st.data())
def test_answers_are_lattice_points(lattice, data):
    x = data.draw(arrays(float, (3, lattice.dimension), elements=st.floats(-20, 20)))
    y = lattice.nearest(x, step=0.5)
    coefficients = y / 0.5 @ np.linalg.inv(np.array(lattice.basis))
    np.testing.assert_allclose(coefficients, np.rint(coefficients), atol=1e-8)
    np.testing.assert_allclose(lattice.nearest(y, step=0.5), y, atol=1e-12)


@pytest.mark.parametrize(("lattice", "volume"), [(Z, 1.0), (A2, np.sqrt(3) / 2), (D4, 2.0), (E8, 1.0)])
def test_second_moments_of_conway_and_sloane(lattice, volume):
    assert lattice.volume == pytest.approx(volume)
    measured = lattice.measure_second_moment(100_000, seed=0)
    assert measured == pytest.approx(lattice.second_moment, rel=0.005)
    assert lattice.second_moment >= ball_second_moment(lattice.dimension)


def test_gains_in_decibels():
    assert granular_gain_db(A2.second_moment) == pytest.approx(0.167, abs=1e-3)
    assert granular_gain_db(D4.second_moment) == pytest.approx(0.366, abs=1e-3)
    assert granular_gain_db(E8.second_moment) == pytest.approx(0.654, abs=1e-3)
    assert granular_gain_db(ball_second_moment(10**6)) == pytest.approx(1.5329, abs=1e-3)
    # all of Lookabaugh and Gray's advantage together: Panter–Dite to Shannon, 10 log10(π√3/2) = 4.35 dB
    total = gaussian_shape_gain_db(10**7) + granular_gain_db(ball_second_moment(10**7))
    assert total == pytest.approx(10 * np.log10(np.pi * np.sqrt(3) / 2), abs=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: VectorQuantizer([1.0, 2.0]), ValueError, "2 axes"),
        (lambda: VectorQuantizer([[1.0, 2.0]]).encode([[1.0]]), ValueError, "2 columns"),
        (lambda: VectorQuantizer([[1.0, 2.0]]).decode([1]), ValueError, "from 0 to 0"),
        (lambda: lbg(np.zeros((3, 2)), 4), ValueError, "size must be an integer from 1 to 3, got 4"),
        (lambda: kmeans([[1.0]], [[1.0], [2.0]]), ValueError, "at most as many"),
        (lambda: A2.nearest([[1.0]]), ValueError, "2 columns for A2"),
        (lambda: A2.nearest(np.array([[1, 2]])), TypeError, "real numbers"),
        (lambda: E8.nearest(np.zeros((1, 8)), step=0.0), ValueError, "step"),
        (lambda: ball_second_moment(0), ValueError, "dimension"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
