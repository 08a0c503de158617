"""What is new about quantizing neural networks: many different weights do the same job, and layers differ in impact.

Classical coding asks that r̃ be near r. A network asks only that its answers stay right, and networks trained alike from
different seeds are far apart in weight space while they agree on most answers:

    d(θ, φ) = ‖θ − φ‖ / √(‖θ‖·‖φ‖)           √2 for independent directions of equal length
    agreement = share of inputs on which argmax f_θ(x) = argmax f_φ(x)

so weights may move far if they move in the right directions. And how far differs from layer to layer:
`layer_sensitivity` quantizes one at a time.

Sources: Gholami et al. 2021, sections II and III (over-parameterization; layers of different sensitivity); loss along a
line: Goodfellow, Vinyals, Saxe 2015, *Qualitatively characterizing neural network optimization problems*.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.data import Images
from qlab.network import Recipe, quantizable_layers, quantize, sqnr_db
from qlab.quantizer import Quantizer
from qlab.zoo.training import predict

__all__ = [
    "Sensitivity",
    "agreement",
    "divergence",
    "interpolate",
    "layer_sensitivity",
    "loss_along_line",
    "mean_divergence",
    "mean_loss",
    "weight_distance",
    "weight_vector",
]


def weight_vector(model: nn.Module) -> Tensor:
    """Return all weights of linear and convolutional layers as one vector, quantized if they are.

    Survey-map row: H11.
    """
    layers = quantizable_layers(model)
    if not layers:
        raise ValueError(f"model must have a linear or convolutional layer, got {type(model).__name__} with none")
    return torch.cat([layer.weight.detach().flatten() for layer in layers.values()])


def weight_distance(a: nn.Module, b: nn.Module) -> float:
    """Return ‖θ_a − θ_b‖/√(‖θ_a‖·‖θ_b‖) over the weights of linear and convolutional layers.

    Parameters
    ----------
    a, b : nn.Module
        Of one architecture. Networks that differ only in the order of their channels are far apart too.

    Raises
    ------
    ValueError
        If they have different numbers of weights.

    Examples
    --------
    >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> _ = a.weight.data.copy_(torch.tensor([[3.0, 0.0]])), b.weight.data.copy_(torch.tensor([[0.0, 3.0]]))
    >>> round(weight_distance(a, b), 4)  # √2
    1.4142

    Survey-map row: H11.
    """
    theta, phi = weight_vector(a).double(), weight_vector(b).double()
    if theta.shape != phi.shape:
        raise ValueError(f"a and b must be of one architecture, got {len(theta)} and {len(phi)} weights")
    return float((theta - phi).norm() / (theta.norm() * phi.norm()).sqrt())


def agreement(a: nn.Module, b: nn.Module, images: Images) -> float:
    """Return the share of pictures to which both networks give the same answer, right or wrong.

    Survey-map row: H11.
    """
    return float((predict(a, images).argmax(1) == predict(b, images).argmax(1)).double().mean())


def mean_loss(model: nn.Module, images: Images) -> float:
    """Return the mean cross-entropy, in nats.

    Survey-map row: H11.
    """
    return float(F.cross_entropy(predict(model, images).double(), images.labels))


def divergence(logits: Tensor, changed: Tensor) -> float:
    """Return the mean of KL(p ‖ p̃) = Σ_c p_c·(log p_c − log p̃_c) over rows of logits, in nats.

    Parameters
    ----------
    logits, changed : Tensor, shape (N, classes)
        Before and after.

    Examples
    --------
    >>> one, two = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]).log1p()  # p = (1/2, 1/2), p̃ = (2/3, 1/3)
    >>> round(divergence(one, two), 4)  # ½·log(9/8)
    0.0589

    Survey-map row: H12.
    """
    log_p, log_q = logits.double().log_softmax(1), changed.double().log_softmax(1)
    return float((log_p.exp() * (log_p - log_q)).sum(1).mean())


def mean_divergence(a: nn.Module, b: nn.Module, images: Images) -> float:
    """Return the mean of KL(p_a ‖ p_b) over pictures, in nats: how far b's answers are from a's. It needs no labels.

    Survey-map row: H12.
    """
    return divergence(predict(a, images), predict(b, images))


@torch.no_grad()
def interpolate(a: nn.Module, b: nn.Module, t: float) -> nn.Module:
    """Return the network (1 − t)·a + t·b: parameters and BatchNorm statistics mixed.

    The statistics of a mixture are not the mixture of the statistics; part of the barrier between two networks comes
    from that (Jordan et al. 2023, *REPAIR*).

    Survey-map row: H11.
    """
    first, second = a.state_dict(), b.state_dict()
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        raise ValueError("a and b must be of one architecture, got different names or shapes of parameters")
    model = copy.deepcopy(a)
    mixed = {k: v.lerp(second[k], t) if v.is_floating_point() else v for k, v in first.items()}
    model.load_state_dict(mixed)
    return model


def loss_along_line(a: nn.Module, b: nn.Module, images: Images, at: Sequence[float]) -> list[float]:
    """Return the mean cross-entropy at the points (1 − t)·a + t·b.

    Parameters
    ----------
    a, b : nn.Module
        In eval mode.
    images : Images
    at : sequence of float
        The values of t; 0 is `a`, 1 is `b`.

    References
    ----------
    Goodfellow et al. 2015.

    Survey-map row: H11.
    """
    return [mean_loss(interpolate(a, b, t), images) for t in at]


@dataclass(frozen=True)
class Sensitivity:
    """What quantizing one layer alone does.

    Attributes
    ----------
    name : str
    parameters : int
        Of the weight.
    weight_sqnr : float
        In dB, of the layer's weight.
    output_sqnr : float
        In dB, of the network's logits.
    loss_increase : float
        Of the mean cross-entropy, in nats.
    accuracy_drop : float
        0 … 1; negative if it rises.
    divergence : float
        Mean KL divergence of the network's answers from those in floating point, in nats. It needs no labels.

    Survey-map row: H12.
    """

    name: str
    parameters: int
    weight_sqnr: float
    output_sqnr: float
    loss_increase: float
    accuracy_drop: float
    divergence: float


def layer_sensitivity(model: nn.Module, quantizer: Quantizer, images: Images) -> list[Sensitivity]:
    """Return what quantizing the weight of each layer does while all others stay in floating point.

    Parameters
    ----------
    model : nn.Module
        In eval mode; left as it is.
    quantizer : Quantizer
        For the weight.
    images : Images

    Returns
    -------
    list of Sensitivity
        In the order of the layers.

    Raises
    ------
    ValueError
        If the model is in training mode.

    Survey-map row: H12.
    """
    if model.training:
        raise ValueError("model must be in eval mode (model.eval())")

    def measure(network: nn.Module) -> tuple[Tensor, float, float]:
        logits = predict(network, images)
        loss = float(F.cross_entropy(logits.double(), images.labels))
        return logits, loss, float((logits.argmax(1) == images.labels).double().mean())

    logits, loss, accuracy = measure(model)
    found = []
    for name, layer in quantizable_layers(model).items():
        # The first pattern that matches wins: this layer gets the quantizer, all others nothing.
        one = quantize(model, Recipe(layers={name: Recipe(weight=quantizer), "*": None}))
        new_logits, new_loss, new_accuracy = measure(one)
        found.append(
            Sensitivity(
                name,
                layer.weight.numel(),
                sqnr_db(layer.weight, quantizable_layers(one)[name].weight),
                sqnr_db(logits, new_logits),
                new_loss - loss,
                accuracy - new_accuracy,
                divergence(logits, new_logits),
            )
        )
    return found
