"""Differentiable search: every layer computes with all its choices at once, mixed by weights that gradients can move.

    W̄_i = Σ_b m_i[b]·Q_b(W_i)

    DNAS     m_i = softmax( (α_i + g_i)/τ ),   g ~ Gumbel, τ falls       one choice at a time, almost, and random
    EdMIPS   m_i = softmax( α_i )                                        an average; no noise

    minimize over α:   cross-entropy + μ·max(0, E[bytes]/limit − 1),     E[bytes] = Σ_i Σ_b softmax(α_i)[b]·bytes[i, b]

A convolution is linear, so the mixture of B convolutions is one convolution with W̄ (EdMIPS). At the end one choice per
layer remains: the most likely assignment within the budget, argmin Σ_i −log softmax(α_i)[b_i], an integer program.
Both papers train weights and α in turn; here the weights stay as they are, as for every other method of this room.

Sources: Wu et al. 2018, *Mixed precision quantization of ConvNets via differentiable neural architecture search*; Cai,
Vasconcelos 2020, *Rethinking differentiable search for mixed-precision neural networks* (EdMIPS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from tqdm.auto import tqdm

from qlab.mixed.assignment import Space, weight_quantizer
from qlab.mixed.integer_program import Budget, integer_program
from qlab.network import quantizable_layers

__all__ = ["DifferentiableSearch", "DifferentiableSettings", "differentiable_search"]


@dataclass(frozen=True)
class DifferentiableSettings:
    """How α is trained.

    Attributes
    ----------
    gumbel : bool
        True: DNAS. False: EdMIPS.
    steps, batch : int
        Of Adam, and pictures in each.
    lr : float
    penalty : float
        μ.
    temperature : (float, float)
        τ at the start and at the end; it falls geometrically (DNAS).
    seed : int

    Survey-map row: M4.
    """

    gumbel: bool = True
    steps: int = 120
    batch: int = 64
    lr: float = 0.1
    penalty: float = 1.0
    temperature: tuple[float, float] = (5.0, 0.5)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.lr > 0 or not min(self.temperature) > 0:
            raise ValueError(f"steps, batch, lr and temperatures must be positive, got {self}")


@dataclass(frozen=True, eq=False)
class DifferentiableSearch:
    """What a differentiable search found.

    Attributes
    ----------
    choice : tuple of int
    probabilities : array of float, shape (layers, choices)
        softmax(α) at the end.
    mixed_loss : float
        Cross-entropy of the network that mixes its choices, on the last batch.

    Survey-map row: M4.
    """

    choice: tuple[int, ...]
    probabilities: NDArray[np.float64]
    mixed_loss: float


def differentiable_search(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    space: Space,
    limit: float,
    settings: DifferentiableSettings | None = None,
    progress: bool = False,
) -> DifferentiableSearch:
    """Return what DNAS or EdMIPS finds within a budget of bytes.

    Parameters
    ----------
    model : nn.Module
        In eval mode and floating point; left as it is.
    x : Tensor, shape (N, …)
        Training inputs, of which batches are drawn.
    labels : Tensor of int64, shape (N,)
    space : Space
    limit : float
        Bytes of weights and scales.
    settings : DifferentiableSettings, optional
    progress : bool
        Show a bar.

    Raises
    ------
    ValueError
        If the model is in training mode, or nothing fits the budget.

    References
    ----------
    Wu et al. 2018, section 4; Cai, Vasconcelos 2020, section 4.

    Survey-map row: M4.
    """
    if model.training:
        raise ValueError("model must be in eval mode: call model.eval() first")
    s = settings or DifferentiableSettings()
    budget = Budget(space.nbytes, limit)
    integer_program(np.zeros_like(space.nbytes), [budget])  # refuses a budget that nothing fits
    layers = quantizable_layers(model)
    stacks = {
        n: torch.stack([weight_quantizer(b).fake(layers[n].weight.detach()) for b in space.choices])
        for n in space.names
    }
    nbytes = torch.from_numpy(space.nbytes).float()
    alpha = torch.zeros(nbytes.shape, requires_grad=True)
    optimizer = torch.optim.Adam([alpha], lr=s.lr)
    generator = torch.Generator().manual_seed(s.seed)
    hot, cold = s.temperature
    for step in tqdm(range(s.steps), "differentiable search", disable=not progress):
        logits = alpha
        if s.gumbel:
            uniform = torch.rand(alpha.shape, generator=generator).clamp(1e-9, 1 - 1e-7)
            logits = (alpha - (-uniform.log()).log()) / (hot * (cold / hot) ** (step / max(s.steps - 1, 1)))
        mixture = logits.softmax(1)
        weights = {f"{n}.weight": torch.tensordot(m, stacks[n], 1) for n, m in zip(space.names, mixture, strict=True)}
        part = torch.randint(len(x), (min(s.batch, len(x)),), generator=generator)
        loss = F.cross_entropy(functional_call(model, weights, (x[part],)), labels[part])
        expected = (alpha.softmax(1) * nbytes).sum()
        (alpha.grad,) = torch.autograd.grad(loss + s.penalty * F.relu(expected / limit - 1), alpha)
        optimizer.step()
    harm = -alpha.detach().double().log_softmax(1).numpy()
    return DifferentiableSearch(integer_program(harm, [budget]), np.exp(-harm), float(loss.detach()))
