"""Bytes against accuracy: every method of this room, and uniform quantization, on the same trained networks.

The bytes are those of the whole network: codes, codebooks or scales, and in 32 bits all that is not quantized (biases,
BatchNorm). Layers with fewer than 1,000 weights, too small for a codebook, have 8 bits, uniform; Deep Compression
shares all layers, and its bytes are those of its file. "tuned": two epochs of the 6,000 pictures of the package, which
moves centroids, codewords or (uniform, LSQ) weights and steps through the straight-through estimator; Deep Compression
trains for two epochs after each of its two stages. The table is made by `make_vector_table`.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from qlab.calibration import MSE
from qlab.data import Images, load_calibration, load_test, load_train_subset
from qlab.granularity import PerChannel
from qlab.grids import Symmetric
from qlab.hardware.record import read_as
from qlab.history.huffman_bytes import huffman_encode
from qlab.neighbours.pruning import bake
from qlab.network import Recipe, quantizable_layers, quantize, stored_weight
from qlab.qat import LSQ
from qlab.quantizer import Quantizer
from qlab.vector.activation_aware import activation_aware, input_rows, second_moments
from qlab.vector.additive import additive_quantize
from qlab.vector.codewords import add_codewords, codewords_of
from qlab.vector.compressed_file import to_bytes
from qlab.vector.deep_compression import deep_compression
from qlab.vector.product import product_quantize
from qlab.vector.residual import residual_quantize
from qlab.vector.shared import share_weights, shared_of
from qlab.zoo import TrainingSettings, evaluate, load, train

__all__ = ["METHODS", "VectorRun", "compress", "product_network", "run_vector", "stored_bytes", "vector_table"]

PLACE = Path(__file__).with_name("vector_table.csv")
SMALL = 1000
EIGHT = Quantizer(Symmetric(8), PerChannel(0))
LR = 0.01
"""Largest learning rate of the tuning."""
METHODS = ("uniform", "k-means", "PQ", "PQ, activations", "RVQ", "additive", "Deep Compression")
"""Names for `compress`."""


class VectorRun(NamedTuple):
    """One network compressed once.

    Attributes
    ----------
    network, method : str
        Of the zoo, and of `METHODS`.
    setting : str
        "b=3", "d=9 k=16" (blocks of d, k codewords), "d=9 k=16 T=2" (stages), "p=0.9 b=4" (share pruned).
    tuned : int
        Epochs of fine-tuning; 0 is none.
    seed : int
        Of k-means, calibration pictures and training.
    accuracy : float
        On the 10,000 test pictures, 0 … 1.
    nbytes : int
        Of the whole network, codes packed.
    coded : int
        The same with Huffman's code for the codes, its tables included.
    seconds : float
        Processor time, one thread.

    Survey-map rows: V1, V2, V3.
    """

    network: str
    method: str
    setting: str
    tuned: int
    seed: int
    accuracy: float
    nbytes: int
    coded: int
    seconds: float


def product_network(
    model: nn.Module,
    d: int,
    size: int,
    batches: Tensor | None = None,
    stages: int = 1,
    additive: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Return a copy of `model` with its larger layers in codewords, the others in 8 bits.

    A layer gets at most a quarter as many codewords as it has blocks: a codebook must be smaller than what it codes.

    Parameters
    ----------
    model : nn.Module
    d, size, stages : int
        Numbers in a block, codewords, stages.
    batches : Tensor, optional
        Pictures, for activation-aware codewords (one stage): layer by layer, each seeing what the layers before it,
        already quantized, make of the pictures.
    additive : bool
        Fit the codebooks of several stages together.
    seed : int

    References
    ----------
    Stock et al. 2020, section 3.3 (layer by layer), section 4.1 (few codewords for small layers).

    Survey-map rows: V2, V3.
    """
    layers = quantizable_layers(model)
    out = quantize(model, Recipe(EIGHT, layers={n: None for n, x in layers.items() if x.weight.numel() >= SMALL}))
    for name, layer in layers.items():
        w = layer.weight.detach()
        if w.numel() < SMALL:
            continue
        k = min(size, 1 << int(np.log2(w.numel() // d / 4)))
        if batches is not None:
            code = activation_aware(w, second_moments(_inputs(out, name, batches), d), k, seed)
        elif stages == 1:
            code = product_quantize(w, d, k, seed=seed)
        else:
            code = (additive_quantize if additive else residual_quantize)(w, d, k, stages, seed)
        add_codewords(out, name, code)
    return out.eval()


@torch.no_grad()
def _inputs(model: nn.Module, name: str, pictures: Tensor) -> Tensor:
    seen: list[Tensor] = []
    layer = model.get_submodule(name)
    hook = layer.register_forward_pre_hook(lambda m, a: seen.append(input_rows(m, a[0])))
    try:
        model.eval()(pictures)
    finally:
        hook.remove()
    return seen[0]


def _numbers(setting: str) -> dict[str, float]:
    return {part.split("=")[0]: float(part.split("=")[1]) for part in setting.split()}


def compress(
    network: str, method: str, setting: str, tuned: int = 0, seed: int = 0, data: Images | None = None
) -> nn.Module:
    """Return a network of the zoo, compressed by a method and tuned for some epochs.

    Parameters
    ----------
    network, method, setting, tuned, seed
        As in `VectorRun`.
    data : Images, optional
        To tune with; by default the 6,000 pictures of the package.

    Raises
    ------
    ValueError
        If there is no such method.

    Survey-map rows: V1, V2, V3.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    model: nn.Module = load(network)
    s = _numbers(setting)
    data = load_train_subset() if data is None else data
    tune = TrainingSettings(max(1, tuned), lr=0.02, augment=network != "mlp", seed=seed)
    if method == "Deep Compression":
        return deep_compression(model, s["p"], int(s["b"]), data if tuned else None, tune, centroid_lr=LR)
    if method == "uniform":
        small = {n: Recipe(EIGHT) for n, layer in quantizable_layers(model).items() if layer.weight.numel() < SMALL}
        quantizer = Quantizer(Symmetric(int(s["b"])), PerChannel(0), MSE())
        model = quantize(model, Recipe(LSQ(quantizer) if tuned else quantizer, layers=small))
    elif method == "k-means":
        model = share_weights(model, int(s["b"]), gradient="mean")
    else:
        pictures = load_calibration(256, seed).tensors()[0] if method == "PQ, activations" else None
        stages = int(s.get("T", 1))
        model = product_network(model, int(s["d"]), int(s["k"]), pictures, stages, method == "additive", seed)
    if tuned:
        decay = 5e-4 if method == "uniform" else 0.0
        model = train(
            model, data, TrainingSettings(tuned, lr=LR, weight_decay=decay, augment=network != "mlp", seed=seed)
        )
    return model.eval()


def stored_bytes(model: nn.Module) -> tuple[int, int]:
    """Return the bytes of a compressed network: with packed codes, and with Huffman's code for the codes.

    Codebooks of blocks have 16 bits a number, centroids and scales 32; what is not quantized has 32. Where weights were
    pruned both are the file of `to_bytes`, at the better of 4 to 8 index bits.

    Survey-map rows: V1, V2, V3.
    """
    packed = coded = counted = 0
    for layer in quantizable_layers(model).values():
        counted += layer.weight.numel()
        stored, blocks, shared = stored_weight(layer), codewords_of(layer), shared_of(layer)
        if shared is not None:
            if not bool((shared.codes > 0).all()):
                best = min(len(to_bytes(model, bits)) for bits in range(4, 9))
                return best, best
            codes, table = shared.codes[None], 4 * shared.centroids.numel()
            width = int(np.ceil(np.log2(shared.centroids.numel())))
        elif blocks is not None:
            codes, width = blocks.code.codes, blocks.code.code_bits
            table = 2 * blocks.code.books.numel()
        elif stored is not None:
            width = stored.grid.width
            codes, table = stored.codes[None], stored.nbytes - -(-stored.codes.numel() * width // 8)
        else:
            raise ValueError("model must have all its layers quantized; call compress first")
        packed += -(-codes.numel() * width // 8) + table
        coded += sum(len(huffman_encode(row.flatten().cpu().numpy())) for row in codes) + table
    rest = 4 * (sum(t.numel() for t in bake(model).state_dict().values() if t.is_floating_point()) - counted)
    return packed + rest, coded + rest


def run_vector(
    network: str,
    method: str,
    setting: str,
    tuned: int,
    seed: int,
    data: Images | None = None,
    test: Images | None = None,
) -> VectorRun:
    """Compress a network and measure it.

    Survey-map rows: V1, V2, V3.
    """
    began = time.process_time()
    model = compress(network, method, setting, tuned, seed, data)
    seconds = time.process_time() - began
    accuracy = evaluate(model, load_test() if test is None else test)
    return VectorRun(network, method, setting, tuned, seed, accuracy, *stored_bytes(model), seconds)


@cache
def vector_table(path: Path = PLACE) -> tuple[VectorRun, ...]:
    """Return the runs of the table that the package holds.

    Survey-map rows: V1, V2, V3.
    """
    return read_as(path, VectorRun)
