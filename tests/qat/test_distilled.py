"""Teachers of quantized students, against closed forms, autograd and brute force; the table is complete."""

import pytest
import torch
from torch.nn import functional as F

from qlab import zoo
from qlab.data import load_test, load_train_subset
from qlab.neighbours import distillation_loss
from qlab.network import Recipe, network_bytes, quantize, stored_weight
from qlab.qat import make_distilled_table
from qlab.qat.apprentice import apprentice_loss
from qlab.qat.attention_transfer import AttentionTransfer, attention_distance, attention_map, tapped
from qlab.qat.distilled import DistilledRun, distilled_table, pupil, run_distilled
from qlab.qat.learned_points import LearnedPoints
from qlab.qat.qkd import CoStudy, Pair, qkd
from qlab.zoo import TrainingSettings, train


def logits(seed, n=6, classes=5):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, classes, generator=g, dtype=torch.float64)


LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.mark.row("D1")
@pytest.mark.parametrize(("beta", "gamma"), [(0.5, 0.5), (0.2, 1.4), (1.0, 0.0)])
def test_apprentice_is_hintons_loss_at_temperature_one(beta, gamma):
    s, t = logits(0).requires_grad_(), logits(1)
    (ours,) = torch.autograd.grad(apprentice_loss(s, t, LABELS, 1.0, beta, gamma), s)
    both = beta + gamma
    (hinton,) = torch.autograd.grad(both * distillation_loss(s, t, LABELS, 1.0, gamma / both), s)
    assert torch.allclose(ours, hinton, atol=1e-12)


@pytest.mark.row("D1")
def test_in_scheme_a_the_teacher_learns_from_labels_alone():
    s, t = logits(0), logits(1).requires_grad_()
    (ours,) = torch.autograd.grad(apprentice_loss(s, t, LABELS), t)
    (labels,) = torch.autograd.grad(F.cross_entropy(t, LABELS), t)
    assert torch.allclose(ours, labels)


@pytest.mark.row("D1")
def test_wrong_losses_are_named():
    with pytest.raises(ValueError, match="same shape"):
        apprentice_loss(logits(0), logits(0, 3), LABELS)
    with pytest.raises(ValueError, match="must not be negative"):
        apprentice_loss(logits(0), logits(0), LABELS, gamma=-1.0)
    with pytest.raises(ValueError, match="axes"):
        attention_map(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="height and width"):
        attention_distance(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match="modules of the model"), tapped(zoo.build("mlp"), ["9"]):
        pass
    with pytest.raises(ValueError, match="eval mode"):
        AttentionTransfer(zoo.build("mlp").train(), ["2"])
    with pytest.raises(TypeError, match="Pair"):
        CoStudy()(zoo.build("mlp"), torch.zeros(1, 1, 28, 28), torch.tensor([0]))
    with pytest.raises(TypeError, match="quantiles"):
        LearnedPoints(2).module(None, None)
    with pytest.raises(ValueError, match="way must be one of labels"):
        run_distilled("teachers", 2, 2, 600, 0)
    with pytest.raises(ValueError, match="pictures must be one of"):
        run_distilled("labels", 2, 2, 601, 0)


@pytest.mark.row("D1")
def test_attention_is_one_minus_the_cosine_and_blind_to_width_and_size():
    a, b = torch.rand(3, 4, 5, 5, generator=torch.Generator().manual_seed(0)), torch.rand(3, 8, 5, 5)
    cosine = F.cosine_similarity(a.square().sum(1).flatten(1), b.square().sum(1).flatten(1))
    assert float(attention_distance(a, b)) == pytest.approx(float((1 - cosine).mean()), abs=1e-6)
    assert float(attention_distance(a, 3 * torch.cat([a, a], 1))) == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.row("D1")
def test_attention_transfer_adds_the_distances_of_all_taps():
    student, teacher, x = zoo.build("convnet", width=4).eval(), zoo.load("convnet"), load_test()[:4].tensors()
    found = AttentionTransfer(teacher, ["2", "9"], 0.5)(student, *x)
    distance = sum(attention_distance(student[: k + 1](x[0]), teacher[: k + 1](x[0])) for k in (2, 9))
    assert found.item() == pytest.approx((F.cross_entropy(student(x[0]), x[1]) + 0.5 * distance).item(), rel=1e-5)


@pytest.mark.row("D1")
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_a_learned_point_hears_from_all_weights_it_stands_for(bits):
    g = torch.Generator().manual_seed(bits)
    v, up = torch.randn(200, generator=g), torch.randn(200, generator=g)
    module = LearnedPoints(bits).module(None, v)
    (module(v) * up).sum().backward()
    alpha, points = v.abs().max(), module.points.detach()
    which = (v[:, None] / alpha - points).abs().argmin(1)  # brute force
    assert torch.equal(module(v).detach(), alpha * points[which])
    sums = torch.stack([alpha * up[which == k].sum() for k in range(2**bits)])
    assert torch.allclose(module.points.grad, sums, rtol=1e-4, atol=1e-5)


@pytest.mark.row("D1")
def test_points_that_cross_or_meet_are_stored_as_what_the_network_computes():
    v = torch.randn(50, generator=torch.Generator().manual_seed(0))
    module = LearnedPoints(2).module(None, v)
    for points in ([0.5, -0.5, 0.1, 0.0], [0.1, 0.1, -0.3, 0.1], [0.2, 0.2, 0.2, 0.2]):
        module.points.data = torch.tensor(points)
        assert torch.allclose(module.stored(v).dequantize(), module(v).detach(), atol=1e-6)


@pytest.mark.row("D1")
def test_weights_stay_unless_they_are_told_to_move_and_bytes_are_counted():
    model = quantize(zoo.load("mlp"), Recipe(weight=LearnedPoints(2)))
    layer = model[1]
    (g,) = torch.autograd.grad(layer.weight.sum(), layer.parametrizations.weight.original, allow_unused=True)
    assert g is None
    v = torch.randn(9, requires_grad=True)
    LearnedPoints(2, weights=True).module(None, v)(v).sum().backward()
    assert torch.allclose(v.grad, torch.ones(9))
    assert stored_weight(layer).grid.width == 2
    weights, biases = 784 * 128 + 128 * 64 + 64 * 10, 4 * (128 + 64 + 10)
    # codes, four levels and one scale for each of three layers, biases
    assert network_bytes(model) == weights // 4 + 3 * (16 + 4) + biases


@pytest.mark.row("D1")
def test_studying_together_moves_both_each_towards_the_others_answer():
    x, y = load_test()[:8].tensors()
    pair = Pair(zoo.build("mlp", hidden=(4,)), zoo.build("mlp", 1, hidden=(8,)))
    CoStudy(2.0)(pair, x, y).backward()
    s, t = pair.student(x), pair.teacher(x)
    (g,) = torch.autograd.grad(2 * distillation_loss(s, t.detach(), y, 2.0, 0.5), [pair.student[1].weight])
    assert torch.allclose(pair.student[1].weight.grad, g, atol=1e-6)
    assert pair.teacher[1].weight.grad.abs().sum() > 0


@pytest.mark.slow
@pytest.mark.row("D1")
def test_three_phases_in_their_order():
    data, seen = load_train_subset()[:64], []

    def fit(model, loss):
        seen.append(type(model).__name__)
        return train(model, data, TrainingSettings(1, 32, 0.01, augment=False), loss)

    teacher = zoo.build("mlp", 1, hidden=(8,)).eval()
    before = teacher[1].weight.clone()
    made = qkd(zoo.build("mlp", hidden=(4,)), teacher, fit)
    assert seen == ["Sequential", "Pair", "Sequential"] and not made.training
    assert torch.equal(teacher[1].weight, before)


@pytest.mark.slow
@pytest.mark.row("D1")
def test_pupils_have_their_bits():
    data = load_train_subset()[:64]
    layers = [m for m in pupil(2, 32, data, 0).modules() if hasattr(m, "weight") and stored_weight(m) is not None]
    assert [stored_weight(m).grid.width for m in layers] == [8, 2, 2, 2, 8]
    assert [hasattr(m, "activation_quantizer") for m in layers] == [True, False, False, False, True]
    assert not hasattr(pupil(32, 32, data, 0)[0], "activation_quantizer")


@pytest.mark.slow
@pytest.mark.row("D1")
def test_a_line_of_the_table_comes_out_again():
    stored = next(r for r in distilled_table() if r[:5] == ("wide teacher", 2, 2, 100, 0))
    again = run_distilled(*stored[:5], test=load_test()[:2000])
    assert again.accuracy == pytest.approx(stored.accuracy, abs=0.04)
    assert again.accuracy > again.start + 0.15


@pytest.mark.row("D1")
def test_the_table_holds_every_run_once():
    runs = distilled_table()
    assert sorted(run[:5] for run in runs) == sorted(make_distilled_table.jobs())
    assert all(isinstance(run, DistilledRun) and 0.1 < run.accuracy < 1 for run in runs)
