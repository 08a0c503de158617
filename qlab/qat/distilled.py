"""One small quantized student, one budget of steps, with and without a teacher: the runs behind the chapter.

The student is a ConvNet of 8 to 32 channels, trained in floating point (one of five copies, from five seeds), quantized
with learned steps (`LSQ`, first and last layer at 8 bits) and fine-tuned for about 95 steps. The teachers were trained
on all 60,000 pictures: the ConvNet of twice the width, the residual network, or the student's own original.

    what it learns from     labels | a teacher and labels | a teacher alone
    what it is asked        answers (Hinton's loss) | where to look (attention transfer) | three phases (QKD)

Bits of 32 mean floating point: the control that tells what the teacher does for a student that is not quantized.
The table is made by `make_distilled_table`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.calibration import MSE
from qlab.data import Images, load_test, load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Asymmetric, Symmetric
from qlab.hardware.record import read_as
from qlab.neighbours.distillation import Distillation
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.qat.apprentice import apprentice_loss
from qlab.qat.attention_transfer import AttentionTransfer
from qlab.qat.lsq import LSQ
from qlab.qat.qkd import qkd
from qlab.quantizer import Quantizer
from qlab.zoo import TrainingSettings, evaluate, load, load_ensemble, train

__all__ = ["DISTILLED_WAYS", "PICTURES", "DistilledRun", "distilled_table", "pupil", "run_distilled"]

PLACE = Path(__file__).with_name("distilled_table.csv")
DISTILLED_WAYS = (
    "labels",
    "wide teacher",
    "residual teacher",
    "itself",
    "teacher alone",
    "Apprentice",
    "attention",
    "QKD",
)
"""What the student learns from."""
PICTURES = {6000: (2, 128), 600: (20, 128), 100: (95, 100)}
"""Pictures: epochs and batch, 94 to 100 steps each."""
TAPS = ("2", "6", "9", "12")
"""The ReLUs of a ConvNet."""

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


class DistilledRun(NamedTuple):
    """One training run.

    Attributes
    ----------
    way : str
        One of `DISTILLED_WAYS`.
    weight_bits, input_bits : int
        32 for floating point.
    pictures, seed : int
        How many pictures there are to learn from, and which; the seed also picks the copy of the student.
    start, accuracy : float
        On the 10,000 test pictures, before and after training, 0 … 1.
    seconds : float
        Processor time of the training, one thread.

    Survey-map row: D1.
    """

    way: str
    weight_bits: int
    input_bits: int
    pictures: int
    seed: int
    start: float
    accuracy: float
    seconds: float


@cache
def _copies() -> list[nn.Module]:
    return list(load_ensemble())


def pupil(weight_bits: int, input_bits: int, data: Images, seed: int) -> nn.Module:
    """Return a copy of the small ConvNet, quantized with learned steps, not yet trained with them.

    Parameters
    ----------
    weight_bits, input_bits : int
        Of the inner layers; 32 leaves them in floating point. Both 32: the network as it is.
    data : Images
        The first 256 calibrate the inputs' ranges.
    seed : int
        0 … 4: which copy.

    Survey-map row: D1.
    """
    original = _copies()[seed]
    if weight_bits == input_bits == 32:
        return original
    weight = None if weight_bits == 32 else LSQ(Quantizer(Symmetric(weight_bits), calibration=MSE()))
    inputs = None if input_bits == 32 else LSQ(Quantizer(Asymmetric(input_bits), calibration=MSE()))
    names = list(quantizable_layers(original))
    ends = Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8)))
    recipe = Recipe(weight, inputs, layers={names[0]: ends, names[-1]: ends})
    return quantize(original, recipe, data[:256].tensors()[0].split(128))


def _loss(way: str, seed: int, temperature: float) -> Loss:
    if way == "labels":
        return lambda m, x, y: F.cross_entropy(m(x), y)
    if way == "Apprentice":
        teacher = load("convnet")

        def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            with torch.no_grad():
                t = teacher(x)
            return apprentice_loss(model(x), t, y)

        return loss
    if way == "attention":
        return AttentionTransfer(load("convnet"), TAPS)
    teachers: dict[str, Callable[[], nn.Module]] = {
        "wide teacher": lambda: load("convnet"),
        "residual teacher": lambda: load("resnet"),
        "itself": lambda: _copies()[seed],
        "teacher alone": lambda: load("convnet"),
    }
    return Distillation(teachers[way](), temperature, 1.0 if way == "teacher alone" else 0.9)


def run_distilled(
    way: str,
    weight_bits: int,
    input_bits: int,
    pictures: int,
    seed: int,
    test: Images | None = None,
    temperature: float = 2.0,
) -> DistilledRun:
    """Quantize a copy of the small ConvNet, fine-tune it in one of the ways, and measure.

    Parameters
    ----------
    way : str
        One of `DISTILLED_WAYS`.
    weight_bits, input_bits, pictures, seed : int
        As in `DistilledRun`.
    test : Images, optional
    temperature : float
        T of the losses that have one; labels weigh 0.1 beside a teacher.

    Raises
    ------
    ValueError
        If there is no such way, or no settings for so many pictures.

    Survey-map row: D1.
    """
    if way not in DISTILLED_WAYS:
        raise ValueError(f"way must be one of {', '.join(DISTILLED_WAYS)}, got {way!r}")
    if pictures not in PICTURES:
        raise ValueError(f"pictures must be one of {', '.join(map(str, PICTURES))}, got {pictures}")
    test = load_test() if test is None else test
    chosen = torch.randperm(6000, generator=torch.Generator().manual_seed(seed))[:pictures]
    data, (epochs, batch) = load_train_subset()[chosen], PICTURES[pictures]
    model = pupil(weight_bits, input_bits, data, seed)
    start = evaluate(model, test)
    began = time.process_time()
    if way == "QKD":
        phase = TrainingSettings(max(1, round(epochs / 3)), batch, 0.02, seed=seed)
        model = qkd(model, load("convnet"), lambda m, loss: train(m, data, phase, loss), temperature)
    else:
        model = train(model, data, TrainingSettings(epochs, batch, 0.02, seed=seed), _loss(way, seed, temperature))
    seconds = time.process_time() - began
    return DistilledRun(way, weight_bits, input_bits, pictures, seed, start, evaluate(model, test), seconds)


@cache
def distilled_table(path: Path = PLACE) -> tuple[DistilledRun, ...]:
    """Return the runs of the table that the package holds.

    Survey-map row: D1.
    """
    return read_as(path, DistilledRun)
