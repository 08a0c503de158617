"""The report as JSON and back; numbers are rounded to three digits, so that all pages say the same.

Survey-map row: C4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qlab.hardware.networks import NetworkSpeed
from qlab.hardware.report.content import FormatBytes, KernelSpeed, LayerSpeed, Report, Settings
from qlab.hardware.roofline import Roofline
from qlab.hardware.timing import Ratio

__all__ = ["read_report", "rounded", "to_json"]

KIND = "qlab hardware report"
VERSION = 1
LISTS: Mapping[str, Any] = {
    "layers": LayerSpeed,
    "kernels": KernelSpeed,
    "sweep": KernelSpeed,
    "memory": FormatBytes,
    "networks": NetworkSpeed,
}
"""The lists of a report, and what stands in them."""


def _plain(value: Any) -> Any:
    """Return dictionaries, lists, words and numbers; of real numbers three digits."""
    if value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value]


def _content(report: Report) -> dict[str, Any]:
    parts = {key: getattr(report, key) for key in ("about", "settings", *LISTS, "missing", "seconds")}
    parts["noise"] = report.noise and vars(report.noise)
    parts["roofline"] = (r := report.roofline) and {
        "peak": r.peak,
        "bandwidths": [{"bytes": size, "gigabytes_per_second": rate} for size, rate in r.bandwidths],
    }
    return {"kind": KIND, "version": VERSION} | _plain(parts)


def _from_content(content: Mapping[str, Any]) -> Report:
    def tuples(value: Any) -> Any:
        return tuple(tuples(v) for v in value) if isinstance(value, list) else value

    roofline, noise = content["roofline"], content["noise"]
    if roofline is not None:
        pairs = tuple((int(b["bytes"]), float(b["gigabytes_per_second"])) for b in roofline["bandwidths"])
        roofline = Roofline(roofline["peak"], pairs)
    return Report(
        dict(content["about"]),
        Settings(**{key: tuples(value) for key, value in content["settings"].items()}),
        None if noise is None else Ratio(**noise),
        roofline,
        **{part: tuple(kind(**line) for line in content[part]) for part, kind in LISTS.items()},
        missing=dict(content["missing"]),
        seconds=content["seconds"],
    )


def rounded(report: Report) -> Report:
    """Return the report as it will be read back from its file.

    Survey-map row: C4.
    """
    return _from_content(_content(report))


def to_json(report: Report) -> str:
    """Return the report for machines.

    Survey-map row: C4.
    """
    return json.dumps(_content(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_report(path: Path) -> Report:
    """Read a report that was written before, perhaps on another machine.

    Raises
    ------
    ValueError
        If there is no such file, or it is no report; the message says what it is instead.

    Survey-map row: C4.
    """
    hint = "`python -m qlab.hardware report --to DIR` makes one, DIR/report.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); {hint}") from None
    except ValueError:
        raise ValueError(f"{path} must be a report in JSON, got something that is no JSON; {hint}") from None
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind != KIND:
        raise ValueError(f"{path} must be a {KIND}, got JSON of kind {kind!r}; {hint}")
    if content.get("version") != VERSION:
        raise ValueError(f"{path} is a report of version {content.get('version')}, this qlab reads {VERSION}; {hint}")
    try:
        return _from_content(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is a report that lacks something or was changed by hand: {error!r}; {hint}") from None
