"""Lab 9's right solutions agree with the library; see test_checks.py for what all labs owe."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab import PerChannel, Quantizer, Symmetric, zoo
from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab9_distil as lab
from qlab.data import load_calibration
from qlab.history.networks import divergence, layer_sensitivity
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.ptq import fold_batchnorm
from qlab.zsq import DistilSettings, distil, gaussian_inputs, statistics_loss, watch_statistics

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


@pytest.fixture(scope="module")
def network():
    return zoo.load("convnet")


def test_there_are_enough_of_them():
    assert len(CASES) >= 120
    assert all(len(e.mistakes) >= 2 for e in ALL)


@pytest.mark.row("Z3")
@pytest.mark.parametrize("name", ["convnet", "resnet"])
def test_statistics_and_loss_agree_with_the_library(name):
    model, x = zoo.load(name), gaussian_inputs((4, 1, 28, 28), 1)
    with watch_statistics(model) as found, torch.no_grad():
        model(x)
    pairs = lab.RECORD.solution(model, x)
    assert len(pairs) == len(found) == sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    for (mean, std), match in zip(pairs, found, strict=True):
        torch.testing.assert_close(mean, match.mean)
        torch.testing.assert_close(std, match.std)
    if name == "convnet":  # in the ResNet, layers are not called in the order in which modules() lists them
        torch.testing.assert_close(lab.STATISTICS_LOSS.solution(model, x), statistics_loss(model, x))


@pytest.mark.row("Z3")
def test_one_step_of_distillation_is_the_librarys(network):
    noise = gaussian_inputs((3, 1, 28, 28), 2)
    settings = DistilSettings(steps=1, lr=0.1, pixels=(-0.8, 2.0), input_statistics=False, seed=2)
    ours = lab.DISTIL.solution(network, noise, 1, 0.1, -0.8, 2.0)
    theirs = distil(network, (3, 1, 28, 28), settings)
    assert ((ours - theirs).abs() < 1e-4).double().mean() > 0.99  # a gradient of nearly 0 may take either sign
    before, after = (float(statistics_loss(network, x).detach()) for x in (noise, ours))
    assert after < before


@pytest.mark.row("Z3")
def test_ranges_are_those_of_the_network_up_to_each_layer(network):
    x = load_calibration(4).tensors()[0]
    ranges = lab.INPUT_RANGES.solution(network, x)
    assert list(ranges) == list(quantizable_layers(network))
    for name, (low, high) in ranges.items():
        with torch.no_grad():
            a = network[: int(name)](x)  # without a hook
        assert (low, high) == (min(0.0, float(a.min())), max(0.0, float(a.max())))


@pytest.mark.row("Z3")
def test_divergence_agrees_with_pytorch_and_the_library():
    p, q = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ours = float(lab.DIVERGENCE.solution(p, q))
    assert ours == pytest.approx(divergence(p, q))
    assert ours == pytest.approx(float(F.kl_div(q.log_softmax(1), p.softmax(1), reduction="batchmean")))


@pytest.mark.row("Z3")
def test_sensitivity_agrees_with_the_library(network):
    folded, data = fold_batchnorm(network), load_calibration(16)
    quantizer = Quantizer(Symmetric(3), PerChannel(0))
    ours = lab.SENSITIVITY.solution(folded, data.tensors()[0], quantizer.fake)
    theirs = {line.name: line.divergence for line in layer_sensitivity(folded, quantizer, data)}
    assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.row("Z4")
def test_tuning_brings_a_student_near_its_teacher(network):
    folded, x = fold_batchnorm(network), gaussian_inputs((8, 1, 28, 28), 4)
    student = quantize(folded, Recipe(Quantizer(Symmetric(3), PerChannel(0))))
    tuned = lab.TUNE.solution(student, folded, x, 5, 3e-4)
    with torch.no_grad():
        before, after = (float(divergence(folded(x), m(x))) for m in (student, tuned))
    assert after < before / 2


def test_other_right_solutions_pass():
    def by_hand(a):
        flat = a.transpose(0, 1).flatten(1)
        return flat.mean(1), flat.std(1, unbiased=False)

    check(lab.CHANNEL_STATISTICS, by_hand)

    def with_std_mean(a):
        std, mean = torch.std_mean(a, (0, 2, 3), correction=0)
        return mean, std

    check(lab.CHANNEL_STATISTICS, with_std_mean)

    def watched(network, x):
        with watch_statistics(network) as found:
            network(x)
        return [(m.mean, m.std) for m in found]

    check(lab.RECORD, watched)
    check(lab.STATISTICS_LOSS, statistics_loss)

    def frozen_copy(network, noise, steps, lr, low, high):
        own = copy.deepcopy(network).requires_grad_(False)
        x = nn.Parameter(noise.clone())
        optimizer = torch.optim.Adam([x], lr)
        for _ in range(steps):
            optimizer.zero_grad()
            statistics_loss(own, x).backward()
            optimizer.step()
            x.data = x.data.clamp(low, high)
        return x.data

    check(lab.DISTIL, frozen_copy)
    check(lab.DIVERGENCE, lambda p, q: F.kl_div(q.log_softmax(1), p.softmax(1), reduction="batchmean"))
    check(lab.DIVERGENCE, lambda p, q: F.cross_entropy(q, p.softmax(1)) - F.cross_entropy(p, p.softmax(1)))

    def there_and_back(network, x, rounded):
        found = {}
        with torch.no_grad():
            p = network(x)
            for name, module in network.named_modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    kept = module.weight.clone()
                    module.weight.copy_(rounded(kept))
                    found[name] = lab.DIVERGENCE.solution(p, network(x))
                    module.weight.copy_(kept)
        return found

    check(lab.SENSITIVITY, there_and_back)


@pytest.mark.slow
def test_what_goes_wrong_in_other_ways_is_answered_in_words():
    cases = [
        (lab.CHANNEL_STATISTICS, lambda a: a.mean((0, 2, 3)), "return two tensors"),
        (lab.CHANNEL_STATISTICS, lambda a: (0.0, 1.0), "must be tensors"),
        (lab.RECORD, lambda network, x: None, "nothing here yet"),
        (lab.DISTIL, lambda *case: [1.0], "return the pictures"),
        (lab.DISTIL, lambda network, noise, *rest: noise.mul_(2), "changed its argument noise"),
        (lab.INPUT_RANGES, lambda network, x: [(0.0, 1.0)], "return a dict"),
        (lab.INPUT_RANGES, lambda network, x: {m: (0.0, 1.0) for m in network}, "keys must be names"),
        (lab.SENSITIVITY, lambda network, x, rounded: [0.0], "return a dict"),
        (lab.DIVERGENCE, lambda p, q: (p - q).sum(1), "return one number"),
        (lab.TUNE, lambda student, teacher, *rest: teacher(rest[0]), "return the tuned network"),
    ]
    for exercise, wrong, words in cases:
        with pytest.raises(CheckFailed, match=words):
            check(exercise, wrong)


def test_known_solutions_run_once_and_others_always():
    runs = []

    def counted(a):
        runs.append(1)
        return lab.CHANNEL_STATISTICS.solution(a)

    check(lab.CHANNEL_STATISTICS, counted)
    assert len(runs) == 2 * len(lab.CHANNEL_STATISTICS.cases)
    answers = lab.SEEDED[id(lab.CHANNEL_STATISTICS.solution)]
    assert len(answers) == len(lab.CHANNEL_STATISTICS.cases)
