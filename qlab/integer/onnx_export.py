"""Export to ONNX, with quantized layers in QDQ form: QuantizeLinear → DequantizeLinear around real operations.

A runtime that has integer kernels recognises the pattern

    a ─ Q ─ DQ ─┐
    W (int8) ─ DQ ─ Conv ─ ReLU ─ Q ─ DQ ─ …
    b (int32) ─ DQ ┘

and runs it as one integer operation; one that has not still computes the right numbers. The bias is stored as int32
with the scale of the accumulator, S_b = S_a·S_W, as integer hardware needs it. ONNX writes q = round(r/S) + zp, so
zp = −Z.

Sources: ONNX operator set 21, QuantizeLinear; Jacob et al. 2018, equation 11 (scale of the bias).
"""

from __future__ import annotations

import copy
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from qlab.granularity import PerChannel, PerTensor
from qlab.grids import Asymmetric, Symmetric
from qlab.network import LAYERS, quantizable_layers, stored_weight
from qlab.quantizer import to_torch_zero_point

__all__ = ["stored_biases", "to_onnx"]


class _LayersAreLeaves(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, qualified_name: str) -> bool:
        return isinstance(m, LAYERS) or super().is_leaf_module(m, qualified_name)


class _Writer:
    """Collects nodes and constants of an ONNX graph."""

    def __init__(self, unsigned_weights: bool = False) -> None:
        self.unsigned_weights = unsigned_weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any, onnx_type: int | None = None) -> str:
        from onnx import helper, numpy_helper

        if onnx_type is None:
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        else:  # four-bit types have no NumPy type of their own: two codes a byte, the first one in the lower half
            nibbles = np.pad(value.ravel().astype(np.uint8) & 15, (0, value.size % 2))
            packed = (nibbles[::2] | nibbles[1::2] << 4).tobytes()
            self.constants.append(helper.make_tensor(name, onnx_type, value.shape, packed, raw=True))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def to_onnx(model: nn.Module, example: Tensor, path: str | Path | None = None, unsigned_weights: bool = False) -> bytes:
    """Return `model` as an ONNX model; quantized layers of `qlab.network.quantize` in QDQ form.

    Parameters
    ----------
    model : nn.Module
        In eval mode, BatchNorm folded (`qlab.ptq.fold_batchnorm`), traceable by torch.fx. Convolution, linear, ReLU,
        ReLU6, max and average pooling, flatten, addition and dropout are known.
    example : Tensor, shape (N, …)
        For the shape of the input; the batch dimension is left free.
    path : path, optional
        Also write the model there (atomically).
    unsigned_weights : bool
        Store 8-bit weights as uint8 with zero point 128 instead of int8 with zero point 0: the same numbers. Fused
        int8 kernels of x86 processors without VNNI saturate; those for uint8 do not.

    Returns
    -------
    bytes
        The serialized model, operator set 21.

    Raises
    ------
    ValueError
        If the model trains, or holds an operation or a quantizer that is not known here; the message names it.

    Survey-map row: F1.
    """
    from onnx import TensorProto, checker, helper

    if model.training:
        raise ValueError("model must be in eval mode: call model.eval() before exporting")
    modules = dict(model.named_modules())
    writer, output = _Writer(unsigned_weights), ""
    names: dict[Any, str] = {}
    for node in _LayersAreLeaves().trace(model).nodes:
        inputs = [names[a] for a in node.args if isinstance(a, fx.Node) and a in names]
        if node.op == "placeholder":
            names[node] = "input"
        elif node.op == "output":
            output = names[node.args[0]]
        elif node.op == "call_module":
            names[node] = _module(writer, modules[str(node.target)], str(node.target), inputs)
        else:
            names[node] = _function(writer, node, inputs)
    writer.node("Identity", [output], "output")
    with torch.no_grad():
        answer = model(example[:1])
    shape: list[str | int] = ["batch", *example.shape[1:]]
    graph = helper.make_graph(
        writer.nodes,
        "qlab",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", *answer.shape[1:]])],
        writer.constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(proto)
    data = proto.SerializeToString()
    if path is not None:
        temporary = Path(f"{path}.tmp")
        temporary.write_bytes(data)
        os.replace(temporary, path)
    return bytes(data)


def stored_biases(model: nn.Module) -> nn.Module:
    """Return a copy whose biases are those of the file, b ← S_a·S_W·Int(b/(S_a·S_W)).

    The simulation keeps biases in floating point, the file holds int32. So this copy, not the model itself, is the
    function that was exported. A bias moves by at most S_a·S_W/2;
    layers without quantized weight and input keep theirs.

    Parameters
    ----------
    model : nn.Module
        As for `to_onnx`.

    Examples
    --------
    >>> from qlab import Asymmetric, Quantizer, Recipe, Symmetric, quantize
    >>> layer = nn.Linear(2, 1)
    >>> _ = nn.init.ones_(layer.weight), nn.init.constant_(layer.bias, 0.3)
    >>> recipe = Recipe(Quantizer(Symmetric(2)), Quantizer(Asymmetric(2)))
    >>> model = quantize(nn.Sequential(layer), recipe, [torch.ones(1, 2)])
    >>> stored_biases(model)[0].bias.item()  # S_W = 1, S_a = 1/3: one unit
    0.3333333432674408

    Survey-map row: F1.
    """
    model = copy.deepcopy(model)
    for layer in quantizable_layers(model).values():
        stored = stored_weight(layer)
        if stored is None or layer.bias is None or not hasattr(layer, "activation_quantizer"):
            continue
        codes, scale = _bias_codes(layer.bias.detach(), stored.params.scale, layer.activation_quantizer.params.scale)
        layer.bias.data = codes * scale
    return model


def _bias_codes(bias: Tensor, weight_scale: Tensor, input_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bias in units of the accumulator, int32, and the units."""
    scale = (weight_scale.expand(bias.numel()) * input_scale).contiguous()
    limits = torch.iinfo(torch.int32)
    return (bias.double() / scale.double()).round().clamp(limits.min, limits.max).to(torch.int32), scale


def _module(w: _Writer, module: Any, name: str, inputs: list[str]) -> str:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        return _layer(w, module, name, inputs[0])
    if isinstance(module, (nn.Identity, nn.Dropout)):
        return inputs[0]
    if isinstance(module, nn.ReLU6):
        ends = [w.constant(f"{name}.{e}", np.float32(v)) for e, v in (("low", 0.0), ("high", 6.0))]
        return w.node("Clip", [*inputs, *ends], name)
    if isinstance(module, nn.ReLU):
        return w.node("Relu", inputs, name)
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return w.node("Flatten", inputs, name, axis=1)
    if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
        return w.node("GlobalAveragePool", inputs, name)
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        kind = "MaxPool" if isinstance(module, nn.MaxPool2d) else "AveragePool"
        k, s, p = (_pair(v) for v in (module.kernel_size, module.stride, module.padding))
        return w.node(kind, inputs, name, kernel_shape=k, strides=s, pads=[*p, *p], ceil_mode=int(module.ceil_mode))
    raise ValueError(f"model holds {module} at {name!r}, which this exporter does not know")


def _function(w: _Writer, node: fx.Node, inputs: list[str]) -> str:
    known: dict[Any, Callable[[], str]] = {
        operator.add: lambda: w.node("Add", inputs, node.name),
        torch.add: lambda: w.node("Add", inputs, node.name),
        torch.flatten: lambda: w.node("Flatten", inputs, node.name, axis=1),
        "flatten": lambda: w.node("Flatten", inputs, node.name, axis=1),
        torch.relu: lambda: w.node("Relu", inputs, node.name),
        nn.functional.relu: lambda: w.node("Relu", inputs, node.name),
    }
    if node.target not in known:
        raise ValueError(f"model calls {node.target} at {node.name!r}, which this exporter does not know")
    return known[node.target]()


def _layer(w: _Writer, layer: Any, name: str, source: str) -> str:
    stored = stored_weight(layer)
    source, input_scale = _quantized_input(w, layer, name, source)
    if stored is None:
        weight = w.constant(f"{name}.weight", layer.weight.detach().numpy())
    else:
        weight = _quantized_weight(w, stored, name)
    inputs = [source, weight]
    if layer.bias is not None:
        bias = layer.bias.detach()
        if stored is None or input_scale is None:
            inputs.append(w.constant(f"{name}.bias", bias.numpy()))
        else:  # int32 in units of the accumulator
            codes, scale = _bias_codes(bias, stored.params.scale, input_scale)
            parts = [
                w.constant(f"{name}.bias.codes", codes.numpy()),
                w.constant(f"{name}.bias.scale", scale.numpy()),
            ]
            inputs.append(w.node("DequantizeLinear", parts, f"{name}.bias", axis=0))
    if isinstance(layer, nn.Linear):
        return w.node("Gemm", inputs, name, transB=1)
    pads = [*_pair(layer.padding), *_pair(layer.padding)]
    return w.node(
        "Conv",
        inputs,
        name,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=pads,
        dilations=list(layer.dilation),
        group=layer.groups,
    )


def _quantized_input(w: _Writer, layer: Any, name: str, source: str) -> tuple[str, Tensor | None]:
    """Put QuantizeLinear → DequantizeLinear before a layer whose input is quantized."""
    if not hasattr(layer, "activation_quantizer"):
        return source, None
    quantizer, params = layer.activation_quantizer.quantizer, layer.activation_quantizer.params
    grid = quantizer.grid
    if params is None or quantizer.granularity != PerTensor() or not isinstance(grid, (Asymmetric, Symmetric)):
        raise ValueError(f"layer {name!r}: activations must be static, per tensor and uniform, got {quantizer}")
    if grid.bits != 8 or (isinstance(grid, Symmetric) and grid.restricted and grid.signed):
        raise ValueError(f"layer {name!r}: activations must use all codes of int8 or uint8, got {grid}")
    kind = np.uint8 if grid.code_range[0] == 0 else np.int8
    zero = to_torch_zero_point(params.zero_point).numpy().astype(kind)[0]
    about = [
        w.constant(f"{name}.input.scale", params.scale.numpy()[0]),
        w.constant(f"{name}.input.zero_point", np.asarray(zero)),
    ]
    codes = w.node("QuantizeLinear", [source, *about], f"{name}.input.codes")
    return w.node("DequantizeLinear", [codes, *about], f"{name}.input"), params.scale


def _quantized_weight(w: _Writer, stored: Any, name: str) -> str:
    from onnx import TensorProto

    if not isinstance(stored.grid, Symmetric) or not stored.grid.signed or stored.grid.bits not in (4, 8):
        raise ValueError(f"layer {name!r}: weights must be Symmetric with 4 or 8 bits, got {stored.grid}")
    if stored.granularity not in (PerTensor(), PerChannel(0)):
        raise ValueError(f"layer {name!r}: weights must be per tensor or per channel, got {stored.granularity}")
    onnx_type = TensorProto.INT4 if stored.grid.bits == 4 else None
    per_channel = stored.granularity == PerChannel(0)
    scale = stored.params.scale.numpy() if per_channel else stored.params.scale.numpy()[0]
    codes, unsigned = stored.codes.numpy(), w.unsigned_weights and onnx_type is None
    if unsigned:
        codes = (codes.astype(np.int16) + 128).astype(np.uint8)
    parts = [
        w.constant(f"{name}.weight.codes", codes, onnx_type),
        w.constant(f"{name}.weight.scale", scale),
    ]
    if unsigned:
        parts.append(w.constant(f"{name}.weight.zero_point", np.full(np.shape(scale), 128, np.uint8)))
    return w.node("DequantizeLinear", parts, f"{name}.weight", **({"axis": 0} if per_channel else {}))


def _pair(value: int | tuple[int, int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)
