"""Powers of two and their sums: levels against the papers, products by shifts against floating point."""

import pytest
import torch

from qlab import AdditivePowersOfTwo, Codebook, PerChannel, PowersOfTwo, QuantizedTensor, Quantizer, Stochastic
from qlab.shifts import shift_multiply, shifts

pytestmark = pytest.mark.row("Q8")

# Unsigned level sets as the authors of APoT publish them in code, sums over terms {0, 2^-1, …}, in units of the least.
PUBLISHED = {
    2: [[1, 2, 4]],
    3: [[8, 4, 1], [2]],
    4: [[32, 8, 2], [16, 4, 1]],
    5: [[64, 16, 2], [32, 8, 1], [4]],
    6: [[256, 32, 4], [128, 16, 2], [64, 8, 1]],
}
GRIDS = [
    *(PowersOfTwo(b) for b in range(2, 7)),
    *(PowersOfTwo(b, signed=False) for b in range(1, 6)),
    *(AdditivePowersOfTwo(b) for b in range(2, 9)),
    *(AdditivePowersOfTwo(b, signed=False) for b in range(1, 8)),
]


@pytest.mark.parametrize("bits", PUBLISHED)
def test_additive_levels_are_the_authors(bits):
    sums = {0}
    for term in PUBLISHED[bits]:
        sums = {s + p for s in sums for p in [0, *term]}
    assert AdditivePowersOfTwo(bits, signed=False).levels == tuple(sorted(map(float, sums)))
    assert AdditivePowersOfTwo(bits + 1).levels == tuple(sorted({float(v) for s in sums for v in (s, -s)}))


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_additive_levels_are_the_paper_s_equation(bits):
    # γ·Σ_i p_i, p_i ∈ {0, 2^(−i), 2^(−i−n), 2^(−i−2n)}: equation 5 with k = 2
    unsigned, n = bits - 2, (bits - 2) // 2
    sums = {0.0}
    for i in range(n):
        sums = {s + p for s in sums for p in (0, 2.0**-i, 2.0 ** (-i - n), 2.0 ** (-i - 2 * n))}
    found = torch.tensor(AdditivePowersOfTwo(unsigned, signed=False).levels)
    torch.testing.assert_close(found / found.max(), torch.tensor(sorted(sums)) / max(sums))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_widths_hold_the_codes_and_no_table_travels(grid, tmp_path):
    assert grid.width == grid.bits
    assert len(grid.levels) == (1 << grid.bits) - grid.signed
    assert grid.table_bytes == 0
    x = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    stored = Quantizer(grid, PerChannel(0))(x)
    stored.save(tmp_path / "w.safetensors")
    loaded = QuantizedTensor.load(tmp_path / "w.safetensors")
    assert loaded.grid == grid
    assert torch.equal(loaded.dequantize(), stored.dequantize())


def test_two_bits_are_ternary_and_three_bits_are_the_same_in_both():
    assert PowersOfTwo(2).levels == AdditivePowersOfTwo(2).levels == (-1, 0, 1)
    assert PowersOfTwo(3).levels == AdditivePowersOfTwo(3).levels


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_product_by_shifts_is_the_float_product_for_all_codes_and_all_bytes(grid):
    x = torch.arange(-128, 128)
    codes = torch.arange(len(grid.levels))
    found = shift_multiply(x[:, None], codes, grid)
    assert found.dtype == torch.int64
    assert torch.equal(found.double(), x[:, None].double() * torch.tensor(grid.levels, dtype=torch.float64))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_few_shifts_are_needed(grid):
    most = max(map(len, shifts(grid)))
    magnitude = grid.bits - grid.signed
    assert most == (1 if isinstance(grid, PowersOfTwo) else -(-magnitude // 2))


@pytest.mark.parametrize("grid", [PowersOfTwo(4), AdditivePowersOfTwo(5)], ids=str)
def test_a_whole_layer_by_shifts_is_exact(grid):
    generator = torch.Generator().manual_seed(1)
    w = Quantizer(grid)(torch.randn(7, 30, generator=generator))
    x = torch.randint(0, 256, (5, 30), generator=generator)
    by_shifts = shift_multiply(x[:, None], w.codes, grid).sum(-1)
    assert torch.equal(by_shifts.double(), x.double() @ grid.level(w.codes).T)


@pytest.mark.parametrize("e", range(6))
def test_thresholds_of_the_number_and_of_its_exponent(e):
    near, log = PowersOfTwo(4), PowersOfTwo(4, in_logarithm=True)
    one = torch.tensor([-1.0, 1.0]) * 2.0**e

    def levels(grid, t):
        from qlab.rounding import Nearest

        return grid.level(grid.index(t, Nearest()).clamp(*grid.code_range))

    assert torch.equal(levels(near, 1.49 * one), one.double())
    assert torch.equal(levels(near, 1.51 * one), 2 * one.double())
    assert torch.equal(levels(log, 1.41 * one), one.double())
    assert torch.equal(levels(log, 1.42 * one), 2 * one.double())


def test_rounded_in_the_logarithm_only_zero_is_zero_and_twice_is_once():
    for signed in (True, False):
        q = Quantizer(PowersOfTwo(4, signed, in_logarithm=True))
        x = torch.tensor([1e-9, 0.0, 0.3, 1.0]) if not signed else torch.tensor([-1.0, -1e-9, 0.0, 1e-9, 0.7])
        p = q.calibrate(x)
        once = q.fake(x, p)
        assert torch.equal(once == 0, x == 0)
        assert torch.equal(q.fake(once, p), once)


def test_stochastic_rounding_is_unbiased_here_too():
    q = Quantizer(AdditivePowersOfTwo(4), rounding=Stochastic(torch.Generator().manual_seed(0)))
    p = Quantizer(AdditivePowersOfTwo(4)).calibrate(torch.tensor([-10.0, 10.0]))
    assert float(q.fake(torch.full((40_000,), 6.5), p).mean()) == pytest.approx(6.5, abs=0.02)


def test_bad_input_is_refused():
    grid = PowersOfTwo(6)
    with pytest.raises(ValueError, match="bits must be an integer from 2 to 6, got 7"):
        PowersOfTwo(7)
    with pytest.raises(ValueError, match="from 1 to 7, got 8"):
        AdditivePowersOfTwo(8, signed=False)
    with pytest.raises(TypeError, match=r"integers, got torch.float32"):
        shift_multiply(torch.ones(2), torch.tensor([0, 1]), grid)
    with pytest.raises(ValueError, match="whole numbers"):
        shift_multiply(torch.tensor([1]), torch.tensor([0]), Codebook((-0.5, 1.0)))
    with pytest.raises(ValueError, match="codes must be from 0 to 62, got 63 to 63"):
        shift_multiply(torch.tensor([1]), torch.tensor([63]), grid)
    with pytest.raises(ValueError, match="overflow"):
        shift_multiply(torch.tensor([1 << 40]), torch.tensor([0]), grid)
