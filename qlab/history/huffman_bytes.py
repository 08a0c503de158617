r"""Huffman's code down to real bytes: a stream that decodes alone.

    magic | number of codes | alphabet size | symbols | codeword lengths | codewords | padding to a byte

The code is canonical, so lengths are all that the decoder must know. In it, left-aligned codewords grow with
(length, symbol): which codeword begins at a bit position is found by binary search, for many positions at once.
Sources: Huffman 1952; decoding by comparison with the first codeword of each length: Moffat and Turpin 1997, *On the
Implementation of Minimum Redundancy Prefix Codes*.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._check import Ints, check_integers
from .huffman import HuffmanCode, canonical_codes, huffman_code

__all__ = ["decode_bit_by_bit", "huffman_decode", "huffman_encode"]

MAGIC = b"QHF1"


def _write_varint(n: int) -> bytes:
    """Seven bits per byte, low first; the top bit says that more follows (LEB128)."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    n = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("data must be a whole Huffman stream: it ends inside its header")
        n |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return n, at


def _write_bits(codes: Ints, lengths: Ints) -> bytes:
    """Concatenate codewords, most significant bit first."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    bits = np.zeros(total, dtype=np.uint8)
    starts = ends - lengths
    for place in range(int(lengths.max()) if lengths.size else 0):  # bit `place` of all long enough codewords at once
        long = np.flatnonzero(lengths > place)
        bits[starts[long] + place] = (codes[long] >> (lengths[long] - 1 - place)) & 1
    return np.packbits(bits).tobytes()


def huffman_encode(codes: ArrayLike) -> bytes:
    """Compress integers to bytes that `huffman_decode` can read alone.

    Layout: magic, count, alphabet size, the symbols (first one zigzag, then differences) and lengths, the
    codewords.

    Parameters
    ----------
    codes : array of integers, any shape
        Flattened in C order; keep the shape beside the bytes. Empty is allowed.

    Returns
    -------
    bytes
        Header and codewords: the true size, nothing left out.

    Examples
    --------
    >>> data = huffman_encode([0, 0, 0, 0, 1, 1, -5, 7])
    >>> len(data), huffman_decode(data)  # 14 header bytes and 14 bits
    (16, array([ 0,  0,  0,  0,  1,  1, -5,  7]))

    Survey-map row: H6.
    """
    codes = check_integers(codes).ravel()
    if codes.size == 0:
        return MAGIC + _write_varint(0)
    code = huffman_code(codes)
    symbols = code.symbols.tolist()
    first = symbols[0]
    gaps = [b - a for a, b in pairwise(symbols)]
    header = [MAGIC, _write_varint(codes.size), _write_varint(len(symbols))]
    header += [_write_varint(2 * first if first >= 0 else -2 * first - 1), *map(_write_varint, gaps)]
    index = np.searchsorted(code.symbols, codes)
    payload = _write_bits(code.codes[index], code.lengths[index])
    return b"".join(header) + code.lengths.astype(np.uint8).tobytes() + payload


def _read_header(data: bytes) -> tuple[int, HuffmanCode | None, int]:
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"data must start with {MAGIC!r}, got {data[: len(MAGIC)]!r}: not a stream of huffman_encode")
    count, at = _read_varint(data, len(MAGIC))
    if count == 0:
        return 0, None, at
    size, at = _read_varint(data, at)
    zigzag, at = _read_varint(data, at)
    symbols = [zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2]
    for _ in range(size - 1):
        gap, at = _read_varint(data, at)
        symbols.append(symbols[-1] + gap)
    lengths = np.frombuffer(data, dtype=np.uint8, count=min(size, len(data) - at), offset=at).astype(np.int64)
    if lengths.size < size:
        raise ValueError("data must be a whole Huffman stream: it ends inside its header")
    return count, HuffmanCode(np.array(symbols, dtype=np.int64), lengths, canonical_codes(lengths)), at + size


def decode_bit_by_bit(payload: bytes, code: HuffmanCode, count: int) -> Ints:
    """The definition: grow a codeword bit by bit until it is one. `huffman_decode` does the same faster.

    Survey-map row: H6.
    """
    book = {word: symbol for symbol, word in code.words().items()}
    out, word = [], ""
    if "" in book:
        return np.full(count, book[""], dtype=np.int64)
    for bit in np.unpackbits(np.frombuffer(payload, dtype=np.uint8)).tolist():
        word += "01"[bit]
        if word in book:
            out.append(book[word])
            word = ""
            if len(out) == count:
                break
    return np.array(out, dtype=np.int64)


def _windows(payload: bytes, width: int, first: int, last: int) -> NDArray[np.uint64]:
    """The `width` bits that start at each of the bit positions first … last − 1, as integers."""
    raw = np.frombuffer(payload[first // 8 : last // 8 + 9].ljust(last // 8 - first // 8 + 9, b"\0"), dtype=np.uint8)
    words = np.zeros(raw.size - 8, dtype=np.uint64)
    for i in range(8):
        words = (words << np.uint64(8)) | raw[i : i + words.size]
    position = np.arange(first, last)
    shifted = words[position // 8 - first // 8] << (position % 8).astype(np.uint64)
    return shifted >> np.uint64(64 - width)


def huffman_decode(data: bytes) -> Ints:
    """Read back exactly what `huffman_encode` was given.

    In a canonical code, left-aligned codewords grow with (length, symbol). So the codeword that starts at a
    bit position is found by binary search, for all positions at once; then the chain position → position +
    length is followed.

    Raises
    ------
    ValueError
        If the stream is damaged: wrong magic, impossible lengths, or an early end.

    Examples
    --------
    >>> huffman_decode(huffman_encode([-3, -3, -3]))  # one symbol: no bits at all, only the header
    array([-3, -3, -3])

    Survey-map row: H6.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, got {type(data).__name__}")
    data = bytes(data)
    count, code, at = _read_header(data)
    if code is None:
        return np.zeros(0, dtype=np.int64)
    payload, width = data[at:], int(code.lengths.max())
    if width == 0:
        return np.full(count, code.symbols[0], dtype=np.int64)
    order = np.lexsort((code.symbols, code.lengths))
    aligned = (code.codes[order] << (width - code.lengths[order])).astype(np.uint64)
    symbols = code.symbols[order]
    lengths, firsts = np.unique(code.lengths[order], return_index=True)
    bounds = aligned[firsts]  # words of this length begin here: all that is needed to know where the next one starts
    out, made, position, chunk, total = [], 0, 0, 1 << 20, 8 * len(payload)
    while made < count and position < total:
        first, last = position, min(position + chunk, total)
        windows, starts = _windows(payload, width, first, last), []
        step = lengths[np.searchsorted(bounds, windows, side="right") - 1].tolist()
        while position < last and made < count:
            starts.append(position - first)
            position += step[position - first]
            made += 1
        out.append(symbols[np.searchsorted(aligned, windows[starts], side="right") - 1])
    if made < count or position > total:
        raise ValueError(f"data must hold {count} codes, got {made}: the stream is cut short")
    return np.concatenate(out)
