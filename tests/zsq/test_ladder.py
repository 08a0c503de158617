"""The ladder: fine-tuning on given pictures by hand, what the rungs share, and what is refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab import zoo
from qlab.data import load_calibration, load_test
from qlab.network import Recipe, quantize
from qlab.quantizer import Quantizer
from qlab.zsq import GenerativeSettings, finetune
from qlab.zsq.ladder import PIXELS, RUNGS, climb, pictures
from qlab.zsq.ladder_table import LADDER


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()


@pytest.mark.row("Z4")
def test_one_step_is_the_gradient_by_hand():
    original, student = linear(), linear()
    with torch.no_grad():
        student[1].weight.mul_(0.5)
    x, y = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0, 1])
    settings = GenerativeSettings(steps=1, batch_size=5, lr=0.1)
    tuned = finetune(student, original, x, y, settings)
    q, p = F.softmax(student(x), 1), F.softmax(original(x), 1)
    slope = (q - p) + (q - F.one_hot(y, 3))  # of KL and of cross-entropy, with respect to the logits
    gradient = slope.T @ x.flatten(1) / 5
    # Nesterov's first step: momentum times the gradient comes on top
    torch.testing.assert_close(tuned[1].weight, student[1].weight - 0.1 * (1 + 0.9) * gradient)


@pytest.mark.row("Z4")
def test_without_labels_the_original_has_nothing_to_learn():
    original = linear()
    tuned = finetune(original, original, torch.randn(3, 1, 2, 2), None, GenerativeSettings(steps=4, batch_size=8))
    torch.testing.assert_close(tuned[1].weight, original[1].weight)
    assert tuned is not original


@pytest.mark.row("Z4")
def test_both_networks_are_left_alone_and_seeds_decide():
    original = linear()
    quantized = quantize(original, Recipe(Quantizer()))
    before = {k: v.clone() for k, v in quantized.state_dict().items()}
    x = torch.randn(40, 1, 2, 2)
    results = [
        finetune(quantized, original, x, None, GenerativeSettings(steps=3, batch_size=8, lr=0.5, seed=seed))
        for seed in (0, 0, 1)
    ]
    assert all(torch.equal(v, before[k]) for k, v in quantized.state_dict().items())
    weights = [m[1].parametrizations.weight.original for m in results]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.row("Z4")
def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="eval"):
        finetune(linear(), linear().train(), torch.randn(2, 1, 2, 2))
    with pytest.raises(ValueError, match="pictures"):
        finetune(linear(), linear(), torch.empty(0, 1, 2, 2))
    with pytest.raises(ValueError, match="kind"):
        pictures(linear(), "painted", 0)
    with pytest.raises(ValueError, match="rung"):
        climb(linear(), "top", {})


@pytest.mark.row("Z4")
def test_pictures_are_what_they_are_called():
    model = zoo.load("convnet")
    x, y = pictures(model, "inverted", 0, steps=1)
    assert x.shape == (256, 1, 28, 28) and torch.equal(y, torch.arange(256) % 10)
    assert PIXELS[0] - 1e-6 <= float(x.min()) <= float(x.max()) <= PIXELS[1] + 1e-6
    real, none = pictures(model, "real", 3)
    assert none is None and not torch.equal(real, pictures(model, "real", 4)[0])
    assert len(torch.unique(real.flatten(1), dim=0)) > 250  # drawn without replacement


@pytest.mark.row("Z4")
def test_the_table_holds_every_rung():
    assert set(LADDER) == set(RUNGS)
    assert len(LADDER["statistics"]) == 1
    assert all(1000 < value < 10_000 for values in LADDER.values() for value in values)


@pytest.mark.slow
@pytest.mark.row("Z4")
def test_the_table_is_what_the_ladder_gives():
    """Rungs without training, on a part of the test set: other machines round differently in the last digits."""
    model = zoo.load("convnet")
    made = {"noise": pictures(model, "noise", 0), "real": pictures(model, "real", 0)}
    for rung in ("statistics", "noise", "real"):
        accuracy = zoo.evaluate(climb(model, rung, made), load_test()[:3000])
        assert accuracy == pytest.approx(LADDER[rung][0] / 10_000, abs=0.03)


@pytest.mark.slow
@pytest.mark.row("Z4")
def test_fine_tuning_on_unlabelled_real_pictures_helps():
    model = zoo.load("convnet")
    made = {"real": (load_calibration(128).tensors()[0], None)}
    test = load_test()[:1500]
    before, after = (zoo.evaluate(climb(model, rung, made), test) for rung in ("real", "real, tuned"))
    assert after > before + 0.02
