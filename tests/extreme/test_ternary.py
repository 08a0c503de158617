"""Ternary weights: the threshold against every possible choice, trained levels against finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab import Quantizer, zoo
from qlab.calibration import MSE
from qlab.extreme import TTQ, TWN, best_ternary, exact_threshold, ternary, twn_threshold
from qlab.extreme.levels import TERNARY

pytestmark = pytest.mark.row("E3")


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(rows, threshold):
    t, alpha = ternary(rows, threshold)
    return (rows - alpha[:, None] * t).double().square().sum(1)


@given(st.integers(0, 10**6), st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_sorting_finds_the_best_of_all_3_to_the_n(seed, n):
    w = normal(seed, n)
    _, _, least = best_ternary(w)
    assert float(error(w[None], exact_threshold(w[None]))) == pytest.approx(least, rel=1e-4, abs=1e-9)


def test_rows_are_independent_and_a_row_of_zeros_stays_zero():
    rows = torch.stack([normal(0, 50), 3 * normal(1, 50), torch.zeros(50)])
    together = exact_threshold(rows)
    assert torch.equal(together, torch.cat([exact_threshold(row[None]) for row in rows]))
    t, alpha = ternary(rows, together)
    assert not t[2].any() and alpha[2] == 1


def test_the_formula_is_exact_to_a_factor_for_the_densities_of_the_paper():
    """Uniform on [−a, a]: Δ* = a/3 = 2/3·E|w|. Gaussian: Δ* = 0.612σ = 0.767·E|w| (E|w| = 0.798σ)."""
    uniform = torch.linspace(-1, 1, 200_001)[None]
    assert float(exact_threshold(uniform) / uniform.abs().mean()) == pytest.approx(2 / 3, abs=2e-3)
    gauss = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)
    assert float(exact_threshold(gauss[None]) / gauss.abs().mean()) == pytest.approx(0.612 / 0.7979, abs=5e-3)
    _, alpha = ternary(gauss[None], exact_threshold(gauss[None]))
    assert float(alpha) == pytest.approx(1.224, abs=2e-3)  # Max's three levels of a Gaussian (1960)
    assert float(error(gauss[None], exact_threshold(gauss[None])) / 200_000) == pytest.approx(0.1902, abs=1e-3)


def test_on_real_filters_the_formula_costs_little():
    rows = zoo.load("convnet")[10].weight.detach().flatten(1)
    formula, exact = error(rows, twn_threshold(rows)), error(rows, exact_threshold(rows))
    assert bool((formula >= exact - 1e-9).all())
    assert float(formula.sum() / exact.sum()) < 1.1


def test_the_exact_optimum_is_what_a_search_over_scales_finds():
    w = normal(3, 400)
    peer = Quantizer(TERNARY, calibration=MSE()).fake(w)  # α by search, thresholds at α/2
    mine = float(error(w[None], exact_threshold(w[None])))
    assert mine <= float((w - peer).double().square().sum()) * (1 + 1e-9)
    assert mine == pytest.approx(float((w - peer).double().square().sum()), rel=0.02)


def test_the_gradient_of_twn_goes_straight_through():
    w = normal(4, 3, 20).requires_grad_()
    y = TWN().module(None, w)(w)
    up = normal(5, 3, 20)
    y.backward(up)
    assert torch.equal(w.grad, up)


def test_the_gradients_of_trained_levels_are_finite_differences():
    w, up = normal(6, 5, 8).double(), normal(7, 5, 8).double()
    module = TTQ(0.3).module(None, w).double()
    with torch.no_grad():
        module.positive.fill_(0.7)
        module.negative.fill_(0.4)
    (module(w) * up).sum().backward()
    h = 1e-6
    for parameter in (module.positive, module.negative):
        values = []
        for step in (h, -2 * h):
            with torch.no_grad():
                parameter += step
            values.append(float((module(w) * up).sum().detach()))
        with torch.no_grad():
            parameter += h
        assert float(parameter.grad) == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-6)


def test_the_gradient_of_the_real_weight_is_scaled_by_its_level():
    w = torch.tensor([[1.0, 0.05, -0.6]], requires_grad=True)
    module = TTQ(0.1).module(None, w)
    with torch.no_grad():
        module.positive.fill_(0.7)
        module.negative.fill_(0.4)
    y = module(w)
    torch.testing.assert_close(y.detach(), torch.tensor([[0.7, 0.0, -0.4]]))
    y.sum().backward()
    torch.testing.assert_close(w.grad, torch.tensor([[0.7, 1.0, 0.4]]))


def test_levels_can_be_slowed_and_start_at_least_squares():
    w = normal(8, 4, 25)
    module, slow = (TTQ(0.2, gradient_scale=g).module(None, w) for g in (False, True))
    kept = w.abs()[w.abs() > 0.2 * w.abs().max()]
    assert module.positive.item() == module.negative.item() == pytest.approx(kept.mean().item(), rel=1e-5)
    module(w).sum().backward()
    slow(w).sum().backward()
    assert float(slow.positive.grad) == pytest.approx(float(module.positive.grad) / 10, rel=1e-5)


def test_levels_that_training_turned_round_are_still_stored_as_they_compute():
    w = normal(9, 4, 6)
    module = TTQ(0.3).module(None, w)
    with torch.no_grad():
        module.positive.fill_(-0.2)
    torch.testing.assert_close(module.stored(w).dequantize(), module(w).detach())
    with pytest.raises(ValueError, match="fraction must lie in"):
        TTQ(1.0)
