"""Lab 2, entropy and Huffman on real weights: right solutions, and the mistakes that people make.

    H = −Σ p log2 p,    Σ 2^(−ℓ) ≤ 1,    H ≤ L < H + 1

Survey-map rows: H5, H6.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from qlab.course.check import Exercise, Mistake, question

__all__ = [
    "CANONICAL_CODE",
    "CODE_LENGTHS",
    "COMPRESSED_BYTES",
    "DECODE",
    "ENCODE",
    "ENTROPY",
    "EXERCISES",
    "IS_PREFIX_FREE",
    "KRAFT_SUM",
    "QUESTIONS",
]

# (a) Entropy


def _entropy(counts: Sequence[int]) -> float:
    n = sum(counts)
    return -sum(c / n * math.log2(c / n) for c in counts if c > 0) + 0.0


def _mean_information(counts: Sequence[int]) -> float:
    n = sum(counts)
    used = [c for c in counts if c > 0]
    return -sum(math.log2(c / n) for c in used) / len(used)


def _unguarded(counts: Sequence[int]) -> float:
    n = sum(counts)
    return -sum(c / n * math.log2(c / n) for c in counts)


ENTROPY = Exercise(
    "entropy",
    _entropy,
    [([8, 4, 2, 2],), ([1, 1, 1, 1, 1],), ([90, 7, 2, 1],), ([5, 0, 3, 0, 1],), ([0, 12],)],
    [
        Mistake(
            "the logarithm is not to base 2",
            "math.log is the natural logarithm, and gives nats. A bit is a logarithm to base 2.",
            lambda counts: _entropy(counts) * math.log(2),
        ),
        Mistake(
            "the counts are not divided by their sum",
            "p is a fraction: how often a symbol occurs among all of them. Counts have to be divided by their "
            "sum first.",
            lambda counts: -sum(c * math.log2(c) for c in counts if c > 0),
        ),
        Mistake(
            "the total is returned, not the mean",
            "each −log2 p is weighted with p, a fraction, not with the count: H is in bits per symbol.",
            lambda counts: _entropy(counts) * sum(counts),
        ),
        Mistake(
            "the sign is missing",
            "p is less than 1, so its logarithm is negative. Information is not.",
            lambda counts: -_entropy(counts),
        ),
        Mistake(
            "all symbols weigh the same",
            "−log2 p is what one symbol carries. In the average over a message, frequent symbols come more "
            "often: weight "
            "with p.",
            _mean_information,
        ),
        Mistake(
            "it is the logarithm of the number of symbols",
            "log2 of the number of symbols is what fixed-length words need. It is the entropy only if all are equally "
            "frequent.",
            lambda counts: math.log2(sum(c > 0 for c in counts)),
        ),
        Mistake(
            "symbols that never occur stop it",
            "log2(0) does not exist, but p·log2 p goes to 0 with p: leave out the symbols whose count is 0.",
            _unguarded,
        ),
        Mistake(
            "symbols that never occur make it nan",
            "0 times minus infinity is not a number, but p·log2 p goes to 0 with p: leave out the symbols whose "
            "count is 0.",
            lambda counts: math.nan if 0 in counts else _entropy(counts),
        ),
        Mistake(
            "one is added to every count",
            "that helps a code that must expect the unexpected. The entropy of the given counts takes them as "
            "they are.",
            lambda counts: _entropy([c + 1 for c in counts]),
        ),
    ],
)


# (b) Kraft's sum


def _kraft_sum(lengths: Sequence[int]) -> float:
    return sum(2.0**-n for n in lengths)


KRAFT_SUM = Exercise(
    "kraft_sum",
    _kraft_sum,
    [([1, 2, 3, 3],), ([2, 2, 2],), ([1, 1, 2],), ([5, 1, 4, 2],)],
    [
        Mistake(
            "the powers have the wrong sign",
            "a longer word owns a *smaller* part of [0, 1): the exponent is −ℓ.",
            lambda lengths: float(sum(2**n for n in lengths)),
        ),
        Mistake(
            "the reciprocal of the sum is returned",
            "take the reciprocal of each power, then add: widths of intervals lie side by side.",
            lambda lengths: 1 / sum(2**n for n in lengths),
        ),
        Mistake(
            "1/ℓ is summed up",
            "each bit halves the interval. After ℓ bits, how much of [0, 1) is left?",
            lambda lengths: sum(1 / n for n in lengths),
        ),
        Mistake(
            "the division drops the fraction",
            "// is a division of whole numbers, and 1 // 4 is 0. Use / or a negative exponent.",
            lambda lengths: sum(1 // 2**n for n in lengths),
        ),
        Mistake(
            "equal lengths are counted once",
            "every codeword has its own interval, also if another is equally wide. A set forgets repetitions.",
            lambda lengths: _kraft_sum(sorted(set(lengths))),
        ),
    ],
)


# (c) Prefix codes


def _pairs(words: Sequence[str], bad: Callable[[str, str], bool], later: bool = False) -> bool:
    """Whether no pair is bad; `later`: only pairs whose first word stands before the second."""
    n = len(words)
    return not any(bad(words[i], words[j]) for i in range(n) for j in range(i + 1 if later else 0, n) if i != j)


def _is_prefix_free(words: Sequence[str]) -> bool:
    return _pairs(words, lambda a, b: b.startswith(a))


IS_PREFIX_FREE = Exercise(
    "is_prefix_free",
    _is_prefix_free,
    [
        (["0", "10", "110", "111"],),
        (["0", "01", "11"],),
        (["01", "11", "0"],),
        (["10", "0", "11", "010"],),
        (["0", "10", "0"],),
        (["1", "01", "001"],),
        (["00", "01", "10", "0010"],),
        (["0", "10", "011"],),
        (["00", "11"],),
    ],
    [
        Mistake(
            "every word is compared with itself",
            "every word begins with itself, so the answer is always no. Compare different places of the list.",
            lambda words: not any(b.startswith(a) for a in words for b in words),
        ),
        Mistake(
            "only equal words are found",
            "that no two words are equal is not enough: after 0, the decoder must not have to ask whether it was the "
            "beginning of 01.",
            lambda words: len(set(words)) == len(words),
        ),
        Mistake(
            "equal words are let through",
            "two symbols with the same word cannot be told apart. Compare places in the list, not words.",
            lambda words: _pairs(words, lambda a, b: a != b and b.startswith(a)),
        ),
        Mistake(
            "only later words are looked at",
            "a word may begin one that stands before it in the list, too.",
            lambda words: _pairs(words, lambda a, b: b.startswith(a), later=True),
        ),
        Mistake(
            "only neighbours in the list are compared",
            "neighbours are enough after sorting. In the order given, compare every word with every other one.",
            lambda words: not any(b.startswith(a) or a.startswith(b) for a, b in pairwise(words)),
        ),
        Mistake(
            "the ends of words are compared",
            "a word may well end like another one. The decoder reads from the front: what words *begin* with matters.",
            lambda words: _pairs(words, lambda a, b: b.endswith(a)),
        ),
        Mistake(
            "a word may not occur anywhere inside another one",
            "only the beginning matters: 01 may hold a 1, since the decoder is busy with 01 when it comes.",
            lambda words: _pairs(words, lambda a, b: a in b),
        ),
        Mistake(
            "only Kraft's sum is looked at",
            "if it is at most 1, then there *is* a prefix code with these lengths. Whether these words are one, "
            "it does "
            "not say.",
            lambda words: _kraft_sum([len(word) for word in words]) <= 1,
        ),
        Mistake(
            "the answer is turned around",
            "True means that no word begins another one.",
            lambda words: not _is_prefix_free(words),
        ),
    ],
)


# (d) Huffman's lengths


def _join(
    counts: Sequence[int],
    weight: Callable[[int, int], float] = lambda a, b: a + b,
    sign: int = 1,
) -> list[int]:
    """Huffman's lengths, with another weight of the joined symbol, or another order, if one likes."""
    lengths = [0] * len(counts)
    heap: list[tuple[float, int, list[int]]] = [(sign * c, i, [i]) for i, c in enumerate(counts)]
    heapq.heapify(heap)
    made = len(counts)
    while len(heap) > 1:
        a, _, left = heapq.heappop(heap)
        b, _, right = heapq.heappop(heap)
        for i in left + right:
            lengths[i] += 1
        heapq.heappush(heap, (sign * weight(int(sign * a), int(sign * b)), made, left + right))
        made += 1
    return lengths


def _shannon(counts: Sequence[int], whole: Callable[[float], int]) -> list[int]:
    return [whole(-math.log2(c / sum(counts))) for c in counts]


def _chain(counts: Sequence[int]) -> list[int]:
    order = sorted(range(len(counts)), key=lambda i: -counts[i])
    lengths = [0] * len(counts)
    for place, i in enumerate(order):
        lengths[i] = min(place + 1, len(counts) - 1)
    return lengths


def _roots_only(counts: Sequence[int]) -> list[int]:
    """The joined symbol is kept under the name of its first member; the other members are forgotten."""
    lengths = [0] * len(counts)
    heap = [(c, i) for i, c in enumerate(counts)]
    heapq.heapify(heap)
    while len(heap) > 1:
        (a, i), (b, j) = heapq.heappop(heap), heapq.heappop(heap)
        lengths[i] += 1
        lengths[j] += 1
        heapq.heappush(heap, (a + b, i))
    return lengths


def _price(function: Callable[[list[int]], Sequence[int]], counts: list[int]) -> dict[str, Any]:
    """What all best codes have in common, whatever the order in which ties were joined."""
    lengths = function(list(counts))
    if isinstance(lengths, dict):
        raise TypeError("return a list of lengths, in the order of the counts, not a dict")
    whole = [int(n) for n in lengths]
    if len(whole) != len(counts):
        raise ValueError(f"there are {len(counts)} symbols, so {len(counts)} lengths are needed, got {len(whole)}")
    total = sum(c * n for c, n in zip(counts, whole, strict=True))
    return {"bits of the whole message": total, "Kraft's sum": _kraft_sum(whole)}


CODE_LENGTHS = Exercise(
    "code_lengths",
    _join,
    [
        ([8, 4, 2, 2],),
        ([5, 5, 3, 2, 1],),
        ([1, 1, 1, 1, 1, 1],),
        ([3, 50, 9, 21, 2, 40],),
        ([97, 1, 2],),
        ([10, 11, 12, 13, 14, 15, 16],),
        ([7, 3],),
    ],
    [
        Mistake(
            "the lengths are −log2 p, rounded up",
            "that is Shannon's code. It keeps below H + 1, but it is not the shortest: join the two rarest "
            "symbols, again "
            "and again.",
            lambda counts: _shannon(counts, math.ceil),
        ),
        Mistake(
            "the lengths are −log2 p, rounded to the nearest",
            "then Kraft's sum can be more than 1, and no prefix code has these lengths. Join the two rarest "
            "symbols, again "
            "and again.",
            lambda counts: _shannon(counts, round),
        ),
        Mistake(
            "the two most frequent are joined",
            "every join makes all words below it one bit longer. Which symbols should pay for that?",
            lambda counts: _join(counts, sign=-1),
        ),
        Mistake(
            "one group grows by a symbol at each join",
            "a joined symbol goes back among the others with the *sum* of its counts. Then two others may be the "
            "rarest: look for the two rarest anew each time.",
            _chain,
        ),
        Mistake(
            "all words have the same length",
            "log2 of the number of symbols, rounded up, is the fixed-length code. Frequent symbols deserve "
            "shorter words.",
            lambda counts: [math.ceil(math.log2(len(counts)))] * len(counts),
        ),
        Mistake(
            "all lengths are one too large",
            "the root has depth 0. With two symbols, each gets one bit.",
            lambda counts: [n + 1 for n in _join(counts)],
        ),
        Mistake(
            "the lengths are sorted",
            "lengths[i] belongs to counts[i]: return them in the order of the counts that you were given.",
            lambda counts: sorted(_join(counts)),
        ),
        Mistake(
            "a joined symbol forgets some of its members",
            "a join adds one bit to *all* symbols below it, not only to one that gave its name to the group.",
            _roots_only,
        ),
        Mistake(
            "a joined symbol has the larger of the two counts",
            "the joined symbol occurs whenever one of the two does: its count is their sum.",
            lambda counts: _join(counts, max),
        ),
        Mistake(
            "a joined symbol has the smaller of the two counts",
            "the joined symbol occurs whenever one of the two does: its count is their sum.",
            lambda counts: _join(counts, min),
        ),
    ],
    use=_price,
)


# (e) Canonical codes


def _canonical(
    lengths: Sequence[int],
    order: Callable[[Sequence[int], int], Any] = lambda lengths, i: (lengths[i], i),
    step: Callable[[int, int], int] = lambda code, growth: (code + 1) << growth,
    write: Callable[[int, int], str] = lambda code, n: f"{code:0{n}b}",
    sort_back: bool = True,
) -> list[str]:
    words, code, last, out = {}, 0, 0, []
    for place, i in enumerate(sorted(range(len(lengths)), key=lambda i: order(lengths, i))):
        code = step(code, lengths[i] - last) if place else 0
        last = lengths[i]
        words[i] = write(code, last)
        out.append(words[i])
    return [words[i] for i in range(len(lengths))] if sort_back else out


def _shift(code: int, growth: int) -> int:
    return code << growth if growth >= 0 else code >> -growth


CANONICAL_CODE = Exercise(
    "canonical_code",
    _canonical,
    [([1, 2, 3, 3],), ([3, 1, 3, 2],), ([2, 2, 2, 2],), ([4, 3, 1, 4, 3, 3],), ([3, 5, 1, 5, 3, 4, 3],)],
    [
        Mistake(
            "the words are numbered in the order given",
            "short words come first: sort the symbols by (length, symbol) before you count.",
            lambda lengths: _canonical(lengths, lambda _, i: i, lambda code, growth: _shift(code + 1, growth)),
        ),
        Mistake(
            "the place in the list is taken for the word",
            "numbering the symbols makes words that begin others. Count on from the word before, in the order of "
            "(length, symbol), and append zeros where the length grows.",
            lambda lengths: [f"{i:0{n}b}" for i, n in enumerate(lengths)],
        ),
        Mistake(
            "leading zeros are missing",
            "a word of length 3 has three digits, also if its number is 0. Look at f'{5:08b}'.",
            lambda lengths: _canonical(lengths, write=lambda code, n: f"{code:b}"),
        ),
        Mistake(
            "no zeros are appended when the length grows",
            "the next word must not begin with the last one plus nothing: shift the number to the left by as "
            "many places as "
            "the length grows.",
            lambda lengths: _canonical(lengths, step=lambda code, growth: code + 1),
        ),
        Mistake(
            "the shift comes before the 1 is added",
            "first go on to the next number, then append zeros. The other way round, the new word begins with "
            "the old one.",
            lambda lengths: _canonical(lengths, step=lambda code, growth: (code << growth) + 1),
        ),
        Mistake(
            "only one zero is appended, however much the length grows",
            "lengths may jump from 1 to 3. Then two zeros are needed.",
            lambda lengths: _canonical(lengths, step=lambda code, growth: (code + 1) << min(growth, 1)),
        ),
        Mistake(
            "the words come in the order of their lengths",
            "you sorted to count; the answer goes back to the order of the symbols. words[i] belongs to lengths[i].",
            lambda lengths: _canonical(lengths, sort_back=False),
        ),
        Mistake(
            "equal lengths are numbered from the last symbol on",
            "among words of equal length, the first symbol gets the smallest number. Both sides have to agree on it.",
            lambda lengths: _canonical(lengths, lambda lengths, i: (lengths[i], -i)),
        ),
        Mistake(
            "the longest words come first",
            "the canonical code of this lab begins with the *shortest* word, which is all zeros.",
            lambda lengths: _canonical(
                lengths, lambda lengths, i: (-lengths[i], i), lambda code, growth: _shift(code + 1, growth)
            ),
        ),
        Mistake(
            "zeros and ones are swapped",
            "that is a prefix code as well, and as short. But all must agree on one: the first word is all zeros.",
            lambda lengths: [word.translate(str.maketrans("01", "10")) for word in _canonical(lengths)],
        ),
    ],
)


# (f) Encode


def _encode(codes: Sequence[int], words: Mapping[int, str]) -> str:
    return "".join(words[q] for q in codes)


_WORDS = {-2: "1110", -1: "10", 0: "0", 1: "110", 2: "1111"}
_CODES = [0, -1, 0, 2, 0, 0, 1, -2, -1, 0]


def _fixed(codes: Sequence[int], words: Mapping[int, str]) -> str:
    longest = max(map(len, words.values()))
    return "".join(words[q].ljust(longest, "0") for q in codes)


ENCODE = Exercise(
    "encode",
    _encode,
    [(_CODES, _WORDS), ([1, 1, -1], _WORDS), ([], _WORDS), ([7], {3: "0", 7: "1"})],
    [
        Mistake(
            "there are commas between the words",
            "a prefix code needs no commas, and a stream of bits has no third sign for them.",
            lambda codes, words: " ".join(words[q] for q in codes),
        ),
        Mistake(
            "a list of words is returned",
            "put the words together into one string: ''.join(…).",
            lambda codes, words: [words[q] for q in codes],
        ),
        Mistake(
            "the words are written backward",
            "the decoder reads from the front. A word that is turned around may begin another one.",
            lambda codes, words: "".join(words[q][::-1] for q in codes),
        ),
        Mistake(
            "the last code comes first",
            "append each word at the end of the stream, not at its front.",
            lambda codes, words: "".join(words[q] for q in reversed(codes)),
        ),
        Mistake(
            "every symbol is written once",
            "the message is the *codes*, in their order and with their repetitions, not the table.",
            lambda codes, words: "".join(words[q] for q in dict.fromkeys(codes)),
        ),
        Mistake(
            "all words are padded to the same length",
            "then nothing is saved. Write each word as it is: the decoder knows where it ends.",
            _fixed,
        ),
        Mistake(
            "the sign of the code is lost",
            "−1 and 1 are two symbols with two words.",
            lambda codes, words: "".join(words[abs(q)] for q in codes),
        ),
    ],
)


# (g) Decode


def _read(
    bits: str,
    words: Mapping[int, str],
    n: float,
    reset: bool = True,
    give: Callable[[int, str], Any] = lambda symbol, word: symbol,
) -> list[Any]:
    symbols = {word: symbol for symbol, word in words.items()}
    out: list[Any] = []
    word = ""
    for bit in bits:
        if len(out) >= n:
            break
        word += bit
        if word in symbols:
            out.append(give(symbols[word], word))
            word = "" if reset else word
    return out


def _decode(bits: str, words: Mapping[int, str], n: int) -> list[int]:
    return _read(bits, words, n)


def _chunks(bits: str, words: Mapping[int, str], n: int) -> list[int]:
    """Words of equal length are assumed."""
    longest = max(map(len, words.values()))
    symbols = {word: symbol for symbol, word in words.items()}
    cut = [bits[i : i + longest] for i in range(0, len(bits), longest)]
    return [symbols[word] for word in cut if word in symbols][:n]


_STREAM = _encode(_CODES, _WORDS)


DECODE = Exercise(
    "decode",
    _decode,
    [
        (_STREAM, _WORDS, len(_CODES)),
        (_STREAM + "000", _WORDS, len(_CODES)),
        ("110110100000", _WORDS, 3),
        ("00000000", _WORDS, 0),
        ("1" + "0" * 7, {3: "0", 7: "1"}, 1),
    ],
    [
        Mistake(
            "the padding is decoded, too",
            "the last byte is filled up with zeros, which may look like a word. Stop after n codes.",
            lambda bits, words, n: _read(bits, words, math.inf),
        ),
        Mistake(
            "there is one code too many",
            "stop *before* you read another word once there are n codes. Think of n = 0.",
            lambda bits, words, n: _read(bits, words, n + 1),
        ),
        Mistake(
            "the last code is missing",
            "the last word ends with the last bit: it counts also if nothing follows.",
            lambda bits, words, n: _read(bits, words, n)[:-1],
        ),
        Mistake(
            "the word is not emptied after a match",
            "when a word is complete, the next one starts from nothing.",
            lambda bits, words, n: _read(bits, words, n, reset=False),
        ),
        Mistake(
            "the stream is cut into words of equal length",
            "words have different lengths: read bit by bit until what you have is a word.",
            _chunks,
        ),
        Mistake(
            "words are returned, not codes",
            "`words` leads from symbol to word. You need the way back: turn the dictionary around.",
            lambda bits, words, n: _read(bits, words, n, give=lambda symbol, word: word),
        ),
        Mistake(
            "places in the table are returned, not codes",
            "a word stands for the symbol that is its key in `words`, not for its place in a list.",
            lambda bits, words, n: _read(bits, words, n, give=lambda symbol, word: list(words).index(symbol)),
        ),
        Mistake(
            "the codes come out backward",
            "append each code at the end.",
            lambda bits, words, n: _read(bits, words, n)[::-1],
        ),
    ],
)


# (h) Bytes


def _bits(counts: Sequence[int], lengths: Sequence[int]) -> int:
    return sum(c * n for c, n in zip(counts, lengths, strict=True))


def _compressed_bytes(counts: Sequence[int], lengths: Sequence[int]) -> int:
    return 5 + 2 * len(counts) + -(-_bits(counts, lengths) // 8)


COMPRESSED_BYTES = Exercise(
    "compressed_bytes",
    _compressed_bytes,
    [
        ([8, 4, 2, 2], [1, 2, 3, 3]),
        ([100, 1, 2], [1, 2, 2]),
        ([8, 8], [1, 1]),
        ([3, 50, 9, 21, 2, 40], [5, 1, 4, 3, 5, 2]),
    ],
    [
        Mistake(
            "bits are counted, not bytes",
            "a byte has eight bits.",
            lambda counts, lengths: 5 + 2 * len(counts) + _bits(counts, lengths),
        ),
        Mistake(
            "the last byte is lost",
            "// rounds down, and the last few bits fall out of the file. Round up.",
            lambda counts, lengths: 5 + 2 * len(counts) + _bits(counts, lengths) // 8,
        ),
        Mistake(
            "there is a byte too many if the bits fill the last one",
            "16 bits are 2 bytes, not 3. Round up only what is left over: math.ceil(bits / 8), or -(-bits // 8).",
            lambda counts, lengths: 5 + 2 * len(counts) + _bits(counts, lengths) // 8 + 1,
        ),
        Mistake(
            "there are fractions of bytes",
            "a file has whole bytes: round up.",
            lambda counts, lengths: 5 + 2 * len(counts) + _bits(counts, lengths) / 8,
        ),
        Mistake(
            "the header is missing",
            "without the symbols and lengths nobody can decode. 4 bytes, 1 byte, and 2 for each symbol come on top.",
            lambda counts, lengths: -(-_bits(counts, lengths) // 8),
        ),
        Mistake(
            "the table of symbols is missing",
            "each symbol needs a byte for itself and one for its length: 2 bytes for each, on top of the 5.",
            lambda counts, lengths: 5 + -(-_bits(counts, lengths) // 8),
        ),
        Mistake(
            "the five bytes in front are missing",
            "4 bytes say how many codes there are, 1 byte how many symbols.",
            lambda counts, lengths: 2 * len(counts) + -(-_bits(counts, lengths) // 8),
        ),
        Mistake(
            "every word fills whole bytes",
            "the words are written without gaps: add up all bits first, then round up once.",
            lambda counts, lengths: (
                5 + 2 * len(counts) + sum(c * -(-n // 8) for c, n in zip(counts, lengths, strict=True))
            ),
        ),
        Mistake(
            "every symbol is counted once",
            "a word is written each time that its symbol occurs: length times count.",
            lambda counts, lengths: 5 + 2 * len(counts) + -(-sum(lengths) // 8),
        ),
    ],
)

EXERCISES = [
    ENTROPY,
    KRAFT_SUM,
    IS_PREFIX_FREE,
    CODE_LENGTHS,
    CANONICAL_CODE,
    ENCODE,
    DECODE,
    COMPRESSED_BYTES,
]

QUESTIONS = [
    question(
        "answer_1",
        1.75,
        {
            2: "that is the fixed-length code for four symbols.",
            2.25: "weight the lengths 1, 2, 3, 3 with how often they are used.",
            28: "that is the whole message of 16 codes. How many bits per code?",
        },
    ),
    question(
        "answer_2",
        1,
        {
            0.07: "the entropy is a bound, and Huffman comes within one bit of it. How short can a word be?",
            0: "a word without bits cannot be told from no word at all, if there are two symbols.",
            2: "that is what fixed-length codes take. The commonest code has a shorter word.",
            1.07: "that is H + 1, which L stays below. How long is the word of the commonest code?",
        },
    ),
    question(
        "answer_3",
        "b",
        {
            "a": "equal steps have very unequal counts on bell-shaped weights: there is much to gain.",
            "c": "its levels lie closer where weights are dense, but not so close that all are equally frequent: "
            "there is "
            "something to gain.",
        },
    ),
    question(
        "answer_4",
        1,
        {
            0.5: "each old cell is cut in two, and to tell which half takes how many bits?",
            2: "the *error* falls to a quarter. Each old cell is cut in two only.",
            6.02: "that is the gain of the error in dB. What of the rate?",
            0: "each cell is cut in two, and the halves have to be told apart.",
        },
    ),
]
