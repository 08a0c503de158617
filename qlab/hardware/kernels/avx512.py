"""The products on packed weights with instructions made for them (AVX-512 with VNNI and VPOPCNTDQ, 64 bytes at once).

    | bits | apart | products and sums | products per instruction |
    |---|---|---|---|
    | 8, 4, 2 | shift, mask | `vpdpbusd`: total + u₁x₁ + u₂x₂ + u₃x₃ + u₄x₄, u8·i8 → i32 | 64 |
    | 1 | – | xor, `vpopcntq` counts bits | 512 |

Beside `avx2`: one instruction where three were needed, nothing saturates, 8 bits need no widening, and the processor
counts bits itself. That is what "hardware support for int8" means.

Source: Intel intrinsics guide.
"""

# mypy: disable-error-code="no-untyped-def"
import numba
import numpy as np

from qlab.hardware.kernels.tiles import I32, I64, Kernel, Signs, call, constant, load, loops

__all__ = ["ACTIVATIONS", "KERNELS", "REGISTER"]

REGISTER = 64
"""Bytes."""
ACTIVATIONS = {8: np.int8, 4: np.int8, 2: np.int8}
"""What the instruction for so many bits wants beside the weights."""


class _Fields(Kernel):
    """64·F codes of b = 8/F bits beside as many activations of 8 bits, four bytes in each of 16 elements."""

    register, start = REGISTER, constant(0, I32, 16)

    def __init__(self, bits):
        self.bits, self.beside = bits, REGISTER * 8 // bits

    def weights(self, build, pointer, at):
        data = load(build, pointer, at, I32, 16)
        if self.bits == 8:
            return [data]
        mask = constant(0x01010101 * ((1 << self.bits) - 1), I32, 16)
        return [build.and_(build.lshr(data, constant(shift, I32, 16)), mask) for shift in range(0, 8, self.bits)]

    def partners(self, build, pointer, at):
        return [load(build, pointer, build.add(at, I64(REGISTER * f)), I32, 16) for f in range(8 // self.bits)]

    def add(self, build, total, u, x):
        for a, b in zip(u, x, strict=True):
            total = call(build, "llvm.x86.avx512.vpdpbusd.512", total.type, total, a, b)
        return total


TILES_SUM = 0xD62D7304
"""Checksum of `tiles.py`. Numba's cache looks at this file only: a change there must change this file, or old machine
code would run on. A test holds both together."""
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
WIDE, SQUARE = ((2, 8, 1), (1, 4, 1), (1, 1, 2)), ((4, 4, 1), (1, 2, 2), (1, 1, 2))
"""Tiles (rows, inputs, sums): thirty-two registers hold sixteen sums and what is added to them."""
_walk8 = loops(_Fields(8), *WIDE)
_walk4, _walk2 = loops(_Fields(4), *SQUARE), loops(_Fields(2), *SQUARE)  # more to load a row
_walk1 = loops(Signs(REGISTER), *SQUARE)


# A function each: those that another function makes, Numba does not find again in its cache.
@_jit
def _eight(w, x, out, begin, end):
    _walk8(w, x, out, begin, end)


@_jit
def _four(w, x, out, begin, end):
    _walk4(w, x, out, begin, end)


@_jit
def _two(w, x, out, begin, end):
    _walk2(w, x, out, begin, end)


@_jit
def _one(w, x, out, begin, end):
    _walk1(w, x, out, begin, end)


KERNELS = {8: _eight, 4: _four, 2: _two, 1: _one}
"""kernel(weights, activations, out, first row, row after the last), for each number of bits."""
