"""The ground truth: every bit assignment of a small network, evaluated once.

Layers run one after another, so all assignments that agree on the first k layers share the activations there:

    h_0 = x,     h_k[b_1 … b_k] = stage_k[b_k]( h_{k−1}[b_1 … b_{k−1}] )

A tree with B branches at each of L layers has B + B² + … + B^L edges; walking it costs B^k runs of layer k, where one
assignment after another would cost B^L of each. In the ConvNet the last layer, with the most branches, is the cheapest.

This is exact, not an approximation: ranges of inputs are calibrated once, on the network in floating point, so a
layer's quantizer does not depend on the bits of the others. The idea of a table of a whole space: Ying et al. 2019,
*NAS-Bench-101*.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from qlab.data import Images, load_calibration, load_test
from qlab.hardware.record import origin
from qlab.mixed.assignment import Assignment, Space, assignment_space
from qlab.network import LAYERS, quantizable_layers, quantize
from qlab.zoo import load

__all__ = ["GroundTruth", "evaluate_all", "ground_truth", "make", "split_stages", "truth_pictures"]

NETWORKS = ("mlp", "convnet")
VALIDATION, TEST = 1000, 5000


def place(network: str) -> Path:
    """Return where the table of a network is."""
    return Path(__file__).with_name(f"ground_truth_{network}.npz")


def truth_pictures() -> tuple[Images, Images]:
    """Return the pictures of the ground truth: 1,000 training pictures for methods that search, 5,000 test pictures.

    The networks were trained on the former, as a search has it in practice; the latter are for the verdict only.

    Survey-map row: M5.
    """
    return load_calibration(VALIDATION, seed=1), load_test()[:TEST]


def split_stages(model: nn.Module) -> list[nn.Sequential]:
    """Return the stages of a chain of layers: a stage ends before the next linear or convolutional layer.

    Raises
    ------
    ValueError
        If the model is no `nn.Sequential` with its layers directly in it: a shortcut would need the activations of two
        stages.

    Survey-map row: M5.
    """
    if not isinstance(model, nn.Sequential) or any("." in name for name in quantizable_layers(model)):
        raise ValueError("model must be an nn.Sequential with its layers directly in it, without shortcuts")
    stages: list[list[nn.Module]] = [[]]
    for module in model:
        if isinstance(module, LAYERS) and any(isinstance(m, LAYERS) for m in stages[-1]):
            stages.append([])
        stages[-1].append(module)
    return [nn.Sequential(*stage) for stage in stages]


@torch.no_grad()
def evaluate_all(
    variants: Sequence[Sequence[nn.Module]], x: Tensor, labels: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return right answers and summed cross-entropy of every path through the stages.

    Parameters
    ----------
    variants : sequence of sequences of nn.Module
        variants[k][b]: stage k with choice b, in eval mode.
    x : Tensor, shape (N, …)
        Inputs, as many as fit into memory (L + 1 activations are held at a time).
    labels : Tensor of int64, shape (N,)

    Returns
    -------
    right : array of int, shape (B_1, …, B_L)
        Number of pictures whose largest logit is the label's.
    loss : array of float, shape (B_1, …, B_L)
        Sum over pictures of the cross-entropy, in nats.

    Survey-map row: M5.
    """
    if not variants:
        logits = x.double()
        return np.array(int((x.argmax(1) == labels).sum())), np.array(
            float(F.cross_entropy(logits, labels, reduction="sum"))
        )
    below = [evaluate_all(variants[1:], stage(x), labels) for stage in variants[0]]
    return np.stack([right for right, _ in below]), np.stack([loss for _, loss in below])


def variants_of(model: nn.Module, space: Space) -> list[list[nn.Sequential]]:
    """Return the stages of the networks with the same bits everywhere: [layer][choice].

    Survey-map row: M5.
    """
    batches = load_calibration(256).tensors()[0].split(128)
    networks = [
        quantize(model, Assignment(space.names, (b,) * len(space.names)).recipe(), batches) for b in space.choices
    ]
    return [list(stages) for stages in zip(*(split_stages(net) for net in networks), strict=True)]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What every assignment of a network answers.

    Attributes
    ----------
    network : str
    space : Space
    right : array of int, shape (choices, …, choices)
        Right answers among `TEST` = 5,000 test pictures, an axis for each layer.
    loss : array of float
        Mean cross-entropy over them, in nats.
    validation_right, validation_loss : arrays
        The same on `VALIDATION` = 1,000 training pictures: what a search may look at.
    commit, torch, machine : str
        Where the table was computed.

    Survey-map row: M5.
    """

    network: str
    space: Space
    right: NDArray[np.int64]
    loss: NDArray[np.float64]
    validation_right: NDArray[np.int64]
    validation_loss: NDArray[np.float64]
    commit: str
    torch: str
    machine: str

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Test accuracy of every choice, in the order of `Space.all_choices`."""
        return self.right.ravel() / TEST

    @property
    def validation_accuracy(self) -> NDArray[np.float64]:
        """Validation accuracy of every choice, in the order of `Space.all_choices`."""
        return self.validation_right.ravel() / VALIDATION

    @property
    def nbytes(self) -> NDArray[np.float64]:
        """Bytes of every choice's weights and scales, in the order of `Space.all_choices`."""
        return self.space.total(self.space.nbytes, self.space.all_choices())

    def index(self, choice: Sequence[int]) -> int:
        """Return the place of a choice in those flat arrays."""
        return int(np.ravel_multi_index(tuple(choice), self.right.shape))


def ground_truth(network: str = "convnet") -> GroundTruth:
    """Return the table that ships with the course.

    Parameters
    ----------
    network : {"mlp", "convnet"}

    Raises
    ------
    ValueError
        If there is no table of that network.

    Survey-map row: M5.
    """
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {network!r}")
    space = assignment_space(load(network), (1, 28, 28))
    with np.load(place(network)) as file:
        numbers = [file[name] for name in ("right", "loss", "validation_right", "validation_loss")]
        return GroundTruth(network, space, *numbers, *(str(file[name]) for name in ("commit", "torch", "machine")))


def make(network: str, chunk: int = 250) -> None:
    """Compute the table of a network and write it (atomically); what an interrupted run has finished is kept.

    Survey-map row: M5.
    """
    model = load(network)
    space = assignment_space(model, (1, 28, 28))
    variants = variants_of(model, space)
    validation, test = truth_pictures()
    shape = (len(space.choices),) * len(space.names)
    final = place(network)
    partial = final.with_name(f"{final.stem}.partial.npz")
    jobs = [(kind, start) for kind, n in (("validation", VALIDATION), ("test", TEST)) for start in range(0, n, chunk)]
    state: dict[str, NDArray[Any]] = {
        f"{k}_{w}": np.zeros(shape) for k in ("validation", "test") for w in ("right", "loss")
    }
    state["done"] = np.array(0)
    if partial.exists():
        with np.load(partial) as file:
            state = dict(file)
    for kind, start in tqdm(jobs[int(state["done"]) :], network):
        pictures = (validation if kind == "validation" else test)[start : start + chunk]
        right, loss = evaluate_all(variants, *pictures.tensors())
        state[f"{kind}_right"] += right
        state[f"{kind}_loss"] += loss
        state["done"] += 1
        _save(partial, state)
    finished: dict[str, NDArray[Any]] = {
        "right": state["test_right"].astype(np.int16),
        "loss": (state["test_loss"] / TEST).astype(np.float32),
        "validation_right": state["validation_right"].astype(np.int16),
        "validation_loss": (state["validation_loss"] / VALIDATION).astype(np.float32),
    }
    _save(final, finished | {name: np.array(value) for name, value in origin().items()})
    partial.unlink()


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    os.replace(temporary, path)
