"""Huffman: optimal against brute force, Kraft, round trips to bytes, damaged streams refused."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qlab.history import (
    canonical_codes,
    code_entropy,
    code_lengths,
    huffman_code,
    huffman_decode,
    huffman_encode,
    pmf,
)
from qlab.history.huffman_bytes import MAGIC, _write_bits, decode_bit_by_bit

pytestmark = pytest.mark.row("H6")
codes_of_any_size = st.one_of(
    st.lists(st.integers(-3, 3)),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    arrays(np.int8, st.integers(0, 300)),
    arrays(np.uint16, st.integers(0, 300)),
)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5))
def test_no_prefix_code_is_shorter(counts):
    """Brute force over all lengths that satisfy Kraft's inequality."""
    n = len(counts)
    best = min(
        sum(c * k for c, k in zip(counts, lengths, strict=True))
        for lengths in itertools.product(range(1, n), repeat=n)
        if sum(2.0**-k for k in lengths) <= 1
    )
    assert int(np.dot(counts, code_lengths(counts))) == best


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=200))
def test_kraft_and_shannons_bounds(counts):
    lengths = code_lengths(counts)
    assert sum(2.0 ** -lengths.astype(float)) == 1.0
    p = np.array(counts) / sum(counts)
    L, H = p @ lengths, -p @ np.log2(p)
    assert H - 1e-12 <= L < H + 1


def test_dyadic_probabilities_meet_the_entropy_exactly():
    codes = np.repeat([5, -2, 7, 9], [8, 4, 2, 2])
    code = huffman_code(codes)
    assert code.mean_length(pmf(codes)[1]) == code_entropy(codes) == 1.75


def test_fibonacci_counts_make_the_deepest_tree():
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(sum(fibonacci[-2:]))
    assert code_lengths(fibonacci).max() == 39


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=64))
def test_canonical_words_are_prefix_free_and_ordered(counts):
    lengths = code_lengths(counts)
    codes = canonical_codes(lengths)
    words = [f"{c:0{n}b}" if n else "" for c, n in zip(codes, lengths, strict=True)]
    assert len(set(words)) == len(words)
    assert not any(b.startswith(a) for a, b in itertools.permutations(words, 2))
    in_order = [w for _, w in sorted(zip(lengths, words, strict=True), key=lambda t: t[0])]
    assert in_order == sorted(words)


@given(codes_of_any_size)
@settings(max_examples=100, deadline=None)
def test_round_trip(codes):
    codes = np.asarray(codes, dtype=None if len(codes) else np.int64)
    data = huffman_encode(codes)
    assert isinstance(data, bytes)
    assert huffman_decode(data).tolist() == codes.tolist()


@given(st.lists(st.integers(-4, 9), min_size=1, max_size=80))
def test_fast_decoder_equals_the_definition(codes):
    code = huffman_code(codes)
    index = np.searchsorted(code.symbols, codes)
    payload = _write_bits(code.codes[index], code.lengths[index])
    assert "".join(code.words()[c] for c in codes) == "".join(
        map(str, np.unpackbits(np.frombuffer(payload, np.uint8))[: int(code.lengths[index].sum())])
    )
    assert decode_bit_by_bit(payload, code, len(codes)).tolist() == codes
    assert huffman_decode(huffman_encode(codes)).tolist() == codes


def test_actual_bytes_of_quantized_gaussian_weights():
    codes = np.clip(np.rint(np.random.default_rng(0).standard_normal(100_000) * 2), -7, 7).astype(np.int64)
    data = huffman_encode(codes.reshape(100, 1000))
    bits, H = 8 * len(data) / codes.size, code_entropy(codes)
    assert H <= bits < H + 0.1  # header included
    assert bits < 0.8 * 4  # fixed length would need four
    np.testing.assert_array_equal(huffman_decode(data), codes)


def test_a_million_symbols_and_sixteen_bit_alphabets_in_reasonable_time():
    rng = np.random.default_rng(0)
    for codes, n in (
        (np.rint(3 * rng.laplace(size=500_000)).astype(np.int64), 500_000),
        (rng.integers(-(2**15), 2**15, 100_000), 100_000),
    ):
        start = time.perf_counter()
        assert (huffman_decode(huffman_encode(codes)) == codes).all()
        assert time.perf_counter() - start < 10, n  # about 0.5 s each on a quiet machine


def test_streams_longer_than_one_chunk():
    codes = np.random.default_rng(1).integers(0, 2**12, 200_000)  # 2.4 Mbit, chunks of 2^20 bits
    np.testing.assert_array_equal(huffman_decode(huffman_encode(codes)), codes)


def test_edges():
    assert huffman_decode(huffman_encode([])).size == 0
    assert len(huffman_encode([])) == len(MAGIC) + 1
    lone = huffman_encode(np.full(10**6, -12345))
    assert len(lone) < 16  # no payload: a lone symbol carries no information
    assert (huffman_decode(lone) == -12345).all()
    assert huffman_decode(lone).size == 10**6
    big = [np.iinfo(np.int64).min, np.iinfo(np.int64).max, 0]
    assert huffman_decode(huffman_encode(big)).tolist() == big


def test_damage_is_refused():
    data = huffman_encode(np.arange(100) % 7)
    for cut in range(len(data)):
        with pytest.raises(ValueError, match=r"data must|lengths must"):
            huffman_decode(data[:cut])
    with pytest.raises(ValueError, match="must start with"):
        huffman_decode(b"PNG!" + data[4:])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: code_lengths([]), ValueError, "positive"),
        (lambda: code_lengths([1, 0]), ValueError, "positive"),
        (lambda: code_lengths([0.5, 0.5]), TypeError, "integers"),
        (lambda: canonical_codes([1, 1, 1]), ValueError, "Kraft"),
        (lambda: canonical_codes([1, 2]), ValueError, "Kraft"),
        (lambda: canonical_codes([-1]), ValueError, "from 0 to"),
        (lambda: huffman_code([]), ValueError, "empty"),
        (lambda: huffman_encode([0.5]), TypeError, "integers"),
        (lambda: huffman_decode("text"), TypeError, "bytes"),
        (lambda: huffman_code([1, 2]).mean_length([1.0]), ValueError, "one entry per symbol"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
