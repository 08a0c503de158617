"""Parts of a quantizer as plain dictionaries and back, so that files are readable and hold no code.

Survey-map row: C5.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["from_dict", "to_dict"]


def to_dict(part: Any) -> dict[str, Any]:
    """Return ``{"type": class name, field: value, …}`` for a frozen dataclass of `qlab`.

    Examples
    --------
    >>> from qlab.grids import Symmetric
    >>> to_dict(Symmetric(4))
    {'type': 'Symmetric', 'bits': 4, 'restricted': True, 'signed': True}

    Survey-map row: C5.
    """
    facts = {f.name: getattr(part, f.name) for f in fields(part) if f.init}
    return {"type": type(part).__name__, **{k: to_dict(v) if is_dataclass(v) else v for k, v in facts.items()}}


def from_dict(facts: dict[str, Any]) -> Any:
    """Undo `to_dict`, for grids and granularities.

    Raises
    ------
    ValueError
        If the type is not one that qlab knows.

    Survey-map row: C5.
    """
    from qlab import granularity, grids, powers_of_two

    known = {name: getattr(room, name) for room in (grids, powers_of_two, granularity) for name in room.__all__}
    facts = dict(facts)
    name = facts.pop("type", None)
    if not isinstance(known.get(name), type):
        raise ValueError(f"type must be a grid or a granularity of qlab, got {name!r}")
    return known[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()})
