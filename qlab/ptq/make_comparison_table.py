"""Make the comparison of post-training methods again: ``python -m qlab.ptq.make_comparison_table`` (about 10 minutes).

Every method, setting and network on the same 1,000 test pictures, with several draws of 256 calibration pictures. What
is finished is kept in a checkpoint beside the table, so that an interrupted run resumes.
"""

from __future__ import annotations

import json
import os
import subprocess
from itertools import product
from pathlib import Path

import torch
from tqdm.auto import tqdm

from qlab import zoo
from qlab.data import load_calibration, load_test
from qlab.hardware.timing import machine
from qlab.ptq.comparison import METHODS, SETTINGS
from qlab.ptq.fold import fold_batchnorm

PLACE = Path(__file__).with_name("comparison_table.py")
NETWORKS = ("convnet", "resnet", "separable")
DRAWS, CALIBRATION, PICTURES = 3, 256, 1000
HEAD = '''"""Post-training methods compared, made by `python -m qlab.ptq.make_comparison_table`; do not edit.

(network, method, WxAy): right answers among the first {pictures:,} test pictures, for {draws} draws of {calibration}
calibration pictures. Commit {commit}; {machine}, one thread.
"""

COMPARISON: dict[tuple[str, str, str], tuple[int, ...]] = {{
'''


def write(path: Path, text: str) -> None:
    """Write under a temporary name, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def main() -> None:
    """Quantize, measure, write."""
    torch.set_num_threads(1)
    command = ["git", "-C", str(PLACE.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    checkpoint = PLACE.with_suffix(".checkpoint.json")
    done: dict[str, int] = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}
    test = load_test()[:PICTURES]
    jobs = list(product(range(DRAWS), NETWORKS, SETTINGS, METHODS))
    models = {name: fold_batchnorm(zoo.load(name)) for name in NETWORKS}
    for draw, name, bits, method in tqdm(jobs):
        key = f"{name}|{method}|W{bits[0]}A{bits[1]}|{draw}"
        if key not in done:
            batches = list(load_calibration(CALIBRATION, seed=draw).tensors()[0].split(64))
            quantized = METHODS[method](models[name], bits, batches)
            done[key] = round(PICTURES * zoo.evaluate(quantized, test, batch_size=50))
            write(checkpoint, json.dumps(done))
        if (name, bits, method) == jobs[-1][1:]:  # a draw is complete
            write_table(done, draw + 1, commit)
    checkpoint.unlink()


def write_table(done: dict[str, int], draws: int, commit: str) -> None:
    """Write what is known after so many draws."""
    text = HEAD.format(pictures=PICTURES, draws=draws, calibration=CALIBRATION, commit=commit, machine=machine())
    for name, bits, method in product(NETWORKS, SETTINGS, METHODS):
        setting = f"W{bits[0]}A{bits[1]}"
        values = tuple(done[f"{name}|{method}|{setting}|{draw}"] for draw in range(draws))
        text += f'    ("{name}", "{method}", "{setting}"): {values},\n'
    write(PLACE, text + "}\n")


if __name__ == "__main__":
    main()
