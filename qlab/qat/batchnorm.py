"""BatchNorm in quantization-aware training: freeze its statistics, or measure them again at the end.

    while training   μ, σ² of the batch;        running averages lag behind weights that jump between codes
    at the end       μ ← mean of μ_batch,  σ² ← mean of σ²_batch,   over a few hundred batches of the finished network
    how far off      D(N(μ', σ'²) ‖ N(μ, σ²)) = ln σ/σ' + (σ'² + (μ' − μ)²)/2σ² − ½,   the true ones with a prime

Sources: Krishnamoorthi 2018, section 4.2 (freezing); Nagel et al. 2022, *Overcoming oscillations in quantization-aware
training*, section 2.3 (divergence) and 4.1 (re-estimation). Folding is `qlab.ptq.fold_batchnorm`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FrozenBatchNorm", "LateFreeze", "batchnorm_divergence", "freeze_batchnorm", "reestimate_batchnorm"]

BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def reestimate_batchnorm(model: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Return a copy of `model` whose BatchNorms know the mean and variance that its layers produce now.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    batches : iterable of Tensor
        Inputs; every batch counts the same.

    Raises
    ------
    ValueError
        If the model has no BatchNorm, or there are no batches.

    References
    ----------
    Nagel et al. 2022, section 4.1.

    Survey-map row: T4.
    """
    result = copy.deepcopy(model)
    norms: list[Any] = [m for m in result.modules() if isinstance(m, BATCHNORMS)]
    if not norms:
        raise ValueError("model must have a BatchNorm whose statistics can be measured; it has none")
    before = [(m.momentum, m.training) for m in norms]
    result.eval()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # PyTorch's sign for a plain average over batches
        m.train()
    seen = 0
    for batch in batches:
        result(batch)
        seen += 1
    if not seen:
        raise ValueError("batches must hold at least one batch, got none")
    result.train(model.training)
    for m, (momentum, training) in zip(norms, before, strict=True):
        m.momentum = momentum
        m.train(training)
    return result


@torch.no_grad()
def batchnorm_divergence(model: nn.Module, measured: nn.Module) -> dict[str, float]:
    """Return by BatchNorm: the mean over channels of D(N(measured) ‖ N(model)), both taken as normal.

    Parameters
    ----------
    model, measured : nn.Module
        A network, and what `reestimate_batchnorm` made of it.

    References
    ----------
    Nagel et al. 2022, section 2.3.1.

    Survey-map row: T4.
    """
    true: dict[str, Any] = dict(measured.named_modules())
    norms: dict[str, Any] = {name: m for name, m in model.named_modules() if isinstance(m, BATCHNORMS)}
    found: dict[str, float] = {}
    for name, m in norms.items():
        known, real = m.running_var + m.eps, true[name].running_var + m.eps
        off = (true[name].running_mean - m.running_mean).square()
        found[name] = float((0.5 * torch.log(known / real) + (real + off) / (2 * known) - 0.5).mean())
    return found


class FrozenBatchNorm(nn.Module):
    """BatchNorm that always uses the statistics it was given, also while training; γ and β go on learning.

    Survey-map row: T4.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = norm.weight, norm.bias
        self.register_buffer("running_mean", norm.running_mean.clone())
        self.register_buffer("running_var", norm.running_var.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return γ(x − μ)/√(σ² + ε) + β."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def freeze_batchnorm(model: nn.Module) -> nn.Module:
    """Return a copy of `model` whose BatchNorms keep their statistics while it is trained on.

    Raises
    ------
    ValueError
        If the model has no BatchNorm with running statistics.

    References
    ----------
    Krishnamoorthi 2018, section 4.2.

    Survey-map row: T4.
    """
    result = copy.deepcopy(model)
    names = [name for name, m in result.named_modules() if isinstance(m, BATCHNORMS) and m.running_mean is not None]
    if not names:
        raise ValueError("model must have a BatchNorm with running statistics to freeze; it has none")
    for name in names:
        parent, _, child = name.rpartition(".")
        setattr(result.get_submodule(parent), child, FrozenBatchNorm(result.get_submodule(name)))
    return result


@dataclass(frozen=True)
class LateFreeze:
    """Hold the statistics from a share of the training on: ``train(model, data, after_step=LateFreeze(0.8))``.

    Parameters
    ----------
    start : float
        From 0 to 1.

    References
    ----------
    Krishnamoorthi 2018, section 4.2.

    Survey-map row: T4.
    """

    start: float

    def __call__(self, model: nn.Module, progress: float) -> None:
        """Put BatchNorm into evaluation mode, in place, once `progress` has reached `start`."""
        if progress >= self.start:
            for m in model.modules():
                if isinstance(m, BATCHNORMS):
                    m.eval()
