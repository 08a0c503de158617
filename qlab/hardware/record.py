"""Keep what long runs measured: a CSV file that grows line by line, loses nothing, and knows where each line came from.

    file = read(file) ∪ { run(job) : job ∈ jobs, not in file },   written anew after each run

Each line ends with the commit, PyTorch's version and the machine. Writing goes to a temporary name that is renamed.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from tqdm.auto import tqdm

from qlab.hardware.timing import machine

__all__ = ["ORIGIN", "Line", "commit", "complete", "origin", "read_as", "read_lines", "write_lines"]

ORIGIN = ("commit", "torch", "machine")
"""The fields that say where a line came from."""
Line = dict[str, str]
"""A line of the file, as text."""
Row = TypeVar("Row")


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a file; none if there is no file yet.

    Survey-map row: C7.
    """
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_as(path: Path, kind: type[Row]) -> tuple[Row, ...]:
    """Return the lines of a file as NamedTuples of a kind, each field in its own type.

    Survey-map row: C7.
    """
    kinds = get_type_hints(kind)
    return tuple(kind(*(kinds[field](line[field]) for field in kinds)) for line in read_lines(path))


def write_lines(path: Path, fields: Sequence[str], lines: Iterable[Line]) -> None:
    """Write a file under a temporary name, then rename it.

    Parameters
    ----------
    path : Path
    fields : sequence of str
        The header.
    lines : iterable of dict

    Raises
    ------
    ValueError
        If a line has a field that the header does not have.

    Survey-map row: C7.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, path)


def commit(place: Path = Path(__file__).parent) -> str:
    """Return the short name of the commit that the code comes from, or "unknown" outside a repository.

    Survey-map row: C7.
    """
    try:
        command = ["git", "-C", str(place), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def origin() -> Line:
    """Return commit, PyTorch's public version and the machine.

    Survey-map row: C7.
    """
    return {"commit": commit(), "torch": str(torch.__version__).split("+")[0], "machine": machine()}


def complete(path: Path, jobs: Iterable[tuple[Any, ...]], run: Callable[..., Any]) -> None:
    """Run the jobs that a file does not hold, one after another with one thread, and keep each as soon as it is there.

    Parameters
    ----------
    path : Path
    jobs : iterable of tuples
        Arguments of `run`. They are the first fields of a line, so that a line tells which job it was.
    run : function
        Return a NamedTuple; its field `seconds`, if it has one, is rounded.

    Survey-map row: C7.
    """
    lines, note = read_lines(path), origin()
    done = [list(line.values()) for line in lines]
    torch.set_num_threads(1)
    for job in tqdm([job for job in jobs if not any(d[: len(job)] == [*map(str, job)] for d in done)], path.stem):
        found = run(*job)._asdict()
        if "seconds" in found:
            found["seconds"] = round(found["seconds"], 2)
        lines.append({field: str(value) for field, value in found.items()} | note)
        write_lines(path, list(lines[-1]), lines)
