"""Make shipped networks again: ``python -m qlab.zoo train NAME`` (or ``all``, or ``ensemble``).

Uses the full training set. Each finished epoch is kept in a checkpoint beside the weights; an interrupted run resumes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from qlab.data import load_full_train
from qlab.zoo.networks import build
from qlab.zoo.shelf import ENSEMBLE, RECIPES, ModelCard, Recipe, describe, state, torch_version
from qlab.zoo.training import evaluate, train

SHELF = Path(__file__).parent / "weights"


def write(path: Path, data: bytes) -> None:
    """Write under a temporary name, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def make(name: str, recipe: Recipe) -> nn.Module:
    """Return the network that `recipe` makes."""
    model = build(recipe.network, seed=recipe.settings.seed, **recipe.options)
    return train(model, load_full_train(), recipe.settings, checkpoint=SHELF / f"{name}.checkpoint", progress=True)


def make_and_shelve(name: str, notes: str) -> ModelCard:
    """Train a shipped network and write its weights and its card."""
    recipe, start = RECIPES[name], time.monotonic()
    model = make(name, recipe)
    seconds = round(time.monotonic() - start, 1)
    data = save(state(model))
    card = ModelCard(
        name,
        sum(p.numel() for p in model.parameters()),
        round(evaluate(model), 4),
        describe(recipe),
        seconds,
        hashlib.sha256(data).hexdigest(),
        torch_version(),
        notes,
    )
    write(SHELF / f"{name}.safetensors", data)
    write(SHELF / f"{name}.json", (json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n").encode())
    return card


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m qlab.zoo", description=__doc__)
    parser.add_argument("command", choices=["train"])
    parser.add_argument("name", choices=[*RECIPES, "ensemble", "all"])
    parser.add_argument("--notes", default="", help="a sentence for the model card")
    arguments = parser.parse_args()
    SHELF.mkdir(exist_ok=True)
    for name in RECIPES if arguments.name == "all" else [n for n in RECIPES if n == arguments.name]:
        print(make_and_shelve(name, arguments.notes))
    if arguments.name in ("ensemble", "all"):
        tensors: dict[str, Tensor] = {}
        for name, recipe in ENSEMBLE.items():
            tensors |= {f"{name}.{k}": v for k, v in state(make(name, recipe)).items()}
        write(SHELF / "ensemble.safetensors", save(tensors))


if __name__ == "__main__":
    main()
