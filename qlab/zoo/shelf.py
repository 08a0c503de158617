"""The shelf: weights as safetensors, each with a card that says what it is and how to make it again.

``python -m qlab.zoo train NAME`` makes a network again from the full 60,000 training pictures.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from qlab.zoo.networks import build
from qlab.zoo.training import TrainingSettings

__all__ = ["ENSEMBLE", "RECIPES", "ModelCard", "Recipe", "card", "load", "load_ensemble", "names"]


@dataclass(frozen=True)
class Recipe:
    """How a shipped network is made: architecture, its options, the settings of the training run.

    Survey-map row: Q1.
    """

    network: str
    settings: TrainingSettings
    options: dict[str, Any]


RECIPES = {
    "mlp": Recipe("mlp", TrainingSettings(epochs=15, lr=0.05, weight_decay=1e-4, augment=False), {}),
    "convnet": Recipe("convnet", TrainingSettings(epochs=12, lr=0.1, weight_decay=5e-4), {}),
    "resnet": Recipe("resnet", TrainingSettings(epochs=8, lr=0.1, weight_decay=5e-4), {}),
    "separable": Recipe("separable", TrainingSettings(epochs=8, lr=1.0, weight_decay=5e-4), {}),
}
# Five copies of one small network that differ in nothing but the seed.
ENSEMBLE = {f"copy{k}": Recipe("convnet", TrainingSettings(epochs=3, seed=k), {"width": 8}) for k in range(5)}


@dataclass(frozen=True)
class ModelCard:
    """What a shipped network is.

    Attributes
    ----------
    name : str
    parameters : int
    accuracy : float
        Top-1 on all 10,000 test pictures, 0 … 1, in float32.
    recipe : dict
        Architecture, options and training settings, seed included.
    seconds : float
        Of training, on the machine that made it.
    sha256 : str
        Of the weights file.
    torch : str
        Version of PyTorch that trained it.
    notes : str

    Survey-map row: Q1.
    """

    name: str
    parameters: int
    accuracy: float
    recipe: dict[str, Any]
    seconds: float
    sha256: str
    torch: str
    notes: str = ""


def names() -> tuple[str, ...]:
    """Return the names of the shipped networks.

    Survey-map row: Q1.
    """
    return tuple(RECIPES)


def _file(name: str) -> Any:
    return resources.files("qlab.zoo").joinpath("weights", name)


def card(name: str) -> ModelCard:
    """Return the card of a shipped network.

    Survey-map row: Q1.
    """
    _known(name)
    return ModelCard(**json.loads(_file(f"{name}.json").read_text(encoding="utf-8")))


def _known(name: str) -> None:
    if name not in RECIPES:
        raise ValueError(f"name must be one of {', '.join(RECIPES)}, got {name!r}")


def load(name: str) -> nn.Sequential:
    """Return a shipped network with its trained weights, in eval mode.

    Raises
    ------
    ValueError
        If there is no such network, or its weights file does not have the card's SHA-256.

    Survey-map row: Q1.
    """
    _known(name)
    data = _file(f"{name}.safetensors").read_bytes()
    found, expected = hashlib.sha256(data).hexdigest(), card(name).sha256
    if found != expected:
        raise ValueError(f"{name}.safetensors is damaged: its SHA-256 is {found}, its card says {expected}")
    recipe = RECIPES[name]
    model = build(recipe.network, **recipe.options)
    model.load_state_dict(load_tensors(data))
    return model.eval()


def load_ensemble() -> list[nn.Sequential]:
    """Return five networks of one architecture, trained alike from five seeds, in eval mode.

    Survey-map row: H11.
    """
    tensors = load_tensors(_file("ensemble.safetensors").read_bytes())
    models = []
    for name, recipe in ENSEMBLE.items():
        model = build(recipe.network, seed=recipe.settings.seed, **recipe.options)
        model.load_state_dict({k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")})
        models.append(model.eval())
    return models


def state(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors to store, contiguous."""
    return {k: v.detach().contiguous() for k, v in model.state_dict().items()}


def describe(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as a plain dictionary, for a card."""
    return {"network": recipe.network, "options": recipe.options, **asdict(recipe.settings)}


def torch_version() -> str:
    """Return PyTorch's public version."""
    return str(torch.__version__).split("+")[0]
