"""Whole networks side by side: how long a picture takes in each engine, how many answers are right, how many bytes.

    speed-up = t(baseline) / t(engine),   turn by turn, median and quartiles

======================== ============================================= ================================================
engine                   what runs                                     starts from
======================== ============================================= ================================================
PyTorch fp32             the network, BatchNorm folded                 pixels in fp32
ONNX Runtime fp32        `to_onnx` of it                               pixels in fp32
ONNX Runtime int8        `to_onnx` of the quantized network: layers    pixels in fp32
                         in integers, real numbers between them
ONNX Runtime integers    `program_to_onnx`: integers from end to end   codes, uint8
qlab integers            the same program, in NumPy; slow, since it    codes, uint8
                         is written to be read
======================== ============================================= ================================================

Two baselines, because they answer two questions. Against PyTorch one sees what a change of engine and of bits brings
together; against ONNX Runtime's own fp32 what the bits bring. ONNX Runtime may rewrite the graph here, which is how it
gets at its integer kernels; on processors without VNNI those saturate, and the right answers show what that costs.

One thread is timed by its own clock, which stands still while another program has the core; several threads by the
clock on the wall. Threads are pinned to a number, and those of ONNX Runtime do not spin.

Source: Gholami et al. 2021, section IV A and V; Jacob et al. 2018, section 4 (latency beside accuracy).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qlab.data import Images, load_test
from qlab.hardware.timing import Ratio, Timings, compare
from qlab.integer.agreement import exported, session
from qlab.integer.onnx_export import to_onnx
from qlab.integer.onnx_program import program_to_onnx
from qlab.integer.program import Conv2d, Linear, Program, run
from qlab.zoo import names

__all__ = ["BASELINE", "OWN", "Engine", "NetworkSpeed", "engines", "network_speeds", "program_bytes", "steady"]

BASELINE = "PyTorch fp32"
OWN = "ONNX Runtime fp32"
"""What ONNX Runtime's integers are held against, too."""
WINDOW = 2e-3
"""Seconds that a turn of one engine should last at least, for the clock's sake: short jobs run several times."""


class Engine(NamedTuple):
    """A network, ready to run.

    Attributes
    ----------
    prepare : function
        From pixels, float32 of shape (N, 1, 28, 28), to what the engine starts from; not timed.
    answer : function
        From there to scores, an array of shape (N, classes); timed.
    bytes : int
        Of its weights (PyTorch, NumPy) or of its file (ONNX Runtime).

    Survey-map row: C6.
    """

    prepare: Callable[[NDArray[np.float32]], Any]
    answer: Callable[[Any], NDArray[Any]]
    bytes: int


class NetworkSpeed(NamedTuple):
    """One network in one engine at one batch size.

    Attributes
    ----------
    network, engine : str
    batch : int
    milliseconds : float
        Median, for the whole batch.
    ratio, low, high : float
        How many times as fast as PyTorch's fp32, turn by turn: median and quartiles.
    own, own_low, own_high : float or None
        The same against ONNX Runtime's fp32, for the engines of ONNX Runtime; None for others.
    right, pictures : int
        Test pictures that get the right class, of so many.
    bytes : int
    threads : int

    Survey-map rows: C6, C7.
    """

    network: str
    engine: str
    batch: int
    milliseconds: float
    ratio: float
    low: float
    high: float
    own: float | None
    own_low: float | None
    own_high: float | None
    right: int
    pictures: int
    bytes: int
    threads: int


def program_bytes(program: Program) -> int:
    """Return the bytes of what an integer program must keep: int8 weights, int32 biases, and for each channel m and n.

    A multiplier m takes four bytes and a shift n one. Everything else is a handful of zero points and clamps.

    Survey-map row: C5.
    """
    layers = [op for op in program.operations if isinstance(op, (Conv2d, Linear))]
    return sum(op.weight.nbytes + op.bias.nbytes + 5 * op.requantize.multiplier.size for op in layers)


def engines(network: str, threads: int = 1) -> dict[str, Engine]:
    """Return the engines that can run a network of the zoo here, the baseline first.

    Parameters
    ----------
    network : str
    threads : int
        For ONNX Runtime; PyTorch's are set while timing, and NumPy's program uses one.

    Raises
    ------
    ValueError
        If there is no such network.

    Survey-map row: C6.
    """
    if network not in names():
        raise ValueError(f"network must be one of {', '.join(names())}, got {network!r}")
    original, quantized, program = exported(network)

    def keep(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return x

    found = {BASELINE: Engine(torch.from_numpy, _torch(original), sum(4 * p.numel() for p in original.parameters()))}
    if find_spec("onnxruntime") and find_spec("onnx"):
        example = torch.zeros(1, *program.shape)
        files = {
            OWN: (to_onnx(original, example), keep),
            "ONNX Runtime int8": (to_onnx(quantized, example), keep),
            "ONNX Runtime integers": (program_to_onnx(program, "qdq", unsigned_weights=False), program.input.encode),
        }
        for name, (file, prepare) in files.items():
            found[name] = Engine(prepare, _onnx(session(file, fused=True, threads=threads)), len(file))
    found["qlab integers"] = Engine(program.input.encode, lambda q: run(program, q), program_bytes(program))
    return found


def _torch(model: nn.Module) -> Callable[[Any], NDArray[Any]]:
    def answer(x: torch.Tensor) -> NDArray[Any]:
        with torch.no_grad():
            return np.asarray(model(x).numpy())

    return answer


def _onnx(engine: Any) -> Callable[[Any], NDArray[Any]]:
    return lambda x: engine.run(None, {"input": x})[0]


def steady(jobs: dict[str, Callable[[], object]], turns: int, threads: int, window: float = WINDOW) -> Timings:
    """Time jobs of very different length in turn: each runs as often as fills a window of time, and is divided by that.

    Parameters
    ----------
    jobs : dict of name to function without arguments
    turns, threads : int
    window : float
        Seconds.

    Survey-map row: C4.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter  # the former stands still while others compute
    once = compare(jobs, turns=3, warmup=1, threads=threads, clock=clock)
    often = {name: int(np.clip(window / max(once.median(name), 1e-7), 1, 500)) for name in jobs}

    def several(name: str) -> Callable[[], None]:
        def many() -> None:
            for _ in range(often[name]):
                jobs[name]()

        return many

    times = compare({name: several(name) for name in jobs}, turns=turns, warmup=1, threads=threads, clock=clock)
    return Timings({name: seconds / often[name] for name, seconds in times.seconds.items()}, times.threads)


def network_speeds(
    network: str,
    batches: Sequence[int] = (1, 64),
    turns: int = 15,
    threads: int = 1,
    images: Images | None = None,
    runners: dict[str, Engine] | None = None,
) -> list[NetworkSpeed]:
    """Time a network in all engines, taking turns, and count its right answers.

    Parameters
    ----------
    network : str
        Of the zoo.
    batches : sequence of int
    turns, threads : int
    images : Images, optional
        For the right answers, and as inputs; the first 300 test pictures by default.
    runners : dict of name to Engine, optional
        `engines(network, threads)` by default; the first one is the baseline.

    Returns
    -------
    list of NetworkSpeed
        Batch by batch, the baseline first.

    Raises
    ------
    ValueError
        If a batch is larger than the pictures, or there is no such network.

    Survey-map rows: C6, C7.
    """
    pixels, labels = (load_test()[:300] if images is None else images).tensors()
    x, truth = pixels.numpy(), labels.numpy()
    if not batches or min(batches) < 1 or max(batches) > len(x):
        raise ValueError(f"batches must be from 1 to the {len(x)} pictures, got {tuple(batches)}")
    runners = engines(network, threads) if runners is None else runners
    right = {name: _right(engine, x, truth) for name, engine in runners.items()}
    baseline = next(iter(runners))
    found = []
    for batch in batches:
        given = {name: engine.prepare(x[:batch]) for name, engine in runners.items()}
        jobs = {name: _job(engine, given[name]) for name, engine in runners.items()}
        times = steady(jobs, turns, threads)
        for name, engine in runners.items():
            r = times.ratio(baseline, name)
            own = times.ratio(OWN, name) if OWN in runners and name.startswith("ONNX Runtime") else None
            found.append(
                NetworkSpeed(
                    network,
                    name,
                    batch,
                    times.median(name) * 1e3,
                    *(r.median, r.low, r.high),
                    *_parts(own),
                    right[name],
                    len(truth),
                    engine.bytes,
                    threads,
                )
            )
    return found


def _parts(ratio: Ratio | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if ratio is None else (ratio.median, ratio.low, ratio.high)


def _job(engine: Engine, given: Any) -> Callable[[], object]:
    return lambda: engine.answer(given)


def _right(engine: Engine, x: NDArray[np.float32], truth: NDArray[Any], batch: int = 100) -> int:
    parts = [engine.answer(engine.prepare(x[i : i + batch])) for i in range(0, len(x), batch)]
    return int((np.concatenate(parts).argmax(1) == truth).sum())
