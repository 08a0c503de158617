"""The study of combinations: budgets are kept, bytes are counted by hand, and the shipped table can be made again."""

import pytest

from qlab import PerChannel, Quantizer, Symmetric, zoo
from qlab.neighbours import compress, sparsity
from qlab.neighbours.combinations import BUDGETS, COMBINATIONS, SEEDS, combine, hidden_for_bytes
from qlab.neighbours.combinations_table import RESULTS

FULL = 4 * (784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10)


@pytest.mark.row("B10")
def test_the_table_keeps_its_budgets():
    assert set(RESULTS) <= {(m, r) for m in COMBINATIONS for r in BUDGETS}
    for (method, ratio), (used, right) in RESULTS.items():
        assert used <= FULL / ratio
        assert len(right) == (1 if method == "quantize" else SEEDS)
        assert all(900 < r < 9500 for r in right)
    for method in COMBINATIONS[3:]:
        assert all((method, ratio) in RESULTS for ratio in BUDGETS)


@pytest.mark.row("B10")
def test_hidden_units_by_hand():
    """h units in fp32: 4·(785·h + 10·(h + 1)) bytes; at 4 bits half a byte a weight, and a scale a row."""
    assert hidden_for_bytes(20_000, None) == (20_000 // 4 - 10) // 795
    h = hidden_for_bytes(20_000, Quantizer(Symmetric(4), PerChannel(0)))

    def used(h):
        return -(-784 * h // 2) + 4 * h + -(-10 * h // 2) + 4 * 10 + 4 * (h + 10)

    assert used(h) <= 20_000 < used(h + 1)
    with pytest.raises(ValueError, match="one hidden unit, got 100"):
        hidden_for_bytes(100, None)


@pytest.mark.row("B10")
def test_quantizing_alone_is_what_it_says():
    made = combine("quantize", 10)
    again = compress(zoo.load("mlp"), 0.0, Quantizer(Symmetric(3), PerChannel(0)))
    assert made.nbytes == again.nbytes
    assert made.original == FULL
    assert round(10000 * zoo.evaluate(made.model)) == RESULTS["quantize", 10][1][0]
    assert combine("quantize", 60) is None


@pytest.mark.slow
@pytest.mark.row("B10")
@pytest.mark.parametrize("method", ["prune", "distil + quantize", "prune + distil + quantize"])
def test_the_table_can_be_made_again(method):
    """To a point and a half, on another machine; pruned weights stay zero through fine-tuning."""
    made = combine(method, 30, seed=1)
    assert abs(zoo.evaluate(made.model) - RESULTS[method, 30][1][1] / 10000) < 0.015
    assert made.nbytes <= RESULTS[method, 30][0]
    if "prune" in method:
        assert sparsity(made.model) > 0.85


@pytest.mark.row("B10")
def test_bad_input():
    with pytest.raises(ValueError, match="method must be one of"):
        combine("fold", 10)
    with pytest.raises(ValueError, match="ratio must be above 1"):
        combine("prune", 1)
