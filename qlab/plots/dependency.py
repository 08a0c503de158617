"""A map of what needs what, as inline SVG whose boxes are links: the chapters of a course, for instance.

Boxes stand in layers, each below all that it needs:  layer(v) = 1 + max over needs of layer(u). A need that follows
from others (a needs b, b needs c, so a needs c) is not drawn.
"""

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.display import HTML

__all__ = ["Box", "dependency_map", "direct_needs", "layers"]

# Paired light fills and dark edges, apart in grey too; the text is black on all of them.
_FILLS = ("#ffffff", "#dbeafe", "#fde8c8", "#d3f0e4", "#f6d9ea", "#e4e4e4", "#fff3b0")
_WIDTH, _HEIGHT, _GAP, _ROW = 132, 46, 12, 86


@dataclass(frozen=True)
class Box:
    """One box of the map.

    Attributes
    ----------
    name, title : str
    group : int
        Which colour.
    needs : tuple of str
        Names of the boxes that come before.
    link : str
        Where a click leads; no link if empty.
    """

    name: str
    title: str
    group: int = 0
    needs: tuple[str, ...] = ()
    link: str = ""


def layers(boxes: Sequence[Box]) -> dict[str, int]:
    """Return the layer of each box, 0 for those that need nothing.

    Raises
    ------
    ValueError
        If a need is not among the boxes, or boxes need each other in a circle.

    Examples
    --------
    >>> layers([Box("a", "A"), Box("b", "B", needs=("a",)), Box("c", "C", needs=("a", "b"))])
    {'a': 0, 'b': 1, 'c': 2}
    """
    known = {box.name: box for box in boxes}
    for box in boxes:
        if unknown := set(box.needs) - known.keys():
            raise ValueError(f"needs of {box.name!r} must be names of boxes, got {', '.join(sorted(unknown))}")
    found: dict[str, int] = {}
    while len(found) < len(known):
        ready = [b for b in boxes if b.name not in found and all(n in found for n in b.needs)]
        if not ready:
            left = ", ".join(sorted(known.keys() - found.keys()))
            raise ValueError(f"boxes must not need each other in a circle: {left}")
        found |= {b.name: 1 + max((found[n] for n in b.needs), default=-1) for b in ready}
    return {box.name: found[box.name] for box in boxes}


def direct_needs(boxes: Sequence[Box]) -> dict[str, tuple[str, ...]]:
    """Return the needs of each box that do not follow from its others.

    Examples
    --------
    >>> direct_needs([Box("a", "A"), Box("b", "B", needs=("a",)), Box("c", "C", needs=("a", "b"))])["c"]
    ('b',)
    """
    known = {box.name: box for box in boxes}
    all_before: dict[str, set[str]] = {}
    for name in sorted(layers(boxes), key=layers(boxes).__getitem__):
        needs = known[name].needs
        all_before[name] = set(needs).union(*(all_before[n] for n in needs))
    return {b.name: tuple(n for n in b.needs if not any(n in all_before[m] for m in b.needs)) for b in boxes}


def dependency_map(boxes: Sequence[Box], label: str, per_row: int = 6) -> "HTML":
    """Draw boxes and what they need, each box a link.

    Parameters
    ----------
    boxes : sequence of Box
    label : str
        What the map shows, for those who cannot see it.
    per_row : int
        Boxes side by side; a fuller layer takes several rows.

    Returns
    -------
    IPython.display.HTML

    Raises
    ------
    ValueError
        If there are no boxes, or the label is empty.
    """
    from IPython.display import HTML

    if not boxes:
        raise ValueError("boxes must hold at least one box, got none")
    if not label.strip():
        raise ValueError("label must describe the map in words, got an empty text")
    place = _places(boxes, per_row)
    width = per_row * (_WIDTH + _GAP) - _GAP + 2
    height = max(y for _, y in place.values()) + _HEIGHT + 2
    lines = []
    for name, needs in direct_needs(boxes).items():
        x, y = place[name]
        for need in needs:
            u, v = place[need]
            start, end = (u + _WIDTH / 2, v + _HEIGHT), (x + _WIDTH / 2, y)
            bend = max(20.0, (end[1] - start[1]) / 2)
            lines.append(
                f'<path d="M{start[0]:.0f} {start[1]:.0f}C{start[0]:.0f} {start[1] + bend:.0f} '
                f'{end[0]:.0f} {end[1] - bend:.0f} {end[0]:.0f} {end[1]:.0f}"/>'
            )
    shown = "".join(_box(box, *place[box.name]) for box in boxes)
    text = html.escape(label, quote=True)
    return HTML(
        f'<div class="qlab-map" style="overflow-x:auto;background:#fff;border-radius:6px;padding:6px" tabindex="0" '
        f'role="region" aria-label="{text}">'
        f'<svg viewBox="-1 -1 {width} {height}" style="min-width:640px;width:100%;height:auto" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{text}</title>'
        f'<g fill="none" stroke="#777" stroke-width="1.2">{"".join(lines)}</g>{shown}</svg></div>'
    )


def _places(boxes: Sequence[Box], per_row: int) -> dict[str, tuple[float, float]]:
    """Give each box a place: layer by layer, in a layer near the mean place of what it needs."""
    layer = layers(boxes)
    order = {box.name: i for i, box in enumerate(boxes)}
    known = {box.name: box for box in boxes}
    column: dict[str, float] = {}
    place: dict[str, tuple[float, float]] = {}
    row = 0
    for depth in range(max(layer.values()) + 1):
        here = [name for name in order if layer[name] == depth]

        def wish(name: str) -> tuple[float, int]:
            needs = known[name].needs
            return (sum(column[n] for n in needs) / len(needs) if needs else 0.0, order[name])

        here.sort(key=wish)
        for first in range(0, len(here), per_row):
            some = here[first : first + per_row]
            left = (per_row - len(some)) / 2
            for i, name in enumerate(some):
                column[name] = left + i
                place[name] = ((left + i) * (_WIDTH + _GAP), row * _ROW)
            row += 1
    return place


def _box(box: Box, x: float, y: float) -> str:
    rows = textwrap.wrap(box.title, 21)[:3]
    first = _HEIGHT / 2 - 6.5 * (len(rows) - 1) + 4
    words = "".join(
        f'<tspan x="{x + _WIDTH / 2:.0f}" y="{y + first + 13 * i:.0f}">{html.escape(row)}</tspan>'
        for i, row in enumerate(rows)
    )
    fill = _FILLS[box.group % len(_FILLS)]
    shape = (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" fill="{fill}" stroke="#333"/>'
        f'<text text-anchor="middle" font-size="11.5" font-family="sans-serif" fill="#000">{words}</text>'
    )
    if not box.link:
        return f"<g>{shape}</g>"
    title = html.escape(box.title, quote=True)
    return f'<a href="{html.escape(box.link, quote=True)}" aria-label="{title}">{shape}</a>'
