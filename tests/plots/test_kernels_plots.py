"""The figures of kernels put points and limits where the numbers say."""

import matplotlib.pyplot as plt
import pytest

from qlab.hardware import LayerCost, Roofline
from qlab.hardware.kernels.measure import Speed
from qlab.plots.kernels import draw_bandwidths, draw_product, draw_speeds, draw_sweep


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def speed(kernel, limit, ratio, batch=1):
    values = {
        "rows": 8,
        "columns": 8,
        "batch": batch,
        "kernel": kernel,
        "milliseconds": 1.0,
        "ratio": ratio,
        "low": 0.9 * ratio,
        "high": 1.1 * ratio,
        "limit": limit,
        "threads": 1,
    }
    return Speed(*(values.get(field, 1.0) for field in Speed._fields))


def marked(ax, marker):
    return [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == marker]


@pytest.mark.row("C4")
def test_bandwidths_and_caches(ax):
    draw_bandwidths(ax, ((2**13, 80.0), (2**16, 40.0), (2**22, 10.0)), {"L1": 2**15})
    assert marked(ax, "o") == [[[2**13, 80], [2**16, 40], [2**22, 10]]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["8 KB", "64 KB", "512 KB", "4 MB"]
    assert [t.get_text() for t in ax.texts] == ["L1"]


@pytest.mark.row("C4")
def test_a_product_with_few_bits_lies_to_the_right_on_the_slope(ax):
    slope = ((2**27, 10.0),)
    cost = LayerCost("w", "product", 10**6, 10**6, 0, 0)  # 2 operations for each weight
    draw_product(ax, {32: Roofline(40.0, slope), 8: Roofline(15.0, slope), 1: Roofline(400.0, slope)}, cost)
    assert marked(ax, "s") == [[[0.5, 5.0]]]  # 2 operations on 4 bytes, at 10 GB/s
    assert marked(ax, "o") == [[[2.0, 15.0]]]  # its roof is at 15: beyond the ridge
    assert marked(ax, "v") == [[[16.0, 160.0]]]  # 2 operations on an eighth of a byte


@pytest.mark.row("C6")
def test_speeds_stand_beside_their_limits(ax):
    draw_speeds(ax, [speed("int8 numba", 4.0, 3.0), speed("int4 numba", 8.0, 0.5)])
    assert marked(ax, "o") == [[[3.0, 0]]] and marked(ax, "^") == [[[0.5, 1]]]
    assert [line.get_xdata().tolist() for line in ax.lines if line.get_linewidth() == 3] == [[4.0, 4.0], [8.0, 8.0]]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["int8 numba", "int4 numba"]
    assert ax.get_xlim()[0] < 0.45


@pytest.mark.row("C6")
def test_a_sweep_is_drawn_in_the_order_of_batches(ax):
    found = [speed("int4 numba", 8.0, 2.0, batch=4), speed("int4 numba", 8.0, 6.0, batch=1)]
    draw_sweep(ax, found, {"int4 numba": "-"})
    assert marked(ax, "^") == [[[1, 6.0], [4, 2.0]]]
    with pytest.raises(ValueError, match="among int4 numba, got 'int3'"):
        draw_sweep(ax, found, {"int3": "-"})
