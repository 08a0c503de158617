"""Pictures of prefix codes: the tree, and the tiles that codewords cut out of [0, 1).

A codeword c of length ℓ owns the binary fractions that begin with it, the interval [c, c + 1)·2^(−ℓ). In a prefix code
these intervals do not meet, so their widths add up to at most 1: Kraft's inequality, seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qlab.plots.style import COLORS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_tiles", "draw_tree"]


def draw_tree(ax: Axes, words: Mapping[Any, str], weight: Mapping[Any, float] | None = None) -> None:
    """Draw the tree of a prefix code: 0 goes left, 1 goes right, a symbol sits on each leaf.

    Parameters
    ----------
    ax : matplotlib axes
    words : mapping of symbol to codeword, a string of 0 and 1
    weight : mapping of symbol to frequency, optional
        Written below the symbols.

    Survey-map row: H6.
    """
    leaves = sorted(words, key=lambda s: words[s])
    x = {words[s]: float(i) for i, s in enumerate(leaves)}
    inner = {w[:n] for w in words.values() for n in range(len(w))}
    for node in sorted(inner, key=len, reverse=True):
        children = [x[node + bit] for bit in "01" if node + bit in x]
        x[node] = sum(children) / len(children)
    for node, at in x.items():
        if node:
            above = x[node[:-1]]
            ax.plot([above, at], [1 - len(node), -len(node)], "-", color=PALETTE["grey"], lw=1, zorder=1)
            ax.text(
                (above + at) / 2, 0.5 - len(node), node[-1], ha="center", va="center", fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
    ax.plot([x[n] for n in inner], [-len(n) for n in inner], "o", ms=5, color=PALETTE["grey"])
    for symbol in leaves:
        word = words[symbol]
        ax.text(
            x[word], -len(word), f"{symbol}", ha="center", va="center", fontsize=10, zorder=3,
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": PALETTE["blue"], "lw": 1.5},
        )  # fmt: skip
        if weight is not None:
            ax.text(x[word], -len(word) - 0.42, f"{weight[symbol]:.2g}", ha="center", va="center", fontsize=8)
    deepest = max(map(len, words.values()))
    ax.set(xlim=(-0.7, len(leaves) - 0.3), ylim=(-deepest - 0.7, 0.3), yticks=range(-deepest, 1), xticks=[])
    ax.set_yticklabels([str(n) for n in range(deepest, -1, -1)])
    ax.set_ylabel("depth = length / bit")
    ax.grid(False)


def draw_tiles(ax: Axes, words: Mapping[Any, str], y: float = 0.0) -> None:
    """Draw every codeword as its interval of [0, 1); words that begin others lie above them.

    Survey-map row: H6.
    """
    for i, word in enumerate(words.values()):
        start, width = int(word, 2) / 2 ** len(word), 2.0 ** -len(word)
        lift = 0.3 * sum(word != other and word.startswith(other) for other in words.values())
        ax.barh(y - lift, width, 0.28, left=start, color=COLORS[i % len(COLORS)], edgecolor="white", alpha=0.35)
        ax.text(start + width / 2, y - lift, word, ha="center", va="center", fontsize=9)
