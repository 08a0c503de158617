"""Make the table of the search space again: ``python -m qlab.neighbours.make_search_table`` (about 20 minutes).

Trains each of the 90 architectures once, quantizes it to every bit-width, and writes `search_table.py`. What is
finished is kept in a checkpoint beside it, so that an interrupted run resumes.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import product
from pathlib import Path

from tqdm.auto import tqdm

from qlab.data import load_test
from qlab.neighbours.search_space import SETTINGS, SPACE, Candidate, quantized_candidate, split, train_candidate
from qlab.zoo.training import evaluate

PLACE = Path(__file__).with_name("search_table.py")
HEAD = '''"""Accuracies of the whole search space, made by `python -m qlab.neighbours.make_search_table`; do not edit.

(block, kernel, width, depth): for each of {bits} bits, right answers among the 1,000 validation and
the 10,000 test pictures. One training run each ({settings}).
"""

ACCURACIES: dict[tuple[str, int, int, int], tuple[tuple[int, int], ...]] = {{
'''


def write(path: Path, text: str) -> None:
    """Write under a temporary name, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def measure(candidate: Candidate) -> list[tuple[int, int]]:
    """Return the right answers of a candidate's architecture, (validation, test) for every bit-width."""
    network = train_candidate(candidate)
    found = []
    for bits in SPACE["bits"]:
        low_bit = quantized_candidate(replace(candidate, bits=bits), network)
        found.append((round(1000 * evaluate(low_bit, split()[1])), round(10000 * evaluate(low_bit, load_test()))))
    return found


def main() -> None:
    """Train, measure, write."""
    checkpoint = PLACE.with_suffix(".checkpoint.json")
    done = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}
    architectures = list(product(*(SPACE[name] for name in ("block", "kernel", "width", "depth"))))
    for block, kernel, width, depth in tqdm(architectures):
        key = f"{block} {kernel} {width} {depth}"
        if key not in done:
            done[key] = measure(Candidate(block, kernel, width, depth, SPACE["bits"][0]))
            write(checkpoint, json.dumps(done))
    lines = []
    for key, pairs in done.items():
        block, *numbers = key.split()
        values = ", ".join(f"({v}, {t})" for v, t in pairs)
        lines.append(f'    ("{block}", {", ".join(numbers)}): ({values}),\n')
    settings = f"{SETTINGS.epochs} epochs, batches of {SETTINGS.batch_size}, lr {SETTINGS.lr}, seed {SETTINGS.seed}"
    head = HEAD.format(bits=", ".join(map(str, SPACE["bits"])), settings=settings)
    write(PLACE, head + "".join(lines) + "}\n")
    checkpoint.unlink()


if __name__ == "__main__":
    main()
