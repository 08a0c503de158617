"""Make the table of combinations again: ``python -m qlab.neighbours.make_combinations_table`` (a few minutes).

Runs `qlab.neighbours.combinations.combine` for every method, budget and seed, and writes `combinations_table.py`.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from tqdm.auto import tqdm

from qlab.neighbours.combinations import BUDGETS, COMBINATIONS, SEEDS, combine
from qlab.neighbours.make_search_table import write
from qlab.zoo import evaluate

PLACE = Path(__file__).with_name("combinations_table.py")
HEAD = '''"""Pruning, distilling and quantizing at equal bytes, made by `make_combinations_table`; do not edit.

(method, compression ratio): bytes used, and right answers among the 10,000 test pictures for each seed; a method
that cannot reach a ratio is not there.
"""

RESULTS: dict[tuple[str, int], tuple[int, tuple[int, ...]]] = {
'''


def measure(method: str, ratio: int) -> tuple[int, tuple[int, ...]] | None:
    """Return the most bytes used and the right answers of each seed; one seed where nothing is random."""
    right, used = [], 0
    for seed in range(1 if method == "quantize" else SEEDS):
        made = combine(method, ratio, seed)
        if made is None:
            return None
        used = max(used, made.nbytes)
        right.append(round(10000 * evaluate(made.model)))
    return used, tuple(right)


def main() -> None:
    """Measure all, write."""
    found = {key: measure(*key) for key in tqdm(list(product(COMBINATIONS, BUDGETS)))}
    lines = [f'    ("{m}", {r}): {result},\n' for (m, r), result in found.items() if result is not None]
    write(PLACE, HEAD + "".join(lines) + "}\n")


if __name__ == "__main__":
    main()
