"""The compiled loops behind `qlab.fused`, in Numba: plain Python that a student can read.

A contiguous tensor is seen flat as (outer, rows, inner), so element i has the scale of row (i // inner) mod rows. Each
loop works on a piece x[begin:end] of it, row by row: within a row S and Z are constants, and the compiler turns the
innermost loop into vector instructions. Where rows are only a few elements long, the pieces are runs of whole rows
instead, and S and Z come as vectors, one entry per element of (rows, inner).

Two details keep the loops as fast as a copy. NaN and infinity are the floats whose exponent bits are all ones, so their
magnitude bits reach 0x7F800000: the largest magnitude, as an integer, tells in the same pass whether all were finite.
And every integer is cast back to int32, since Numba widens sums of int32 to int64, which halves the vectors.
"""

import numba
import numpy as np

_MAGNITUDE = np.int32(0x7FFFFFFF)
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inline = numba.njit(inline="always", error_model="numpy")


@_inline
def _code(r, s, z, lo, hi):  # type: ignore[no-untyped-def]
    """Q(r) = clip(Int(r/S) − Z, q_min, q_max); np.rint rounds ties to even."""
    return min(max(np.rint(r / s) - z, lo), hi)


@_jit
def _fake_row(x, bits, s, z, lo, hi, out):  # type: ignore[no-untyped-def]
    largest = np.int32(0)
    for i in range(x.size):
        magnitude = np.int32(bits[i] & _MAGNITUDE)  # read before it is written: out may be x
        out[i] = s * (_code(x[i], s, z, lo, hi) + z)
        largest = magnitude if magnitude > largest else largest
    return largest


@_jit
def _fake_columns(x, bits, s, z, lo, hi, out):  # type: ignore[no-untyped-def]
    largest = np.int32(0)
    for i in range(x.size):
        magnitude = np.int32(bits[i] & _MAGNITUDE)
        out[i] = s[i] * (_code(x[i], s[i], z[i], lo, hi) + z[i])
        largest = magnitude if magnitude > largest else largest
    return largest


@_jit
def _encode_row(x, bits, s, z, lo, hi, out):  # type: ignore[no-untyped-def]
    largest = np.int32(0)
    for i in range(x.size):
        out[i] = np.int32(_code(x[i], s, z, lo, hi))
        magnitude = np.int32(bits[i] & _MAGNITUDE)
        largest = magnitude if magnitude > largest else largest
    return largest


@_jit
def _encode_columns(x, bits, s, z, lo, hi, out):  # type: ignore[no-untyped-def]
    largest = np.int32(0)
    for i in range(x.size):
        out[i] = np.int32(_code(x[i], s[i], z[i], lo, hi))
        magnitude = np.int32(bits[i] & _MAGNITUDE)
        largest = magnitude if magnitude > largest else largest
    return largest


@_jit
def _decode_row(codes, s, z, out):  # type: ignore[no-untyped-def]
    for i in range(codes.size):
        out[i] = s * (np.float32(codes[i]) + z)


@_jit
def _decode_columns(codes, s, z, out):  # type: ignore[no-untyped-def]
    for i in range(codes.size):
        out[i] = s[i] * (np.float32(codes[i]) + z[i])


@_jit
def _backward_row(x, grad, s, z, lo, hi, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        q = np.rint(x[i] / s) - z
        out[i] = grad[i] if (q >= lo) & (q <= hi) else np.float32(0)


@_jit
def _backward_columns(x, grad, s, z, lo, hi, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        q = np.rint(x[i] / s[i]) - z[i]
        out[i] = grad[i] if (q >= lo) & (q <= hi) else np.float32(0)


@_jit
def fake(x, bits, scale, zero, inner, columns, lo, hi, out, begin, end):  # type: ignore[no-untyped-def]
    """Out = S·(clip(Int(x/S) − Z) + Z); returns the largest magnitude's bits."""
    largest = np.int32(0)
    while begin < end:
        at = begin // inner
        stop = min(end, (at + 1) * inner)
        x_, b_, o_ = x[begin:stop], bits[begin:stop], out[begin:stop]
        if columns:
            seen = _fake_columns(x_, b_, scale, zero, lo, hi, o_)
        else:
            k = at % scale.size
            seen = _fake_row(x_, b_, scale[k], zero[k], lo, hi, o_)
        largest = max(largest, seen)
        begin = stop
    return largest


@_jit
def encode(x, bits, scale, zero, inner, columns, lo, hi, out, begin, end):  # type: ignore[no-untyped-def]
    """Out = clip(Int(x/S) − Z) as integers; returns the largest magnitude's bits."""
    largest = np.int32(0)
    while begin < end:
        at = begin // inner
        stop = min(end, (at + 1) * inner)
        x_, b_, o_ = x[begin:stop], bits[begin:stop], out[begin:stop]
        if columns:
            seen = _encode_columns(x_, b_, scale, zero, lo, hi, o_)
        else:
            k = at % scale.size
            seen = _encode_row(x_, b_, scale[k], zero[k], lo, hi, o_)
        largest = max(largest, seen)
        begin = stop
    return largest


@_jit
def decode(codes, scale, zero, inner, columns, out, begin, end):  # type: ignore[no-untyped-def]
    """Out = S·(q + Z)."""
    while begin < end:
        at = begin // inner
        stop = min(end, (at + 1) * inner)
        if columns:
            _decode_columns(codes[begin:stop], scale, zero, out[begin:stop])
        else:
            k = at % scale.size
            _decode_row(codes[begin:stop], scale[k], zero[k], out[begin:stop])
        begin = stop
    return np.int32(0)


@_jit
def backward(x, grad, scale, zero, inner, columns, lo, hi, out, begin, end):  # type: ignore[no-untyped-def]
    """Out = grad where Int(x/S) − Z lies in lo … hi, else 0."""
    while begin < end:
        at = begin // inner
        stop = min(end, (at + 1) * inner)
        x_, g_, o_ = x[begin:stop], grad[begin:stop], out[begin:stop]
        if columns:
            _backward_columns(x_, g_, scale, zero, lo, hi, o_)
        else:
            k = at % scale.size
            _backward_row(x_, g_, scale[k], zero[k], lo, hi, o_)
        begin = stop
    return np.int32(0)
