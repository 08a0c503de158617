"""Lab 3's right solutions agree with the library; see test_checks.py for what all labs owe."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from qlab.course.check import CheckFailed, check
from qlab.course.checks import lab3_lloyd_max as lab
from qlab.grids import Codebook
from qlab.history import gaussian, lloyd_max, lloyd_samples, nearest_level
from qlab.packing import packed_bytes

ALL = [*lab.EXERCISES, *lab.QUESTIONS]
CASES = [(e, m) for e in ALL for m in e.mistakes]


def test_there_are_enough_of_them():
    assert len(CASES) >= 90
    assert all(len(e.mistakes) >= 2 for e in ALL)


@pytest.mark.row("H7")
@pytest.mark.parametrize("N", [2, 5, 16])
def test_the_right_solutions_agree_with_the_library(N):
    x = np.random.default_rng(N).laplace(size=3000)
    start = np.quantile(x, (np.arange(N) + 0.5) / N)
    peer = nearest_level(start)
    np.testing.assert_allclose(lab.THRESHOLDS.solution(start), peer.thresholds)
    np.testing.assert_array_equal(lab.ENCODE.solution(x, start), peer.encode(x))
    assert lab.DISTORTION.solution(x, start) == pytest.approx(np.mean((x - peer(x)) ** 2))
    np.testing.assert_allclose(
        lab.CENTROIDS.solution(x, peer.encode(x), start), lloyd_samples(x, N, start, steps=1).levels
    )
    levels, errors = lab.LLOYD.solution(x, start)
    np.testing.assert_allclose(levels, lloyd_samples(x, N, start).levels)
    assert errors[-1] == pytest.approx(np.mean((x - lloyd_samples(x, N, start)(x)) ** 2))
    best = lloyd_max(gaussian(), N)
    np.testing.assert_allclose(lab.GAUSSIAN_CENTROIDS.solution(best.thresholds), best.levels, atol=1e-9)
    table = Codebook(tuple(start))
    assert lab.CODEBOOK_BYTES.solution(x.size, N) == packed_bytes(x.size, table.width) + table.table_bytes


@pytest.mark.row("H7")
def test_the_best_of_several_starts_is_no_worse_than_any():
    x, starts = lab._CLUMPS, lab._STARTS
    ends = [lloyd_samples(x, 4, y) for y in starts]
    errors = [np.mean((x - q(x)) ** 2) for q in ends]
    np.testing.assert_allclose(lab.BEST_OF.solution(x, starts), ends[int(np.argmin(errors))].levels)
    before = [np.mean((x - nearest_level(y)(x)) ** 2) for y in starts]
    assert np.argmin(before) != np.argmin(errors)  # or the check could not tell "chosen too early"


def test_other_right_solutions_pass():
    check(lab.ENCODE, lambda x, levels: np.abs(np.subtract.outer(x, levels)).argmin(1))
    check(lab.ENCODE, lambda x, levels: (x[:, None] > (levels[1:] + levels[:-1]) / 2).sum(1))
    check(lab.DISTORTION, lambda x, levels: np.min((x[:, None] - levels) ** 2, axis=1).mean())

    def by_bincount(x, codes, levels):
        n = np.bincount(codes, minlength=levels.size)
        s = np.bincount(codes, weights=x, minlength=levels.size)
        return np.where(n > 0, s / np.maximum(n, 1), levels)

    check(lab.CENTROIDS, by_bincount)

    def until_the_levels_rest(x, levels):
        errors = [np.min((x[:, None] - levels) ** 2, axis=1).mean()]
        while True:
            new = by_bincount(x, np.abs(x[:, None] - levels).argmin(1), levels)
            errors.append(np.min((x[:, None] - new) ** 2, axis=1).mean())
            if np.allclose(new, levels, rtol=0, atol=1e-12):
                return new, np.array(errors)
            levels = new

    check(lab.LLOYD, until_the_levels_rest)
    check(lab.LLOYD, lambda x, y: lab._iterate(x, y, renew=by_bincount, steps=100))
    check(lab.QUESTIONS[0], 2)
    check(lab.QUESTIONS[2], 4)

    def by_truncated_normal(t):
        from scipy.stats import truncnorm

        edges = [-np.inf, *t, np.inf]
        return np.array([truncnorm.mean(a, b) for a, b in itertools.pairwise(edges)])

    check(lab.GAUSSIAN_CENTROIDS, by_truncated_normal)
    check(lab.THRESHOLDS, lambda y: np.convolve(y, [0.5, 0.5], "valid"))


@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [
        # kin of a seeded mistake, written in another way
        (lab.ENCODE, lambda x, y: (x[:, None] > y).sum(1).clip(max=y.size - 1), "above"),
        (lab.ENCODE, lambda x, y: np.digitize(x, y), "thresholds"),
        (lab.LLOYD, lambda x, y: lab._iterate(x, y, steps=15), "expected"),
        (lab.CENTROIDS, lambda x, c, y: np.bincount(c, weights=x, minlength=y.size), "summed up"),
        (lab.GAUSSIAN_CENTROIDS, lambda t: np.diff(norm.pdf([-np.inf, *t, np.inf])), "f\\(b\\) − f\\(a\\)"),
        (lab.DISTORTION, lambda x, y: np.linalg.norm(x - y[np.abs(x[:, None] - y).argmin(1)]) ** 2, "summed up"),
    ],
)
def test_kin_of_a_mistake(exercise, answer, words):
    with pytest.raises(CheckFailed, match=words):
        check(exercise, answer)


def test_an_endless_loop_is_stopped():
    def never(x, levels):
        while True:
            levels = levels + 0

    with pytest.raises(CheckFailed, match="did not end in time"):
        check(lab.LLOYD, never, seconds=0.5)
