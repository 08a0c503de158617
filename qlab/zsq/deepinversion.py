"""DeepInversion: pictures of given classes, found by turning the classifier round.

    x* = argmin_x  CE(P(x), y) + α_tv·TV(x) + α_2·‖x‖² + α_f·L_BN(x)  [ − α_c·JS(P(x), Q(x)) ]

TV is the total variation, JS the Jensen–Shannon divergence between the original and a quantized network: with it
("adaptive"), pictures are sought on which the two disagree.
Source: Yin et al. 2020, *Dreaming to distill: data-free knowledge transfer via DeepInversion*, equations 2–7.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from qlab.zsq.statistics import watch_statistics
from qlab.zsq.zeroq import gaussian_inputs

__all__ = ["InversionSettings", "invert", "jensen_shannon", "total_variation"]


@dataclass(frozen=True)
class InversionSettings:
    """How pictures are sought.

    Attributes
    ----------
    steps : int
    lr : float
        Of Adam; falls to zero as a cosine.
    variation, norm, statistics, competition : float
        α_tv, α_2, α_f, α_c.
    pixels : (float, float) or None
        Clip to what a picture can hold.
    seed : int

    Survey-map row: Z4.
    """

    steps: int = 200
    lr: float = 0.1
    variation: float = 0.02
    norm: float = 1e-4
    statistics: float = 1.0
    competition: float = 1.0
    pixels: tuple[float, float] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.lr > 0:
            raise ValueError(f"steps and lr must be positive, got {self.steps} and {self.lr}")


def total_variation(x: Tensor) -> Tensor:
    """Return the mean absolute difference between neighbouring pixels, down and across.

    Examples
    --------
    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
    tensor(1.)

    Survey-map row: Z4.
    """
    return x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean()


def jensen_shannon(a: Tensor, b: Tensor) -> Tensor:
    """Return JS(softmax(a), softmax(b)) in nats, the mean over a batch of logits: 0 where equal, at most ln 2.

    Survey-map row: Z4.
    """
    p, q = F.softmax(a, 1), F.softmax(b, 1)
    middle = ((p + q) / 2).clamp(min=1e-12).log()
    return 0.5 * (
        F.kl_div(middle, p.clamp(min=1e-12).log(), reduction="batchmean", log_target=True)
        + F.kl_div(middle, q.clamp(min=1e-12).log(), reduction="batchmean", log_target=True)
    )


def invert(
    model: nn.Module,
    labels: Tensor,
    shape: tuple[int, ...],
    settings: InversionSettings | None = None,
    quantized: nn.Module | None = None,
    progress: bool = False,
) -> Tensor:
    """Return pictures that `model` takes for the given classes.

    Parameters
    ----------
    model : nn.Module
        In eval mode, with BatchNorm; left as it is.
    labels : Tensor of integers, shape (N,)
        y.
    shape : tuple of int
        Of one picture, (channels, height, width).
    settings : InversionSettings, optional
    quantized : nn.Module, optional
        Seek pictures on which it disagrees with `model` (Adaptive DeepInversion).
    progress : bool
        Show a bar over the steps.

    Raises
    ------
    ValueError
        If the model is in training mode, or has no BatchNorm.

    References
    ----------
    Yin et al. 2020, sections 3.2 and 3.3.

    Survey-map row: Z4.
    """
    if model.training:
        raise ValueError("model must be in eval mode: call model.eval() first")
    s = settings or InversionSettings()
    x = gaussian_inputs((len(labels), *shape), s.seed).to(labels.device).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=s.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, s.steps)
    for _ in tqdm(range(s.steps), "inverting", disable=not progress):
        with watch_statistics(model) as found:
            p = model(x)
        loss = F.cross_entropy(p, labels)
        loss = loss + s.variation * total_variation(x) + s.norm * x.square().sum() / len(x)
        loss = loss + s.statistics * torch.stack([match.loss for match in found]).sum()
        if quantized is not None:
            loss = loss - s.competition * jensen_shannon(p, quantized(x))
        (x.grad,) = torch.autograd.grad(loss, x)
        optimizer.step()
        schedule.step()
        if s.pixels is not None:
            with torch.no_grad():
                x.clamp_(*s.pixels)
    return x.detach()
