"""Knowledge distillation: learn the teacher's probabilities, not only the right answer.

    p(T) = softmax(t/T)   of the teacher's logits t,      q(T) = softmax(s/T)   of the student's s
    L = α·T²·KL( p(T) ‖ q(T) ) + (1 − α)·CE(s, y)

A high temperature T shows how the teacher ranks the wrong answers; T² keeps the gradient's size when T changes. For
T → ∞ the soft part becomes a regression of (centred) logits: ∂(T²·KL)/∂s_i → ((s_i − s̄) − (t_i − t̄))/N.

Sources: Hinton, Vinyals, Dean 2015, *Distilling the knowledge in a neural network*, section 2 and equations 1–4;
Gholami et al. 2021, section I.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.data import Images
from qlab.zoo.training import TrainingSettings, train

__all__ = ["Distillation", "distil", "distil_recorded", "distillation_loss", "soft_cross_entropy", "soft_labels"]


def soft_labels(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return p_i = exp(t_i/T) / Σ_j exp(t_j/T) along the last axis.

    References
    ----------
    Hinton et al. 2015, equation 1.

    Examples
    --------
    >>> soft_labels(torch.tensor([2.0, 0.0]), temperature=2.0)  # 1/(1 + 1/e)
    tensor([0.7311, 0.2689])

    Survey-map row: B9.
    """
    _check_temperature(temperature)
    return F.softmax(logits / temperature, -1)


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T²·KL(softmax(t/T) ‖ softmax(s/T)), the mean over the batch.

    Parameters
    ----------
    student, teacher : Tensor, shape (N, classes)
        Logits.
    temperature : float
        T > 0.

    References
    ----------
    Hinton et al. 2015, section 2.

    Survey-map row: B9.
    """
    _check_temperature(temperature)
    if student.shape != teacher.shape:
        raise ValueError(f"student and teacher must have the same shape, got {student.shape} and {teacher.shape}")
    log_q = F.log_softmax(student / temperature, -1)
    log_p = F.log_softmax(teacher / temperature, -1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 4.0, alpha: float = 0.9
) -> Tensor:
    """Return L = α·T²·KL(p(T) ‖ q(T)) + (1 − α)·CE(s, y).

    Parameters
    ----------
    student, teacher : Tensor, shape (N, classes)
        Logits.
    labels : Tensor of int64, shape (N,)
    temperature : float
        T > 0.
    alpha : float
        Share of the soft part, 0 … 1.

    Raises
    ------
    ValueError
        If T is not positive, or α not in 0 … 1.

    References
    ----------
    Hinton et al. 2015, section 2.

    Survey-map row: B9.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in 0 … 1, got {alpha}")
    soft = soft_cross_entropy(student, teacher, temperature)
    return alpha * soft + (1 - alpha) * F.cross_entropy(student, labels)


@dataclass(frozen=True, eq=False)
class Distillation:
    """The loss of a batch for `qlab.zoo.train`: ``train(student, data, loss=Distillation(teacher))``.

    Parameters
    ----------
    teacher : nn.Module
        In eval mode; it sees the very pictures that the student sees (shifted and flipped alike).
    temperature, alpha : float
        As `distillation_loss`.

    Raises
    ------
    ValueError
        If the teacher is in training mode.

    Survey-map row: B9.
    """

    teacher: nn.Module
    temperature: float = 4.0
    alpha: float = 0.9

    def __post_init__(self) -> None:
        if self.teacher.training:
            raise ValueError("teacher must be in eval mode: call teacher.eval() first")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of the student `model` on a batch."""
        with torch.no_grad():
            teacher = self.teacher(x)
        return distillation_loss(model(x), teacher, y, self.temperature, self.alpha)


def distil(
    student: nn.Module,
    teacher: nn.Module,
    data: Images,
    settings: TrainingSettings | None = None,
    temperature: float = 4.0,
    alpha: float = 0.9,
    progress: bool = False,
) -> nn.Module:
    """Return a copy of `student` trained under `teacher`, in eval mode; alpha=0 trains it on hard labels alone.

    Parameters
    ----------
    student, teacher : nn.Module
        Left as they are.
    data : Images
    settings : TrainingSettings, optional
    temperature, alpha : float
        As `distillation_loss`.

    Survey-map row: B9.
    """
    return train(student, data, settings, loss=Distillation(teacher, temperature, alpha), progress=progress)


def distil_recorded(
    student: nn.Module,
    teacher: Tensor,
    data: Images,
    settings: TrainingSettings,
    temperature: float = 4.0,
    alpha: float = 0.9,
    progress: bool = False,
) -> nn.Module:
    """Return what `distil` returns, from logits that the teacher gave once: it need not be there any more.

    Possible only if the student sees the very pictures that the teacher saw, hence without augmentation.

    Parameters
    ----------
    student : nn.Module
        Left as it is.
    teacher : Tensor, shape (N, classes)
        Its logits for the pictures in their order, as `qlab.zoo.predict` gives them.
    data : Images
        N pictures.
    settings : TrainingSettings
        With ``augment=False``.
    temperature, alpha : float
        As `distillation_loss`.

    Raises
    ------
    ValueError
        If there are not as many logits as pictures, or the settings augment.

    Survey-map row: B9.
    """
    if len(teacher) != len(data):
        raise ValueError(f"teacher must hold logits of {len(data)} pictures, got {len(teacher)}")
    if settings.augment:
        raise ValueError("settings must have augment=False: the teacher has not seen shifted and flipped pictures")

    def loss(model: nn.Module, x: Tensor, positions: Tensor) -> Tensor:
        return distillation_loss(model(x), teacher[positions], data.labels[positions], temperature, alpha)

    numbered = Images(data.images, torch.arange(len(data)))
    return train(student, numbered, settings, loss=loss, progress=progress)


def _check_temperature(temperature: float) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be a finite number above 0, got {temperature}")
