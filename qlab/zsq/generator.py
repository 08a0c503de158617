"""A small generator of pictures, and the fine-tuning on what it makes that GDFQ and ZAQ share.

    x = G(z, y):   (noise, label) → linear → 2× upsampling and convolution, twice → tanh, stretched to a pixel's range

The label enters as an embedding multiplied with the noise. Source: Xu et al. 2020 (GDFQ), section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Generator", "make_generator", "soft_cross_entropy"]


class Generator(nn.Module):
    """(z, y) ↦ pictures of 28×28 in the range `pixels`.

    Parameters
    ----------
    classes, latent, width : int
        Labels, entries of z, channels.
    pixels : (float, float)
        Range of the outputs.

    Survey-map row: Z4.
    """

    def __init__(self, classes: int, latent: int, width: int, pixels: tuple[float, float]) -> None:
        super().__init__()
        self.classes, self.latent, self.width = classes, latent, width
        self.low, self.high = pixels
        self.label = nn.Embedding(classes, latent)
        self.start = nn.Linear(latent, width * 7 * 7)
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
            nn.Conv2d(width // 2, 1, 3, padding=1),
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return pictures, shape (N, 1, 28, 28)."""
        h = self.start(z * self.label(y)).reshape(-1, self.width, 7, 7)
        return self.low + (self.high - self.low) * (torch.tanh(self.body(h)) + 1) / 2

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return n pictures and their labels, drawn with `generator`; gradients reach the generator's weights."""
        device = self.start.weight.device
        z = torch.randn(n, self.latent, generator=generator).to(device)
        y = torch.randint(self.classes, (n,), generator=generator).to(device)
        return self(z, y), y


def make_generator(
    pixels: tuple[float, float], classes: int = 10, latent: int = 64, width: int = 16, seed: int = 0
) -> Generator:
    """Return an untrained generator, initialized from `seed` without touching PyTorch's global one.

    Raises
    ------
    ValueError
        If pixels is no range, or a size is below 2.

    Survey-map row: Z4.
    """
    if not pixels[0] < pixels[1] or min(classes, latent, width) < 2:
        raise ValueError(f"pixels must be (low, high), sizes at least 2; got {pixels}, {(classes, latent, width)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(classes, latent, width, pixels)


def soft_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(softmax(teacher) ‖ softmax(student)), the mean over a batch of logits, shape (N, classes).

    Survey-map row: Z4.
    """
    return F.kl_div(
        F.log_softmax(student, 1), F.log_softmax(teacher.detach(), 1), reduction="batchmean", log_target=True
    )
