"""Make the table of the zero-shot ladder again: ``python -m qlab.zsq.make_ladder_table`` (about 20 minutes).

Climbs every rung for every seed on the ConvNet, calibrates the other networks with BatchNorm on three kinds of
pictures, and writes `ladder_table.py`. What is finished is kept in a checkpoint beside it, so that an interrupted run
resumes.
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
from qlab.data import load_test
from qlab.hardware.timing import machine
from qlab.network import quantize
from qlab.ptq.fold import fold_batchnorm
from qlab.zsq.ladder import RECIPE, RUNGS, SETTINGS, climb, pictures

PLACE = Path(__file__).with_name("ladder_table.py")
SEEDS = 3
OTHERS = ("resnet", "separable")
KINDS = ("noise", "distilled", "real")
ONCE = ("statistics", "adversarial, fast generator")
HEAD = '''"""The zero-shot ladder of the ConvNet at W4A4, made by `python -m qlab.zsq.make_ladder_table`; do not edit.

rung: right answers among the 10,000 test pictures for each seed; one where nothing is random, and where it failed.
{steps} steps of {batch} pictures, learning rate {lr}. Commit {commit}, one thread.
CALIBRATED holds (network, pictures): the same without training, from 64 pictures, of 2,000.
{machine}.
"""

LADDER: dict[str, tuple[int, ...]] = {{
'''


def write(path: Path, text: str) -> None:
    """Write under a temporary name, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_table(done: dict[str, int], commit: str) -> None:
    """Write what is known so far, seeds in order."""
    s = SETTINGS
    text = HEAD.format(steps=s.steps, batch=s.batch_size, lr=s.lr, commit=commit, machine=machine())
    for rung in RUNGS:
        values = [str(done[key]) for seed in range(SEEDS) if (key := f"{rung}|{seed}") in done]
        text += f'    "{rung}": ({", ".join(values)}{"," if len(values) == 1 else ""}),\n'
    text += "}\n\nCALIBRATED: dict[tuple[str, str], tuple[int, ...]] = {\n"
    for name, kind in product(OTHERS, KINDS):
        values = [str(done[key]) for seed in range(SEEDS) if (key := f"{name}|{kind}|{seed}") in done]
        text += f'    ("{name}", "{kind}"): ({", ".join(values)}{"," if len(values) == 1 else ""}),\n'
    write(PLACE, text + "}\n")


def calibrated(name: str, kind: str, seed: int) -> int:
    """Return the right answers among 2,000 of a network calibrated on 64 pictures of a kind, W4A4, without training."""
    model = zoo.load(name)
    x, _ = pictures(model, kind, seed, steps=100, size=64)
    return round(2000 * zoo.evaluate(quantize(fold_batchnorm(model), RECIPE, [x]), load_test()[:2000]))


def main(seeds: int = SEEDS) -> None:
    """Climb, measure, write after each seed."""
    torch.set_num_threads(1)
    command = ["git", "-C", str(PLACE.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    checkpoint = PLACE.with_suffix(".checkpoint.json")
    done: dict[str, int] = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}
    model = zoo.load("convnet")
    for seed in range(seeds):
        rungs = [r for r in RUNGS if f"{r}|{seed}" not in done and (seed == 0 or r not in ONCE)]
        if not rungs:
            continue
        made = {kind: pictures(model, kind, seed) for kind in ("noise", "distilled", "inverted", "real")}
        for rung in tqdm(rungs, f"seed {seed}"):
            done[f"{rung}|{seed}"] = round(10_000 * zoo.evaluate(climb(model, rung, made, seed)))
            write(checkpoint, json.dumps(done))
        write_table(done, commit)
    for seed, name, kind in tqdm(list(product(range(seeds), OTHERS, KINDS)), "other networks"):
        if (key := f"{name}|{kind}|{seed}") not in done:
            done[key] = calibrated(name, kind, seed)
            write(checkpoint, json.dumps(done))
    write_table(done, commit)
    if seeds >= SEEDS:
        checkpoint.unlink()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
