"""What lowering must know of a network: its operations in order, ReLUs and borders of zeros joined to others.

A ReLU goes into the operation that it follows, a `ZeroPad2d` into the convolutions that read it: what a convolution
reads beyond the edge of a picture is 0 either way, and it may pad each side by a number of its own.

Source: Jacob et al. 2018, section 2.4 (fused layers).
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn

from qlab.network import LAYERS
from qlab.ptq.graph import trace

__all__ = ["Step", "read"]

ADDS = (operator.add, torch.add, "add")
RELUS = (torch.relu, nn.functional.relu, "relu")
FUSING = ("layer", "add", "avgpool")
Edges = tuple[int, int, int, int]


@dataclass(frozen=True)
class Step:
    """One operation of the network, in real numbers.

    Attributes
    ----------
    name : str
    kind : {"layer", "add", "concat", "avgpool", "maxpool", "flatten", "relu"}
        And "zeros", before it is joined to what reads it.
    sources : tuple of str
        Steps that it reads; "input" is the network's input.
    node : fx.Node
        Whose value this is, ReLU included.
    module : nn.Module or None
    top : float or None
        With a ReLU: where it ends (6 or ∞); None without.
    zeros : (int, int, int, int)
        Rows and columns of zeros that a `ZeroPad2d` puts around a convolution's input, beside the convolution's own
        padding: top, left, bottom, right.

    Survey-map row: A2.
    """

    name: str
    kind: str
    sources: tuple[str, ...]
    node: fx.Node
    module: Any = field(default=None, repr=False)
    top: float | None = None
    zeros: Edges = (0, 0, 0, 0)


def read(model: nn.Module) -> list[Step]:
    """Return the steps of `model`, traced by torch.fx.

    Raises
    ------
    ValueError
        If the model holds an operation that is not known here, or a `ZeroPad2d` before anything but convolutions; the
        message names it.

    Survey-map row: A2.
    """
    modules = dict(model.named_modules())
    names: dict[fx.Node, str] = {}
    steps: list[Step] = []
    graph = trace(model)
    calls = Counter(node.target for node in graph.nodes)
    for node in graph.nodes:
        if node.op == "placeholder":
            if names:
                raise ValueError(f"model must have one input, got a second: {node.name!r}")
            names[node] = "input"
        elif node.op == "output":
            _check_output(node, names, steps)
        else:
            module = modules[str(node.target)] if node.op == "call_module" else None
            sources = tuple(names[source] for source in _operands(node))
            if isinstance(module, (nn.Identity, nn.Dropout)):
                names[node] = sources[0]
                continue
            kind, top = _kind(node, module)
            name = str(node.target) if module is not None and calls[node.target] == 1 else node.name
            steps.append(Step(name, kind, sources, node, module, top))
            names[node] = name
    return _fuse(_join_zeros(steps))


def _operands(node: fx.Node) -> list[Any]:
    """The tensors that a node reads, in order, a tensor that is read twice being there twice."""
    flat = [x for a in node.args for x in (a if isinstance(a, (list, tuple)) else (a,))]
    return [a for a in flat if isinstance(a, fx.Node)]


def _check_output(node: fx.Node, names: dict[fx.Node, str], steps: list[Step]) -> None:
    source = node.args[0]
    if not isinstance(source, fx.Node) or not steps or names[source] != steps[-1].name:
        raise ValueError("model must return the result of its last operation, one tensor")


def _kind(node: fx.Node, module: Any) -> tuple[str, float | None]:
    if isinstance(module, LAYERS):
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            raise ValueError(f"model holds {module} at {node.target!r}: only Conv2d and Linear layers are lowered")
        return "layer", None
    if isinstance(module, nn.ReLU6):
        return "relu", 6.0
    if isinstance(module, nn.ReLU) or node.target in RELUS:
        return "relu", float("inf")
    if isinstance(module, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
        return "avgpool", None
    if isinstance(module, nn.ZeroPad2d):
        if min(module.padding) < 0:
            raise ValueError(f"model holds {module} at {node.target!r}: it cuts off, and only added zeros are lowered")
        return "zeros", None
    if isinstance(module, nn.MaxPool2d):
        return "maxpool", None
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return "flatten", None
    if node.target in (torch.flatten, "flatten") and (*node.args[1:], *node.kwargs.values()) == (1,):
        return "flatten", None
    if node.target in ADDS and len(_operands(node)) == 2 and not node.kwargs:
        return "add", None
    if node.target in (torch.cat, torch.concat) and (*node.args[1:], *node.kwargs.values()) == (1,):
        return "concat", None
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        raise ValueError(f"model holds BatchNorm at {node.target!r}: fold it first (qlab.ptq.fold_batchnorm)")
    what = module if module is not None else node.format_node()
    raise ValueError(f"model holds {what} at {node.name!r}, which has no integer form here")


def _join_zeros(steps: list[Step]) -> list[Step]:
    """Leave out the steps that put zeros around a picture: a convolution that reads one pads so much more itself."""
    around: dict[str, tuple[str, Edges]] = {}  # for each of them: what it reads, and its zeros
    joined = []
    for step in steps:
        source, (top, left, bottom, right) = around.get(step.sources[0], (step.sources[0], step.zeros))
        if step.kind == "zeros":
            west, east, north, south = step.module.padding
            around[step.name] = source, (top + north, left + west, bottom + south, right + east)
        elif isinstance(step.module, nn.Conv2d):
            joined.append(replace(step, sources=(source,), zeros=(top, left, bottom, right)))
        else:
            _check_zeros(around, step.sources)
            joined.append(step)
    _check_zeros(around, (steps[-1].name,))  # nor may they be the answer
    return joined


def _check_zeros(around: Mapping[str, object], read: tuple[str, ...]) -> None:
    if odd := [name for name in read if name in around]:
        raise ValueError(f"the zeros of {odd[0]!r} must be read by convolutions, nothing else: only these can pad")


def _fuse(steps: list[Step]) -> list[Step]:
    """Join a ReLU to the step that it follows, where nothing else reads that step."""
    readers = Counter(source for step in steps for source in step.sources)
    fused: dict[str, Step] = {}
    renamed = {"input": "input"}
    for step in steps:
        sources = tuple(renamed[s] for s in step.sources)
        before = fused.get(sources[0])
        alone = step.kind == "relu" and readers[step.sources[0]] == 1
        if alone and before is not None and before.kind in FUSING and before.top is None:
            fused[before.name] = replace(before, top=step.top, node=step.node)
            renamed[step.name] = before.name
        else:
            fused[step.name] = replace(step, sources=sources)
            renamed[step.name] = step.name
    return list(fused.values())
