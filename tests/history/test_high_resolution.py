"""Bennett and Panter–Dite: closed constants, Hölder's inequality, and real quantizers with many levels."""

import numpy as np
import pytest
from scipy import stats

from qlab.history import (
    bennett_distortion,
    companded_levels,
    gaussian,
    laplace,
    nearest_level,
    panter_dite,
    panter_dite_density,
    uniform,
    uniform_distortion,
)

pytestmark = pytest.mark.row("H7")


@pytest.mark.parametrize(
    ("source", "constant"),
    [
        (gaussian(), np.pi * np.sqrt(3) / 2),
        (laplace(), 4.5),
        (uniform(), 1.0),
        (gaussian(3.0), 9 * np.pi * np.sqrt(3) / 2),
    ],
)
def test_panter_dite_constants(source, constant):
    assert panter_dite(source, 1) == pytest.approx(constant, rel=1e-8)
    assert panter_dite(source, 10) == pytest.approx(constant / 100, rel=1e-8)


@pytest.mark.parametrize("source", [gaussian(), laplace()])
def test_the_cube_root_density_minimizes_bennetts_integral(source):
    best = bennett_distortion(source, 8, panter_dite_density(source))
    assert best == pytest.approx(panter_dite(source, 8), rel=1e-6)
    for width in (1.5, 2.5, 3.0):  # any other density of levels is worse (Hölder)
        other = stats.norm(scale=width).pdf if "Gauss" in source.name else stats.laplace(scale=width).pdf
        assert bennett_distortion(source, 8, other) > best * 1.001


def test_companded_levels_of_the_gaussian_are_quantiles_of_three_times_its_variance():
    y = companded_levels(gaussian(), 64)
    np.testing.assert_allclose(y, stats.norm.ppf((np.arange(64) + 0.5) / 64, scale=np.sqrt(3)), atol=2e-5)


@pytest.mark.parametrize("source", [gaussian(), laplace(), uniform()])
def test_prediction_meets_a_real_quantizer(source):
    D = nearest_level(companded_levels(source, 512)).distortion(source)
    assert pytest.approx(panter_dite(source, 512), rel=0.02) == D


def test_uniform_distortion_is_a_variance():
    assert uniform_distortion(0.7) == pytest.approx(stats.uniform(scale=0.7).var())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: uniform_distortion(-1.0), ValueError, "step"),
        (lambda: panter_dite(gaussian(), 0), ValueError, "levels"),
        (lambda: bennett_distortion(gaussian(), 4, lambda x: 2 * stats.norm.pdf(x)), ValueError, "integrate to 1"),
        (lambda: bennett_distortion(gaussian(), 4, stats.norm(scale=0.5).pdf), ValueError, "must not vanish"),
        (lambda: panter_dite(3.0, 4), TypeError, "scipy.stats"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message), np.errstate(all="ignore"):
        call()
