"""Deep Compression's last stage as a file: Huffman codes of the centroids' numbers and of the distances.

    file    = "QDC1" | CRC-32 of the rest | number of tensors | tensor, tensor, …
    tensor  = length and letters of its name | kind | number of axes | length of each axis | content
    raw     = number of the type | values, little-endian                                               (kind 0)
    shared  = index bits | number of centroids | centroids, float32 | number of weights kept
              | bytes, Huffman stream of codes | bytes, Huffman stream of distances − 1                (kind 1)

Lengths and counts are 32-bit, kinds, types, axes and bits are one byte. A code is 0 for a filler, else the centroid's
number. All is checked on reading: a file that is damaged, cut short or of another kind is refused, never half read.
Sources: Han, Mao, Dally 2016, *Deep compression*, sections 2 and 4; the streams: `qlab.history.huffman_bytes`.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qlab.history.huffman import huffman_code
from qlab.history.huffman_bytes import huffman_decode, huffman_encode
from qlab.neighbours.pruning import bake
from qlab.network import quantizable_layers
from qlab.validate import check_bits
from qlab.vector.relative_index import from_relative, to_relative
from qlab.vector.shared import SharedWeight, shared_of

__all__ = ["Streams", "from_bytes", "into", "part_sizes", "read_file", "streams", "to_bytes", "write_file"]

MAGIC = b"QDC1"
TYPES = (torch.float32, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool, torch.float64)
PARTS = ("names and shapes", "centroids", "code tables", "codes", "distances", "other tensors")
"""What the bytes of a file are for."""


@dataclass(frozen=True, eq=False)
class Streams:
    """A shared weight as the two lists of integers that are coded.

    Attributes
    ----------
    codes : array (n,)
        0 for a filler, else the centroid's number from 1.
    distances : array (n,)
        From 1 to 2^(index bits).
    kept : int
        Weights that are not pruned; n − kept are fillers.

    Survey-map row: V1.
    """

    codes: np.ndarray
    distances: np.ndarray
    kept: int


def streams(part: SharedWeight, index_bits: int) -> Streams:
    """Return a shared weight's codes and distances, fillers included.

    Survey-map row: V1.
    """
    q = part.codes.flatten().cpu().numpy()
    positions = np.flatnonzero(q)
    distances, fillers = to_relative(positions, index_bits)
    codes = np.zeros(distances.size, dtype=np.int64)
    codes[~fillers] = q[positions]
    return Streams(codes, distances, positions.size)


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _head(name: str, kind: int, shape: tuple[int, ...]) -> bytes:
    return _sized(name.encode()) + struct.pack(f"<BB{len(shape)}I", kind, len(shape), *shape)


def _raw(t: Tensor) -> bytes:
    if t.dtype not in TYPES:
        raise ValueError(f"a tensor must be of one of {', '.join(map(str, TYPES))}, got {t.dtype}")
    values = t.detach().cpu().contiguous().numpy()
    return bytes([TYPES.index(t.dtype)]) + values.astype(values.dtype.newbyteorder("<")).tobytes()


def _shared(part: SharedWeight, index_bits: int) -> bytes:
    s, c = streams(part, index_bits), part.centroids.detach().cpu().numpy()
    numbers = struct.pack("<BI", index_bits, c.size) + c.astype("<f4").tobytes() + struct.pack("<I", s.kept)
    return numbers + _sized(huffman_encode(s.codes)) + _sized(huffman_encode(s.distances - 1))


def to_bytes(model: nn.Module, index_bits: int | Mapping[str, int] = 5) -> bytes:
    """Return a network with shared weights as the bytes of a file.

    Parameters
    ----------
    model : nn.Module
        Layers with shared weights (`share_weights`) are coded; all other tensors are stored as they are.
    index_bits : int or mapping of layer name to int
        Bits of a distance before a filler is needed. (Huffman's code follows, so that they decide about fillers only.)

    Raises
    ------
    ValueError
        If no layer has shared weights.

    Survey-map row: V1.
    """
    shared = {f"{n}.weight": (n, part) for n, layer in quantizable_layers(model).items() if (part := shared_of(layer))}
    if not shared:
        raise ValueError("model must have a layer with shared weights: call share_weights first")
    state = bake(model).state_dict()
    out = [struct.pack("<I", len(state))]
    for key, tensor in state.items():
        if key in shared:
            name, part = shared[key]
            bits = check_bits(index_bits if isinstance(index_bits, int) else index_bits[name], name="index_bits")
            out.append(_head(key, 1, tuple(tensor.shape)) + _shared(part, bits))
        else:
            out.append(_head(key, 0, tuple(tensor.shape)) + _raw(tensor))
    body = b"".join(out)
    return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


class _Reader:
    """Takes bytes off the front, and refuses to take what is not there."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise ValueError(f"data must be a whole file: it ends at byte {len(self.data)}, {n} more were to come")
        self.at += n
        return self.data[self.at - n : self.at]

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def sized(self) -> bytes:
        return self.take(self.numbers("I")[0])


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a file's bytes, by name: exactly those that the network had.

    Raises
    ------
    ValueError
        If the bytes are not such a file, or are damaged or cut short.

    Survey-map row: V1.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"data must begin with {MAGIC!r}, got {data[:4]!r}: not a file of qlab.vector")
    if len(data) < 12:
        raise ValueError(f"data must be a whole file, got only {len(data)} bytes")
    (told,) = struct.unpack("<I", data[4:8])
    if (found := zlib.crc32(data[8:])) != told:
        raise ValueError(f"data is damaged or cut short: its CRC-32 is {found:08x}, its header says {told:08x}")
    r = _Reader(data[8:])
    tensors: dict[str, Tensor] = {}
    for _ in range(r.numbers("I")[0]):
        name = r.sized().decode()
        kind, axes = r.numbers("BB")
        shape = r.numbers(f"{axes}I")
        tensors[name] = _read_shared(r, shape) if kind == 1 else _read_raw(r, shape)
    if r.at != len(r.data):
        raise ValueError(f"data must end with its last tensor, but {len(r.data) - r.at} bytes follow")
    return tensors


def _read_raw(r: _Reader, shape: tuple[int, ...]) -> Tensor:
    (number,) = r.numbers("B")
    if number >= len(TYPES):
        raise ValueError(f"a type's number must be from 0 to {len(TYPES) - 1}, got {number}")
    form = np.dtype(str(TYPES[number]).removeprefix("torch."))
    values = np.frombuffer(r.take(int(np.prod(shape, dtype=np.int64)) * form.itemsize), form.newbyteorder("<"))
    return torch.from_numpy(values.astype(form).reshape(shape))


def _read_shared(r: _Reader, shape: tuple[int, ...]) -> Tensor:
    _, n = r.numbers("BI")
    centroids = np.frombuffer(r.take(4 * n), "<f4").astype(np.float32)
    (kept,) = r.numbers("I")
    codes, distances = huffman_decode(r.sized()), huffman_decode(r.sized()) + 1
    places = from_relative(distances, codes == 0)
    values = codes[codes > 0]
    flat = np.zeros(int(np.prod(shape, dtype=np.int64)), dtype=np.float32)
    if values.size != kept or (kept and (places[-1] >= flat.size or values.max() > n)):
        raise ValueError("data contradicts itself: codes or distances do not fit the shape")
    flat[places] = centroids[values - 1]
    return torch.from_numpy(flat.reshape(shape))


def write_file(model: nn.Module, path: str | Path, index_bits: int | Mapping[str, int] = 5) -> int:
    """Write a network with shared weights to a file, and return the file's size as the file system tells it.

    The bytes go to a temporary name first, which is then renamed: there is never half a file under `path`.

    Survey-map row: V1.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(to_bytes(model, index_bits))
    os.replace(temporary, path)
    return path.stat().st_size


def read_file(path: str | Path, model: nn.Module) -> nn.Module:
    """Return a copy of `model`, of the same architecture, with the weights of a file.

    Raises
    ------
    ValueError
        If the file is not one of these, or damaged, or holds the tensors of another network.

    Survey-map row: V1.
    """
    return into(from_bytes(Path(path).read_bytes()), model)


def into(tensors: Mapping[str, Tensor], model: nn.Module) -> nn.Module:
    """Return a copy of `model` with these tensors for its own.

    Raises
    ------
    ValueError
        If names or shapes differ.

    Survey-map row: V1.
    """
    model = bake(model)
    own = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    given = {name: tuple(t.shape) for name, t in tensors.items()}
    if own != given:
        odd = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        raise ValueError(f"the file must hold the tensors of this network; they differ at {', '.join(odd[:5])}")
    model.load_state_dict(dict(tensors))
    return model


def part_sizes(model: nn.Module, index_bits: int | Mapping[str, int] = 5) -> dict[str, int]:
    """Return how many bytes of `to_bytes` each of `PARTS` takes; they add up to the file.

    Survey-map row: V1.
    """
    sizes = dict.fromkeys(PARTS, 0)
    for name, layer in quantizable_layers(model).items():
        if (part := shared_of(layer)) is None:
            continue
        s = streams(part, check_bits(index_bits if isinstance(index_bits, int) else index_bits[name]))
        sizes["centroids"] += 4 * part.centroids.numel()
        for what, stream in (("codes", s.codes), ("distances", s.distances - 1)):
            code, whole = huffman_code(stream), len(huffman_encode(stream))
            bits = int(code.lengths[np.searchsorted(code.symbols, stream)].sum())
            sizes[what] += -(-bits // 8)
            sizes["code tables"] += whole - -(-bits // 8)
    shared = {f"{n}.weight" for n, layer in quantizable_layers(model).items() if shared_of(layer)}
    state = bake(model).state_dict()
    sizes["other tensors"] = sum(t.numel() * t.element_size() for name, t in state.items() if name not in shared)
    sizes["names and shapes"] = len(to_bytes(model, index_bits)) - sum(sizes.values())
    return sizes
