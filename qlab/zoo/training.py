"""An ordinary training loop: SGD with Nesterov momentum, weight decay, one-cycle cosine, flips and shifts.

The same loop trains the shipped networks, distils students and fine-tunes quantized networks. Everything random comes
from one seed; a run with a checkpoint file that is interrupted goes on where it stopped and ends at the same weights.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from qlab.data import MEAN, STD, Images, load_test

__all__ = ["TrainingSettings", "evaluate", "predict", "train"]

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
Penalty = Callable[[nn.Module, float], Tensor]
AfterStep = Callable[[nn.Module, float], None]


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run is made of.

    Attributes
    ----------
    epochs, batch_size, seed : int
    lr : float
        Largest learning rate; it rises linearly over the first tenth of the steps and falls to zero as a cosine.
    momentum, weight_decay : float
        Weight decay acts on all parameters, BatchNorm's included.
    augment : bool
        Random horizontal flips and shifts of up to two pixels.

    Survey-map row: Q1.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.lr > 0:
            raise ValueError(f"epochs, batch_size and lr must be positive, got {self}")


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the empirical risk on a batch: the mean cross-entropy of the logits."""
    return F.cross_entropy(model(x), y)


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures flipped at random and shifted by up to two pixels each way."""
    flip = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    x = torch.where(flip, x.flip(-1), x)
    size = x.shape[-1]
    padded = F.pad(x, (2, 2, 2, 2), value=-MEAN / STD)  # black
    dy, dx = torch.randint(0, 5, (2, len(x)), generator=generator)
    rows = (dy[:, None] + torch.arange(size))[:, None, :, None]
    columns = (dx[:, None] + torch.arange(size))[:, None, None, :]
    return padded[torch.arange(len(x))[:, None, None, None], 0, rows, columns]


def train(
    model: nn.Module,
    data: Images,
    settings: TrainingSettings | None = None,
    loss: Loss = cross_entropy,
    penalty: Penalty | None = None,
    after_step: AfterStep | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> nn.Module:
    """Return a trained copy of `model`, in eval mode.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    data : Images
    settings : TrainingSettings, optional
    loss : function of (model, inputs, labels)
        Return the loss of a batch; replace it to distil.
    penalty : function of (model, progress), optional
        Added to the loss; progress runs from 0 to 1, so that a regularizer may grow.
    after_step : function of (model, progress), optional
        Called after each step of the optimizer; it may change the model in place (projections, proximal steps).
    checkpoint : path, optional
        Written after each epoch (atomically) and removed at the end; if it exists, training resumes from it.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ValueError
        If the loss becomes NaN or infinite: the run has diverged.

    Survey-map row: Q1.
    """
    s = settings or TrainingSettings()
    model = _laid_out(copy.deepcopy(model), memory_format(model)).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay, nesterov=s.momentum > 0
    )
    x, y = data.tensors()
    steps = s.epochs * math.ceil(len(y) / s.batch_size)
    first = 0
    path = Path(checkpoint) if checkpoint is not None else None
    if path is not None and path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["epoch"]
    for epoch in range(first, s.epochs):
        generator = torch.Generator().manual_seed(s.seed * 1_000_003 + epoch)  # so that a resumed epoch is the same
        batches = torch.randperm(len(y), generator=generator).split(s.batch_size)
        for i, batch in enumerate(tqdm(batches, f"epoch {epoch + 1}/{s.epochs}", disable=not progress)):
            rate = _rate((epoch * len(batches) + i) / steps)
            optimizer.param_groups[0]["lr"] = s.lr * rate
            inputs = augment(x[batch], generator) if s.augment else x[batch]
            done = (epoch * len(batches) + i + 1) / steps
            value = loss(model, inputs, y[batch])
            if penalty is not None:
                value = value + penalty(model, done)
            if not torch.isfinite(value):
                raise ValueError(f"loss became {value.item()} in epoch {epoch + 1}: the run diverged; lower lr={s.lr}")
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if after_step is not None:
                after_step(model, done)
        if path is not None:
            temporary = path.with_suffix(".tmp")
            torch.save(
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}, temporary
            )
            os.replace(temporary, path)
    if path is not None:
        path.unlink(missing_ok=True)
    return _laid_out(model, torch.contiguous_format).eval()


def memory_format(model: nn.Module) -> torch.memory_format:
    """Return channels_last, faster on a CPU, unless the model holds what PyTorch 2.13 corrupts memory on.

    Seen with strided 1×1 convolutions of fewer than 8 input channels, in the backward pass; 16 leaves a margin.
    """
    risky = any(
        isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and max(m.stride) > 1 and m.in_channels < 16
        for m in model.modules()
    )
    return torch.contiguous_format if risky else torch.channels_last


def _laid_out(model: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    return model.to(memory_format=memory_format)  # type: ignore[call-overload]


def _rate(progress: float) -> float:
    """Return the share of the largest learning rate at `progress` (0 … 1) of the run."""
    warm = 0.1
    if progress < warm:
        return progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


@torch.no_grad()
def predict(model: nn.Module, images: Images, batch_size: int = 500) -> Tensor:
    """Return the logits, shape (N, 10), computed batch by batch.

    Survey-map row: Q1.
    """
    x, _ = images.tensors()
    return torch.cat([model(batch) for batch in x.split(batch_size)])


def evaluate(model: nn.Module, images: Images | None = None, batch_size: int = 500) -> float:
    """Return top-1 accuracy (0 … 1), on all 10,000 test pictures by default.

    Raises
    ------
    ValueError
        If the model is in training mode: BatchNorm and dropout would answer otherwise.

    Survey-map rows: Q1, B1.
    """
    if model.training:
        raise ValueError("model must be in eval mode: call model.eval() first")
    images = load_test() if images is None else images
    return float((predict(model, images, batch_size).argmax(1) == images.labels).double().mean())
