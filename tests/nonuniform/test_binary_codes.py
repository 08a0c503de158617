"""Sums of sign vectors against brute force, closed forms and each other."""

from itertools import product

import numpy as np
import pytest
import torch

from qlab import PerChannel
from qlab.nonuniform import alternating, best_alphas, best_codes, greedy, shifted_signs

pytestmark = pytest.mark.row("Q10")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def errors(x, found):
    return (found.dequantize() - x).square().sum(1)


def brute_force(w, bases):
    """The least error over all sets of sign vectors, coefficients by NumPy's least squares."""
    vectors = [np.array(v) for v in product((-1.0, 1.0), repeat=len(w) - 1)]
    vectors = [np.append(v, 1.0) for v in vectors]  # −b with −α is the same
    best = np.inf
    for chosen in product(vectors, repeat=bases):
        b = np.stack(chosen, 1)
        alpha = np.linalg.lstsq(b, w, rcond=None)[0]
        best = min(best, float(np.sum((w - b @ alpha) ** 2)))
    return best


@pytest.mark.parametrize("method", [greedy, alternating, shifted_signs])
def test_one_base_is_mean_size_times_sign(method):
    x = normal(5, 40)
    x -= x.mean(1, keepdim=True)
    x += 0 if method is shifted_signs else 0.3
    found = method(x, 1, PerChannel(0))
    torch.testing.assert_close(found.dequantize(), x.abs().mean(1, keepdim=True) * x.sign())


def test_nothing_beats_brute_force_and_alternating_often_meets_it():
    x = normal(12, 6, seed=1)
    best = torch.tensor([brute_force(w.numpy(), 2) for w in x], dtype=torch.float64)
    ours = errors(x, alternating(x, 2, PerChannel(0)))
    assert (ours >= best - 1e-9).all()
    assert (ours <= best + 1e-9).sum() >= 6
    assert float((errors(x, greedy(x, 2, PerChannel(0))) - ours).sum()) > 0


@pytest.mark.parametrize("bases", range(1, 6))
@pytest.mark.parametrize("seed", range(3))
def test_alternating_is_never_worse_than_greedy_row_by_row(bases, seed):
    x = normal(30, 50, seed=seed).sinh()
    ours = errors(x, alternating(x, bases, PerChannel(0)))
    for refine in (False, True):
        assert (ours <= errors(x, greedy(x, bases, PerChannel(0), refine)) + 1e-9).all()


def test_more_rounds_never_hurt_and_two_are_most_of_the_way():
    x = normal(20, 200, seed=5)
    by_steps = [float(errors(x, alternating(x, 3, PerChannel(0), steps)).sum()) for steps in (1, 2, 5, 100)]
    assert by_steps == sorted(by_steps, reverse=True)


def test_coefficients_are_those_of_least_squares_even_for_equal_codes():
    x = normal(3, 20)
    codes = torch.where(normal(3, 2, 20, seed=2) > 0, 1, -1).to(torch.int8)
    for row, b, alpha in zip(x, codes, best_alphas(x, codes), strict=True):
        want = np.linalg.lstsq(b.numpy().T.astype(float), row.numpy(), rcond=None)[0]
        np.testing.assert_allclose(alpha, want, atol=1e-9)
    twice = codes[:, :1].repeat(1, 2, 1)
    torch.testing.assert_close(best_alphas(x, twice).sum(1), (x * codes[:, 0]).mean(1))


@pytest.mark.parametrize("digits", [(-1.0, 1.0), (0.0, 1.0)])
def test_codes_are_those_of_the_nearest_sum(digits):
    x, alphas = normal(4, 300), normal(4, 3, seed=7)
    found = torch.einsum("rk,rkn->rn", alphas, best_codes(x, alphas, digits).double())
    words = torch.tensor(list(product(digits, repeat=3)), dtype=torch.float64)
    nearest = (x[..., None] - (alphas @ words.T)[:, None]).abs().amin(-1)
    torch.testing.assert_close((x - found).abs(), nearest)


def test_bytes_are_bits_and_coefficients():
    found = alternating(normal(8, 100), 3, PerChannel(0))
    assert found.nbytes == 8 * 100 * 3 // 8 + 8 * 3 * 4
    assert found.bits_per_value == pytest.approx(3 + 3 * 32 / 100)
    assert found.dequantize().shape == (8, 100)


def test_bad_input_is_refused():
    for bases in (0, 9):
        with pytest.raises(ValueError, match=f"bases must be an integer from 1 to 8, got {bases}"):
            greedy(torch.ones(2), bases)
    with pytest.raises(ValueError, match="finite"):
        alternating(torch.tensor([1.0, float("inf")]), 1)
