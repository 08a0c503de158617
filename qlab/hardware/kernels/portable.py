"""The products on packed weights in plain Numba: what a compiler makes of the definition, on any processor.

    out[j, i] = Σ_k u[i, k]·x[j, k],      or, for one bit, popcount(u[i] xor x[j])

Every term is cast back to int32. Without that, Numba widens sums of int32 to int64 and half of each vector is wasted.
"""

# mypy: disable-error-code="no-untyped-def"
import numba
import numpy as np

__all__ = ["ACTIVATIONS", "KERNELS", "REGISTER", "only_signs", "row_sums"]

REGISTER = None
"""There is none: a whole row is taken at once."""
ACTIVATIONS = {8: np.int16, 4: np.int16, 2: np.int16}
"""What stands beside so many bits."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _eight(w, x, out, begin, end):
    flat = x.reshape(x.shape[0], -1)
    for i in range(begin, end):
        for j in range(x.shape[0]):
            total = np.int32(0)
            for k in range(w.shape[1]):
                total = np.int32(total + np.int32(np.int32(w[i, k]) * np.int32(flat[j, k])))
            out[j, i] = total


@_jit
def _four(w, x, out, begin, end):
    """Two codes in a byte; x is laid as (batch, 1, 2, bytes): partners of the low halves, then of the high ones."""
    for i in range(begin, end):
        for j in range(x.shape[0]):
            low, high = x[j, 0, 0], x[j, 0, 1]
            total = np.int32(0)
            for k in range(w.shape[1]):
                byte = w[i, k]
                total = np.int32(total + np.int32(np.int32(byte & np.uint8(15)) * np.int32(low[k])))
                total = np.int32(total + np.int32(np.int32(byte >> np.uint8(4)) * np.int32(high[k])))
            out[j, i] = total


@_jit
def _two(w, x, out, begin, end):
    """Four codes in a byte; x is laid as (batch, 1, 4, bytes)."""
    three = np.uint8(3)
    for i in range(begin, end):
        for j in range(x.shape[0]):
            first, second, third, fourth = x[j, 0, 0], x[j, 0, 1], x[j, 0, 2], x[j, 0, 3]
            total = np.int32(0)
            for k in range(w.shape[1]):
                byte = w[i, k]
                total = np.int32(total + np.int32(np.int32(byte & three) * np.int32(first[k])))
                total = np.int32(total + np.int32(np.int32((byte >> np.uint8(2)) & three) * np.int32(second[k])))
                total = np.int32(total + np.int32(np.int32((byte >> np.uint8(4)) & three) * np.int32(third[k])))
                total = np.int32(total + np.int32(np.int32(byte >> np.uint8(6)) * np.int32(fourth[k])))
            out[j, i] = total


@_jit
def _one(w, x, out, begin, end):
    """Bits that differ, 64 at a time: the classical count by halves (Warren, *Hacker's Delight*, section 5-1)."""
    words, partners = w.view(np.uint64), x.view(np.uint64)
    for i in range(begin, end):
        for j in range(x.shape[0]):
            total = np.uint64(0)
            for k in range(words.shape[1]):
                v = words[i, k] ^ partners[j, k]
                v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
                v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
                v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                total += (v * np.uint64(0x0101010101010101)) >> np.uint64(56)
            out[j, i] = total


@_jit
def row_sums(x):
    """Σ_k x[n, k] of int8, for the correction by q_min; PyTorch's own integer sum takes longer than a kernel."""
    sums = np.empty(x.shape[0], np.int32)
    for n in range(x.shape[0]):
        total = np.int32(0)
        for k in range(x.shape[1]):
            total = np.int32(total + np.int32(x[n, k]))
        sums[n] = total
    return sums


@_jit
def only_signs(x):
    """Whether all is −1 or +1."""
    wrong = np.uint8(0)
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            wrong |= np.uint8((x[n, k] != 1) & (x[n, k] != -1))
    return wrong == 0


KERNELS = {8: _eight, 4: _four, 2: _two, 1: _one}
"""kernel(weights, activations, out, first row, row after the last), for each number of bits."""
