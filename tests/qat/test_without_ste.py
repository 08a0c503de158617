"""Training without the straight-through estimator: limits, proximal operators by minimization, noise by counting."""

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.qat import DSQ, ProxQuant, Relaxed, SinReQ, level_probabilities, prox_towards, sine_penalty, soft_staircase
from qlab.qat.learned import uniform_codes
from qlab.quantizer import Params, Quantizer

pytestmark = pytest.mark.row("T3")


def test_the_soft_staircase_lies_between_the_line_and_the_staircase():
    t = torch.linspace(-2.9, 2.9, 200, dtype=torch.float64)
    line, steps = soft_staircase(t, torch.tensor(1 - 1e-4)), soft_staircase(t, torch.tensor(1e-9))
    torch.testing.assert_close(line, t, atol=1e-6, rtol=0)
    away = (t - torch.floor(t) - 0.5).abs() > 0.1
    torch.testing.assert_close(steps[away], torch.round(t)[away], atol=0.02, rtol=0)
    middle = soft_staircase(t, torch.tensor(0.2))
    assert (torch.minimum(line, steps) - 1e-6 <= middle).all()
    assert (middle <= torch.maximum(line, steps) + 1e-6).all()


def test_the_soft_staircase_meets_itself_at_whole_numbers():
    for k in (-1.0, 0.0, 2.0):
        left, right = soft_staircase(torch.tensor([k - 1e-7, k + 1e-7], dtype=torch.float64), torch.tensor(0.3))
        assert float(right - left) == pytest.approx(0, abs=1e-5)


def test_dsq_gives_the_levels_forward_and_the_slope_of_the_curve_backward():
    w = torch.tensor([0.2, 0.45, 0.55, 1.1, 9.0], requires_grad=True)
    start = Params(torch.tensor([1.0]), torch.zeros(1, dtype=torch.int32))
    module = DSQ(Quantizer(Symmetric(3)), alpha=0.3).module(start, w)
    y = module(w)
    assert y.tolist() == [0, 0, 1, 1, 3]
    y.sum().backward()
    h = 1e-3
    alpha = torch.tensor(0.3)
    for i in range(4):
        t = w.detach()[i].double()
        slope = (soft_staircase(t + h, alpha) - soft_staircase(t - h, alpha)) / (2 * h)
        assert float(w.grad[i]) == pytest.approx(float(slope), rel=1e-2)
    assert w.grad[4] == 0


@pytest.mark.parametrize("theta", [-0.7, -0.2, 0.05, 0.4, 1.3])
@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_the_proximal_step_minimizes_what_it_should(theta, strength):
    level = round(theta)
    best = minimize_scalar(
        lambda v: 0.5 * (v - theta) ** 2 + strength * abs(v - level), bounds=(-3, 3), options={"xatol": 1e-10}
    )
    mine = float(prox_towards(torch.tensor(theta), torch.tensor(float(level)), strength))
    assert mine == pytest.approx(best.x, abs=1e-4)


def test_proxquant_changes_only_what_it_names_and_ends_on_the_grid():
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    untouched = network[2].weight.detach().clone()
    quantizer = Quantizer(Symmetric(3), PerChannel(0))
    prox = ProxQuant.of(network, {"0": quantizer}, final=0.6)
    half_way = network[0].weight.detach().clone()
    prox(network, 0.0)
    assert torch.equal(network[0].weight, half_way)
    prox(network, 1.0)  # 0.6 S is more than any rounding error
    torch.testing.assert_close(network[0].weight, quantizer.fake(half_way, prox.quantizers["0"][1]))
    assert torch.equal(network[2].weight, untouched)


def test_the_sine_is_zero_on_the_grid_and_its_gradient_points_to_the_nearer_level():
    w = torch.tensor([[0.3, 0.7, 1.2, -0.4]], requires_grad=True)
    value = sine_penalty(w, torch.tensor([1.0]))
    value.backward()
    assert (torch.sign(-w.grad) == torch.sign(torch.round(w.detach()) - w.detach())).all()
    assert float(sine_penalty(torch.tensor([[0.0, 0.25, -0.5]]), torch.tensor([0.25]))) == pytest.approx(0, abs=1e-10)
    mean, _ = torch.sin(torch.pi * torch.linspace(0, 1, 100_001)).square().mean(), None
    assert float(sine_penalty(torch.linspace(0, 5, 100_001)[None], torch.tensor([1.0]))) == pytest.approx(
        float(mean), abs=1e-3
    )


def test_the_sine_penalty_grows_with_progress():
    network = nn.Sequential(nn.Linear(6, 5))
    penalty = SinReQ.of(network, {"0": Quantizer(Symmetric(3))}, strength=2.0)
    assert float(penalty(network, 0.0)) == 0
    assert float(penalty(network, 1.0)) == pytest.approx(4 * float(penalty(network, 0.5)), rel=1e-5)


def test_the_probabilities_of_levels_are_the_frequencies_of_noisy_rounding():
    t, sigma = 0.3, 0.4
    levels = torch.arange(-1.0, 3.0)
    g = torch.Generator().manual_seed(0)
    u = torch.rand(200_000, generator=g, dtype=torch.float64)
    noisy = torch.round(t + sigma * torch.log(u / (1 - u)))
    kept = noisy[(noisy >= -1) & (noisy <= 2)]
    counted = torch.stack([(kept == k).double().mean() for k in levels])
    p = level_probabilities(torch.tensor([t]), levels, torch.tensor(sigma))[0].double()
    torch.testing.assert_close(p, counted, atol=5e-3, rtol=0)
    assert float(p.sum()) == pytest.approx(1)


def relaxed(**options):
    start = Params(torch.tensor([0.5]), torch.zeros(1, dtype=torch.int32))
    return Relaxed(Quantizer(Symmetric(3)), **options).module(start, torch.ones(3))


def test_relaxed_levels_are_the_nearest_ones_in_evaluation_and_noise_from_the_seed_in_training():
    w = torch.linspace(-2, 2, 30)
    module = relaxed(seed=3)
    module.eval()
    assert torch.equal(module(w), module.quantizer.fake(w, module.params))
    module.train()
    first, second = module(w), module(w)
    assert not torch.equal(first, second)
    again = relaxed(seed=3).train()
    assert torch.equal(again(w), first)
    assert not torch.equal(relaxed(seed=4).train()(w), first)


def test_cold_and_narrow_relaxation_is_rounding():
    w = torch.tensor([0.1, 0.3, 0.9, -0.6])
    module = relaxed(sigma=0.02, temperature=0.01).train()
    torch.testing.assert_close(module(w), module.quantizer.fake(w, module.params), atol=1e-3, rtol=0)


def test_all_parameters_of_a_relaxed_quantizer_get_gradients():
    w = torch.linspace(-1, 1, 20, requires_grad=True)
    module = relaxed().train()
    module(w).square().sum().backward()
    assert module.scale.grad.abs().sum() > 0
    assert module.log_sigma.grad.abs() > 0
    assert (w.grad != 0).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DSQ(alpha=1.0), "alpha"),
        (lambda: Relaxed(sigma=0.0), "sigma"),
        (lambda: Relaxed(temperature=-1.0), "temperature"),
        (lambda: Relaxed(Quantizer(Symmetric(8))), "64 levels"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_uniform_codes_are_those_of_the_grid():
    assert uniform_codes(Symmetric(4), "x") == (-7, 7)
