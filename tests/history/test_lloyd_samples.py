"""Lloyd on numbers against scikit-learn's KMeans, brute force over all cuts, and its own fixed-point conditions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from qlab.history import gaussian, lloyd_max, lloyd_samples, optimal_samples

pytestmark = pytest.mark.row("H7")
numbers = st.lists(st.floats(-50, 50).map(lambda v: round(v, 3)), min_size=2, max_size=9)


def mse(x, q):
    return float(np.mean((np.asarray(x) - q(x)) ** 2))


@given(numbers, st.integers(1, 5))
def test_dynamic_programming_against_all_cuts(x, N):
    N = min(N, len(set(x)))
    s = np.sort(x)
    best = min(
        sum(((part - part.mean()) ** 2).sum() for part in np.split(s, cuts))
        for cuts in itertools.combinations(range(1, len(s)), N - 1)
    )
    assert mse(x, optimal_samples(x, N)) == pytest.approx(best / len(x), abs=1e-9)
    assert mse(x, lloyd_samples(x, N)) >= best / len(x) - 1e-9


@pytest.mark.parametrize("N", [2, 8])
def test_against_sklearn_from_the_same_start(N):
    x = np.random.default_rng(N).laplace(size=400)
    start = np.quantile(x, (np.arange(N) + 0.5) / N)
    peer = KMeans(N, init=start[:, None], n_init=1, tol=0, max_iter=5000).fit(x[:, None])
    np.testing.assert_allclose(lloyd_samples(x, N, start).levels, np.sort(peer.cluster_centers_[:, 0]), atol=1e-9)
    assert mse(x, optimal_samples(x, N)) <= peer.inertia_ / x.size + 1e-12


def test_fixed_point_conditions():
    x = np.random.default_rng(0).standard_normal(10_000)
    q = lloyd_samples(x, 12)
    codes = q.encode(x)
    np.testing.assert_allclose(q.levels, [x[codes == i].mean() for i in range(12)], atol=1e-10)
    np.testing.assert_allclose(q.thresholds, (q.levels[1:] + q.levels[:-1]) / 2)


def test_many_samples_approach_the_density():
    x = gaussian().sample(300_000, seed=0)
    best = lloyd_max(gaussian(), 8)
    np.testing.assert_allclose(lloyd_samples(x, 8, best.levels).levels, best.levels, atol=0.02)


def test_as_many_levels_as_values_lose_nothing_and_ties_are_harmless():
    x = [1.0, 1.0, 2.0, 5.0, 5.0, 5.0]
    for solve in (lloyd_samples, optimal_samples):
        np.testing.assert_allclose(solve(x, 3).levels, [1, 2, 5])
        np.testing.assert_allclose(solve(x, 1).levels, [np.mean(x)])


def test_large_offsets_do_not_cancel():
    x = np.array([0.0, 1.0, 9.0, 10.0, 11.0])
    for solve in (lloyd_samples, optimal_samples):
        np.testing.assert_allclose(solve(x + 1e9, 2).levels - 1e9, [0.5, 10.0], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lloyd_samples([1.0, 1.0], 2), ValueError, r"distinct samples \(1\), got 2"),
        (lambda: lloyd_samples([1.0, 2.0], 0), ValueError, "levels"),
        (lambda: lloyd_samples([1.0, 2.0], 2, [1.0]), ValueError, "start must hold 2 levels"),
        (lambda: lloyd_samples(np.array([1, 2]), 1), TypeError, "real numbers"),
        (lambda: optimal_samples(np.linspace(0, 1, 5001), 2), ValueError, "at most 5000"),
        (lambda: optimal_samples([np.nan, 1.0], 1), ValueError, "finite"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
