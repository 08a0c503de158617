"""GDFQ: a generator learns to make pictures that the network recognizes, and the quantized network learns from them.

    generator:   L_G = CE(P(x), y) + β·L_BN(x),                   x = G(z, y)
    quantized:   L_Q = CE(Q(x), y) + γ·KL(P(x) ‖ Q(x))

P is the full-precision network, Q the quantized one; both steps take turns, after a warm-up of the generator alone.
The BatchNorms of Q keep their statistics ("fixed BNS"): generated pictures would spoil them.
Source: Xu et al. 2020, *Generative low-bitwidth data free quantization*, equations 4–8 and algorithm 1.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from qlab.zsq.generator import SHAPE, Generator, generator_for, soft_cross_entropy
from qlab.zsq.statistics import watch_statistics

__all__ = ["Generated", "GenerativeSettings", "gdfq"]


class Generated(NamedTuple):
    """The fine-tuned quantized network, and the generator that made its pictures.

    Survey-map row: Z4.
    """

    quantized: nn.Module
    generator: Generator


@dataclass(frozen=True)
class GenerativeSettings:
    """How generator and quantized network are trained.

    Attributes
    ----------
    warmup, steps, batch_size : int
        Steps of the generator alone, steps of both, pictures in each.
    generator_lr, lr : float
        Of Adam for the generator and of SGD with momentum 0.9 for the network; both fall to 0 as a cosine.
    statistics, distillation : float
        β and γ.
    seed : int

    Survey-map row: Z4.
    """

    warmup: int = 100
    steps: int = 200
    batch_size: int = 64
    generator_lr: float = 2e-3
    lr: float = 1e-4
    statistics: float = 1.0
    distillation: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.warmup < 0 or min(self.steps, self.batch_size) < 1 or not min(self.generator_lr, self.lr) > 0:
            raise ValueError(f"warmup must not be negative, steps, batch_size and rates must be positive, got {self}")


def gdfq(
    quantized: nn.Module,
    original: nn.Module,
    pixels: tuple[float, float],
    settings: GenerativeSettings | None = None,
    progress: bool = False,
    shape: tuple[int, int, int] = SHAPE,
) -> Generated:
    """Return a copy of `quantized` fine-tuned on generated pictures, and the generator.

    Parameters
    ----------
    quantized : nn.Module
        From `qlab.quantize`, with weights that can be trained; left as it is.
    original : nn.Module
        P, in eval mode, with BatchNorm (folded or not); left as it is.
    pixels : (float, float)
        Range of the network's input.
    settings : GenerativeSettings, optional
    progress : bool
        Show a bar over the steps.
    shape : (int, int, int)
        Of one picture: channels, height and width, the last two multiples of 4.

    Raises
    ------
    ValueError
        If the original is in training mode, or has no BatchNorm.

    References
    ----------
    Xu et al. 2020, algorithm 1.

    Survey-map row: Z4.
    """
    if original.training:
        raise ValueError("original must be in eval mode: call original.eval() first")
    s = settings or GenerativeSettings()
    teacher = copy.deepcopy(original).requires_grad_(False)
    student = copy.deepcopy(quantized).eval()  # eval: BatchNorm statistics stay fixed
    make = generator_for(teacher, pixels, shape, s.seed)
    random = torch.Generator().manual_seed(s.seed)
    for_make = torch.optim.Adam(make.parameters(), lr=s.generator_lr, betas=(0.5, 0.999))
    for_student = torch.optim.SGD(student.parameters(), lr=s.lr, momentum=0.9, nesterov=True)
    schedules = [
        torch.optim.lr_scheduler.CosineAnnealingLR(for_make, s.warmup + s.steps),
        torch.optim.lr_scheduler.CosineAnnealingLR(for_student, s.steps),
    ]
    for step in tqdm(range(s.warmup + s.steps), "GDFQ", disable=not progress):
        x, y = make.sample(s.batch_size, random)
        with watch_statistics(teacher) as found:
            p = teacher(x)
        remembered = torch.stack([match.loss for match in found]).sum()
        loss = F.cross_entropy(p, y) + s.statistics * remembered  # L_G
        for_make.zero_grad()
        loss.backward()
        for_make.step()
        schedules[0].step()
        if step < s.warmup:
            continue
        q = student(x.detach())
        loss = F.cross_entropy(q, y) + s.distillation * soft_cross_entropy(q, p)  # L_Q
        for_student.zero_grad()
        loss.backward()
        for_student.step()
        schedules[1].step()
    return Generated(student.train(quantized.training), make.eval())
