"""Signs and their pretended derivatives: against closed forms, and one step written out by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab import Recipe, quantize, zoo
from qlab.data import load_train_subset
from qlab.extreme import (
    BWN,
    TTQ,
    TWN,
    ABCInput,
    ABCWeight,
    HORQInput,
    LossAware,
    SignInput,
    SignWeight,
    XNORInput,
    approx_sign,
    clip_to_one,
    hard_tanh,
    real_shortcuts,
    sign,
    with_input_scales,
    without_relu,
)
from qlab.gradients import instead
from qlab.network import network_bytes, quantizable_layers, report, stored_weight
from qlab.qat import reestimate_batchnorm
from qlab.stochastic import StochasticBinary
from qlab.zoo import TrainingSettings


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(seed=0):
    """Four layers, of which the inner two are to be binary."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inner = [nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()]
        inner += [nn.Conv2d(6, 5, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU()]
        return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), *inner, nn.Flatten())


INNER = {"0": None}


@pytest.mark.row("E1")
def test_every_sign_is_exactly_plus_or_minus_one_and_zero_is_plus():
    x = torch.cat([normal(0, 10_000) * 10 ** (4 * normal(1, 10_000)), torch.tensor([0.0, -0.0])])
    y = instead(x, sign(x))
    assert set(y.tolist()) == {-1.0, 1.0}
    assert y[-2:].tolist() == [1.0, 1.0]
    usual = x + (sign(x) - x).detach()
    assert not bool((usual.abs() == 1).all())  # which is why `instead` exists


@pytest.mark.row("E5")
@pytest.mark.parametrize(
    ("soft", "slope"),
    [
        (hard_tanh, lambda x: (x.abs() <= 1).double()),
        (approx_sign, lambda x: (2 - 2 * x.abs()).clamp(min=0)),
    ],
)
def test_what_comes_back_is_the_derivative_of_the_soft_sign(soft, slope):
    x = (2 * normal(1, 500)).double().requires_grad_()
    up = normal(2, 500).double()
    instead(soft(x), sign(x)).backward(up)
    torch.testing.assert_close(x.grad, up * slope(x.detach()))
    h = 1e-6
    measured = (soft(x.detach() + h) - soft(x.detach() - h)) / (2 * h)
    torch.testing.assert_close(measured, slope(x.detach()), atol=1e-5, rtol=0)


@pytest.mark.row("E5")
def test_the_approximate_sign_lies_nearer_to_the_sign_than_the_hard_tanh():
    x = torch.linspace(-2, 2, 40_001, dtype=torch.float64)
    area = {f: float((f(x) - sign(x)).abs().mean() * 4) for f in (hard_tanh, approx_sign)}
    assert area[hard_tanh] == pytest.approx(1, abs=1e-3)  # two triangles
    assert area[approx_sign] == pytest.approx(2 / 3, abs=1e-3)  # 2·∫(1 − x)² from 0 to 1


@pytest.mark.row("E1")
def test_one_step_of_a_binarized_layer_is_the_papers_algorithm():
    """Forward with signs, gradients through hard tanhs, the step on the real weight, the clip: all by hand."""
    layer = nn.Linear(5, 3, bias=False)
    w = 0.9 * normal(3, 3, 5)
    w[0, 0] = 1.0  # where the clip has something to do
    with torch.no_grad():
        layer.weight.copy_(w)
    net = quantize(nn.Sequential(layer), Recipe(SignWeight(), SignInput(), dynamic=True))
    x, y, lr = 1.5 * normal(4, 8, 5), torch.arange(8) % 3, 0.5
    x.requires_grad_()
    logits = net(x)
    torch.testing.assert_close(logits, sign(x) @ sign(w).T)
    F.cross_entropy(logits, y).backward()
    error = (logits.softmax(1) - F.one_hot(y, 3)).detach() / 8
    latent = net[0].parametrizations.weight.original
    torch.testing.assert_close(latent.grad, (error.T @ sign(x)).detach() * (w.abs() <= 1))
    torch.testing.assert_close(x.grad, (error @ sign(w)) * (x.abs() <= 1))
    with torch.no_grad():
        latent -= lr * latent.grad
    expected = latent.detach().clamp(-1, 1).clone()
    assert not torch.equal(expected, latent)
    clip_to_one(net, 1.0)
    assert torch.equal(latent, expected)


@pytest.mark.row("E1")
def test_deterministic_binaryconnect_has_the_signs_of_bnns_weights():
    net = small()
    w = quantizable_layers(net)["3"].weight.detach()
    connect = StochasticBinary(stochastic=False)
    size = connect.quantizer.calibrate(w)
    mine, peer = SignWeight().module(None, w)(w), connect.module(size, w)(w)
    assert torch.equal(mine, sign(peer))
    assert torch.allclose(BWN().module(None, w)(w), peer, rtol=0.02)  # its fixed size is mean|W| at the start


@pytest.mark.row("E1")
def test_relus_before_signs_become_hard_tanhs_and_the_last_one_stays():
    net = small()
    ready = without_relu(net)
    assert [type(m).__name__ for m in ready if isinstance(m, nn.ReLU | nn.Hardtanh)] == ["Hardtanh", "Hardtanh", "ReLU"]
    assert not any(isinstance(m, nn.Hardtanh) for m in net)
    a = net[1](net[0](normal(5, 2, 1, 12, 12)))
    assert torch.equal(sign(ready[2](a)), sign(a))
    assert bool((sign(net[2](a)) == 1).all())  # after a ReLU, nothing is left to see
    with pytest.raises(TypeError, match=r"nn\.Sequential"):
        without_relu(nn.Linear(2, 2))


WEIGHTS = {
    "SignWeight": (SignWeight(), 2, 1),
    "BWN": (BWN(), 2, 1),
    "LAB": (LossAware(), 2, 1),
    "TWN": (TWN(), 3, 2),
    "TWN exact": (TWN(exact=True), 3, 2),
    "TTQ": (TTQ(), 3, 2),
    "ABC": (ABCWeight(2), 4, 2),
}


@pytest.mark.row("E1")
@pytest.mark.row("E3")
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_have_few_levels_and_are_stored_as_they_compute(name):
    choice, levels, bits = WEIGHTS[name]
    net = quantize(small(), Recipe(choice, layers=INNER))
    for key, layer in quantizable_layers(net).items():
        stored = stored_weight(layer)
        if key == "0":
            assert stored is None
            continue
        assert all(len(row.unique()) <= levels for row in layer.weight)
        torch.testing.assert_close(stored.dequantize(), layer.weight.detach())
        payload = -(-layer.weight.numel() * bits // 8)
        assert payload < stored.nbytes <= payload + 4 * bits * len(layer.weight) + 12
    assert network_bytes(net) < network_bytes(small())
    assert len(report(net)) == 3


@pytest.mark.row("E2")
@pytest.mark.parametrize("choice", [SignInput(), XNORInput(), HORQInput(), ABCInput()])
def test_each_kind_says_where_it_belongs(choice):
    with pytest.raises(TypeError, match="is for activations"):
        choice.module(None, normal(0, 3, 4))
    with pytest.raises(TypeError, match="is for weights"):
        BWN().module(None, None)


@pytest.mark.row("E1")
@pytest.mark.parametrize("bad", [torch.tensor([[1.0, torch.nan]]), torch.ones(2, 2, dtype=torch.int64)])
def test_nan_and_integers_are_refused(bad):
    with pytest.raises((TypeError, ValueError)):
        BWN().module(None, bad)


@pytest.mark.row("E5")
@pytest.mark.parametrize("every", [0, 1, 2])
def test_shortcuts_are_where_they_are_said_to_be(every):
    net = real_shortcuts(4, every).eval()
    x = normal(6, 2, 1, 28, 28)
    assert net(x).shape == (2, 10)
    assert sum(m.kernel_size == (3, 3) for m in net.modules() if isinstance(m, nn.Conv2d)) == 11
    state = torch.get_rng_state()
    assert torch.equal(real_shortcuts(4, every)[0].weight, net[0].weight)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():  # what is left when every 3×3 convolution inside is silent
        for name, m in net.named_modules():
            if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) and name != "0":
                m.weight.zero_()
    differs = (net(x)[0] - net(x)[1]).abs().max()
    assert bool(differs > 1e-4) == (every > 0)
    with pytest.raises(ValueError, match="every must be 0, 1 or 2"):
        real_shortcuts(4, 3)


@pytest.mark.slow
@pytest.mark.row("E5")
@pytest.mark.parametrize("choice", [XNORInput(), HORQInput(), ABCInput(2)])
def test_networks_of_signs_learn(choice):
    data = load_train_subset()[:1500]
    net = without_relu(zoo.build("convnet", width=8))
    net = quantize(net, Recipe(BWN(), choice, dynamic=True, layers={"0": None, "15": None}))
    net = with_input_scales(net) if isinstance(choice, XNORInput) else net
    trained = zoo.train(net, data, TrainingSettings(epochs=2, batch_size=50, lr=0.2))
    trained = reestimate_batchnorm(trained, data.tensors()[0].split(250)).eval()
    assert zoo.evaluate(trained, data) > zoo.evaluate(net.eval(), data) + 0.12
