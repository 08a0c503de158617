"""The products on packed weights with the vector instructions of x86 (AVX2: registers of 32 bytes) spelled out.

A kernel is three lines: take 32 bytes of weights apart, take the activations beside them, add the products up.

    | bits | apart | products and sums | products per instruction |
    |---|---|---|---|
    | 8 | u8 → i16 | `vpmaddwd`: a₁b₁ + a₂b₂ → i32 | 16 |
    | 4, 2 | shift, mask | `vpmaddubsw`: u8·i8 + u8·i8 → i16, which saturates at 32,767 | 32 |
    | 1 | – | xor, count bits | 256 |

With weights of 8 bits `vpmaddubsw` could reach 2·255·128 and would saturate: that is the silent error of several
libraries. With 4 bits the worst sum of the F = 2 fields is 2·2·15·128 = 7,680, with 2 bits 4·2·3·128 = 3,072: never.

Source: Intel intrinsics guide.
"""

# mypy: disable-error-code="no-untyped-def"
import numba
import numpy as np
from llvmlite import ir

from qlab.hardware.kernels.tiles import I8, I16, I32, I64, Kernel, Signs, call, constant, load, loops

__all__ = ["ACTIVATIONS", "KERNELS", "REGISTER"]

REGISTER = 32
"""Bytes."""
ACTIVATIONS = {8: np.int16, 4: np.int8, 2: np.int8}
"""What the instruction for so many bits wants beside the weights."""


class _Eight(Kernel):
    """32 codes of 8 bits beside 32 activations of 16 bits."""

    register, beside, start = REGISTER, 64, constant(0, I32, 8)

    def weights(self, build, pointer, at):
        halves = [load(build, pointer, build.add(at, I64(16 * h)), I8, 16) for h in (0, 1)]
        return [build.zext(half, ir.VectorType(I16, 16)) for half in halves]

    def partners(self, build, pointer, at):
        return [load(build, pointer, build.add(at, I64(32 * h)), I16, 16) for h in (0, 1)]

    def add(self, build, total, u, x):
        for a, b in zip(u, x, strict=True):
            total = build.add(total, call(build, "llvm.x86.avx2.pmadd.wd", total.type, a, b))
        return total


class _Fields(Kernel):
    """32·F codes of b = 8/F bits beside as many activations of 8 bits."""

    register, start = REGISTER, constant(0, I32, 8)

    def __init__(self, bits):
        self.bits, self.beside = bits, REGISTER * 8 // bits

    def weights(self, build, pointer, at):
        data = load(build, pointer, at, I8, 32)
        shifted = [build.lshr(data, constant(shift, I8, 32)) for shift in range(0, 8, self.bits)]
        return [build.and_(field, constant((1 << self.bits) - 1, I8, 32)) for field in shifted]

    def partners(self, build, pointer, at):
        return [load(build, pointer, build.add(at, I64(REGISTER * f)), I8, 32) for f in range(8 // self.bits)]

    def add(self, build, total, u, x):
        sums = constant(0, I16, 16)
        for a, b in zip(u, x, strict=True):
            sums = build.add(sums, call(build, "llvm.x86.avx2.pmadd.ub.sw", sums.type, a, b))
        ones = constant(1, I16, 16)  # · 1: pairs of 16 bits into 32
        return build.add(total, call(build, "llvm.x86.avx2.pmadd.wd", total.type, sums, ones))


TILES_SUM = 0xD62D7304
"""Checksum of `tiles.py`. Numba's cache looks at this file only: a change there must change this file, or old machine
code would run on. A test holds both together."""
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
TILES = (2, 4, 1), (1, 2, 2), (1, 1, 4)
"""Tiles (rows, inputs, sums): sixteen registers hold eight sums and what is added to them."""
_walk8, _walk1 = loops(_Eight(), *TILES), loops(Signs(REGISTER), *TILES)
_walk4, _walk2 = loops(_Fields(4), *TILES), loops(_Fields(2), *TILES)


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
