"""How fast the packed kernels are: ratios to PyTorch's fp32, beside the limit that memory sets, in one run.

    python -m qlab.hardware.kernels.measure [--threads 1] [--turns 15] [--write FILE.csv]

A product with a vector reads every weight once and uses it once, so that its time is the time to read the matrix:
b bits instead of 32 can gain 32/b, not more. `of limit` says how much of that was reached. PyTorch's matrix is made in
the same kind of memory as ours (large pages), else it would start with a handicap. What is timed is everything from
int8 activations to int32 sums: laying the activations out, and for one bit packing them, included.

Survey-map row: C6.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from qlab.hardware.kernels.products import available, product
from qlab.hardware.kernels.weights import BITS, PackedMatrix
from qlab.hardware.record import origin, write_lines
from qlab.hardware.timing import compare, machine

__all__ = ["SHAPES", "Speed", "measure"]

SHAPES = ((4096, 4096, 1), (8192, 8192, 1), (8192, 8192, 16), (1024, 4096, 1024))
"""Rows, columns, batch."""


class Speed(NamedTuple):
    """One kernel on one shape.

    Attributes
    ----------
    rows, columns, batch : int
    kernel : str
        "fp32", "int8", "int4", "int2", "binary" with a backend, or "onnxruntime int8".
    milliseconds : float
        Median.
    ratio, low, high : float
        How many times as fast as PyTorch's fp32, turn by turn: median and quartiles.
    limit : float
        What reading fewer bytes could gain: 32/b.
    threads : int

    Survey-map row: C6.
    """

    rows: int
    columns: int
    batch: int
    kernel: str
    milliseconds: float
    ratio: float
    low: float
    high: float
    limit: float
    threads: int


def measure(rows: int, columns: int, batch: int, turns: int = 15, threads: int = 1, plain: bool = True) -> list[Speed]:
    """Time all kernels on one shape, taking turns.

    Parameters
    ----------
    rows, columns, batch : int
        Shape of the weights, and how many activations there are.
    turns, threads : int
    plain : bool
        Also time the portable backend, where there is a faster one.

    Returns
    -------
    list of Speed
        fp32 first.

    Survey-map row: C6.
    """
    rng = np.random.default_rng(0)
    dense = torch.from_numpy(np.ones((rows, columns), np.float32))
    real = torch.from_numpy(rng.standard_normal((batch, columns), dtype=np.float32))
    x = torch.from_numpy(rng.integers(-128, 128, (batch, columns), dtype=np.int8))
    signs = torch.where(x < 0, -1, 1).to(torch.int8)
    run: dict[str, Callable[[], object]] = {"fp32": lambda: torch.nn.functional.linear(real, dense)}
    if batch == 1:
        run["fp32"] = lambda: torch.mv(dense, real[0])
    limits = {"fp32": 1.0}
    for bits in BITS:
        packed = _random(rng, rows, columns, bits)
        for backend in available()[1 if plain else -1 :]:
            name = f"{'binary' if bits == 1 else f'int{bits}'} {backend}"
            limits[name] = 32 / bits
            run[name] = _job(packed, signs if bits == 1 else x, backend, threads)
    run["onnxruntime int8"], limits["onnxruntime int8"] = _onnxruntime(rng, rows, columns, x, threads), 4.0
    clock = time.thread_time if threads == 1 else time.perf_counter  # the former stands still while others compute
    times = compare(run, turns=turns, threads=threads, clock=clock)
    found = []
    for name in run:
        r = times.ratio("fp32", name)
        found.append(
            Speed(rows, columns, batch, name, times.median(name) * 1e3, r.median, r.low, r.high, limits[name], threads)
        )
    return found


def _random(rng: np.random.Generator, rows: int, columns: int, bits: int) -> PackedMatrix:
    """Return random codes, drawn as packed bytes (columns divide a register here)."""
    return PackedMatrix(rng.integers(0, 256, (rows, columns * bits // 8), dtype=np.uint8), (rows, columns), bits)


def _job(packed: PackedMatrix, x: Tensor, backend: str, threads: int) -> Callable[[], object]:
    product(packed, x[:2], backend, threads)  # compiles
    return lambda: product(packed, x, backend, threads)


def _onnxruntime(rng: np.random.Generator, rows: int, columns: int, x: Tensor, threads: int) -> Callable[[], object]:
    """ONNX Runtime's MatMulInteger, unsigned activations and signed weights; its threads do not spin."""
    import onnxruntime as ort
    from onnx import TensorProto, helper

    w = rng.integers(-128, 128, (columns, rows), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, (len(x), rows))],
        [helper.make_tensor("w", TensorProto.INT8, w.shape, w.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed: dict[str, Any] = {"x": x.numpy().view(np.uint8)}
    return lambda: session.run(None, feed)


def main() -> None:
    """Print the table; with --write keep it."""
    parser = argparse.ArgumentParser(description="Packed kernels against PyTorch's fp32 and ONNX Runtime's int8.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    print(machine())
    lines = []
    for rows, columns, batch in SHAPES:
        print(f"\n{rows} × {columns}, batch {batch}, {given.threads} thread(s)")
        for s in measure(rows, columns, batch, given.turns, given.threads):
            of_limit = f"{s.ratio / s.limit:5.0%} of the {s.limit:g}× by memory" if batch == 1 else ""
            print(f"{s.kernel:18}{s.milliseconds:9.3f} ms {s.ratio:6.2f}× ({s.low:.2f} to {s.high:.2f}) {of_limit}")
            lines.append({field: str(value) for field, value in s._asdict().items()} | origin())
    if given.write:
        write_lines(given.write, list(lines[0]), lines)


if __name__ == "__main__":
    main()
