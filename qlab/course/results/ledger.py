"""The ledger: orders that the literature leads one to expect, and whether they show here.

    above:      mean(A) − mean(B) ≥ 1 point
    not below:  mean(A) − mean(B) ≥ −1 point
    near:       |mean(A) − mean(B)| ≤ 2 points

A point is about what 2,000 test pictures can tell two networks apart by: if the two erred independently, the standard
error √(2·p(1 − p)/2000) would be 0.95 points at p = 0.9; it is less, since they err on the same pictures.
"""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

from qlab.course.results.sweep import FAMILIES, PLACE
from qlab.course.results.table import Cell, cell, label
from qlab.course.results.task import Setting

__all__ = ["LEDGER", "RELATIONS", "Claim", "Verdict", "claims", "judge", "setting_of", "summary"]

LEDGER = Path(__file__).with_name("ledger.csv")
RELATIONS = {
    "above": lambda points: points >= 1,
    "not below": lambda points: points >= -1,
    "near": lambda points: abs(points) <= 2,
}


class Claim(NamedTuple):
    """An order that one expects.

    Attributes
    ----------
    id, family : str
    better, worse : str
        Two methods of the family.
    relation : str
        One of `RELATIONS`.
    networks : tuple of str
        Where it should show.
    settings : tuple of Setting
    paper, source, kind : str
        What was reported elsewhere, where, and how we know of it; may be empty.

    Survey-map rows: T2, T6, Z4.
    """

    id: str
    family: str
    better: str
    relation: str
    worse: str
    networks: tuple[str, ...]
    settings: tuple[Setting, ...]
    paper: str
    source: str
    kind: str


class Verdict(NamedTuple):
    """What our tables say of a claim on one network at one setting.

    Attributes
    ----------
    network : str
    setting : Setting
    better, worse : Cell
    points : float
        Difference of the means, in percent.
    holds : bool

    Survey-map rows: T2, T6, Z4.
    """

    network: str
    setting: Setting
    better: Cell
    worse: Cell
    points: float
    holds: bool


def setting_of(text: str) -> Setting:
    """Return the setting that `label` writes as `text`.

    Examples
    --------
    >>> setting_of("W4A8"), setting_of("W3")
    ((4, 8), (3, 32))

    Survey-map row: T6.
    """
    weights, _, activations = text.removeprefix("W").partition("A")
    return int(weights), int(activations or 32)


@cache
def claims() -> tuple[Claim, ...]:
    """Return the claims of the ledger.

    Survey-map rows: T2, T6, Z4.
    """
    with LEDGER.open(encoding="utf-8", newline="") as file:
        return tuple(
            Claim(
                line["id"],
                line["family"],
                line["better"],
                line["relation"],
                line["worse"],
                tuple(line["networks"].split()) or FAMILIES[line["family"]].networks,
                tuple(setting_of(text) for text in line["settings"].split()),
                line["paper"],
                line["source"],
                line["kind"],
            )
            for line in csv.DictReader(file)
        )


def judge(claim: Claim, place: Path = PLACE) -> list[Verdict]:
    """Return a verdict for each network and setting of a claim where both methods have run.

    Survey-map rows: T2, T6, Z4.
    """
    found = []
    for network in claim.networks:
        for setting in claim.settings:
            a, b = (cell(claim.family, network, name, setting, place) for name in (claim.better, claim.worse))
            points = 100 * (a.mean - b.mean)
            if not math.isnan(points):
                found.append(Verdict(network, setting, a, b, points, RELATIONS[claim.relation](points)))
    return found


def summary(claim: Claim, place: Path = PLACE) -> str:
    """Return one line: in how many cases it holds, and the median difference and its range.

    Survey-map rows: T2, T6, Z4.
    """
    found = sorted(judge(claim, place), key=lambda v: v.points)
    if not found:
        return "not measured"
    held = sum(v.holds for v in found)
    low, middle, high = found[0], found[len(found) // 2], found[-1]
    text = f"{held} of {len(found)}; {middle.points:+.1f} points"
    if len(found) > 1:
        ends = (f"{v.points:+.1f} ({v.network}, {label(v.setting)})" for v in (low, high))
        text += " (" + " to ".join(ends) + ")"
    return text
