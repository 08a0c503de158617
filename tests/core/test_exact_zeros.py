"""Exact zeros have a code of their own: however many there are, they must not move a fitted range."""

import pytest
import torch

from qlab import ACIQ, MSE, Asymmetric, Calibration, Entropy, Symmetric
from qlab.grids import Grid


def rows(share_of_zeros: float, two_sided: bool) -> torch.Tensor:
    """Return one row of exponential (or Laplace) data with zeros mixed in."""
    generator = torch.Generator().manual_seed(0)
    r = -torch.log1p(-torch.rand(20_000, generator=generator))
    if two_sided:
        r = r * torch.randint(0, 2, r.shape, generator=generator).mul(2).sub(1)
    zeros = int(len(r) * share_of_zeros / (1 - share_of_zeros))
    return torch.cat([r, torch.zeros(zeros)])[None]


@pytest.mark.row("Q5")
@pytest.mark.parametrize(("grid", "two_sided"), [(Asymmetric(4), False), (Symmetric(4), True)])
@pytest.mark.parametrize("method", [ACIQ(), ACIQ("gauss"), Entropy()], ids=repr)
def test_zeros_do_not_move_the_range(method: Calibration, grid: Grid, two_sided: bool) -> None:
    plain = method(rows(0.0, two_sided), grid)
    sparse = method(rows(0.75, two_sided), grid)
    torch.testing.assert_close(sparse.high, plain.high)


@pytest.mark.row("Q5")
def test_aciq_after_relu_is_near_the_search() -> None:
    """Half-Laplace data with three zeros in four: the formula and the search by brute force agree."""
    data = rows(0.75, two_sided=False)
    formula, search = ACIQ()(data, Asymmetric(4)), MSE()(data, Asymmetric(4))
    assert abs(float(formula.high / search.high) - 1) < 0.1


@pytest.mark.row("Q5")
@pytest.mark.parametrize("method", [ACIQ(), ACIQ("gauss"), Entropy()], ids=repr)
def test_all_zeros(method: Calibration) -> None:
    clip = method(torch.zeros(1, 8), Asymmetric(4))
    assert clip.low.tolist() == [0.0] and clip.high.tolist() == [0.0]
