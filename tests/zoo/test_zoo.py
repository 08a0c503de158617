"""Shipped networks are what their cards say, and training is repeatable, resumable and honest."""

import hashlib
from importlib import resources

import pytest
import torch
from torch import fx, nn

from qlab import zoo
from qlab.data import load_test, load_train_subset
from qlab.zoo.training import memory_format

pytestmark = pytest.mark.row("Q1")


@pytest.mark.parametrize("name", zoo.names())
def test_card_agrees_with_the_file(name):
    card, model = zoo.card(name), zoo.load(name)
    file = resources.files("qlab.zoo").joinpath("weights", f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(file).hexdigest() == card.sha256
    assert sum(p.numel() for p in model.parameters()) == card.parameters
    assert card.recipe["seed"] == zoo.RECIPES[name].settings.seed
    assert card.recipe["epochs"] == zoo.RECIPES[name].settings.epochs
    assert not model.training
    fx.symbolic_trace(model)  # methods that see the graph need this


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_stated_accuracy_is_the_accuracy_on_all_test_pictures(name):
    assert zoo.evaluate(zoo.load(name)) == pytest.approx(zoo.card(name).accuracy, abs=5e-4)


@pytest.mark.row("H11")
def test_ensemble_is_five_different_networks_of_one_shape():
    ensemble = zoo.load_ensemble()
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in ensemble]
    assert len({w.shape for w in weights}) == 1
    assert len(ensemble) == 5
    for i in range(5):
        for j in range(i):
            assert (weights[i] - weights[j]).norm() > 0.5 * weights[i].norm()
    few = load_test()[:500]
    assert all(zoo.evaluate(m, few) > 0.8 for m in ensemble)


@pytest.fixture
def tiny():
    return load_train_subset()[::60], zoo.TrainingSettings(epochs=2, batch_size=20, lr=0.02, seed=5)


def tensors(model):
    return list(model.state_dict().values())


def test_training_repeats_itself_and_leaves_its_argument_alone(tiny):
    images, settings = tiny
    model = zoo.build("mlp", seed=1)
    before = [t.clone() for t in tensors(model)]
    first, second = zoo.train(model, images, settings), zoo.train(model, images, settings)
    assert all(map(torch.equal, tensors(first), tensors(second)))
    assert all(map(torch.equal, tensors(model), before))
    assert not all(map(torch.equal, tensors(model), tensors(first)))


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tiny, tmp_path):
    images, settings = tiny
    model, path = zoo.build("convnet", seed=1, width=2), tmp_path / "run.checkpoint"
    calls = 0

    def cut(net, x, y):
        nonlocal calls
        calls += 1
        if calls == 8:  # in the second epoch of five batches
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(net(x), y)

    with pytest.raises(KeyboardInterrupt):
        zoo.train(model, images, settings, cut, checkpoint=path)
    assert path.exists()
    resumed = zoo.train(model, images, settings, checkpoint=path)
    assert all(map(torch.equal, tensors(resumed), tensors(zoo.train(model, images, settings))))
    assert not list(tmp_path.iterdir())


def test_a_diverging_run_is_reported(tiny):
    images, settings = tiny
    with pytest.raises(ValueError, match="diverged"):
        zoo.train(zoo.build("mlp"), images, settings, loss=lambda m, x, y: m(x).sum() * float("inf"))


def test_building_does_not_touch_the_global_generator():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    zoo.build("resnet", seed=9)
    assert torch.equal(torch.rand(3), expected)
    a, b = zoo.build("mlp", seed=1), zoo.build("mlp", seed=1)
    assert all(map(torch.equal, tensors(a), tensors(b)))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="name must be one of mlp"):
        zoo.load("vgg")
    with pytest.raises(ValueError, match="eval mode"):
        zoo.evaluate(zoo.build("mlp"))
    with pytest.raises(ValueError, match="positive"):
        zoo.TrainingSettings(epochs=0)


@pytest.mark.slow
@pytest.mark.row("Q7", "B2")
def test_the_separable_network_suffers_per_tensor_and_not_per_channel():
    from qlab import PerChannel, Quantizer, Recipe, Symmetric, quantize
    from qlab.network import quantizable_layers
    from qlab.ptq import fold_batchnorm

    folded = fold_batchnorm(zoo.load("separable"))
    full = zoo.card("separable").accuracy
    tensor = zoo.evaluate(quantize(folded, Recipe(Quantizer(Symmetric(8)))))
    channel = zoo.evaluate(quantize(folded, Recipe(Quantizer(Symmetric(8), PerChannel(0)))))
    assert full - tensor > 0.02
    assert abs(full - channel) < 0.005
    assert f"per tensor symmetric, 8 bits: {tensor:.2%}" in zoo.card("separable").notes
    ranges = dict(quantizable_layers(folded))["3.body.3"].weight.detach().flatten(1).abs().amax(1)
    assert ranges.max() > 1000 * ranges.median()


def test_risky_convolutions_are_trained_in_contiguous_memory():
    """PyTorch 2.13: backward of a strided 1×1 convolution of few channels in channels_last writes out of bounds."""
    risky = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2))
    assert memory_format(risky) == torch.contiguous_format
    assert memory_format(nn.Sequential(nn.Conv2d(4, 8, 1))) == torch.channels_last
    assert memory_format(nn.Sequential(nn.Conv2d(4, 8, 3, stride=2))) == torch.channels_last
    assert all(memory_format(zoo.load(name)) == torch.channels_last for name in zoo.names())  # as they were made
