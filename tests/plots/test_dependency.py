"""The map: layers and direct needs against networkx-free brute force, one link per box, and words for bad input."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlab.plots.dependency import Box, dependency_map, direct_needs, layers

CHAIN = [Box("a", "First & last", 0, (), "a.html"), Box("b", "B", 1, ("a",), "b.html"), Box("c", "C", 2, ("a", "b"))]


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 7))
    pairs = [(i, j) for i, j in product(range(n), repeat=2) if j < i]
    chosen = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    return [Box(str(i), f"Box {i}", needs=tuple(str(j) for k, j in sorted(chosen) if k == i)) for i in range(n)]


def reachable(edges, start):
    found, todo = set(), [start]
    while todo:
        for n in edges[todo.pop()]:
            if n not in found:
                found.add(n)
                todo.append(n)
    return found


@given(graphs())
def test_direct_needs_are_the_fewest_that_say_the_same(boxes):
    full = {b.name: b.needs for b in boxes}
    fewer = direct_needs(boxes)
    for name in full:
        assert reachable(fewer, name) == reachable(full, name)
        for n in fewer[name]:
            without = fewer | {name: tuple(m for m in fewer[name] if m != n)}
            assert n not in reachable(without, name)


@given(graphs())
def test_every_box_stands_below_what_it_needs(boxes):
    depth = layers(boxes)
    assert all(depth[b.name] > depth[n] for b in boxes for n in b.needs)
    assert all(depth[b.name] == 0 for b in boxes if not b.needs)


def test_boxes_do_not_overlap_and_link():
    boxes = [Box(f"n{i}", f"Chapter {i}", i, ("n0",) if i else (), f"{i}.html") for i in range(12)]
    text = dependency_map(boxes, "chapters").data
    corners = [(float(x), float(y)) for x, y in re.findall(r'<rect x="(\d+)" y="(\d+)"', text)]
    assert len(set(corners)) == 12
    assert all(abs(a - c) >= 132 or abs(b - d) >= 46 for a, b in corners for c, d in corners if (a, b) != (c, d))
    assert re.findall(r'<a href="(\d+)\.html"', text) == [str(i) for i in range(12)]


def test_words_are_escaped_and_the_map_is_labelled():
    text = dependency_map(CHAIN, "what needs what").data
    assert "First &amp; last" in text
    assert 'aria-label="what needs what"' in text
    assert text.count("<path") == 2  # a → c follows from the others


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([Box("a", "A", needs=("x",))], "needs of 'a' must be names of boxes, got x"),
        ([Box("a", "A", needs=("b",)), Box("b", "B", needs=("a",))], "circle: a, b"),
    ],
)
def test_bad_needs(boxes, words):
    with pytest.raises(ValueError, match=words):
        layers(boxes)


def test_bad_maps():
    with pytest.raises(ValueError, match="boxes must hold"):
        dependency_map([], "x")
    with pytest.raises(ValueError, match="label must describe"):
        dependency_map(CHAIN, " ")
