"""Coins and masks: their probabilities by counting, their gradients by hand, their limits by the plain quantizer."""

import pytest
import torch
from scipy.stats import binom
from torch import nn

from qlab.calibration import MSE
from qlab.granularity import PerChannel
from qlab.grids import Codebook, Symmetric
from qlab.network import Recipe, WeightQuantizer, quantize, stored_weight
from qlab.qat import LSQ
from qlab.quantizer import Params, Quantizer
from qlab.rounding import Stochastic
from qlab.stochastic import QuantNoise, StochasticBinary, clip_latent, hard_sigmoid, variance

pytestmark = pytest.mark.row("G3")


def one(size: float = 1.0) -> Params:
    return Params(torch.tensor([size]), torch.zeros(1, dtype=torch.int32))


def coins(size: float = 1.0, **options) -> nn.Module:
    return StochasticBinary(quantizer=Quantizer(Codebook((-1.0, 1.0))), **options).module(one(size), torch.ones(2))


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("w", [-1.3, -1.0, -0.6, 0.0, 0.2, 0.9, 1.0, 4.0])
def test_a_weight_is_positive_as_often_as_the_hard_sigmoid_says(w):
    n = 40_000
    drawn = coins(0.5, seed=1).train()(torch.full((n,), 0.5 * w))
    assert set(drawn.unique().tolist()) <= {-0.5, 0.5}
    p = min(max((w + 1) / 2, 0.0), 1.0)
    assert float(hard_sigmoid(torch.tensor(w))) == pytest.approx(p)
    least, most = binom.interval(1 - 1e-6, n, p) if 0 < p < 1 else (n * p, n * p)
    assert least <= int((drawn > 0).sum()) <= most


def test_it_is_stochastic_rounding_on_two_levels():
    alpha, n = 0.5, 40_000
    w = torch.linspace(-0.49, 0.49, 9)
    core = Quantizer(Codebook((-1.0, 1.0)), rounding=Stochastic(torch.Generator().manual_seed(0)))
    mine = coins(alpha, seed=2).train()(w[:, None].expand(-1, n))
    theirs = core.fake(w[:, None].expand(-1, n).contiguous(), one(alpha))
    exact = (alpha - w) * (alpha + w)  # f(1 − f)·(2α)², f = (w + α)/2α
    torch.testing.assert_close(exact, variance(w + alpha, 2 * alpha))
    for drawn in (mine, theirs):
        assert ((drawn.mean(-1) - w).abs() <= 5.5 * (exact / n).sqrt()).all()
        torch.testing.assert_close(drawn.var(-1), exact, rtol=0.05, atol=2e-3)


def test_the_gradient_goes_straight_through_and_the_clip_brings_weights_back():
    w = torch.tensor([-3.0, -0.2, 0.4, 2.0], requires_grad=True)
    module = coins().train()
    (module(w) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert w.grad.tolist() == [1.0, 2.0, 3.0, 4.0]
    binary = quantize(network(), Recipe(StochasticBinary(width=0.5)))
    layer = binary[3].parametrizations.weight
    alpha = layer[0].alpha
    assert (layer.original.abs() > alpha[:, None]).any()
    kept = layer.original.detach().clone()
    clip_latent(binary, 0.5)
    torch.testing.assert_close(layer.original.detach(), kept.clamp(-alpha[:, None], alpha[:, None]))
    clip_latent(network(), 0.5)  # nothing to clip


def test_coins_are_of_the_seed_in_training_and_signs_in_evaluation():
    w = torch.linspace(-1, 1, 100)
    module = coins(seed=3).train()
    first = module(w)
    assert not torch.equal(first, module(w))
    assert torch.equal(coins(seed=3).train()(w), first)
    assert not torch.equal(coins(seed=4).train()(w), first)
    sign = torch.where(w >= 0, 1.0, -1.0)
    assert torch.equal(module.eval()(w), sign)
    assert torch.equal(coins(stochastic=False).train()(w), sign)


def test_the_best_size_of_two_levels_is_the_mean_of_the_magnitudes():
    w = torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    module = quantize(nn.Sequential(nn.Linear(50, 8)), Recipe(StochasticBinary()))
    with torch.no_grad():
        module[0].parametrizations.weight.original.copy_(w)
    start = StochasticBinary().quantizer.calibrate(w).scale
    torch.testing.assert_close(start, w.abs().mean(1), rtol=0.05, atol=0)  # found by search
    stored = stored_weight(module[0])
    assert stored.codes.unique().tolist() == [0, 1]
    torch.testing.assert_close(stored.dequantize(), module.eval()[0].weight.detach())


@pytest.mark.parametrize("quantizer", [Quantizer(Symmetric(2), PerChannel(0), MSE()), Quantizer(Symmetric(3))])
def test_quant_noise_of_rate_1_is_straight_through_and_of_rate_0_is_floating_point(quantizer):
    w = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    params, weights = quantizer.calibrate(w), torch.randn(6, 40, generator=torch.Generator().manual_seed(1))

    def run(module):
        x = w.clone().requires_grad_()
        y = module.train()(x)
        (y * weights).sum().backward()
        return y.detach(), x.grad

    plain = run(WeightQuantizer(quantizer, params))
    full = run(QuantNoise(quantizer, rate=1.0).module(params, w))
    none = run(QuantNoise(quantizer, rate=0.0).module(params, w))
    assert torch.equal(full[0], plain[0])
    assert torch.equal(full[1], plain[1])
    assert torch.equal(none[0], w)
    assert torch.equal(none[1], weights)


def test_quant_noise_quantizes_each_weight_at_the_rate_and_all_in_evaluation():
    quantizer, n = Quantizer(Symmetric(2)), 50_000
    w = torch.full((n,), 0.3)
    module = QuantNoise(quantizer, rate=0.2, seed=5).module(one(), w).train()
    y = module(w)
    least, most = binom.interval(1 - 1e-6, n, 0.2)
    assert least <= int((y == 0).sum()) <= most
    assert torch.equal(torch.where(y == 0, 0, w), y)
    both = int(((y == 0) & (module(w) == 0)).sum())  # the next pass chooses independently
    least, most = binom.interval(1 - 1e-6, n, 0.04)
    assert least <= both <= most
    assert torch.equal(QuantNoise(quantizer, rate=0.2, seed=5).module(one(), w).train()(w), y)
    assert (module.eval()(w) == 0).all()


def test_quant_noise_takes_a_learned_quantizer_and_gives_its_codes():
    model = quantize(network(), Recipe(QuantNoise(LSQ(Quantizer(Symmetric(2), PerChannel(0), MSE())), rate=0.5)))
    x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model.train()(x).square().sum().backward()
    inner = model[3].parametrizations.weight[0].inner
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in inner.parameters())
    stored = stored_weight(model[3])
    torch.testing.assert_close(stored.dequantize(), model.eval()[3].weight.detach())


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"rate must be from 0 to 1, got 1\.5"):
        QuantNoise(Quantizer(), rate=1.5)
    with pytest.raises(TypeError, match="QuantNoise is for weights"):
        QuantNoise(Quantizer()).module(one(), None)
    with pytest.raises(ValueError, match="width must be positive"):
        StochasticBinary(width=0)
    with pytest.raises(ValueError, match="must be Codebook"):
        StochasticBinary(quantizer=Quantizer(Symmetric(2)))
    with pytest.raises(TypeError, match="StochasticBinary is for weights"):
        StochasticBinary().module(one(), None)
