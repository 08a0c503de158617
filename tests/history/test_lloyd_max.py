"""Lloyd–Max against Max's tables of 1960, a second optimizer, and closed forms."""

import csv
from importlib.resources import files

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from qlab.history import (
    ScalarQuantizer,
    as_source,
    from_pdf,
    gaussian,
    laplace,
    lloyd_max,
    nearest_level,
    optimal_uniform,
    uniform,
)

pytestmark = pytest.mark.row("H7")

with (files("qlab.history") / "max_1960.csv").open(encoding="utf-8") as file:
    PUBLISHED = list(csv.DictReader(file))


def quad_distortion(levels, pdf, low=-np.inf, high=np.inf):
    """Mean squared error by quadrature alone, sharing no code with qlab."""
    t = np.concatenate([[low], (levels[1:] + levels[:-1]) / 2, [high]])
    return sum(
        integrate.quad(lambda x, y=y: (x - y) ** 2 * pdf(x), a, b, epsabs=1e-13)[0]
        for y, a, b in zip(levels, t[:-1], t[1:], strict=True)
    )


# Max worked to four figures with the machines of 1960. For N ≤ 16 his positions are right to 1.2 units of the last
# figure; for N = 32 the outermost level is 2.3 units off (3.263; right is 3.2607), and his errors for N = 16 and
# 32 lie below what any quantizer reaches (.009497 for .009501, .002499 for .002505). The next test holds the truth.
@pytest.mark.parametrize(("table", "N"), sorted({(r["table"], int(r["N"])) for r in PUBLISHED}))
def test_max_tables(table, N):
    if table == "I":
        best = lloyd_max(gaussian(), N)
    else:
        step, best = optimal_uniform(gaussian(), N)
    for entry in (r for r in PUBLISHED if r["table"] == table and int(r["N"]) == N):
        i, quantity, published = int(entry["index"]), entry["quantity"], float(entry["value"])
        ours = {
            "threshold": lambda i=i: best.thresholds[N // 2 - 1 + i],
            "level": lambda i=i: best.levels[N // 2 - 1 + i],
            "error": lambda: best.distortion(gaussian()),
            "step": lambda: step,
        }[quantity]()
        unit = 10.0 ** -len(entry["value"].split(".")[1])
        if table == "I" and quantity == "error":
            assert ours == pytest.approx(published, rel=2.5e-3), entry
        else:
            assert abs(ours - published) < (2.5 if N == 32 else 1.2) * unit, entry


def test_the_published_table_is_all_there():
    assert len(PUBLISHED) == 75
    assert {int(r["N"]) for r in PUBLISHED if r["table"] == "I"} == {2, 4, 6, 8, 16, 32}


@pytest.mark.parametrize("N", range(2, 37))
def test_every_n_of_max_against_a_second_optimizer(N):
    """BFGS on the error itself (no centroids, no Newton of ours) from equally spaced levels finds the same place."""
    f, F = stats.norm.pdf, stats.norm.cdf

    def error_and_gradient(y):
        t = np.concatenate([[-np.inf], (y[1:] + y[:-1]) / 2, [np.inf]])
        p, m = np.diff(F(t)), -np.diff(f(t))
        tf = np.concatenate([[0.0], t[1:-1] * f(t[1:-1]), [0.0]])
        return np.sum(p - np.diff(tf) - 2 * y * m + y * y * p), 2 * (y * p - m)

    start = np.linspace(-2.5, 2.5, N) if N > 2 else np.array([-1.0, 1.0])
    peer = optimize.minimize(error_and_gradient, start, jac=True, method="BFGS", options={"gtol": 1e-10})
    best = lloyd_max(gaussian(), N)
    np.testing.assert_allclose(best.levels, peer.x, atol=3e-6)
    assert best.distortion(gaussian()) == pytest.approx(peer.fun, rel=1e-9)


@pytest.mark.parametrize("N", [2, 5, 16])
def test_stationarity_by_quadrature(N):
    best = lloyd_max(gaussian(), N)
    for i in range(N):
        a, b = best.edges[i : i + 2]
        mass = integrate.quad(stats.norm.pdf, a, b, epsabs=1e-14)[0]
        first = integrate.quad(lambda x: x * stats.norm.pdf(x), a, b, epsabs=1e-14)[0]
        assert best.levels[i] == pytest.approx(first / mass, abs=1e-8)
    assert best.distortion(gaussian()) == pytest.approx(quad_distortion(best.levels, stats.norm.pdf), rel=1e-9)


def test_uniform_source_gets_the_uniform_quantizer():
    for N in (1, 2, 7, 64):
        best = lloyd_max(uniform(), N)
        half = np.sqrt(3)
        np.testing.assert_allclose(best.levels, half * ((2 * np.arange(N) + 1) / N - 1), atol=1e-12)
        assert best.distortion(uniform()) == pytest.approx(1 / N**2, rel=1e-10)


# Sayood, Introduction to Data Compression, Table 9.6: Laplace density of unit variance, as the test of the library
# komm quotes it: outer half of the levels, and the signal-to-noise ratio in dB (for N = 6 the book's own levels give
# 10.46 dB, not its 10.51).
@pytest.mark.parametrize(
    ("N", "levels", "snr"),
    [
        (4, [0.4196, 1.8340], 7.54),
        (6, [0.2998, 1.1393, 2.5535], 10.51),
        (8, [0.2334, 0.8330, 1.6725, 3.0867], 12.64),
    ],
)
def test_laplace_table(N, levels, snr):
    best = lloyd_max(laplace(), N)
    np.testing.assert_allclose(best.levels[N // 2 :], levels, atol=2e-4)
    assert -10 * np.log10(best.distortion(laplace())) == pytest.approx(snr, abs=0.05 if N == 6 else 0.006)


@pytest.mark.parametrize("source", [gaussian(2.0), laplace(0.5), uniform(3.0)])
def test_newton_and_lloyd_agree(source):
    fast, slow = lloyd_max(source, 9), lloyd_max(source, 9, method="lloyd")
    np.testing.assert_allclose(fast.levels, slow.levels, atol=1e-8 * np.sqrt(source.variance))


@pytest.mark.parametrize("law", [stats.logistic(), stats.beta(2.0, 5.0)])
def test_any_scipy_law(law):
    source = as_source(law)
    best = lloyd_max(source, 3, tolerance=1e-9)
    low, high = law.support()
    peer = quad_distortion(best.levels, law.pdf, low, high)
    assert best.distortion(source) == pytest.approx(peer, rel=1e-7)
    for i in range(3):
        for move in (-1e-3, 1e-3):
            moved = best.levels.copy()
            moved[i] += move
            assert quad_distortion(moved, law.pdf, low, high) > peer


def test_plain_density_equals_scipy_law():
    triangle = from_pdf(lambda x: 1 - abs(x), -1.0, 1.0)
    peer = as_source(stats.triang(0.5, loc=-1, scale=2))
    np.testing.assert_allclose(lloyd_max(triangle, 4).levels, lloyd_max(peer, 4).levels, atol=1e-9)


def test_many_levels_reach_panter_dite():
    D = lloyd_max(gaussian(), 1024).distortion(gaussian())
    assert pytest.approx(np.pi * np.sqrt(3) / 2, rel=0.003) == 1024**2 * D


def test_optimal_uniform_is_the_best_step():
    for source in (gaussian(), laplace()):
        step, best = optimal_uniform(source, 8)
        D = best.distortion(source)
        for factor in (0.99, 1.01):
            assert nearest_level(factor * best.levels).distortion(source) > D
        np.testing.assert_allclose(np.diff(best.levels), step)


def test_scalar_quantizer_on_edges_and_errors():
    q = ScalarQuantizer([0.0], [-1.0, 1.0])
    assert q.encode([0.0]).tolist() == [1]  # t ≤ x belongs to the right cell
    assert q.rate(gaussian()) == pytest.approx(1.0)
    np.testing.assert_array_equal(q(np.array([[-0.1], [0.2]])), [[-1.0], [1.0]])
    with pytest.raises(ValueError, match="one fewer"):
        ScalarQuantizer([0.0, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="increase strictly"):
        ScalarQuantizer([0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="codes must be from 0 to 1"):
        q.decode([2])
    with pytest.raises(TypeError, match="real numbers"):
        q.encode(np.array([1, 2]))
    with pytest.raises(ValueError, match="finite"):
        q.encode([np.nan])
    with pytest.raises(ValueError, match="read-only"):
        q.levels[0] = 5.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lloyd_max(gaussian(), 0), ValueError, "levels must be an integer from 1 to 4096, got 0"),
        (lambda: lloyd_max(gaussian(), 2.0), TypeError, "levels must be an integer"),
        (lambda: lloyd_max(gaussian(), 4, method="magic"), ValueError, "newton"),
        (lambda: lloyd_max(gaussian(), 64, method="lloyd", steps=3), RuntimeError, "did not converge in 3 steps"),
        (lambda: lloyd_max(stats.t(2), 4), ValueError, "finite variance"),
        (lambda: lloyd_max("gauss", 4), TypeError, "scipy.stats"),
        (lambda: from_pdf(lambda x: 1.0, 0.0, 2.0), ValueError, "integrate to 1"),
        (lambda: from_pdf(lambda x: 1.0, 0.0, np.inf), ValueError, "finite"),
        (lambda: gaussian(0.0), ValueError, "sigma must be a finite number above 0"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
