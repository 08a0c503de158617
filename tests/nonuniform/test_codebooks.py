"""Codebooks of a tensor against scikit-learn, exact dynamic programming and counting."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from qlab import MSE, PerChannel, QuantizedTensor, Quantizer, Symmetric, Unscaled, grids
from qlab.history import optimal_samples
from qlab.nonuniform import kmeans_codebook, quantile_codebook

pytestmark = pytest.mark.row("Q9")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(x, grid):
    return float((Quantizer(grid, calibration=Unscaled()).fake(x) - x).double().square().mean())


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_no_worse_than_scikit_learn(bits):
    x = normal(3000).sinh()  # heavy tails
    peer = KMeans(1 << bits, n_init=10, random_state=0, tol=0).fit(x.numpy().astype(np.float64)[:, None])
    assert error(x, kmeans_codebook(x, bits)) <= peer.inertia_ / 3000 * 1.01


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_near_the_global_optimum_of_dynamic_programming(bits):
    x = normal(400, seed=3)
    best = optimal_samples(x.numpy().astype(float), 1 << bits)
    least = float(np.mean((best(x.numpy().astype(float)) - x.numpy()) ** 2))
    assert least * (1 - 1e-6) <= error(x, kmeans_codebook(x, bits)) <= 1.05 * least


def test_every_level_is_the_mean_of_its_cell():
    x = normal(5000, seed=1)
    grid = kmeans_codebook(x, 4)
    codes = Quantizer(grid, calibration=Unscaled())(x).codes
    for k, level in enumerate(grid.levels):
        assert float(x[codes == k].double().mean()) == pytest.approx(level, abs=1e-5)


@pytest.mark.parametrize("bits", [2, 4])
def test_beats_uniform_quantile_and_nf4_on_one_row(bits):
    x = normal(20_000, seed=2)
    best = error(x, kmeans_codebook(x, bits))
    others = [Quantizer(Symmetric(bits), calibration=MSE()), Quantizer(grids.NF4, calibration=MSE())]
    assert best < error(x, quantile_codebook(x, bits))
    assert all(best < float((q.fake(x) - x).square().mean()) for q in others[: 2 if bits == 4 else 1])


@pytest.mark.parametrize("bits", [1, 3, 5])
def test_quantile_codes_are_equally_frequent(bits):
    x = normal(1 << 12, seed=4)
    codes = torch.bucketize(x.double(), torch.tensor(np.quantile(x.double(), np.arange(1, 1 << bits) / (1 << bits))))
    levels = torch.tensor(quantile_codebook(x, bits).levels)
    for k, level in enumerate(levels):  # each level is the median of its share of the data
        assert float(x[codes == k].double().median()) == pytest.approx(float(level), abs=0.02)
    assert torch.bincount(codes).tolist() == [len(x) >> bits] * (1 << bits)


def test_rows_share_a_codebook_whatever_their_size(tmp_path):
    x = normal(16, 500)
    loud = x * torch.logspace(-3, 3, 16)[:, None]
    grid = kmeans_codebook(loud, 3, PerChannel(0))
    size = x.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(
        torch.tensor(grid.levels), torch.tensor(kmeans_codebook(x / size, 3).levels), rtol=1e-3, atol=1e-4
    )
    stored = Quantizer(grid, PerChannel(0), MSE())(loud)
    relative = (stored.dequantize() - loud).square().mean(1) / loud.square().mean(1)
    assert float(relative.max()) < 0.06  # 3 bits of Lloyd-Max: 0.0345
    assert stored.nbytes == 16 * 500 * 3 // 8 + 16 * 4 + 8 * 4
    stored.save(tmp_path / "w.safetensors")
    assert torch.equal(QuantizedTensor.load(tmp_path / "w.safetensors").dequantize(), stored.dequantize())


def test_many_zeros_and_too_few_numbers():
    x = torch.cat([torch.zeros(1000), torch.linspace(0.1, 1, 50)])
    assert len(quantile_codebook(x, 3).levels) == 8
    assert len(kmeans_codebook(x, 3).levels) == 8
    for fit in (kmeans_codebook, quantile_codebook):
        with pytest.raises(ValueError, match="at least 8 different numbers for 8 levels, got 2"):
            fit(torch.tensor([0.0, 1.0, 1.0]), 3)
        with pytest.raises(ValueError, match="finite"):
            fit(torch.tensor([0.0, float("nan")]), 1)
