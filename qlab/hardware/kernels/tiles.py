"""A tile of the product in vector instructions: what `avx2` and `avx512` share.

    out[j, i] += Σ over a register of weights of row i beside activations of input j,     for R rows and N inputs

A *kernel* says how a register of weights is loaded and taken apart, how the activations beside it are loaded, and how
both are added to a sum. A *tile* is the loop around it. All its sums stay in registers:

    | tile | when | why |
    |---|---|---|
    | some rows × many inputs | many inputs | a register that was loaded serves many times: arithmetic is the limit |
    | 1 row × few or one input | few inputs | one stream of bytes, seen coming by the processor: memory is the limit |

With one input a second sum takes every other register, so that no addition waits for the one before.

Numba gives the loop over the tiles; an `intrinsic` lets us write what stands in it, as LLVM's vectors.
Source: Goto and van de Geijn 2008 (*Anatomy of high-performance matrix multiplication*).
"""

# mypy: disable-error-code="no-untyped-def"
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["I8", "I16", "I32", "I64", "Kernel", "Signs", "call", "constant", "load", "loops"]

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
BLOCK = 128
"""Rows of weights that stay in the second-level cache while all activations pass by."""


class Kernel:
    """What happens to one register of weights: `weights` and `partners` load, `add` multiplies and adds.

    Attributes
    ----------
    register, beside : int
        Bytes of weights, and of the activations beside them.
    start : LLVM constant
        A vector of zeros, in which sums begin.
    """

    register: int
    beside: int
    start: ir.Constant

    def weights(self, build, pointer, at):
        """Load what stands `at` bytes after the pointer, and take it apart."""
        raise NotImplementedError

    def partners(self, build, pointer, at):
        """Load the activations beside it."""
        raise NotImplementedError

    def add(self, build, total, u, x):
        """Return total + Σ u·x."""
        raise NotImplementedError


def constant(value, element, count):
    """Return a vector of `count` equal numbers."""
    return ir.Constant(ir.VectorType(element, count), [value] * count)


def load(build, pointer, at, element, count):
    """Read `count` elements, `at` bytes after the pointer."""
    kind = ir.VectorType(element, count)
    return build.load(build.bitcast(build.gep(pointer, [at]), kind.as_pointer()), align=1)


def call(build, name, result, *arguments):
    """Call an instruction that LLVM knows by name."""
    function = ir.FunctionType(result, [a.type for a in arguments])
    return build.call(cgutils.get_or_insert_function(build.module, function, name), arguments)


class Signs(Kernel):
    """Bits beside bits: xor, and count those that differ."""

    def __init__(self, register):
        self.register = self.beside = register
        self.words = register // 8
        self.start = constant(0, I64, self.words)

    def weights(self, build, pointer, at):
        """Load bits, 64 to an element."""
        return load(build, pointer, at, I64, self.words)

    partners = weights

    def add(self, build, total, u, x):
        """Return total + how many bits of u and x differ."""
        return build.add(total, call(build, f"llvm.ctpop.v{self.words}i64", total.type, build.xor(u, x)))


def _tile(kernel, rows, batch, chains):
    """Return a function tile(w, i, x, j, out) that Numba can call: out[j : j+batch, i : i+rows] of the product.

    Each sum is kept in `chains` parts, which add up alternate registers.
    """

    @intrinsic
    def tile(typing, w, i, x, j, out):
        def generate(context, build, signature, arguments):
            arrays = [context.make_array(signature.args[n])(context, build, arguments[n]) for n in (0, 2, 4)]
            w_at, x_at, out_at = (build.bitcast(array.data, I8.as_pointer()) for array in arrays)
            w_step, x_step, out_step = (cgutils.unpack_tuple(build, array.strides)[0] for array in arrays)
            row = [build.mul(build.add(arguments[1], I64(r)), w_step) for r in range(rows)]
            column = [build.mul(build.add(arguments[3], I64(n)), x_step) for n in range(batch)]

            def sums():
                return [[cgutils.alloca_once_value(build, kernel.start) for _ in column] for _ in row]

            def step(number, totals):
                at, beside = build.mul(number, I64(kernel.register)), build.mul(number, I64(kernel.beside))
                xs = [kernel.partners(build, x_at, build.add(begin, beside)) for begin in column]
                for begin, places in zip(row, totals, strict=True):
                    u = kernel.weights(build, w_at, build.add(begin, at))
                    for place, partner in zip(places, xs, strict=True):
                        build.store(kernel.add(build, build.load(place), u, partner), place)

            parts = [sums() for _ in range(chains)]
            registers = build.udiv(w_step, I64(kernel.register))
            with cgutils.for_range(build, build.udiv(registers, I64(chains))) as loop:
                for c, totals in enumerate(parts):
                    step(build.add(build.mul(loop.index, I64(chains)), I64(c)), totals)
            if chains > 1:  # registers that are left over
                with cgutils.for_range(build, build.urem(registers, I64(chains))) as loop:
                    step(build.sub(registers, build.add(loop.index, I64(1))), parts[0])
            for r in range(rows):
                for n in range(batch):
                    total = build.load(parts[0][r][n])
                    for totals in parts[1:]:
                        total = build.add(total, build.load(totals[r][n]))
                    place = build.add(
                        build.mul(build.add(arguments[3], I64(n)), out_step),
                        build.mul(build.add(arguments[1], I64(r)), I64(4)),
                    )
                    build.store(_sum(build, total), build.bitcast(build.gep(out_at, [place]), I32.as_pointer()))

        return types.void(w, i, x, j, out), generate

    return tile


def _sum(build, vector):
    """Add the elements of a vector up, as 32 bits."""
    element, count = vector.type.element, vector.type.count
    scalar = call(build, f"llvm.vector.reduce.add.v{count}i{element.width}", element, vector)
    return scalar if element.width == 32 else build.trunc(scalar, I32)


def _strip(kernel, rows, batch, chains):
    """Return a function that takes `batch` inputs at a time while there are so many, and says where it stopped."""
    tile = _tile(kernel, rows, batch, chains)

    @numba.njit(nogil=True, error_model="numpy")
    def strip(w, x, out, first, last, j):
        while j + batch <= x.shape[0]:
            for i in range(first, last, rows):
                tile(w, i, x, j, out)
            j += batch
        return j

    return strip


def loops(kernel, many, few, one):
    """Return the compiled product kernel(weights, activations, out, first row, row after the last).

    Each tile is (rows, inputs, sums); inputs that are left over by one tile go through the next.
    """
    many, few, one = (_strip(kernel, *tile) for tile in (many, few, one))

    @numba.njit(nogil=True, error_model="numpy")
    def walk(w, x, out, begin, end):
        for first in range(begin, end, BLOCK):
            last = min(first + BLOCK, end)
            done = many(w, x, out, first, last, 0)
            done = few(w, x, out, first, last, done)
            one(w, x, out, first, last, done)

    return walk
