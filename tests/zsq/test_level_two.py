"""Zero-shot with made data: statistics by hand, losses against closed forms, and what the methods promise."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn
from torch.nn import functional as F

from qlab import zoo
from qlab.calibration import MSE
from qlab.data import MEAN, STD, load_calibration, load_test
from qlab.granularity import PerChannel
from qlab.grids import Asymmetric, Symmetric
from qlab.network import Recipe, quantize
from qlab.ptq import fold_batchnorm
from qlab.quantizer import Quantizer
from qlab.zsq import (
    DistilSettings,
    GenerativeSettings,
    InversionSettings,
    channel_relations,
    discrepancy,
    distil,
    gaussian_inputs,
    gdfq,
    invert,
    jensen_shannon,
    make_generator,
    soft_cross_entropy,
    statistics_loss,
    total_variation,
    watch_statistics,
    zaq,
)

PIXELS = (-MEAN / STD, (1 - MEAN) / STD)


def tiny():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 10),
    )
    network.train()
    for _ in range(200):
        network(torch.randn(16, 1, 28, 28) * 2 + 1)
    return network.eval()


@pytest.mark.row("Z3")
def test_the_loss_is_the_squared_distance_to_the_stored_statistics():
    network = tiny()
    x = torch.randn(8, 1, 28, 28)
    with torch.no_grad():
        h = network[0](x)
        norm = network[1]
        by_hand = (
            (h.mean((0, 2, 3)) - norm.running_mean).square()
            + (h.var((0, 2, 3), correction=0).sqrt() - norm.running_var.sqrt()).square()
        ).mean()
    assert statistics_loss(network, x).item() == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.row("Z3")
def test_a_folded_network_remembers_the_same_in_units_of_its_outputs():
    network = tiny()
    x = torch.randn(8, 1, 28, 28)
    with watch_statistics(network) as plain:
        network(x)
    with watch_statistics(fold_batchnorm(network)) as folded:
        fold_batchnorm(network)(x)  # another copy: nothing is collected
        assert not folded
    gamma, beta = network[1].weight, network[1].bias
    with watch_statistics(f := fold_batchnorm(network)) as folded:
        f(x)
    std = (network[1].running_var + network[1].eps).sqrt()
    torch.testing.assert_close(folded[0].mean, gamma * (plain[0].mean - plain[0].known_mean) / std + beta)
    torch.testing.assert_close(folded[0].known_mean, beta.detach())


@pytest.mark.row("Z3")
def test_real_pictures_match_the_memory_and_noise_does_not():
    for name in ("convnet", "resnet", "separable"):
        network = zoo.load(name)
        real = statistics_loss(network, load_calibration(128).tensors()[0])
        noise = statistics_loss(network, gaussian_inputs((128, 1, 28, 28)))
        assert float(noise) > 20 * float(real)


@pytest.mark.row("Z3")
def test_distilled_inputs_match_and_the_network_is_left_alone():
    network = tiny()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    shape = (16, 1, 28, 28)
    free = DistilSettings(steps=150, input_statistics=False)  # its inputs were not normalized
    x = distil(network, shape, free)
    assert x.shape == shape and not x.requires_grad
    assert float(statistics_loss(network, x)) < 0.05 * float(statistics_loss(network, gaussian_inputs(shape)))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert torch.equal(x, distil(network, shape, free))
    assert not torch.equal(x, distil(network, shape, replace(free, seed=1)))


@pytest.mark.row("Z3")
def test_distilled_pixels_stay_where_pictures_are():
    x = distil(tiny(), (4, 1, 28, 28), DistilSettings(steps=20, pixels=PIXELS))
    assert PIXELS[0] - 1e-6 <= float(x.min()) <= float(x.max()) <= PIXELS[1] + 1e-6


@pytest.mark.row("Z3", "Z4")
def test_what_has_no_memory_or_is_in_training_is_refused():
    bare = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
    with pytest.raises(ValueError, match="BatchNorm"):
        distil(bare, (2, 1, 28, 28))
    with pytest.raises(ValueError, match="BatchNorm"):
        invert(bare, torch.tensor([0]), (1, 28, 28))
    for call in (
        lambda m: distil(m, (2, 1, 28, 28)),
        lambda m: invert(m, torch.tensor([0]), (1, 28, 28)),
        lambda m: gdfq(m, m, PIXELS),
        lambda m: zaq(m, m, PIXELS),
    ):
        with pytest.raises(ValueError, match="eval"):
            call(tiny().train())
    with pytest.raises(ValueError, match="steps"):
        DistilSettings(steps=0)
    with pytest.raises(ValueError, match="steps"):
        InversionSettings(lr=-1.0)
    with pytest.raises(ValueError, match="rates"):
        GenerativeSettings(lr=0.0)
    with pytest.raises(ValueError, match="pixels"):
        make_generator((1.0, 0.0))


@pytest.mark.slow
@pytest.mark.row("Z3")
def test_ranges_from_distilled_inputs_are_worth_those_from_real_ones():
    network = zoo.load("convnet")
    folded = fold_batchnorm(network)
    test = load_test()[:1500]
    shape = (64, 1, 28, 28)
    recipe = Recipe(Quantizer(Symmetric(4), PerChannel(0), MSE()), Quantizer(Asymmetric(4), calibration=MSE()))
    made = distil(network, shape, DistilSettings(steps=80, pixels=PIXELS))
    real = load_calibration(64).tensors()[0]
    accuracy = {
        name: zoo.evaluate(quantize(folded, recipe, [x]), test)
        for name, x in (("real", real), ("distilled", made), ("noise", gaussian_inputs(shape)))
    }
    assert abs(accuracy["distilled"] - accuracy["real"]) < 0.05
    assert accuracy["distilled"] > accuracy["noise"] + 0.05


@pytest.mark.row("Z4")
def test_pictures_of_the_generator_are_pictures_and_come_from_the_seed():
    make = make_generator(PIXELS, seed=3).eval()
    x, y = make.sample(5, torch.Generator().manual_seed(0))
    again, _ = make_generator(PIXELS, seed=3).eval().sample(5, torch.Generator().manual_seed(0))
    assert x.shape == (5, 1, 28, 28) and torch.equal(x, again)
    assert PIXELS[0] <= float(x.min()) <= float(x.max()) <= PIXELS[1]
    assert 0 <= int(y.min()) <= int(y.max()) < 10


@pytest.mark.row("Z4")
def test_divergences_are_those_of_other_libraries():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(6, 10, generator=g), torch.randn(6, 10, generator=g)
    p, q = F.softmax(a, 1).numpy(), F.softmax(b, 1).numpy()
    expected = sum(jensenshannon(p[i], q[i]) ** 2 for i in range(6)) / 6
    assert float(jensen_shannon(a, b)) == pytest.approx(expected, rel=1e-4)
    assert float(jensen_shannon(a, a)) == pytest.approx(0, abs=1e-6)
    assert float(jensen_shannon(torch.tensor([[90.0, 0]]), torch.tensor([[0, 90.0]]))) == pytest.approx(math.log(2))
    kl = float((torch.from_numpy(q) * (torch.from_numpy(q) / torch.from_numpy(p)).log()).sum(1).mean())
    assert float(soft_cross_entropy(a, b)) == pytest.approx(kl, rel=1e-4)


@pytest.mark.row("Z4")
def test_total_variation_of_stripes_and_of_grey():
    stripes = torch.arange(6).remainder(2).float().expand(1, 1, 6, 6)
    assert float(total_variation(stripes)) == 1
    assert float(total_variation(torch.full((1, 1, 4, 4), 0.3))) == 0


@pytest.mark.row("Z4")
def test_relations_between_channels_do_not_depend_on_their_size():
    h = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    r = channel_relations(h)
    torch.testing.assert_close(r, channel_relations(5 * h))
    torch.testing.assert_close(r.diagonal(dim1=1, dim2=2), torch.ones(2, 3))
    network = tiny()
    assert float(discrepancy(network, network, torch.randn(2, 1, 28, 28))) == 0


@pytest.mark.slow
@pytest.mark.row("Z4")
def test_inverted_pictures_are_taken_for_their_class():
    network = zoo.load("convnet")
    y = torch.arange(10)
    x = invert(network, y, (1, 28, 28), InversionSettings(steps=60, pixels=PIXELS))
    assert float((network(x).argmax(1) == y).double().mean()) >= 0.9
    noise = gaussian_inputs((10, 1, 28, 28))
    assert float(statistics_loss(network, x)) < 0.7 * float(statistics_loss(network, noise))


@pytest.mark.row("Z4")
@pytest.mark.parametrize("method", [gdfq, zaq])
def test_made_pictures_train_a_copy_and_leave_both_networks_alone(method):
    network = tiny()
    quantized = quantize(network, Recipe(Quantizer(Symmetric(4))))
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in (network, quantized)]
    settings = GenerativeSettings(warmup=1, steps=2, batch_size=4)
    found = method(quantized, network, PIXELS, settings)
    for m, old in zip((network, quantized), before, strict=True):
        assert all(torch.equal(v, old[k]) for k, v in m.state_dict().items())
    assert any(not torch.equal(v, before[1][k]) for k, v in found.quantized.state_dict().items())
    norm = found.quantized[1]
    assert torch.equal(norm.running_mean, network[1].running_mean)  # fixed statistics
    again = method(quantized, network, PIXELS, settings)
    pairs = zip(found.quantized.state_dict().values(), again.quantized.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.row("Z4")
@pytest.mark.parametrize("method", [gdfq, zaq])
def test_generators_fit_networks_of_other_pictures_and_classes(method):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 7),
    ).eval()
    settings = GenerativeSettings(warmup=0, steps=1, batch_size=2)
    quantized = quantize(network, Recipe(Quantizer(Symmetric(4))))
    make = method(quantized, network, PIXELS, settings, shape=(3, 8, 12)).generator
    x, y = make.sample(50, torch.Generator().manual_seed(0))
    assert x.shape == (50, 3, 8, 12) and set(y.tolist()) <= set(range(7)) and int(y.max()) == 6
    with pytest.raises(ValueError, match="multiples of 4"):
        method(quantized, network, PIXELS, settings, shape=(3, 8, 13))


@pytest.mark.row("Z4")
def test_the_adversary_finds_pictures_on_which_the_networks_differ_more():
    network = tiny()
    quantized = quantize(network, Recipe(Quantizer(Symmetric(2))))
    nearly_still = GenerativeSettings(warmup=0, steps=25, batch_size=16, generator_lr=0.01, lr=1e-9)
    trained = zaq(quantized, network, PIXELS, nearly_still, activation=0.0, rounds=1).generator
    untrained = make_generator(PIXELS, seed=nearly_still.seed).eval()
    with torch.no_grad():
        found = [
            float(discrepancy(network, quantized, make.sample(64, torch.Generator().manual_seed(1))[0]))
            for make in (untrained, trained)
        ]
    assert found[1] > 1.2 * found[0]


@pytest.mark.slow
@pytest.mark.row("Z4")
def test_gdfq_improves_on_what_it_starts_from():
    network = zoo.load("convnet")
    recipe = Recipe(Quantizer(Symmetric(4), PerChannel(0), MSE()), Quantizer(Asymmetric(4), calibration=MSE()))
    quantized = quantize(network, recipe, [gaussian_inputs((64, 1, 28, 28))])  # badly calibrated, on purpose
    found = gdfq(quantized, network, PIXELS, GenerativeSettings(warmup=60, steps=60, batch_size=32))
    test = load_test()[:1500]
    assert zoo.evaluate(found.quantized, test) > zoo.evaluate(quantized, test)
