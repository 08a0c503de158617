"""Lab 7's right solutions agree with the library and with brute force; see test_checks.py for what all labs owe."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch import nn

from qlab import Quantizer, Symmetric, zoo
from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab7_ptq as lab
from qlab.data import load_calibration
from qlab.network import Recipe, quantize, stored_weight
from qlab.ptq import AdaRoundSettings, best_rounding, clipped_normal, correct_bias, fold_batchnorm, layer_moments
from qlab.ptq.adaround import rectified_sigmoid, rounding_push, start_of_rounding
from qlab.ptq.bias_correction import output_shift
from qlab.ptq.graph import Normal
from qlab.ptq.moments import reconstruction_error

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_there_are_enough_of_them():
    assert len(CASES) >= 100
    assert all(len(e.mistakes) >= 2 for e in ALL)


@pytest.mark.row("T5")
def test_the_correction_is_the_librarys():
    layer = nn.Linear(6, 4)
    x = numbers(0, 50, 6).relu()
    quantized = quantize(layer_net := nn.Sequential(layer), Recipe(Quantizer(Symmetric(3))))
    w, w_hat = layer.weight.detach(), quantized[0].weight.detach()
    shift = output_shift(w, w_hat, x.mean(0)[None].double(), x.mean(0)[None].double())
    assert torch.allclose(lab.MEAN_SHIFT.solution(w, w_hat, x), shift.float(), atol=1e-5)
    new = lab.CORRECTED_BIAS.solution(layer.bias.detach(), w, w_hat, x, x)
    assert torch.allclose(new, correct_bias(quantized, layer_net, [x])[0].bias, atol=1e-5)


@pytest.mark.row("T5")
def test_a_corrected_layer_has_the_original_mean_whatever_arrives():
    bias, w, w_hat = numbers(1, 3), numbers(2, 3, 5), numbers(3, 3, 5)
    x, x_hat = numbers(4, 20, 5), numbers(5, 20, 5)
    new = lab.CORRECTED_BIAS.solution(bias, w, w_hat, x, x_hat)
    assert torch.allclose((x_hat @ w_hat.T + new).mean(0), (x @ w.T + bias).mean(0), atol=1e-5)


@pytest.mark.row("T5")
@pytest.mark.parametrize(("beta", "gamma"), [(0.0, 1.0), (1.0, 0.5), (-1.5, 2.0)])
def test_the_mean_after_a_relu_is_the_integral(beta, gamma):
    density = stats.norm(beta, gamma)
    value, _ = integrate.quad(lambda t: t * density.pdf(t), 0, 30)
    mine = lab.RELU_MEAN.solution(torch.tensor([beta]), torch.tensor([gamma]))
    assert mine.item() == pytest.approx(value, abs=1e-5)
    theirs = clipped_normal(Normal(torch.tensor([beta]), torch.tensor([gamma])))
    assert mine.item() == pytest.approx(theirs.mean.item(), abs=1e-5)


@pytest.mark.row("T8")
def test_the_quadratic_is_the_error_of_the_outputs():
    delta, x = numbers(6, 4, 5), numbers(7, 30, 5)
    H = lab.SECOND_MOMENTS.solution(x)
    assert torch.allclose(lab.OUTPUT_ERROR.solution(delta, H), (x @ delta.T).square().mean(0), atol=1e-4)
    layer = nn.Linear(5, 4)
    m = layer_moments(nn.Sequential(layer), nn.Sequential(layer), "0", [x])
    assert torch.allclose(H, m.second[0].float(), atol=1e-5)
    theirs = reconstruction_error(torch.zeros(1, 4, 5).double(), delta[None].double(), m)[0]
    assert torch.allclose(lab.OUTPUT_ERROR.solution(delta, H), theirs.float(), atol=1e-4)


@pytest.mark.row("T8")
def test_the_best_rounding_is_the_librarys():
    layer = nn.Linear(6, 5)
    x = numbers(8, 100, 6).relu() + numbers(9, 100, 1)
    model = nn.Sequential(layer)
    stored = stored_weight(quantize(model, Recipe(Quantizer(Symmetric(3))))[0])
    w, scale = layer.weight.detach(), float(stored.params.scale)
    theirs = best_rounding(w, stored, layer_moments(model, model, "0", [x]))
    H = lab.SECOND_MOMENTS.solution(x)
    mine = torch.stack([lab.BEST_ROUNDING.solution(row, scale, 3, H) for row in w])
    assert torch.equal(mine.int(), theirs)
    assert not torch.equal(mine, torch.round(w / scale).long())


@pytest.mark.row("T8")
def test_the_pieces_of_adaround_are_the_librarys():
    v = 3 * numbers(10, 4, 5)
    assert torch.allclose(lab.RECTIFIED_SIGMOID.solution(v), rectified_sigmoid(v), atol=1e-6)
    settings = AdaRoundSettings(steps=100, regularization=1.0, warmup=0.0)
    for step in (0, 30, 70):
        ours = lab.PUSH.solution(v, lab.BETA_AT.solution(step, 100))
        assert ours.item() == pytest.approx(rounding_push([rectified_sigmoid(v)], step, settings).item(), rel=1e-4)
    w = numbers(11, 4, 5)
    fraction = w / 0.5 - torch.floor(w / 0.5)
    soft = lab.SOFT_WEIGHT.solution(w, 0.5, 100, start_of_rounding(fraction))
    assert torch.allclose(soft, w, atol=1e-3)


@pytest.mark.row("T8")
def test_learned_codes_are_the_best_ones_in_the_labs_cases():
    for w, scale, top, H, steps, lam in lab.ADAROUND.cases:
        if steps < 100:
            continue
        settled, codes = lab.ADAROUND.use(lab.ADAROUND.solution, w, scale, top, H, steps, lam).values()
        best = torch.stack([lab.BEST_ROUNDING.solution(row, scale, top, H) for row in w])
        assert settled and torch.equal(codes, best)
        assert not torch.equal(codes, torch.round(w / scale).long())


def test_other_right_solutions_pass():
    check(lab.MEAN_SHIFT, lambda w, w_hat, x: torch.stack([w_hat @ r - w @ r for r in x]).mean(0))
    check(lab.CORRECTED_BIAS, lambda b, w, v, x, y: (x @ w.T + b).mean(0) - (y @ v.T).mean(0))
    normal = torch.distributions.Normal(0.0, 1.0)
    check(
        lab.RELU_MEAN,
        lambda b, g: b * normal.cdf(b / g) + g * normal.log_prob(b / g).exp(),
    )
    check(lab.SECOND_MOMENTS, lambda x: (x[:, :, None] * x[:, None, :]).mean(0))
    check(lab.OUTPUT_ERROR, lambda d, H: (d @ H @ d.T).diagonal())
    check(lab.OUTPUT_ERROR, lambda d, H: torch.einsum("oi,ij,oj->o", d, H, d))

    def one_by_one(w, scale, top, H):
        best = None
        for ups in itertools.product([0, 1], repeat=len(w)):
            codes = [max(-top, min(top, math.floor(r / scale) + u)) for r, u in zip(w.tolist(), ups, strict=True)]
            delta = scale * torch.tensor(codes) - w
            error = float(delta @ H @ delta)
            if best is None or error < best[0]:
                best = error, codes
        return torch.tensor(best[1])

    check(lab.BEST_ROUNDING, one_by_one)
    check(lab.RECTIFIED_SIGMOID, lambda v: torch.clip(1.2 / (1 + torch.exp(-v)) - 0.1, 0, 1))
    check(lab.PUSH, lambda v, beta: 1 - torch.mean(torch.abs(2 * rectified_sigmoid(v) - 1) ** beta))
    check(lab.BETA_AT, lambda step, steps: 11 + 9 * np.cos(np.pi * step / steps))
    check(
        lab.SOFT_WEIGHT,
        lambda w, scale, top, v: scale * torch.clamp((w / scale).floor() + rectified_sigmoid(v), min=-top, max=top),
    )


@pytest.mark.parametrize("kind", ["module", "named", "einsum"])
def test_other_right_loops_pass(kind):
    def loop(w, scale, top, H, steps, lam=1.0):
        floor = torch.floor(w / scale)
        v = torch.nn.Parameter(start_of_rounding(w / scale - floor))
        optimizer = torch.optim.Adam(lr=0.05, params=[v])
        for step in range(steps):
            optimizer.zero_grad()
            soft = lab.SOFT_WEIGHT.solution(w, scale, top, v)
            if kind == "einsum":
                error = torch.einsum("oi,ij,oj", soft - w, H, soft - w) / torch.einsum("oi,ij,oj", w, H, w)
            else:
                delta = w - soft
                error = (delta @ H @ delta.T).trace() / (w @ H @ w.T).trace()
            loss = error + lam * lab.PUSH.solution(v, lab.BETA_AT.solution(step, steps))
            loss.backward()
            optimizer.step()
        return v if kind == "module" else v.detach()

    check(lab.ADAROUND, loop)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "attempt", "words"),
    [
        (lab.SOFT_WEIGHT, lambda w, scale, top, v: [0.0], "must return a tensor, got list"),
        (lab.SOFT_WEIGHT, lambda w, scale, top, v: w.floor_(), "changed its argument w"),
        (lab.ADAROUND, lambda w, scale, top, H, steps, lam: [v for v in w], "must return V, a tensor, got list"),
        (lab.ADAROUND, lambda w, scale, top, H, steps, lam: w.flatten(), "V must have the shape of w"),
        (lab.ADAROUND, lambda w, scale, top, H, steps, lam: None, "is `return` missing"),
        (lab.MEAN_SHIFT, lambda w, w_hat, x: x @ w_hat.T - x @ w.T, "its shape must be"),
        (lab.RELU_MEAN, lambda b, g: g * math.exp(b / g), "stopped with ValueError"),
        (lab.CORRECTED_BIAS, lambda b, w, v, x, y: b.sub_(v @ y.mean(0) - w @ x.mean(0)), "changed its argument bias"),
        (lab.BEST_ROUNDING, lambda w, s, t, H: torch.round(w / s), "nearest rounding"),
    ],
)
def test_what_goes_wrong_in_other_ways_is_answered_in_words(exercise, attempt, words):
    with pytest.raises(CheckFailed, match=words):
        check(exercise, attempt)


@pytest.mark.row("T5", "T8")
def test_the_answers_to_the_questions():
    """Those that need no network."""
    reached = optimize.brentq(lambda v: 1.2 / (1 + math.exp(-v)) - 0.1 - 1, 0, 5)
    assert lab.QUESTIONS[2].solution == round(reached, 1)
    x = numbers(20, 20_000, 6).relu()
    H, mean = lab.SECOND_MOMENTS.solution(x), x.mean(0)
    rows = 5 * torch.rand(30, 6, generator=torch.Generator().manual_seed(21)) - 2.5
    moved = {
        name: sum(not torch.equal(lab.BEST_ROUNDING.solution(r, 1.0, 3, A), torch.round(r).long()) for r in rows)
        for name, A in (("H", H), ("covariance", H - torch.outer(mean, mean)))
    }
    assert moved["H"] > 10 and moved["covariance"] <= 3


@pytest.fixture(scope="module")
def network():
    return fold_batchnorm(zoo.load("convnet")).requires_grad_(False), load_calibration(128, seed=0).tensors()[0]


@pytest.mark.row("T5")
def test_the_share_of_the_shift_in_question_1(network):
    model, images = network
    rounded = quantize(model, Recipe(Quantizer(Symmetric(3)))).get_submodule("4").weight.double().flatten(1)
    w = model.get_submodule("4").weight.double().flatten(1)
    m = layer_moments(model, model, "4", [images])
    shift = output_shift(w, rounded, m.mean, m.mean).square().sum()
    share = 100 * shift / reconstruction_error(w[None], rounded[None], m).sum()
    assert lab.QUESTIONS[0].solution == round(share.item(), -1)
    assert abs(share - lab.QUESTIONS[0].solution) < 4


@pytest.mark.row("T8")
def test_the_first_layer_in_questions_2_and_4(network):
    model, images = network
    stored = stored_weight(quantize(model, Recipe(Quantizer(Symmetric(3)))).get_submodule("0"))
    weight, m = model.get_submodule("0").weight, layer_moments(model, model, "0", [images])
    best = best_rounding(weight, stored, m)
    assert lab.QUESTIONS[1].solution == int((best != stored.codes).sum())
    w, scale = weight.flatten(1), float(stored.params.scale)
    H = m.second[0].float()
    for lam, least, most in ((0.0, 0.97, 1.0), (1.0, 0.7, 0.95)):
        up = rectified_sigmoid(lab.ADAROUND.solution(w, scale, 3, H, 200, lam)) >= 0.5
        codes = (torch.floor(w / scale) + up).clamp(-3, 3)
        same = float((codes == stored.codes.flatten(1)).double().mean())
        assert least <= same <= most
