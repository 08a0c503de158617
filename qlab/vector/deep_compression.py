"""Deep Compression: prune, share, code. A trained network in, a smaller one and its file out.

    prune the share p of smallest |w|, train what is left
    → share: 2^b centroids for each layer, train the centroids
    → code: Huffman on the centroids' numbers and on the distances between the weights that are left

    bits per weight of the original ≈ s·( H(codes) + H(distances) ),       s = 1 − p

Source: Han, Mao, Dally 2016, *Deep compression*; pruning: Han et al. 2015.
"""

from __future__ import annotations

import gzip
import lzma
from dataclasses import dataclass, replace

from safetensors.torch import save
from torch import nn

from qlab.data import Images
from qlab.history.entropy import code_entropy
from qlab.neighbours.pruning import bake, prune
from qlab.network import quantizable_layers
from qlab.vector.compressed_file import streams, to_bytes
from qlab.vector.shared import share_weights, shared_of
from qlab.zoo import TrainingSettings, train

__all__ = ["Sizes", "deep_compression", "file_sizes"]


def deep_compression(
    model: nn.Module,
    sparsity: float,
    bits: int,
    data: Images | None = None,
    settings: TrainingSettings | None = None,
    gradient: str = "mean",
    centroid_lr: float = 0.01,
) -> nn.Module:
    """Return a copy of `model`, pruned and with shared weights, ready for `write_file`.

    Parameters
    ----------
    model : nn.Module
        Trained; left as it is.
    sparsity : float
        p, the share of weights that are pruned, 0 ≤ p < 1: smallest magnitudes of the whole network.
    bits : int
        b: at most 2^b centroids per layer.
    data : Images, optional
        To train what is left, then the centroids. Without data nothing is trained.
    settings : TrainingSettings, optional
        Of each of the two trainings; by default two epochs.
    gradient : {"mean", "sum"}
        As `share_weights` takes it. With the paper's sum `centroid_lr` must be smaller by the number of weights that
        share a centroid, roughly.
    centroid_lr : float
        Largest learning rate of the centroids.

    References
    ----------
    Han et al. 2016, sections 2 and 3.

    Survey-map row: V1.
    """
    settings = settings or TrainingSettings(epochs=2, lr=0.02)
    left = prune(model, sparsity)
    if data is not None and sparsity > 0:
        left = train(left, data, settings)
    shared = share_weights(left, bits, gradient=gradient)
    if data is not None:
        shared = train(shared, data, replace(settings, lr=centroid_lr, weight_decay=0.0))
    return shared.eval()


@dataclass(frozen=True)
class Sizes:
    """Bytes of one network, stored in several ways.

    Attributes
    ----------
    fp32 : int
        The original as safetensors.
    fp32_gzip, fp32_xz : int
        The same, compressed.
    zeros_gzip, zeros_xz : int
        The pruned and shared network as safetensors, compressed: what a general compressor finds by itself.
    file : int
        Deep Compression's.
    entropy : float
        What its codes and distances carry, in bytes: Σ n·H. Huffman's streams cannot be smaller.

    Survey-map row: V1.
    """

    fp32: int
    fp32_gzip: int
    fp32_xz: int
    zeros_gzip: int
    zeros_xz: int
    file: int
    entropy: float


def file_sizes(original: nn.Module, shared: nn.Module, index_bits: int = 5) -> Sizes:
    """Return what the original and its compressed form take, stored in several ways.

    Survey-map row: V1.
    """
    plain = [save({k: v.contiguous() for k, v in bake(m).state_dict().items()}) for m in (original, shared)]
    bits = 0.0
    for layer in quantizable_layers(shared).values():
        if (part := shared_of(layer)) is not None:
            s = streams(part, index_bits)
            bits += s.codes.size * (code_entropy(s.codes) + code_entropy(s.distances))
    packed = [(len(gzip.compress(data, 9, mtime=0)), len(lzma.compress(data, preset=9))) for data in plain]
    return Sizes(len(plain[0]), *packed[0], *packed[1], len(to_bytes(shared, index_bits)), bits / 8)
