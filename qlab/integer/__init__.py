"""Integer-only inference and its exchange formats.

Survey-map row: F1.
"""

from qlab.integer.onnx_export import to_onnx

__all__ = ["to_onnx"]
