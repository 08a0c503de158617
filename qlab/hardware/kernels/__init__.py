"""Real low-bit kernels: products on packed weights, exact, and fast because fewer bytes come from memory.

| file | what | rows |
|---|---|---|
| `weights` | a matrix of b-bit codes laid in bytes, and activations laid beside it | C5, C6 |
| `products` | the product, by a backend that you see and choose | C6 |
| `portable` | the loops in plain Numba, for every processor | C6 |
| `avx2`, `avx512` | the vector instructions of x86 spelled out, older and newer | C6 |
| `tiles` | the loop that both share | C6 |
| `measure` | ratios to PyTorch and ONNX Runtime: `python -m qlab.hardware.kernels.measure` | C6 |

Survey-map row: C6.
"""

from qlab.hardware.kernels.products import BACKENDS, available, product
from qlab.hardware.kernels.weights import PackedMatrix, pack_matrix

__all__ = ["BACKENDS", "PackedMatrix", "available", "pack_matrix", "product"]
