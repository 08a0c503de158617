"""The pictures of prefix codes show every symbol once, at its depth, and tiles that do or do not meet."""

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import pytest

from qlab.plots.huffman import draw_tiles, draw_tree


@pytest.mark.row("H6")
def test_every_symbol_hangs_at_the_depth_of_its_word():
    words = {-1: "10", 0: "0", 1: "110", 2: "111"}
    fig, ax = plt.subplots()
    draw_tree(ax, words, dict.fromkeys(words, 0.25))
    depth = {text.get_text(): -text.get_position()[1] for text in ax.texts if text.get_fontsize() == 10}
    assert depth == {str(s): len(w) for s, w in words.items()}
    assert sum(text.get_text() == "0.25" for text in ax.texts) == 4
    plt.close(fig)


@pytest.mark.row("H6")
@pytest.mark.parametrize(("words", "rows"), [(["0", "10", "11"], 1), (["0", "01", "11"], 2)])
def test_tiles_meet_only_where_a_word_begins_another(words, rows):
    fig, ax = plt.subplots()
    draw_tiles(ax, dict(enumerate(words)))
    assert sorted(p.get_width() for p in ax.patches) == sorted(2.0 ** -len(w) for w in words)
    assert len({p.get_y() for p in ax.patches}) == rows
    plt.close(fig)
