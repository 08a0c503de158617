"""ZeroQ: distil inputs from the network itself, then use them as if they were data.

    x* = argmin_x  Σ_layers ‖μ̃(x) − μ‖² + ‖σ̃(x) − σ‖²,      x starts as Gaussian noise

The distilled batch serves to calibrate ranges, to correct biases, to learn roundings, to measure sensitivities.
Source: Cai et al. 2020, *ZeroQ: a novel zero shot quantization framework*, equation 4 and algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from qlab.zsq.statistics import statistics_loss

__all__ = ["DistilSettings", "distil", "gaussian_inputs"]


@dataclass(frozen=True)
class DistilSettings:
    """How inputs are distilled.

    Attributes
    ----------
    steps : int
        Of Adam.
    lr : float
        Falls to zero as a cosine.
    pixels : (float, float) or None
        Clip inputs to what a picture can hold; None leaves them free.
    input_statistics : bool
        Also ask the inputs for mean 0 and standard deviation 1, as normalized pictures have them.
    seed : int

    Survey-map row: Z3.
    """

    steps: int = 300
    lr: float = 0.1
    pixels: tuple[float, float] | None = None
    input_statistics: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.lr > 0:
            raise ValueError(f"steps and lr must be positive, got {self.steps} and {self.lr}")


def gaussian_inputs(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return N(0, 1) noise: where distillation starts, and what it is compared with.

    Survey-map row: Z3.
    """
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def distil(
    model: nn.Module, shape: tuple[int, ...], settings: DistilSettings | None = None, progress: bool = False
) -> Tensor:
    """Return a batch of inputs whose statistics inside the network are those that its BatchNorms remember.

    Parameters
    ----------
    model : nn.Module
        In eval mode, with BatchNorm (folded or not); left as it is.
    shape : tuple of int
        Of the batch, (N, channels, height, width).
    settings : DistilSettings, optional
    progress : bool
        Show a bar over the steps.

    Raises
    ------
    ValueError
        If the model is in training mode, or has no BatchNorm.

    References
    ----------
    Cai et al. 2020, section 3.1.

    Survey-map row: Z3.
    """
    if model.training:
        raise ValueError("model must be in eval mode: call model.eval() first")
    s = settings or DistilSettings()
    device = next(model.parameters()).device
    x = gaussian_inputs(shape, s.seed).to(device).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=s.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, s.steps)
    for _ in tqdm(range(s.steps), "distilling inputs", disable=not progress):
        loss = statistics_loss(model, x)
        if s.input_statistics:
            loss = loss + x.mean().square() + (x.std() - 1).square()
        (gradient,) = torch.autograd.grad(loss, x)  # of x alone: the model's own gradients stay untouched
        x.grad = gradient
        optimizer.step()
        schedule.step()
        if s.pixels is not None:
            with torch.no_grad():
                x.clamp_(*s.pixels)
    return x.detach()
