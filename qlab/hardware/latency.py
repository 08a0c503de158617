"""Latency of every layer at every number of bits, measured on this machine, kept in a file that knows which machine.

    t[i, b] = median over turns of the time of layer i with weights of b bits and inputs of 8 bits

What is timed is what an integer engine does between the layer's int8 input and its int32 sums: for a convolution the
patches (im2col), then the product with packed weights by `qlab.hardware.kernels`. Not timed: requantization, bias,
activation, pooling: the same whatever the bits. One thread is timed by its own clock, which stands still while another
program has the core; several threads by the clock on the wall. 32 bits are PyTorch's own fp32 layer, for comparison.

    t(b_1, …, b_L) = Σ_i t[i, b_i]

is then a model, good as long as layers run one after another and do not warm each other's caches.

Source: Gholami et al. 2021, section IV C; Wang et al. 2019 (*HAQ*) and Yao et al. 2021 (*HAWQ-V3*) drive their choice
by such tables, simulated and measured.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qlab.hardware.kernels import PackedMatrix, available, pack_matrix, product
from qlab.hardware.timing import Ratio, compare, machine
from qlab.network import quantizable_layers

__all__ = ["LatencyTable", "latency_table", "patches", "read_latency", "recorded_latency", "write_latency"]

CHOICES = (2, 4, 8)
"""Bits for which a kernel exists beside inputs of 8 bits; 32 may be asked for too."""
PLACE = Path(__file__).with_name("latency_tables")
"""Tables that ship with the course."""


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """What each layer takes with each choice, turn by turn.

    Attributes
    ----------
    layers : tuple of str
    choices : tuple of int
        Bits of the weights; 32 stands for fp32.
    turns : array of float, shape (layers, choices, turns)
        Milliseconds for the whole batch. In one turn all choices of a layer ran one after another.
    batch, threads : int
    backend, machine : str
        Of the kernels; and where it was measured.

    Survey-map row: W1.
    """

    layers: tuple[str, ...]
    choices: tuple[int, ...]
    turns: NDArray[np.float64]
    batch: int
    threads: int
    backend: str
    machine: str

    @property
    def milliseconds(self) -> NDArray[np.float64]:
        """Medians, shape (layers, choices): a table for `qlab.mixed.Budget`."""
        return np.asarray(np.median(self.turns, axis=2))

    def resolved(self, baseline: int = 8) -> NDArray[np.float64]:
        """Return the medians, but the baseline's where the noise is as large as the difference to it.

        That is so where no difference was seen turn by turn, or where the quartiles of the ratio lie farther from each
        other than their median from 1. A budget made from this table does not reward noise.
        """
        found = self.milliseconds
        same = self.milliseconds[:, self.choices.index(baseline)]
        for i, layer in enumerate(self.layers):
            for b, bits in enumerate(self.choices):
                r = self.ratio(layer, bits, baseline)
                if r.verdict == "no difference seen" or r.high - r.low > abs(1 - r.median):
                    found[i, b] = same[i]
        return found

    def ratio(self, layer: str, bits: int, baseline: int) -> Ratio:
        """Return how many times as long a layer takes with `bits` as with `baseline` bits; see its `verdict`."""
        row = self.turns[self.layers.index(layer)]
        return _ratio(row[self.choices.index(bits)], row[self.choices.index(baseline)])

    def compare(self, choice: Sequence[int], other: Sequence[int]) -> Ratio:
        """Return how many times as long one assignment takes as another, both as indices of choices per layer."""
        index = np.arange(len(self.layers))
        return _ratio(self.turns[index, list(choice)].sum(0), self.turns[index, list(other)].sum(0))


def _ratio(seconds: NDArray[np.float64], baseline: NDArray[np.float64]) -> Ratio:
    low, median, high = np.quantile(seconds / baseline, [0.25, 0.5, 0.75])
    return Ratio(float(median), float(low), float(high))


def patches(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return what each output pixel of a convolution sees, as rows of a matrix (im2col), of any dtype.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
    layer : nn.Conv2d
        With zero padding, one group and no dilation.

    Returns
    -------
    Tensor, shape (N·H'·W', C·k_h·k_w)
        Times the weight as a matrix (C_out, C·k_h·k_w), transposed, this is the convolution.

    Raises
    ------
    ValueError
        If the layer is grouped or dilated, or pads with something other than zeros.

    Survey-map rows: C6, W1.
    """
    if layer.groups != 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(f"layer must have one group, no dilation and numeric zero padding, got {layer}")
    (kh, kw), (sh, sw), (ph, pw) = layer.kernel_size, layer.stride, layer.padding
    padded = nn.functional.pad(x, (pw, pw, ph, ph))
    windows = padded.unfold(2, kh, sh).unfold(3, kw, sw)  # (N, C, H', W', k_h, k_w)
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * kh * kw)


def latency_table(
    model: nn.Module,
    input_shape: tuple[int, ...],
    batch: int = 1,
    choices: Sequence[int] = CHOICES,
    turns: int = 15,
    threads: int = 1,
    cache: Path | None = None,
) -> LatencyTable:
    """Measure every linear and convolutional layer at every number of bits, or read what was measured here before.

    Parameters
    ----------
    model : nn.Module
        Left as it is. Convolutions of one group.
    input_shape : tuple of int
        Of one input, without the batch.
    batch : int
    choices : sequence of int
        From 2, 4, 8 and 32.
    turns, threads : int
    cache : Path, optional
        A JSON file. It is used if machine, layers, batch, choices, threads and turns are the same; if anything differs,
        all is measured anew and the file is replaced.

    Raises
    ------
    ValueError
        If there is a choice without a kernel, fewer than three turns, or a layer that cannot be measured.

    Survey-map row: W1.
    """
    if not choices or any(b not in (*CHOICES, 32) for b in choices) or len(set(choices)) != len(choices):
        raise ValueError(f"choices must be from 2, 4, 8, 32, each once, got {tuple(choices)}")
    if batch < 1 or turns < 3 or threads < 1:
        raise ValueError(f"batch, turns, threads must be at least 1, 3, 1, got {batch}, {turns}, {threads}")
    modules = quantizable_layers(model)
    asked = {
        "machine": machine(),
        "backend": available()[-1],
        "layers": {name: str(layer) for name, layer in modules.items()},
        "input_shape": list(input_shape),
        "batch": batch,
        "choices": list(choices),
        "turns": turns,
        "threads": threads,
    }
    if cache is not None and cache.exists():
        found = _content(cache)
        if all(found.get(key) == value for key, value in asked.items()):
            return _table(found)
    inputs = _inputs(model, modules, (batch, *input_shape))
    rows = [
        _measure({b: _job(layer, inputs[name], b, threads) for b in choices}, turns, threads)
        for name, layer in modules.items()
    ]
    content = asked | {"milliseconds": np.round(np.array(rows), 5).tolist()}
    if cache is not None:
        _write(cache, content)
    return _table(content)


def read_latency(path: Path) -> LatencyTable:
    """Return a table that was measured before, perhaps on another machine: it says which.

    Raises
    ------
    ValueError
        If the file is no such table.

    Survey-map row: W1.
    """
    return _table(_content(path))


def recorded_latency(network: str, batch: int) -> LatencyTable:
    """Return a table that ships with the course; its `machine` says where it was measured.

    Parameters
    ----------
    network : {"convnet", "alexnet"}
        The course's ConvNet, or the last six layers of AlexNet.
    batch : {1, 64}

    Raises
    ------
    ValueError
        If there is no such table.

    Survey-map row: W1.
    """
    path = PLACE / f"{network}_{batch}.json"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in PLACE.glob("*.json")))
        raise ValueError(f"network and batch must be one of {there}, got {network}_{batch}")
    return read_latency(path)


def write_latency(table: LatencyTable, path: Path) -> None:
    """Write a table to a JSON file, under a temporary name that is then renamed.

    Survey-map row: W1.
    """
    facts = {key: getattr(table, key) for key in ("batch", "threads", "backend", "machine")}
    facts |= {"layers": dict.fromkeys(table.layers, ""), "choices": list(table.choices)}
    _write(path, facts | {"milliseconds": table.turns.tolist()})


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is no table of latencies: {error}; delete it to measure anew") from None
    missing = {"layers", "choices", "milliseconds", "batch", "threads", "backend", "machine"} - set(content)
    if missing:
        raise ValueError(f"{path.name} is no table of latencies: it lacks {', '.join(sorted(missing))}")
    return dict(content)


def _table(content: dict[str, Any]) -> LatencyTable:
    facts = {key: content[key] for key in ("batch", "threads", "backend", "machine")}
    turns = np.array(content["milliseconds"], dtype=np.float64)
    return LatencyTable(tuple(content["layers"]), tuple(content["choices"]), turns, **facts)


def _write(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    os.replace(temporary, path)


def _inputs(model: nn.Module, modules: dict[str, nn.Module], shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Return each layer's input for a batch of noise; times do not depend on the numbers."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            found[name] = args[0].detach()

        return hook

    training = model.training
    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in modules.items()]
    try:
        model.eval()
        with torch.no_grad():
            model(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return found


def _codes(values: Tensor, bits: int) -> Tensor:
    top = (1 << bits - 1) - 1
    return (values / values.abs().max().clamp(min=1e-12) * top).round().clamp(-top, top).to(torch.int8)


def _job(layer: nn.Module, x: Tensor, bits: int, threads: int) -> Callable[[], object]:
    """Return what is timed: from int8 input to int32 sums, or PyTorch's layer for 32 bits."""
    if bits == 32:

        def real() -> Tensor:
            with torch.no_grad():
                return torch.as_tensor(layer(x))

        return real
    weight = torch.as_tensor(layer.get_parameter("weight")).detach()
    packed: PackedMatrix = pack_matrix(_codes(weight.flatten(1), bits), bits)
    codes = _codes(x, 8)
    if isinstance(layer, nn.Conv2d):
        patches(codes[:1], layer)  # refuse what cannot be measured before anything is timed
        return lambda: product(packed, patches(codes, layer), threads=threads)
    return lambda: product(packed, codes.flatten(0, -2), threads=threads)


def _measure(jobs: dict[int, Callable[[], object]], turns: int, threads: int) -> NDArray[np.float64]:
    """Return milliseconds, shape (choices, turns); short jobs run several times in a turn, for the clock's sake."""
    for job in jobs.values():
        job()  # compiles
    start = time.perf_counter()
    for job in jobs.values():
        job()
    each = (time.perf_counter() - start) / len(jobs)
    repeats = max(1, min(20, round(1e-3 / each)))

    def several(job: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(repeats):
                job()

        return run

    clock = time.thread_time if threads == 1 else time.perf_counter
    times = compare({str(b): several(job) for b, job in jobs.items()}, turns=turns, threads=threads, clock=clock)
    return np.stack([times.seconds[str(b)] for b in jobs]) / repeats * 1e3
