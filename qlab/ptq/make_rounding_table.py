"""Make the comparison of ways to round again: ``python -m qlab.ptq.make_rounding_table`` (about 10 minutes).

Every method and number of bits on two networks and the same 1,000 test pictures, with several draws of 256 calibration
pictures; then AdaRound and AdaQuant with fewer pictures. What is finished is kept in a checkpoint beside the table, so
that an interrupted run resumes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import torch
from tqdm.auto import tqdm

from qlab import zoo
from qlab.data import load_calibration, load_test
from qlab.hardware.timing import machine
from qlab.ptq.fold import fold_batchnorm
from qlab.ptq.rounding_comparison import BITS, METHODS, STEPS, nearest

PLACE = Path(__file__).with_name("rounding_table.py")
NETWORKS = ("convnet", "resnet")
DRAWS = {"convnet": 3, "resnet": 2}
CALIBRATION, PICTURES = 256, 1000
FEW = (("AdaRound", "AdaQuant", "GPTQ"), (4, 16, 64))  # on the first network, 3 bits
HEAD = '''"""Ways to round compared, made by `python -m qlab.ptq.make_rounding_table`; do not edit.

(network, method, bits, calibration pictures): right answers among the first {pictures:,} test pictures, for each draw
of the calibration pictures; one where none are used. {steps} steps. Commit {commit}, PyTorch {torch}, one thread.
{machine}.
"""

ROUNDING: dict[tuple[str, str, int, int], tuple[int, ...]] = {{
'''


def write(path: Path, text: str) -> None:
    """Write under a temporary name, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def jobs() -> list[tuple[int, str, str, int, int]]:
    """Return (draw, network, method, bits, pictures), first network and first draw first."""
    names, sizes = FEW
    result = []
    for network, draw in [(name, d) for name in NETWORKS for d in range(DRAWS[name])]:
        result += [
            (draw, network, method, bits, CALIBRATION)
            for bits, method in product(BITS, METHODS)
            if draw == 0 or method != "nearest"
        ]
        if network == NETWORKS[0]:
            result += [(draw, network, method, 3, size) for size, method in product(sizes, names)]
    return result


def write_table(done: dict[str, int], commit: str) -> None:
    """Write what is known so far, draws in order."""
    table: dict[tuple[str, str, int, int], list[int]] = {}
    for draw, network, method, bits, size in jobs():
        if (key := f"{network}|{method}|{bits}|{size}|{draw}") in done:
            table.setdefault((network, method, bits, size), []).append(done[key])
    text = HEAD.format(pictures=PICTURES, steps=STEPS, commit=commit, torch=torch.__version__, machine=machine())
    for (network, method, bits, size), values in table.items():
        numbers = ", ".join(map(str, values)) + ("," if len(values) == 1 else "")
        text += f'    ("{network}", "{method}", {bits}, {size}): ({numbers}),\n'
    write(PLACE, text + "}\n")


def answers(model: torch.nn.Module, method: str, bits: int, size: int, draw: int) -> int:
    """Return the right answers of one entry."""
    x = list(load_calibration(size, seed=draw).tensors()[0].split(64))
    rounded = METHODS[method](nearest(model, bits), model, x)
    return round(PICTURES * zoo.evaluate(rounded, load_test()[:PICTURES]))


def main(*networks: str) -> None:
    """Round, measure, write after each entry."""
    torch.set_num_threads(1)
    command = ["git", "-C", str(PLACE.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    checkpoint = PLACE.with_suffix(".checkpoint.json")
    done: dict[str, int] = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}
    models = {name: fold_batchnorm(zoo.load(name)) for name in NETWORKS}
    for draw, network, method, bits, size in tqdm([job for job in jobs() if job[1] in (networks or NETWORKS)]):
        if (key := f"{network}|{method}|{bits}|{size}|{draw}") not in done:
            done[key] = answers(models[network], method, bits, size, draw)
            write(checkpoint, json.dumps(done))
            write_table(done, commit)
    if len(done) == len(jobs()):
        checkpoint.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
