"""ZAQ: generator and quantized network play against each other; no labels and no BatchNorm statistics are needed.

    D(x) = ‖P(x) − Q(x)‖₁  +  Σ_layers ‖R_P(x) − R_Q(x)‖₁          outputs, and relations between channels
    generator:   max D(x) + activation of the last features         (pictures on which the two differ)
    quantized:   min D(x)

R is the matrix of cosines between the channels of a feature map. The game finds the inputs where quantization hurts.
Source: Liu, Zhang, Wang 2021, *Zero-shot adversarial quantization*, equations 3–9.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from qlab.zsq.gdfq import Generated, GenerativeSettings
from qlab.zsq.generator import SHAPE, generator_for

__all__ = ["channel_relations", "discrepancy", "zaq"]


def channel_relations(h: Tensor) -> Tensor:
    """Return the cosines between channels, shape (N, channels, channels), of feature maps (N, channels, …).

    Examples
    --------
    >>> channel_relations(torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]))
    tensor([[[1., 0.],
             [0., 1.]]])

    References
    ----------
    Liu et al. 2021, section 3.2 (channel relation map).

    Survey-map row: Z4.
    """
    unit = F.normalize(h.flatten(2), dim=2)
    return unit @ unit.mT


@contextmanager
def _features(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the outputs of all ReLUs with a place (feature maps) while the block runs."""
    found: list[Tensor] = []

    def hook(_: Any, args: Any, output: Tensor) -> None:
        if output.dim() == 4:
            found.append(output)

    hooks = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, (nn.ReLU, nn.ReLU6))]
    try:
        yield found
    finally:
        for handle in hooks:
            handle.remove()


def discrepancy(original: nn.Module, quantized: nn.Module, x: Tensor, relations: float = 1.0) -> Tensor:
    """Return D(x): the mean absolute difference of the outputs and of the channel relations at every ReLU.

    Survey-map row: Z4.
    """
    with _features(original) as ours:
        p = original(x)
    with _features(quantized) as theirs:
        q = quantized(x)
    value = (p - q).abs().mean()
    pairs = zip(ours, theirs, strict=True)
    inner = [(channel_relations(a) - channel_relations(b)).abs().mean() for a, b in pairs]
    return value + relations * torch.stack(inner).mean() if inner else value


def zaq(
    quantized: nn.Module,
    original: nn.Module,
    pixels: tuple[float, float],
    settings: GenerativeSettings | None = None,
    relations: float = 1.0,
    activation: float = 0.1,
    rounds: int = 5,
    progress: bool = False,
    shape: tuple[int, int, int] = SHAPE,
) -> Generated:
    """Return a copy of `quantized` fine-tuned in the adversarial game, and the generator.

    Parameters
    ----------
    quantized, original : nn.Module
        As `qlab.zsq.gdfq`; left as they are.
    pixels : (float, float)
        Range of the network's input.
    settings : GenerativeSettings, optional
        Its `statistics` and `distillation` are not used.
    relations, activation : float
        Weights of the channel relations and of the activation that keeps pictures from fading.
    rounds : int
        Steps of the network for each of the generator: an opponent that runs ahead teaches nothing.
    progress : bool
        Show a bar over the steps.
    shape : (int, int, int)
        Of one picture: channels, height and width, the last two multiples of 4.

    References
    ----------
    Liu et al. 2021, section 3.

    Survey-map row: Z4.
    """
    if original.training:
        raise ValueError("original must be in eval mode: call original.eval() first")
    s = settings or GenerativeSettings()
    teacher = copy.deepcopy(original).requires_grad_(False)
    student = copy.deepcopy(quantized).eval()
    make = generator_for(teacher, pixels, shape, s.seed)
    random = torch.Generator().manual_seed(s.seed)
    for_make = torch.optim.Adam(make.parameters(), lr=s.generator_lr, betas=(0.5, 0.999))
    for_student = torch.optim.SGD(student.parameters(), lr=s.lr, momentum=0.9, nesterov=True)
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(o, s.warmup + s.steps) for o in (for_make, for_student)]
    for _ in tqdm(range(s.warmup + s.steps), "ZAQ", disable=not progress):
        x, _ = make.sample(s.batch_size, random)
        with _features(teacher) as found:
            teacher(x)
        alive = found[-1].abs().mean() if found else torch.zeros(())
        loss = -discrepancy(teacher, student, x, relations) - activation * alive
        for_make.zero_grad()
        loss.backward()
        for_make.step()
        for _ in range(rounds):
            with torch.no_grad():
                x, _ = make.sample(s.batch_size, random)
            loss = discrepancy(teacher, student, x, relations)
            for_student.zero_grad()
            loss.backward()
            for_student.step()
        for schedule in schedules:
            schedule.step()
    return Generated(student.train(quantized.training), make.eval())
