"""The products on packed weights with the vector instructions of x86 (AVX2) spelled out, still in Python.

A kernel is three lines: take 32 bytes of weights apart, take the activations beside them, add the products up.

    | bits | apart | products and sums | products per instruction |
    |---|---|---|---|
    | 8 | u8 → i16 | `vpmaddwd`: a₁b₁ + a₂b₂ → i32 | 16 |
    | 4, 2 | shift, mask | `vpmaddubsw`: u8·i8 + u8·i8 → i16, which saturates at 32,767 | 32 |
    | 1 | – | xor, count bits | 256 |

With weights of 8 bits `vpmaddubsw` could reach 2·255·128 and would saturate: that is the silent error of several
libraries. With 4 bits the worst sum of the F = 2 fields is 2·2·15·128 = 7,680, with 2 bits 4·2·3·128 = 3,072: never.

Numba gives the loop; an *intrinsic* lets us write what stands in it, as LLVM's vectors. The sums of a tile of R rows
and N activations stay in registers, so that every vector that was loaded serves R or N times.
Sources: Intel intrinsics guide; Goto and van de Geijn 2008 (*Anatomy of high-performance matrix multiplication*).
"""

# mypy: disable-error-code="no-untyped-def"
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from qlab.hardware.kernels.weights import LANE, ROWS

__all__ = ["KERNELS"]

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
BLOCK = 32
"""Rows of weights that stay in the second-level cache while all activations pass by."""


def _vector(value, element, count):
    return ir.Constant(ir.VectorType(element, count), [value] * count)


def _load(build, pointer, at, element, count):
    """Read `count` elements, `at` bytes after the pointer."""
    kind = ir.VectorType(element, count)
    return build.load(build.bitcast(build.gep(pointer, [at]), kind.as_pointer()), align=1)


def _call(build, name, result, *arguments):
    function = ir.FunctionType(result, [a.type for a in arguments])
    return build.call(cgutils.get_or_insert_function(build.module, function, name), arguments)


def _madd16(build, a, b):
    """Return a₁b₁ + a₂b₂ of neighbouring 16-bit numbers, as eight sums of 32 bits (vpmaddwd)."""
    return _call(build, "llvm.x86.avx2.pmadd.wd", ir.VectorType(I32, 8), a, b)


def _madd8(build, a, b):
    """Return a₁b₁ + a₂b₂ of neighbouring bytes, a unsigned, b signed, as sixteen sums of 16 bits (vpmaddubsw)."""
    return _call(build, "llvm.x86.avx2.pmadd.ub.sw", ir.VectorType(I16, 16), a, b)


class _Eight:
    """32 codes of 8 bits beside 32 activations of 16 bits."""

    activation_bytes, start = 64, _vector(0, I32, 8)

    @staticmethod
    def weights(build, pointer, at):
        halves = [_load(build, pointer, build.add(at, I64(16 * h)), I8, 16) for h in (0, 1)]
        return [build.zext(half, ir.VectorType(I16, 16)) for half in halves]

    @staticmethod
    def activations(build, pointer, at):
        return [_load(build, pointer, build.add(at, I64(32 * h)), I16, 16) for h in (0, 1)]

    @staticmethod
    def add(build, total, u, x):
        for a, b in zip(u, x, strict=True):
            total = build.add(total, _madd16(build, a, b))
        return total


class _Four:
    """32·F codes of b = 8/F bits beside as many activations of 8 bits."""

    bits, activation_bytes, start = 4, 64, _vector(0, I32, 8)

    @classmethod
    def weights(cls, build, pointer, at):
        data = _load(build, pointer, at, I8, 32)
        shifted = [build.lshr(data, _vector(shift, I8, 32)) for shift in range(0, 8, cls.bits)]
        return [build.and_(field, _vector((1 << cls.bits) - 1, I8, 32)) for field in shifted]

    @classmethod
    def activations(cls, build, pointer, at):
        return [_load(build, pointer, build.add(at, I64(LANE * f)), I8, 32) for f in range(8 // cls.bits)]

    @staticmethod
    def add(build, total, u, x):
        sums = _vector(0, I16, 16)
        for a, b in zip(u, x, strict=True):
            sums = build.add(sums, _madd8(build, a, b))
        return build.add(total, _madd16(build, sums, _vector(1, I16, 16)))  # · 1: pairs of 16 bits into 32


class _Two(_Four):
    bits, activation_bytes = 2, 128


class _One:
    """256 bits beside 256 bits."""

    activation_bytes, start = 32, _vector(0, I64, 4)

    @staticmethod
    def weights(build, pointer, at):
        return _load(build, pointer, at, I64, 4)

    activations = weights

    @staticmethod
    def add(build, total, u, x):
        return build.add(total, _call(build, "llvm.ctpop.v4i64", total.type, build.xor(u, x)))


def _tile(kernel, rows, batch):
    """Return a function tile(w, i, x, j, out) that Numba can call: out[j : j+batch, i : i+rows] of the product."""

    @intrinsic
    def tile(typing, w, i, x, j, out):
        def generate(context, build, signature, arguments):
            arrays = [context.make_array(signature.args[n])(context, build, arguments[n]) for n in (0, 2, 4)]
            w_at, x_at, out_at = (build.bitcast(array.data, I8.as_pointer()) for array in arrays)
            w_step, x_step, out_step = (cgutils.unpack_tuple(build, array.strides)[0] for array in arrays)
            row = [build.mul(build.add(arguments[1], I64(r)), w_step) for r in range(rows)]
            column = [build.mul(build.add(arguments[3], I64(n)), x_step) for n in range(batch)]
            totals = [[cgutils.alloca_once_value(build, kernel.start) for _ in column] for _ in row]
            with cgutils.for_range(build, build.udiv(w_step, I64(LANE))) as loop:
                at, beside = build.mul(loop.index, I64(LANE)), build.mul(loop.index, I64(kernel.activation_bytes))
                xs = [kernel.activations(build, x_at, build.add(begin, beside)) for begin in column]
                for begin, sums in zip(row, totals, strict=True):
                    u = kernel.weights(build, w_at, build.add(begin, at))
                    for total, partner in zip(sums, xs, strict=True):
                        build.store(kernel.add(build, build.load(total), u, partner), total)
            for r, sums in enumerate(totals):
                for n, total in enumerate(sums):
                    place = build.add(
                        build.mul(build.add(arguments[3], I64(n)), out_step),
                        build.mul(build.add(arguments[1], I64(r)), I64(4)),
                    )
                    build.store(_sum(build, total), build.bitcast(build.gep(out_at, [place]), I32.as_pointer()))

        return types.void(w, i, x, j, out), generate

    return tile


def _sum(build, total):
    """Add the elements of a vector up, as 32 bits."""
    vector = build.load(total)
    element, count = vector.type.element, vector.type.count
    scalar = _call(build, f"llvm.vector.reduce.add.v{count}i{element.width}", element, vector)
    return scalar if element.width == 32 else build.trunc(scalar, I32)


@numba.njit(nogil=True, error_model="numpy")
def _walk(pair, single, w, x, out, begin, end):
    """Walk over the tiles, blocks of weights outermost; the last activation of an odd batch goes alone."""
    batch = x.shape[0]
    for first in range(begin, end, BLOCK):
        last = min(first + BLOCK, end)
        for j in range(0, batch - 1, 2):
            for i in range(first, last, ROWS):
                pair(w, i, x, j, out)
        if batch % 2:
            for i in range(first, last, ROWS):
                single(w, i, x, batch - 1, out)


_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_pair8, _single8 = _tile(_Eight, ROWS, 2), _tile(_Eight, ROWS, 1)
_pair4, _single4 = _tile(_Four, ROWS, 2), _tile(_Four, ROWS, 1)
_pair2, _single2 = _tile(_Two, ROWS, 2), _tile(_Two, ROWS, 1)
_pair1, _single1 = _tile(_One, ROWS, 2), _tile(_One, ROWS, 1)


@_jit
def _eight(w, x, out, begin, end):
    _walk(_pair8, _single8, w, x, out, begin, end)


@_jit
def _four(w, x, out, begin, end):
    _walk(_pair4, _single4, w, x, out, begin, end)


@_jit
def _two(w, x, out, begin, end):
    _walk(_pair2, _single2, w, x, out, begin, end)


@_jit
def _one(w, x, out, begin, end):
    _walk(_pair1, _single1, w, x, out, begin, end)


KERNELS = {8: _eight, 4: _four, 2: _two, 1: _one}
"""kernel(weights, activations, out, first row, row after the last), for each number of bits."""
