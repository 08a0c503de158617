"""Quantization-aware knowledge distillation: study alone, study together, be taught.

    self-studying   the student, quantized, on labels alone: from a poor start a teacher only confuses
    co-studying     both learn:  L_S = CE(y, q) + T²·KL(p ‖ q)   of the student (p the teacher's, q the student's)
                                 L_T = CE(y, p) + T²·KL(q ‖ p)   of the teacher, which becomes easier to follow
    tutoring        the teacher stands still again:  L_S alone

The other's probabilities are targets: no gradient flows through them.

Source: Kim, Bhalgat, Lee, Patel, Kwak 2019, *QKD: quantization-aware knowledge distillation*, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from qlab.neighbours.distillation import Distillation, soft_cross_entropy

__all__ = ["CoStudy", "Pair", "qkd"]

Fit = Callable[[nn.Module, Callable[[nn.Module, Tensor, Tensor], Tensor]], nn.Module]


class Pair(nn.Module):
    """Student and teacher as one network, so that one optimizer trains both; its output is the student's.

    Survey-map row: D1.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def forward(self, x: Tensor) -> Tensor:
        """Return the student's logits."""
        return self.student(x)


@dataclass(frozen=True)
class CoStudy:
    """The loss of co-studying for `qlab.zoo.train` of a `Pair`: L_S + L_T.

    Parameters
    ----------
    temperature : float
        T.

    References
    ----------
    Kim et al. 2019, section 3.2.

    Survey-map row: D1.
    """

    temperature: float = 2.0

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return L_S + L_T of a batch.

        Raises
        ------
        TypeError
            If the model is no `Pair`.
        """
        if not isinstance(model, Pair):
            raise TypeError(f"model must be a Pair of student and teacher, got {type(model).__name__}")
        s, t, T = model.student(x), model.teacher(x), self.temperature
        of_student = F.cross_entropy(s, y) + soft_cross_entropy(s, t.detach(), T)
        of_teacher = F.cross_entropy(t, y) + soft_cross_entropy(t, s.detach(), T)
        return of_student + of_teacher


def qkd(student: nn.Module, teacher: nn.Module, fit: Fit, temperature: float = 2.0) -> nn.Module:
    """Return the student after the three phases, each of them one call of `fit`.

    Parameters
    ----------
    student : nn.Module
        Quantized; left as it is.
    teacher : nn.Module
        In full precision; left as it is.
    fit : function of (model, loss) to model
        One phase of training, such as ``lambda m, loss: train(m, data, settings, loss)``; returns a trained copy.
    temperature : float
        T.

    References
    ----------
    Kim et al. 2019, section 3 and figure 1.

    Survey-map row: D1.
    """
    alone = fit(student, lambda m, x, y: F.cross_entropy(m(x), y))
    together = fit(Pair(alone, teacher), CoStudy(temperature))
    assert isinstance(together, Pair)
    tutor = Distillation(together.teacher.eval(), temperature, 0.5)  # L_S/2: the same direction, half the step
    return fit(together.student, lambda m, x, y: 2 * tutor(m, x, y))
