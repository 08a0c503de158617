"""The figures of vector quantization show what was counted."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from qlab.plots.style import PALETTE
from qlab.plots.vector import METHOD_LOOKS, draw_anatomy, draw_bytes_against_accuracy, draw_codewords
from qlab.vector.comparison import METHODS

mpl.use("agg")


@pytest.mark.row("V2")
def test_the_error_is_that_of_the_nearest_codeword():
    fig, ax = plt.subplots()
    error = draw_codewords(ax, [[0.0, 0.0], [1.0, 1.2]], [[0.0, 0.2], [1.0, 1.0]], 2.0)
    assert error == pytest.approx(0.08 / 4)
    assert ax.get_xlim() == (-2, 2)
    plt.close(fig)


@pytest.mark.row("V1")
def test_bars_are_as_long_as_the_files_and_parts_are_named_once():
    fig, ax = plt.subplots()
    draw_anatomy(ax, {"a": {"codes": 600, "distances": 400}, "b": {"codes": 100, "distances": 3}})
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert ends == [600, 1000, 100, 103]
    assert [t.get_text().strip() for t in ax.texts] == ["600", "400", "1,000", "100", "103"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["codes", "distances"]
    plt.close(fig)


@pytest.mark.row("V3")
def test_every_method_has_a_look_of_its_own():
    assert set(METHOD_LOOKS) == set(METHODS)
    assert len(set(METHOD_LOOKS.values())) == len(METHODS)
    assert all(color in PALETTE for color, _ in METHOD_LOOKS.values())
    fig, ax = plt.subplots()
    draw_bytes_against_accuracy(ax, {"PQ": [(2000, 0.8, 0.01), (1000, 0.7, 0.0)]}, (5000, 0.9))
    line = ax.get_lines()[0]
    assert line.get_xdata().tolist() == [1000, 2000]
    assert line.get_ydata().tolist() == pytest.approx([70, 80])
    plt.close(fig)
