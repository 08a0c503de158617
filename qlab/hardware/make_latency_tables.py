"""Make the tables of latency again: ``python -m qlab.hardware.make_latency_tables`` (about 2 minutes).

The ConvNet, and the last six layers of AlexNet (the single-column form of Krizhevsky 2014) with constant weights: times
do not depend on the numbers. Batch 1 and 64, one thread. A table of another machine is replaced; one of this machine is
kept, so delete `qlab/hardware/latency_tables` to measure anew.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from qlab.hardware.latency import PLACE, latency_table
from qlab.zoo import load

BITS = (2, 4, 8, 32)


def alexnet_tail() -> nn.Sequential:
    """Return conv3 to fc8 of AlexNet; its input has shape (192, 13, 13).

    Survey-map row: W1.
    """
    layers = nn.Sequential(
        nn.Conv2d(192, 384, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(9216, 4096, bias=False),
        nn.ReLU(),
        nn.Linear(4096, 4096, bias=False),
        nn.ReLU(),
        nn.Linear(4096, 1000, bias=False),
    )
    for parameter in layers.parameters():
        nn.init.ones_(parameter)
    return layers.eval()


def main(folder: Path = PLACE) -> None:
    """Measure what is missing."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    networks = {"convnet": (load("convnet"), (1, 28, 28), 25), "alexnet": (alexnet_tail(), (192, 13, 13), 9)}
    for (name, (model, shape, turns)), batch in tqdm([(n, b) for n in networks.items() for b in (1, 64)]):
        latency_table(model, shape, batch, BITS, turns, cache=folder / f"{name}_{batch}.json")


if __name__ == "__main__":
    main()
