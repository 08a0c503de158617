"""How numbers are written: three digits, quartiles beside them, units that people use.

Survey-map row: C4.
"""

from __future__ import annotations

from qlab.hardware.report.verdicts import gain

__all__ = ["NOTHING", "number", "shape", "speed", "working_set"]

NOTHING = "–"
"""Stands where nothing was measured."""


def number(value: float | None) -> str:
    """Return three digits without an exponent; whole numbers in full.

    Examples
    --------
    >>> number(0.01234), number(1234.5), number(438009), number(24.0)
    ('0.0123', '1,230', '438,009', '24')

    Survey-map row: C4.
    """
    if value is None:
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    return f"{float(f'{value:.3g}'):,.8f}".rstrip("0").rstrip(".")


def working_set(size: float) -> str:
    """Return bytes as people say them.

    Examples
    --------
    >>> working_set(8192), working_set(2**27)
    ('8 KB', '128 MB')

    Survey-map row: C4.
    """
    return f"{size / 1024:g} KB" if size < 2**20 else f"{size / 2**20:g} MB"


def speed(ratio: float | None, low: float | None, high: float | None) -> str:
    """Return "times as fast" with its quartiles, and in words where it is not faster.

    Examples
    --------
    >>> speed(2.0, 1.9, 2.2)
    '2 (1.9–2.2)'
    >>> speed(1.01, 0.98, 1.1)
    '1.01 (0.98–1.1), no difference seen'
    >>> speed(1.0, 1.0, 1.0)  # the baseline itself
    '1'

    Survey-map row: C4.
    """
    if ratio is None or low is None or high is None:
        return NOTHING
    if ratio == low == high == 1:
        return "1"
    verdict = gain(ratio, low, high).verdict
    return f"{number(ratio)} ({number(low)}–{number(high)})" + ("" if verdict == "faster" else f", {verdict}")


def shape(rows: int, columns: int) -> str:
    """Return rows × columns, not broken between lines.

    Survey-map row: C4.
    """
    return f"{number(rows)}\u00a0×\u00a0{number(columns)}"
