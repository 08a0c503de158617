"""A small generator of pictures, and the fine-tuning on what it makes that GDFQ and ZAQ share.

    x = G(z, y):   (noise, label) → linear → 2× upsampling and convolution, twice → tanh, stretched to a pixel's range

The label enters as an embedding multiplied with the noise. Source: Xu et al. 2020 (GDFQ), section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SHAPE", "Generator", "generator_for", "make_generator", "soft_cross_entropy"]

SHAPE = (1, 28, 28)
"""Of a picture of the zoo's networks: channels, height, width."""


class Generator(nn.Module):
    """(z, y) ↦ pictures in the range `pixels`.

    Parameters
    ----------
    classes, latent, width : int
        Labels, entries of z, channels.
    pixels : (float, float)
        Range of the outputs.
    shape : (int, int, int)
        Of one picture, (channels, height, width); height and width multiples of 4.

    Survey-map row: Z4.
    """

    def __init__(
        self,
        classes: int,
        latent: int,
        width: int,
        pixels: tuple[float, float],
        shape: tuple[int, int, int] = SHAPE,
    ) -> None:
        super().__init__()
        channels, self.high_cells, self.wide_cells = shape[0], shape[1] // 4, shape[2] // 4
        self.classes, self.latent, self.width = classes, latent, width
        self.low, self.high = pixels
        self.label = nn.Embedding(classes, latent)
        self.start = nn.Linear(latent, width * self.high_cells * self.wide_cells)
        self.body = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.BatchNorm2d(width // 2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width // 2, channels, 3, padding=1),
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return pictures, shape (N, channels, height, width)."""
        h = self.start(z * self.label(y)).reshape(-1, self.width, self.high_cells, self.wide_cells)
        return self.low + (self.high - self.low) * (torch.tanh(self.body(h)) + 1) / 2

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return n pictures and their labels, drawn with `generator`; gradients reach the generator's weights."""
        device = self.start.weight.device
        z = torch.randn(n, self.latent, generator=generator).to(device)
        y = torch.randint(self.classes, (n,), generator=generator).to(device)
        return self(z, y), y


def make_generator(
    pixels: tuple[float, float],
    classes: int = 10,
    latent: int = 64,
    width: int = 16,
    seed: int = 0,
    shape: tuple[int, int, int] = SHAPE,
) -> Generator:
    """Return an untrained generator, initialized from `seed` without touching PyTorch's global one.

    Raises
    ------
    ValueError
        If pixels is no range, a size is below 2, or height or width is no multiple of 4.

    Survey-map row: Z4.
    """
    if not pixels[0] < pixels[1] or min(classes, latent, width) < 2:
        raise ValueError(f"pixels must be (low, high), sizes at least 2; got {pixels}, {(classes, latent, width)}")
    if len(shape) != 3 or min(shape) < 1 or shape[1] % 4 or shape[2] % 4:
        raise ValueError(f"shape must be (channels, height, width), the last two multiples of 4, got {shape}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(classes, latent, width, pixels, shape)


def generator_for(
    model: nn.Module, pixels: tuple[float, float], shape: tuple[int, int, int], seed: int = 0
) -> Generator:
    """Return an untrained generator with as many labels as `model` has answers, on the model's device.

    Survey-map row: Z4.
    """
    device = next(model.parameters()).device
    with torch.no_grad():
        classes = model(torch.zeros(1, *shape, device=device)).shape[1]
    return make_generator(pixels, classes, seed=seed, shape=shape).to(device)


def soft_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(softmax(teacher) ‖ softmax(student)), the mean over a batch of logits, shape (N, classes).

    Survey-map row: Z4.
    """
    return F.kl_div(
        F.log_softmax(student, 1), F.log_softmax(teacher.detach(), 1), reduction="batchmean", log_target=True
    )
