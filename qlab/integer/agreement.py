"""Does another engine give our answers? Counted on the test pictures, for every way in which a network leaves qlab.

    same    = #{ pictures whose largest answer is the same in both engines }
    parting = the first layer whose input has other codes there than here, how many, and how far from a tie:
              | h/S − ⌊h/S⌋ − ½ |, h being our real input

================== =============================================== ====================================================
way                ours                                            theirs
================== =============================================== ====================================================
fp32               the network in PyTorch                          `to_onnx` of it, run as written
qdq                the quantized network with the file's biases    `to_onnx` of it, run as written
qdq, own biases    the quantized network, biases in floating point the same
qdq, fused, uint8  as for qdq                                      weights as uint8; the engine may rewrite the graph
qdq, fused, int8   as for qdq                                      weights as int8; the engine may rewrite the graph
program, integer   the integer program in NumPy                    `program_to_onnx`, run as written
program, qlinear   the same                                        the same
program, qdq       the same                                        the same
================== =============================================== ====================================================

"Run as written" means that the engine's own rewriting of the graph is turned off. Networks: 8-bit weights per channel,
8-bit inputs per tensor, calibrated on 128 pictures.

Survey-map row: F1.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qlab.data import Images, load_calibration, load_test
from qlab.granularity import PerChannel
from qlab.grids import Asymmetric, Symmetric
from qlab.hardware.record import read_as
from qlab.integer.lower import lower
from qlab.integer.onnx_export import stored_biases, to_onnx
from qlab.integer.onnx_program import program_to_onnx
from qlab.integer.program import Program, run
from qlab.network import Recipe, quantizable_layers, quantize
from qlab.ptq import fold_batchnorm
from qlab.quantizer import Quantizer
from qlab.zoo import load

__all__ = ["WAYS", "Agreement", "Parting", "agreement", "agreement_table", "exported", "partings", "session"]

PLACE = Path(__file__).with_name("agreement_table.csv")
WAYS = (
    "fp32",
    "qdq",
    "qdq, own biases",
    "qdq, fused, uint8",
    "qdq, fused, int8",
    "program, integer",
    "program, qlinear",
    "program, qdq",
)
"""See the table at the head of this file."""


class Agreement(NamedTuple):
    """Two engines on the same pictures.

    Attributes
    ----------
    network, way : str
    pictures : int
    ours, theirs : int
        How many each gets right.
    same : int
        How many get the same class from both.
    largest : float
        The largest difference of two answers (logits).
    others : str
        The pictures that get another class, by their number, separated by blanks; at most 40.

    Survey-map row: F1.
    """

    network: str
    way: str
    pictures: int
    ours: int
    theirs: int
    same: int
    largest: float
    others: str


class Parting(NamedTuple):
    """The codes of one layer's input, here and there.

    Attributes
    ----------
    layer : str
    codes, differ : int
        How many there are, and how many of them differ.
    most : int
        The largest difference.
    tie : float
        How far from a tie the farthest of the differing ones is, in steps; 0 if there is none.

    Survey-map row: F1.
    """

    layer: str
    codes: int
    differ: int
    most: int
    tie: float


def session(model: bytes, fused: bool = False, threads: int = 1) -> Any:
    """Return an ONNX Runtime session; its threads do not spin while they wait, so that others can be timed beside it.

    Parameters
    ----------
    model : bytes
    fused : bool
        Whether the engine may rewrite the graph, and so use its integer kernels. Otherwise it runs it as written.
    threads : int

    Survey-map row: F1.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if fused else levels.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@functools.cache
def exported(network: str) -> tuple[nn.Module, nn.Module, Program]:
    """Return a network of the zoo: BatchNorm folded; quantized to 8 bits; lowered to integers.

    Survey-map row: F1.
    """
    recipe = Recipe(Quantizer(Symmetric(8), PerChannel(0)), Quantizer(Asymmetric(8)))
    calibration = load_calibration(128).tensors()[0]
    original = fold_batchnorm(load(network))
    quantized = quantize(original, recipe, [calibration])
    return original, quantized, lower(quantized, [calibration])


def _ask(model: bytes, x: NDArray[Any], fused: bool = False, batch: int = 100) -> NDArray[Any]:
    engine = session(model, fused)
    parts = [engine.run(None, {"input": x[i : i + batch]})[0] for i in range(0, len(x), batch)]
    return np.concatenate(parts)


def _torch(model: nn.Module, x: Tensor, batch: int = 250) -> NDArray[Any]:
    with torch.no_grad():
        return np.concatenate([model(x[i : i + batch]).numpy() for i in range(0, len(x), batch)])


@functools.cache
def _all_pictures() -> Images:
    return load_test()


@functools.lru_cache(maxsize=2)
def _ours(network: str, kind: str, images: Images) -> NDArray[Any]:
    original, quantized, program = exported(network)
    x = images.tensors()[0]
    if kind == "program":
        return program.output.decode(run(program, program.input.encode(x.numpy())))
    models = {"fp32": original, "own biases": quantized, "qdq": stored_biases(quantized)}
    return _torch(models[kind], x)


def _theirs(network: str, way: str, x: Tensor) -> NDArray[Any]:
    original, quantized, program = exported(network)
    if way.startswith("program"):
        form: Any = way.split(", ")[1]
        answers = _ask(program_to_onnx(program, form), program.input.encode(x.numpy()))
        return program.output.decode(answers) if form == "integer" else answers
    model = to_onnx(original if way == "fp32" else quantized, x[:1], unsigned_weights="uint8" in way)
    return _ask(model, x.numpy(), fused="fused" in way)


def agreement(network: str, way: str, images: Images | None = None) -> Agreement:
    """Ask PyTorch or NumPy, and ONNX Runtime, and compare.

    Parameters
    ----------
    network : str
        Of the zoo.
    way : str
        One of `WAYS`.
    images : Images, optional
        All 10,000 test pictures by default.

    Raises
    ------
    ValueError
        If there is no such way.

    Survey-map row: F1.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(map(repr, WAYS))}, got {way!r}")
    images = _all_pictures() if images is None else images
    kinds = {"fp32": "fp32", "qdq, own biases": "own biases"}
    kind = "program" if way.startswith("program") else kinds.get(way, "qdq")
    x, labels = images.tensors()
    ours, theirs, right = _ours(network, kind, images), _theirs(network, way, x), labels.numpy()
    mine, other = ours.argmax(1), theirs.argmax(1)
    return Agreement(
        network,
        way,
        len(right),
        int((mine == right).sum()),
        int((other == right).sum()),
        int((mine == other).sum()),
        round(float(np.abs(theirs - ours).max()), 6),
        " ".join(map(str, np.flatnonzero(mine != other)[:40])),
    )


def agreement_table() -> tuple[Agreement, ...]:
    """Return what `make_agreement_table` measured on all 10,000 test pictures.

    Survey-map row: F1.
    """
    return read_as(PLACE, Agreement)


def partings(model: nn.Module, x: Tensor, data: bytes | None = None) -> list[Parting]:
    """Compare the codes of every layer's input, in PyTorch and in ONNX Runtime that runs the file as written.

    Parameters
    ----------
    model : nn.Module
        Quantized, as for `to_onnx`.
    x : Tensor, shape (N, …)
    data : bytes, optional
        The file to run; `to_onnx(model)` by default.

    Returns
    -------
    list of Parting
        One for every layer whose input is quantized, in the order in which they run.

    Survey-map row: F1.
    """
    import onnx

    reals: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            reals[name] = args[0]

        return hook

    layers = {n: layer for n, layer in quantizable_layers(model).items() if hasattr(layer, "activation_quantizer")}
    handles = [layer.register_forward_pre_hook(watch(n), prepend=True) for n, layer in layers.items()]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    proto = onnx.load_from_string(to_onnx(model, x) if data is None else data)
    del proto.graph.output[:]
    names = list(reals)
    proto.graph.output.extend(onnx.ValueInfoProto(name=f"{name}.input.codes") for name in names)
    theirs = session(proto.SerializeToString()).run(None, {"input": x.numpy()})
    return [_parting(name, reals[name], codes, layers[name]) for name, codes in zip(names, theirs, strict=True)]


def _parting(name: str, real: Tensor, theirs: NDArray[Any], layer: Any) -> Parting:
    params, (low, high) = layer.activation_quantizer.params, layer.activation_quantizer.quantizer.grid.code_range
    steps = real / params.scale
    ours = (torch.round(steps) - params.zero_point).clamp(low, high).numpy()
    off = np.abs(ours - theirs.astype(np.float64))
    t = steps.double().numpy()
    tie = np.abs(t - np.floor(t) - 0.5)[off > 0]
    return Parting(name, off.size, int((off > 0).sum()), int(off.max()), float(tie.max(initial=0.0)))
