"""The figures on integer-only inference show what they are given."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.plots.integer import PIPELINES, draw_accumulators, draw_differences, draw_pipelines, draw_qdq


def test_pipelines_have_a_box_for_every_step():
    _, ax = plt.subplots()
    draw_pipelines(ax)
    assert len(ax.patches) >= sum(map(len, PIPELINES.values()))
    words = {t.get_text() for t in ax.texts}
    assert {"simulated", "Σ w·q + b", "uint8"} <= words
    assert all("float" not in kind for _, kind in PIPELINES["integer-only"])
    plt.close()


@pytest.mark.parametrize("bound", [2.0**20])
def test_accumulators_in_bits_with_sign(bound):
    _, ax = plt.subplots()
    draw_accumulators(ax, {"a": bound, "b": bound / 4}, {"a": bound / 2, "b": bound / 8})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [21, 19])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [20, 18])
    plt.close()


def test_differences_are_marked():
    _, ax = plt.subplots()
    far, size = np.array([0.3, 1e-6, 0.2]), np.array([1.0, 10.0, 100.0])
    draw_differences(ax, far, size, np.array([False, True, False]), 2.0**-22)
    assert ax.lines[0].get_xdata().tolist() == [1, 100]
    assert ax.lines[1].get_xdata().tolist() == [10]
    np.testing.assert_allclose(ax.lines[2].get_ydata(), 2.0**-22 * np.array([1, 100]))
    plt.close()


@pytest.mark.row("F1")
def test_the_file_of_a_layer_shows_what_is_stored_and_what_may_be_fused():
    fig, ax = plt.subplots()
    draw_qdq(ax)
    words = [t.get_text() for t in ax.texts]
    assert words.count("DequantizeLinear") == 3 and words.count("QuantizeLinear") == 2
    assert all(t.get_fontsize() >= 8 for t in ax.texts)
    assert any(patch.get_linestyle() == "--" for patch in ax.patches)
    plt.close(fig)
