"""Binarized neural networks (BNN): weights and activations are signs, −1 or +1, nothing else.

    w_b = sign(w),  a_b = sign(a)
    backward: ∂a_b/∂a := 1 for |a| ≤ 1, else 0            the derivative of the hard tanh
    after each step: w ← clip(w, −1, 1)                   the real weight behind the sign

There is no scale: the BatchNorm behind a layer divides by whatever size it has. Weights: BinaryConnect's deterministic
form (its stochastic form is `qlab.stochastic.StochasticBinary`); activations: the step that BNN added.
Sources: Courbariaux, Bengio, David 2015, *BinaryConnect*, algorithm 1; Hubara, Courbariaux et al. 2016, *Binarized
neural networks*, sections 1.1–1.3, algorithm 1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qlab.extreme.levels import Few, FewLevels, ForInputs
from qlab.extreme.signs import hard_tanh, sign
from qlab.gradients import instead
from qlab.network import quantizable_layers

__all__ = ["SignInput", "SignWeight", "clip_to_one", "without_relu"]


class _SignWeight(FewLevels):
    def forward(self, w: Tensor) -> Tensor:
        return instead(hard_tanh(w), sign(w))

    def coded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return sign(rows), rows.new_ones(len(rows))


@dataclass(frozen=True)
class SignWeight(Few):
    """Weights of −1 and +1, without a scale.

    References
    ----------
    Hubara et al. 2016, section 1.

    Examples
    --------
    >>> w = torch.tensor([[0.3, -0.2]])
    >>> SignWeight().module(None, w)(w)
    tensor([[ 1., -1.]])

    Survey-map row: E1.
    """

    equation = _SignWeight


class _SignInput(nn.Module):
    def __init__(self, choice: SignInput) -> None:
        super().__init__()
        self.soft = choice.soft

    def forward(self, a: Tensor) -> Tensor:
        return instead(self.soft(a), sign(a))


@dataclass(frozen=True)
class SignInput(ForInputs):
    """Activations of −1 and +1.

    Parameters
    ----------
    soft : function of a tensor
        F, whose derivative goes back: `hard_tanh` (BNN), or Bi-Real's `approx_sign`.

    References
    ----------
    Hubara et al. 2016, section 1.3.

    Survey-map rows: E1, E5.
    """

    soft: Callable[[Tensor], Tensor] = hard_tanh
    equation = _SignInput


@torch.no_grad()
def clip_to_one(model: nn.Module, progress: float) -> None:
    """Clip the real weights behind signs to [−1, 1], in place: ``train(model, data, after_step=clip_to_one)``.

    References
    ----------
    Hubara et al. 2016, algorithm 1.

    Survey-map row: E1.
    """
    for layer in quantizable_layers(model).values():
        if parametrize.is_parametrized(layer, "weight") and isinstance(layer.parametrizations.weight[-1], FewLevels):
            layer.parametrizations.weight.original.clamp_(-1, 1)


def without_relu(model: nn.Module) -> nn.Module:
    """Return a copy of a sequential network whose ReLUs are hard tanhs, but for the last one.

    A ReLU's output is never negative, so its sign is +1 whatever the picture. Binary networks take the sign of what
    BatchNorm gives, on both sides of zero. The hard tanh has the same sign, and is what the sign stands for when
    gradients come back: a network trained with it is a start for a binary one. (Pooling between the two does no harm.)

    Parameters
    ----------
    model : nn.Sequential
        Left as it is.

    Raises
    ------
    TypeError
        If the model is not sequential.

    References
    ----------
    Rastegari et al. 2016, section 3.2 and figure 3 (BatchNorm, then sign, then convolution); Liu et al. 2018 (Bi-Real
    Net), section 3.4 (a start from a network with clipped activations).

    Survey-map row: E1.
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"model must be an nn.Sequential, got {type(model).__name__}")
    relus = [i for i, part in enumerate(model) if isinstance(part, nn.ReLU)]
    model = copy.deepcopy(model)
    for i in relus[:-1]:
        model[i] = nn.Hardtanh()
    return model
