"""The loss against torch's KL divergence, its limit against logit regression, and a student against a real teacher."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qlab import data, zoo
from qlab.neighbours import Distillation, distil, distil_recorded, distillation_loss, soft_cross_entropy, soft_labels


def logits(seed, n=6, classes=5):
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


@pytest.mark.row("B9")
@pytest.mark.parametrize("T", [0.5, 1.0, 4.0, 20.0])
def test_against_torchs_kl_divergence(T):
    s, t, y = logits(0), logits(1), torch.tensor([0, 1, 2, 3, 4, 0])
    kl = F.kl_div(F.log_softmax(s / T, 1), F.softmax(t / T, 1), reduction="batchmean")
    torch.testing.assert_close(soft_cross_entropy(s, t, T), T**2 * kl)
    expected = 0.7 * T**2 * kl + 0.3 * F.cross_entropy(s, y)
    torch.testing.assert_close(distillation_loss(s, t, y, T, 0.7), expected)


@pytest.mark.row("B9")
def test_gradient_by_hand():
    """∂(T²·KL)/∂s = T·(q − p), divided by the batch: Hinton et al. 2015, equation 2, with their T² in front."""
    s, t, T = logits(0).requires_grad_(), logits(1), 3.0
    (g,) = torch.autograd.grad(soft_cross_entropy(s, t, T), s)
    torch.testing.assert_close(g, T * (soft_labels(s, T) - soft_labels(t, T)) / len(s))


@pytest.mark.row("B9")
def test_at_high_temperature_it_is_regression_of_logits():
    """Equations 3 and 4: the gradient tends to the difference of centred logits over N; its error falls as 1/T."""
    s, t = logits(0).requires_grad_(), logits(1)
    n = s.shape[1]
    centred = (s - s.mean(1, keepdim=True)) - (t - t.mean(1, keepdim=True))
    gaps = []
    for T in (100.0, 1000.0, 10000.0):
        (g,) = torch.autograd.grad(soft_cross_entropy(s, t, T), s)
        gaps.append((g * len(s) - centred.detach() / n).abs().max().item())
    assert gaps[2] < 1e-3
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.1)
    assert gaps[1] / gaps[2] == pytest.approx(10, rel=0.1)


@pytest.mark.row("B9")
def test_temperature_flattens():
    t = logits(2)
    entropies = [-(p * p.log()).sum(1).mean().item() for p in (soft_labels(t, T) for T in (0.5, 1, 2, 8, 1e6))]
    assert entropies == sorted(entropies)
    assert entropies[-1] == pytest.approx(torch.log(torch.tensor(5.0)).item())


@pytest.mark.row("B9")
def test_a_student_learns_from_a_teacher_without_labels():
    """Labels are shuffled to nonsense and α = 1: all that the student knows comes from the teacher."""
    teacher = zoo.load("mlp")
    pictures = data.load_calibration(512)
    nonsense = data.Images(pictures.images, pictures.labels.roll(1))
    settings = zoo.TrainingSettings(epochs=8, batch_size=32, lr=0.05, augment=False)
    student = zoo.build("mlp", hidden=(32,))
    before = student[1].weight.detach().clone()
    taught = distil(student, teacher, nonsense, settings, temperature=4.0, alpha=1.0)
    assert torch.equal(student[1].weight, before)
    some = data.load_test()[:1000]
    assert zoo.evaluate(taught, some) > 0.6
    hard = distil(student, teacher, nonsense, settings, alpha=0.0)  # nothing but the nonsense
    assert zoo.evaluate(hard, some) < 0.3
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.row("B9")
def test_a_recorded_teacher_teaches_the_same():
    teacher, pictures = zoo.load("mlp"), data.load_calibration(96)
    settings = zoo.TrainingSettings(epochs=2, batch_size=32, lr=0.05, augment=False)
    student = zoo.build("mlp", hidden=(16,))
    live = distil(student, teacher, pictures, settings, 3.0, 0.7)
    recorded = distil_recorded(student, zoo.predict(teacher, pictures), pictures, settings, 3.0, 0.7)
    for a, b in zip(live.parameters(), recorded.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="logits of 96"):
        distil_recorded(student, torch.zeros(95, 10), pictures, settings)
    with pytest.raises(ValueError, match="augment=False"):
        distil_recorded(student, torch.zeros(96, 10), pictures, zoo.TrainingSettings())


@pytest.mark.row("B9")
def test_bad_input():
    s = logits(0)
    for T in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="temperature"):
            soft_labels(s, T)
    with pytest.raises(ValueError, match="alpha"):
        distillation_loss(s, s, torch.zeros(6, dtype=torch.int64), alpha=1.5)
    with pytest.raises(ValueError, match="same shape"):
        soft_cross_entropy(s, s[:, :4])
    with pytest.raises(ValueError, match="eval mode"):
        Distillation(nn.Linear(2, 2).train())
