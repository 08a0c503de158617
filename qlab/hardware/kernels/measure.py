"""How fast the packed kernels are: ratios to PyTorch's fp32, beside the limit that memory sets, in one run.

    python -m qlab.hardware.kernels.measure [--threads 1] [--turns 15] [--sweep] [--write FILE.csv]

A product with a vector reads every weight once and uses it once, so that its time is the time to read the matrix:
b bits instead of 32 can gain 32/b, not more. Two things blur that law, and are dealt with:

* A small matrix stays in the cache from one turn to the next, as it would not in a network of many layers. So each
  kernel takes turns over copies that fill 128 MB, and finds its weights in main memory.
* Nobody reads memory at the speed on its label. So a loop that only reads the same bytes is timed in the same turns:
  `reading`. A kernel that takes no longer than that cannot be made faster, only its weights smaller.

What is timed is everything from int8 activations to int32 sums: laying the activations out, and for one bit packing
them, included. PyTorch's matrix is made in the same kind of memory as ours (large pages), else it would start with a
handicap.

Survey-map row: C6.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from qlab.hardware.kernels.products import available, product
from qlab.hardware.kernels.weights import BITS, PackedMatrix, aligned
from qlab.hardware.record import origin, read_as, read_lines, write_lines
from qlab.hardware.timing import compare, machine

__all__ = ["SHAPES", "SWEEP", "Speed", "measure", "recorded_speeds"]

SHAPES = ((4096, 4096, 1), (8192, 8192, 1), (8192, 8192, 16), (1024, 4096, 1024))
"""Rows, columns, batch."""
SWEEP = tuple((4096, 4096, 1 << k) for k in range(9))
"""From one activation to 256: where low precision stops paying, because arithmetic is the limit and not memory."""
COLD = 1 << 27
"""Bytes that no cache holds."""
PLACE = Path(__file__).with_name("speeds.csv")


class Speed(NamedTuple):
    """One kernel on one shape.

    Attributes
    ----------
    rows, columns, batch : int
    kernel : str
        "fp32", "int8", "int4", "int2", "binary" with a backend, "onnxruntime int8" or "torch int8".
    milliseconds : float
        Median.
    ratio, low, high : float
        How many times as fast as PyTorch's fp32, turn by turn: median and quartiles.
    limit : float
        What reading fewer bytes could gain: 32/b.
    threads : int
    reading : float
        Milliseconds in which one loop on one thread reads the weights and does nothing with them.

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
    reading: float


def recorded_speeds() -> dict[str, tuple[Speed, ...]]:
    """Return what was measured for the course, machine by machine.

    Survey-map row: C6.
    """
    machines = [line["machine"] for line in read_lines(PLACE)]
    speeds = list(zip(machines, read_as(PLACE, Speed), strict=True))
    return {name: tuple(s for where, s in speeds if where == name) for name in dict.fromkeys(machines)}


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
    real = torch.from_numpy(rng.standard_normal((batch, columns), dtype=np.float32))
    x = torch.from_numpy(rng.integers(-128, 128, (batch, columns), dtype=np.int8))
    signs = torch.where(x < 0, -1, 1).to(torch.int8)
    dense = itertools.cycle(
        [torch.from_numpy(np.ones((rows, columns), np.float32)) for _ in range(_copies(4 * rows * columns))]
    )
    product32 = (lambda w: torch.mv(w, real[0])) if batch == 1 else (lambda w: torch.nn.functional.linear(real, w))
    run: dict[str, Callable[[], object]] = {"fp32": _turning(dense, product32)}
    bits_of = {"fp32": 32, "onnxruntime int8": 8, "torch int8": 8}
    reading = {32: _turning(dense, lambda w: _read(_words(w)))}
    for bits in BITS:
        number = _copies(rows * columns * bits // 8)
        copies = itertools.cycle([_random(rng, rows, columns, bits) for _ in range(number)])
        reading[bits] = _turning(copies, lambda w: _read(_words(w)))
        for backend in available()[1 if plain else -1 :]:
            name = f"{'binary' if bits == 1 else f'int{bits}'} {backend}"
            bits_of[name] = bits
            run[name] = _turning(copies, _job(signs if bits == 1 else x, backend, threads))
    run["onnxruntime int8"] = _onnxruntime(rng, rows, columns, x, threads)
    run["torch int8"] = _torch_int8(rows, columns, real)
    clock = time.thread_time if threads == 1 else time.perf_counter  # the former stands still while others compute
    times = compare(run | {f"read {b}": job for b, job in reading.items()}, turns=turns, threads=threads, clock=clock)
    found = []
    for name in run:
        r, bits = times.ratio("fp32", name), bits_of[name]
        numbers = (times.median(name) * 1e3, r.median, r.low, r.high, 32 / bits, threads)
        found.append(Speed(rows, columns, batch, name, *numbers, times.median(f"read {bits}") * 1e3))
    return found


def _copies(size: int) -> int:
    return max(1, -(-COLD // size))


def _turning(copies: Iterator[Any], job: Callable[[Any], object]) -> Callable[[], object]:
    """Return a function that does the job with the next copy each time.

    Jobs that share copies share the iterator too: no job finds in a cache what the one before it has read.
    """
    job(next(copies))  # compiles
    return lambda: job(next(copies))


def _words(matrix: PackedMatrix | Tensor) -> Any:
    data = matrix.data if isinstance(matrix, PackedMatrix) else matrix.numpy()
    return data.view(np.uint64).ravel()


@numba.njit(cache=True)
def _read(words):  # type: ignore[no-untyped-def]
    total = np.uint64(0)
    for k in range(len(words)):
        total ^= words[k]
    return total


def _random(rng: np.random.Generator, rows: int, columns: int, bits: int) -> PackedMatrix:
    """Return random codes, drawn as packed bytes (columns divide a register here)."""
    data = aligned((rows, columns * bits // 8), np.uint8)
    data[:] = rng.integers(0, 256, data.shape, dtype=np.uint8)
    return PackedMatrix(data, (rows, columns), bits)


def _job(x: Tensor, backend: str, threads: int) -> Callable[[PackedMatrix], object]:
    return lambda packed: product(packed, x, backend, threads)


def _torch_int8(rows: int, columns: int, real: Tensor) -> Callable[[], object]:
    """PyTorch's dynamic int8 layer; it also quantizes its activations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is announced to move to torchao
        copies = [
            torch.ao.nn.quantized.dynamic.Linear(columns, rows, bias_=False) for _ in range(_copies(rows * columns))
        ]
    return _turning(itertools.cycle(copies), lambda each: each(real))


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
    raw = model.SerializeToString()
    copies = [
        ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"]) for _ in range(_copies(rows * columns))
    ]
    feed: dict[str, Any] = {"x": x.numpy().view(np.uint8)}
    return _turning(itertools.cycle(copies), lambda session: session.run(None, feed))


def main() -> None:
    """Print the table; with --write keep it."""
    parser = argparse.ArgumentParser(description="Packed kernels against PyTorch's fp32 and ONNX Runtime's int8.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--sweep", action="store_true", help="batch sizes 1 to 256 instead of the standard shapes")
    given = parser.parse_args()
    print(machine())
    lines = []
    for rows, columns, batch in tqdm(SWEEP if given.sweep else SHAPES, desc="shapes"):
        tqdm.write(f"\n{rows} × {columns}, batch {batch}, {given.threads} thread(s)")
        for s in measure(rows, columns, batch, given.turns, given.threads, plain=batch <= 16 and not given.sweep):
            of_limit = (
                f"limit {s.limit:2g}×; reading alone takes {s.reading / s.milliseconds:4.0%}" if batch == 1 else ""
            )
            tqdm.write(
                f"{s.kernel:18}{s.milliseconds:9.3f} ms {s.ratio:6.2f}× ({s.low:.2f} to {s.high:.2f}) {of_limit}"
            )
            lines.append({field: str(value) for field, value in s._asdict().items()} | origin())
    if given.write:
        fields = ("machine", "threads", "rows", "columns", "batch", "kernel")
        here = {tuple(line[f] for f in fields) for line in lines}
        kept = [old for old in read_lines(given.write) if tuple(old[f] for f in fields) not in here]
        write_lines(given.write, list(lines[0]), kept + lines)


if __name__ == "__main__":
    main()
