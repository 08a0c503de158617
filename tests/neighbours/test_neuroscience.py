"""Relay chains against closed forms, Markov chains against simulation, and noisy wires in a network."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from qlab import Asymmetric, Quantizer, Symmetric, zoo
from qlab.neighbours import (
    Sensory,
    Synaptic,
    Thermal,
    analog_chain,
    analog_information,
    analog_rms,
    chain_error,
    chain_information,
    discrete_chain,
    evenly_spaced,
    noisy_network,
    relay_error,
    transition_matrix,
)

SAMPLES = 40_000


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


@pytest.mark.row("B12")
def test_analog_error_grows_with_the_root():
    signal = np.random.default_rng(0).uniform(-1, 1, SAMPLES)
    heard = analog_chain(signal, 64, Thermal(0.1), np.random.default_rng(1))
    for n in (1, 4, 16, 64):
        assert rms(heard[n] - signal) == pytest.approx(analog_rms(n, 0.1), rel=0.02)
    assert analog_rms(64, 0.1) == pytest.approx(0.8)


@pytest.mark.row("B12")
@pytest.mark.parametrize(("levels", "sigma"), [(2, 0.3), (4, 0.25), (8, 0.4)])
def test_discrete_errors_against_the_closed_form_and_the_markov_chain(levels, sigma):
    y = evenly_spaced(levels)
    signal = np.repeat(y, SAMPLES // levels)
    passed = discrete_chain(signal, 10, Thermal(sigma), y, np.random.default_rng(2))
    wrong = (passed != signal).mean(1)
    one = relay_error(levels, 1.0, sigma)
    spread = 4 * np.sqrt(one * (1 - one) / len(signal))
    assert wrong[1] == pytest.approx(one, abs=spread)
    assert chain_error(y, sigma, 1)[0] == pytest.approx(one)
    for n in (3, 10):
        expected, expected_rms = chain_error(y, sigma, n)
        assert wrong[n] == pytest.approx(expected, abs=4 * np.sqrt(expected / len(signal)))
        assert rms(passed[n] - signal) == pytest.approx(expected_rms, rel=0.1)


@pytest.mark.row("B12")
def test_below_the_threshold_nothing_is_lost():
    y = evenly_spaced(4)
    signal = np.random.default_rng(0).uniform(-2, 2, SAMPLES)
    passed = discrete_chain(signal, 50, Thermal(0.08), y, np.random.default_rng(1))  # Δ/2 = 6.25 σ
    assert (passed == passed[0]).all()
    assert np.abs(passed[0] - signal).max() <= 0.5  # the quantization error, once
    assert chain_error(y, 0.08, 50)[0] < 1e-7
    assert rms(analog_chain(signal, 50, Thermal(0.08), np.random.default_rng(1))[50] - signal) > 0.5


@pytest.mark.row("B12")
def test_transition_probabilities_by_integration():
    y, sigma = np.array([-1.0, 0.5, 2.0]), 0.7
    edges = [-np.inf, -0.25, 1.25, np.inf]
    T = transition_matrix(y, sigma)
    for i in range(3):
        for j in range(3):
            area, _ = integrate.quad(stats.norm(y[i], sigma).pdf, max(edges[j], -9), min(edges[j + 1], 9))
            assert T[i, j] == pytest.approx(area, abs=1e-8)


@pytest.mark.row("B12")
def test_kinds_of_noise_have_the_moments_they_say():
    rng, s = np.random.default_rng(3), np.full(200_000, 2.0)
    for noise, deviation in (
        (Thermal(0.5), 0.5),
        (Sensory(0.1), 0.2),
        (Synaptic(0.2, 10), 2 * np.sqrt(0.2 / 0.8 / 10)),
    ):
        heard = noise(s, rng)
        assert heard.mean() == pytest.approx(2.0, rel=0.01)
        assert heard.std() == pytest.approx(deviation, rel=0.02)
    failing = Synaptic(0.25)(s, rng)
    assert (failing == 0).mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.row("B12")
@pytest.mark.parametrize(("sigma", "relays"), [(0.2, 1), (0.3, 5), (1.0, 3)])
def test_information_of_two_levels_is_that_of_the_binary_symmetric_channel(sigma, relays):
    p = (1 - (1 - 2 * relay_error(2, 1.0, sigma)) ** relays) / 2  # the closed form of Tⁿ for two levels
    assert chain_error([0.0, 1.0], sigma, relays)[0] == pytest.approx(p)
    expected = 1 + p * np.log2(p) + (1 - p) * np.log2(1 - p)
    assert chain_information([0.0, 1.0], sigma, relays) == pytest.approx(expected, abs=1e-9)


@pytest.mark.row("B12")
def test_information_of_an_analog_value():
    sigma = 1e-3
    assert analog_information(1.0, sigma, 4) == pytest.approx(
        np.log2(2 / (2 * sigma * np.sqrt(2 * np.pi * np.e))), abs=5e-3
    )
    assert analog_information(1.0, 50.0, 1) == pytest.approx(0.5 * np.log2(1 + 1 / 3 / 50**2), rel=1e-3)
    # one relay: rounding what arrives can only lose (data-processing inequality), for any number of levels
    fine = analog_information(1.0, 0.3, 1)
    edges = np.linspace(-1, 1, 400)
    assert chain_information(edges, 0.3, 1) == pytest.approx(fine, abs=0.02)
    assert chain_information(edges[::20], 0.3, 1) < fine + 0.05


def tiny():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3)).eval()


@pytest.mark.row("B12")
def test_wires_carry_the_noise_that_they_should():
    net, x = tiny(), torch.randn(20_000, 4)
    noisy = noisy_network(net, 0.3, x.split(5000), seed=5)
    arriving = {}
    noisy[2].register_forward_pre_hook(lambda layer, args: arriving.update(a=args[0]))
    with torch.no_grad():
        noisy(x)
        sent = net[:2](x)
    assert (arriving["a"] - sent).std() == pytest.approx(0.3 * sent.square().mean().sqrt().item(), rel=0.01)
    assert not hasattr(noisy[0], "wire")  # the picture itself arrives as it is
    assert hasattr(noisy_network(net, 0.3, [x], skip_first=False)[0], "wire")
    assert torch.equal(noisy_network(net, 0.0, [x])(x), net(x))


@pytest.mark.row("B12")
def test_same_seed_same_noise_and_the_argument_left_alone():
    net, x = tiny(), torch.randn(50, 4)
    before = net(x)
    a, b, c = (noisy_network(net, 0.5, [x], seed=s) for s in (1, 1, 2))
    first = a(x)
    assert torch.equal(first, b(x))
    assert not torch.equal(first, a(x))  # the noise goes on
    assert not torch.equal(first, c(x))
    assert torch.equal(net(x), before)
    assert not any(m._forward_pre_hooks for m in net.modules())


@pytest.mark.row("B12")
def test_a_discrete_wire_regenerates_until_its_threshold():
    """Step Δ against noise: far below, exactly the quantized network without noise; far above, worse than analog."""
    net, x = tiny(), torch.randn(400, 4)
    q = Quantizer(Asymmetric(2))
    clean = noisy_network(net, 0.0, [x], q)(x)
    with torch.no_grad():
        a = net[:2](x)
    step = (a.max() / 3 / a.square().mean().sqrt()).item()  # Δ in units of the rms
    assert torch.equal(noisy_network(net, step / 20, [x], q)(x), clean)
    assert not torch.equal(noisy_network(net, step, [x], q)(x), clean)


@pytest.mark.row("B12")
def test_a_wire_of_many_relays_is_a_chain():
    net, x = tiny(), torch.randn(5000, 4)
    arriving = {}

    def arrive(sigma, quantizer, relays):
        noisy = noisy_network(net, sigma, [x], quantizer, seed=5, relays=relays)
        noisy[2].register_forward_pre_hook(lambda layer, args: arriving.update(a=args[0]))
        with torch.no_grad():
            noisy(x)
        return arriving["a"], noisy[2].wire

    with torch.no_grad():
        sent = net[:2](x)
    rms_sent = sent.square().mean().sqrt().item()
    assert (arrive(0.1, None, 16)[0] - sent).std() == pytest.approx(analog_rms(16, 0.1 * rms_sent), rel=0.02)

    q = Quantizer(Asymmetric(2))
    quantized = arrive(0.0, q, 1)[0]
    step = sent.max().item() / 3
    sigma = step / 3 / rms_sent  # Δ/2 = 1.5 σ: some levels are lost at every relay
    levels = step * np.arange(4)
    T = np.linalg.matrix_power(transition_matrix(levels, sigma * rms_sent), 6)
    share = np.array([(torch.round(quantized / step) == i).double().mean().item() for i in range(4)])
    wrong = (arrive(sigma, q, 6)[0] - quantized).abs() > step / 2
    assert wrong.double().mean().item() == pytest.approx(share @ (1 - np.diag(T)), abs=0.01)
    assert torch.equal(arrive(step / 20 / rms_sent, q, 30)[0], quantized)


@pytest.mark.row("B12")
def test_bad_input():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="relays must be at least 1"):
        analog_chain(np.zeros(3), 0, Thermal(1.0), rng)
    with pytest.raises(ValueError, match="finite numbers"):
        analog_chain(np.array([np.nan]), 1, Thermal(1.0), rng)
    with pytest.raises(ValueError, match="increasing"):
        discrete_chain(np.zeros(3), 1, Thermal(1.0), [1.0, 0.0], rng)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        Thermal(-1.0)
    with pytest.raises(ValueError, match="failure"):
        Synaptic(1.0)
    with pytest.raises(ValueError, match="sigma must be above 0"):
        relay_error(2, 1.0, 0.0)
    with pytest.raises(ValueError, match="levels must be at least 2"):
        evenly_spaced(1)
    with pytest.raises(ValueError, match=r"at least 0, got -0\.1"):
        noisy_network(tiny(), -0.1, [torch.zeros(1, 4)])
    with pytest.raises(ValueError, match="relays must be at least 1, got 0"):
        chain_information([0.0, 1.0], 0.1, 0)
    with pytest.raises(ValueError, match="sigma must be above 0, relays at least 1, got 1"):
        analog_information(1.0, 0.0, 1)
    with pytest.raises(ValueError, match="relays must be at least 1, got 0"):
        noisy_network(tiny(), 0.1, [torch.zeros(1, 4)], relays=0)
    with pytest.raises(ValueError, match="eval mode"):
        noisy_network(tiny().train(), 0.1, [torch.zeros(1, 4)])
    with pytest.raises(ValueError, match="nothing came"):
        noisy_network(zoo.build("mlp", hidden=(4,)).eval(), 0.1, [], Quantizer(Symmetric(4)))
