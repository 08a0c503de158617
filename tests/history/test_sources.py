"""Closed-form cell moments against quadrature."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from qlab.history import from_pdf, gaussian, laplace, uniform

pytestmark = pytest.mark.row("H7")

EDGES = [-np.inf, -2.0, -0.7, -0.7, 0.0, 0.3, 1.9, 6.0, np.inf]


@pytest.mark.parametrize("source", [gaussian(), gaussian(0.4), laplace(), laplace(2.0), uniform(), uniform(1.3)])
def test_moments_of_cells(source):
    moments = source.cell_moments(EDGES)
    for i, (a, b) in enumerate(itertools.pairwise(EDGES)):
        a, b = np.clip([a, b], *source.support)
        for k in range(3):
            peer = integrate.quad(lambda x, k=k: x**k * source.pdf(x), a, b, epsabs=1e-13, epsrel=1e-12)[0]
            assert moments[k][i] == pytest.approx(peer, abs=1e-11)


@pytest.mark.parametrize("source", [gaussian(1.7), laplace(1.7), uniform(1.7)])
def test_variance_entropy_and_samples(source):
    m0, m1, m2 = source.cell_moments([-np.inf, np.inf])
    assert (m0[0], m1[0], m2[0]) == pytest.approx((1, 0, 1.7**2))
    assert source.variance == pytest.approx(1.7**2)
    low, high = source.range(1e-14)
    f = source.pdf
    h = sum(integrate.quad(lambda x: -f(x) * np.log2(f(x)), a, b)[0] for a, b in ((low, 0), (0, high)))
    assert source.differential_entropy == pytest.approx(h, abs=1e-6)
    x = source.sample(20_000, seed=1)
    assert stats.kstest(x, source.law.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(x, source.sample(20_000, seed=1))


def test_tiny_tail_cells_keep_their_digits():
    mass = gaussian().cell_moments([8.0, 9.0])[0][0]
    assert mass == pytest.approx(stats.norm.sf(8.0) - stats.norm.sf(9.0), rel=1e-12)
    assert gaussian().cell_moments([-9.0, -8.0])[0][0] == pytest.approx(mass, rel=1e-12)


def test_plain_density():
    source = from_pdf(lambda x: 3 * x**2, 0.0, 1.0)
    assert source.mean == pytest.approx(3 / 4)
    assert source.variance == pytest.approx(3 / 80)
    assert source.differential_entropy == pytest.approx((2 / 3 - np.log(3)) / np.log(2))
    assert np.mean(source.sample(50_000, seed=0)) == pytest.approx(0.75, abs=0.005)
    np.testing.assert_allclose(source.cell_moments([0.0, 0.5, 1.0])[0], [1 / 8, 7 / 8])
    with pytest.raises(ValueError, match="not negative"):
        from_pdf(lambda x: -1.0, 0.0, 1.0)


def test_edges_must_not_fall():
    with pytest.raises(ValueError, match="non-decreasing"):
        gaussian().cell_moments([1.0, 0.0])
