"""Mean, variance and sums of stochastic rounding against counting, with limits from the distribution of the count."""

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, norm

from qlab.rounding import Nearest, Stochastic
from qlab.stochastic import dot_variance, sum_error, variance

pytestmark = pytest.mark.row("G1")
ALMOST_NEVER = 1e-6  # chance that a right program fails, if the seed had not been fixed


def stochastic(seed: int) -> Stochastic:
    return Stochastic(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("r", [0.0, 0.01, 0.26, 0.5, -0.7, 12.9])
def test_how_often_it_rounds_up_is_binomial(r):
    n, scale = 100_000, 0.25
    rounded = scale * stochastic(1)(torch.full((n,), r, dtype=torch.float64) / scale)
    low = scale * np.floor(r / scale)
    assert torch.isin(rounded, torch.tensor([low, low + scale], dtype=torch.float64)).all()
    ups, f = int((rounded > low + scale / 2).sum()), r / scale - np.floor(r / scale)
    least, most = binom.interval(1 - ALMOST_NEVER, n, f) if 0 < f < 1 else (0, 0)
    assert least <= ups <= most


def test_the_mean_is_the_number_and_the_variance_is_that_of_the_formula():
    r = torch.linspace(-1, 1, 41, dtype=torch.float64)[:, None]
    n, scale = 40_000, 0.3
    error = scale * stochastic(2)((r / scale).expand(-1, n)) - r
    exact = variance(r[:, 0], scale)
    limit = norm.isf(ALMOST_NEVER / 2 / 41) * (exact / n).sqrt()
    assert (error.mean(-1).abs() <= limit + 1e-12).all()
    f = (r[:, 0] / scale).numpy() % 1
    fourth = scale**4 * f * (1 - f) * ((1 - f) ** 3 + f**3)  # E e⁴ of the two-point distribution
    spread = torch.from_numpy(np.sqrt(np.maximum(fourth - exact.numpy() ** 2, 0) / n))
    assert ((error.square().mean(-1) - exact).abs() <= norm.isf(ALMOST_NEVER / 2 / 41) * spread + 1e-12).all()


def test_the_largest_variance_is_a_quarter_of_a_squared_step():
    r = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    assert float(variance(r, 0.5).max()) == pytest.approx(0.5**2 / 4)
    assert float(variance(r, 0.5).mean()) == pytest.approx(0.5**2 / 6, rel=1e-3)  # twice nearest's S²/12


def test_products_are_unbiased_and_have_the_variance_of_the_formula():
    g = torch.Generator().manual_seed(3)
    x, r = torch.randn(64, generator=g, dtype=torch.float64), torch.randn(64, generator=g, dtype=torch.float64)
    n, scale = 20_000, 0.5
    products = (scale * stochastic(4)((r / scale).expand(n, -1))) @ x
    exact = float(dot_variance(x, r, scale))
    assert abs(float(products.mean() - x @ r)) <= norm.isf(ALMOST_NEVER / 2) * (exact / n) ** 0.5
    least, most = (np.array(chi2.interval(1 - ALMOST_NEVER, n - 1)) / (n - 1)).tolist()
    assert least * 0.97 <= float(products.var()) / exact <= most * 1.03  # a sum of 64 is not quite Gaussian
    nearest = scale * Nearest()(r / scale) @ x
    assert abs(float(nearest - x @ r)) > 0.1  # one number, wrong in the same way each time


def test_errors_add_up_like_n_with_a_bias_and_like_its_root_without():
    r, scale = torch.full((1000, 4096), 0.3, dtype=torch.float64), 1.0
    biased, fair = (sum_error(r, scale, rounding) for rounding in (Nearest(), stochastic(5)))
    for n in (64, 1024, 4096):
        assert float(biased[0, n - 1]) == pytest.approx(-0.3 * n)
        exact = (n * 0.3 * 0.7) ** 0.5
        assert float(fair[:, n - 1].square().mean().sqrt()) == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_must_be_positive(scale):
    with pytest.raises(ValueError, match="scale must be positive"):
        variance(torch.ones(2), scale)
    with pytest.raises(ValueError, match="scale must be positive"):
        sum_error(torch.ones(2), scale, Nearest())
