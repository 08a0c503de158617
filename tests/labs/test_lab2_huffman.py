"""Lab 2's right solutions agree with the library; see test_checks.py for what all labs owe."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from qlab.course.check import check
from qlab.course.checks import lab2_huffman as lab
from qlab.history import canonical_codes, code_entropy, code_lengths, huffman_code

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def test_there_are_enough_of_them():
    assert len(CASES) >= 60
    assert all(len(e.mistakes) >= 2 for e in ALL)


@pytest.mark.row("H5", "H6")
def test_the_right_solutions_agree_with_the_library():
    codes = np.rint(3 * np.random.default_rng(1).standard_normal(2000)).astype(int)
    counts = Counter(codes.tolist())
    symbols = sorted(counts)
    n = [counts[s] for s in symbols]
    assert lab.ENTROPY.solution(n) == pytest.approx(code_entropy(codes))
    lengths = lab.CODE_LENGTHS.solution(n)
    assert lab.KRAFT_SUM.solution(lengths) == 1
    assert np.dot(n, lengths) == np.dot(n, code_lengths(n))
    lengths = code_lengths(n).tolist()
    words = dict(zip(symbols, lab.CANONICAL_CODE.solution(lengths), strict=True))
    assert words == huffman_code(codes).words()
    assert [int(w, 2) for w in words.values()] == canonical_codes(lengths).tolist()
    assert lab.IS_PREFIX_FREE.solution(list(words.values()))
    stream = lab.ENCODE.solution(codes.tolist(), words)
    assert lab.DECODE.solution(stream + "0" * (-len(stream) % 8), words, codes.size) == codes.tolist()
    assert lab.COMPRESSED_BYTES.solution(n, lengths) == 5 + 2 * len(n) + -(-len(stream) // 8)


def test_other_right_solutions_pass():
    """Ties may be joined in another order, and sorting makes neighbours enough."""
    check(lab.CODE_LENGTHS, lambda counts: code_lengths(counts[::-1])[::-1].tolist())
    check(lab.CODE_LENGTHS, lambda counts: code_lengths(counts))

    def by_sorting(words):
        s = sorted(words)
        return not any(b.startswith(a) for a, b in pairwise(s))

    check(lab.IS_PREFIX_FREE, by_sorting)

    def by_slices(bits, words, n):
        out = []
        while len(out) < n:
            symbol = next(s for s, w in words.items() if bits.startswith(w))
            out.append(symbol)
            bits = bits[len(words[symbol]) :]
        return out

    check(lab.DECODE, by_slices)
    check(lab.ENTROPY, lambda counts: code_entropy(np.repeat(np.arange(len(counts)), counts)))
