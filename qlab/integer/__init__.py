"""Integer-only inference, and exchange with other engines.

| file | what | rows |
|---|---|---|
| `requantize` | M ≈ m·2^(−n): from an accumulator to a code | A2 |
| `program` | operations on integers, a program of them, and running it | A1, A2 |
| `graph` | a network's operations in order | A2 |
| `lower` | from a quantized network to a program | A1, A2 |
| `simulate` | the same program in floating point | A1 |
| `nonlinear` | exp, softmax, GELU, square root and LayerNorm in integers | A3 |
| `onnx_program` | a program as an ONNX model: integer, QLinear or QDQ | A1, F1 |
| `onnx_export` | a quantized network as an ONNX model in QDQ form | F1 |
| `agreement` | whether an engine gives our answers: counted, and where they part | F1 |

Survey-map rows: A1, A2, A3, F1.
"""

from qlab.integer.agreement import Agreement, Parting, agreement, partings, session
from qlab.integer.lower import lower
from qlab.integer.nonlinear import Exponential, Gelu, LayerNorm, Softmax, isqrt
from qlab.integer.onnx_export import stored_biases, to_onnx
from qlab.integer.onnx_program import program_to_onnx
from qlab.integer.program import Codes, Program, run, trace
from qlab.integer.requantize import Dyadic, Requantize, dyadic
from qlab.integer.simulate import simulate

__all__ = [
    "Agreement",
    "Codes",
    "Dyadic",
    "Exponential",
    "Gelu",
    "LayerNorm",
    "Parting",
    "Program",
    "Requantize",
    "Softmax",
    "agreement",
    "dyadic",
    "isqrt",
    "lower",
    "partings",
    "program_to_onnx",
    "run",
    "session",
    "simulate",
    "stored_biases",
    "to_onnx",
    "trace",
]
