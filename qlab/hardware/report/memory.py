"""What weights take in each format, counted and not measured.

Survey-map row: C5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qlab.hardware.cost import layer_costs
from qlab.hardware.report.content import FormatBytes
from qlab.hardware.roofline import Roofline
from qlab.integer.agreement import exported

__all__ = ["FORMATS", "format_bytes"]

FORMATS = {"fp32": 32, "fp16": 16, "int8": 8, "int4": 4, "int2": 2, "binary": 1}


def format_bytes(roofline: Roofline | None, networks: Sequence[str], matrix: tuple[int, int]) -> list[FormatBytes]:
    """Return what networks of the zoo and one matrix take in each format.

    Parameters
    ----------
    roofline : Roofline or None
        For the time to read the matrix.
    networks : sequence of str
    matrix : (int, int)
        Rows and columns.

    Survey-map row: C5.
    """
    sizes = {name: _sizes(name) for name in networks}
    sizes[f"{matrix[0]} × {matrix[1]}"] = [(matrix[0] * matrix[1], matrix[0], 0)]
    found = []
    for what, layers in sizes.items():
        for form, bits in FORMATS.items():
            total = sum(-(-count * bits // 8) + (4 * rows if bits <= 8 else 0) + 4 * b for count, rows, b in layers)
            read = total / roofline.bandwidth(total) / 1e6 if roofline and what not in networks else None
            found.append(FormatBytes(what, form, bits, total, read))
    return found


def _sizes(network: str) -> list[tuple[int, int, int]]:
    """Return weights, output channels and biases of every layer."""
    model = exported(network)[0]
    found = []
    for cost in layer_costs(model, (1, 28, 28)):
        layer: Any = model.get_submodule(cost.name)
        found.append((cost.parameters, len(layer.weight), 0 if layer.bias is None else len(layer.bias)))
    return found


# --- measuring --------------------------------------------------------------------------------------------------------
