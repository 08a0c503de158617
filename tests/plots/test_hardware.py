"""The figures of hardware show the tables' numbers where they belong."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from qlab.hardware.cost import LayerCost
from qlab.hardware.energy import network_energy
from qlab.hardware.processors import gpu_throughput, processors
from qlab.plots import plotly_html
from qlab.plots.hardware import (
    draw_ladder,
    draw_layer_energy,
    draw_operations,
    draw_processors,
    draw_throughput,
    processors_figure,
)

mpl.use("agg")


def texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.row("C1")
def test_ladder_goes_from_an_addition_to_dram():
    fig, ax = plt.subplots()
    draw_ladder(ax)
    assert texts(ax)[0] == "0.03"
    assert "650 to 1300" in texts(ax)
    assert len(texts(ax)) == len(ax.get_yticklabels()) == 11
    plt.close(fig)


@pytest.mark.row("C1")
def test_operations_have_their_values_as_the_lengths_of_bars():
    fig, (left, right) = plt.subplots(1, 2)
    draw_operations(left, right)
    assert sorted(bar.get_width() for bar in left.patches) == [0.03, 0.05, 0.1, 0.2, 0.4, 0.9, 1.1, 3.1, 3.7]
    assert "4184" in texts(right)
    plt.close(fig)


@pytest.mark.row("C2")
def test_throughput_names_whose_gpu_is_whose():
    fig, ax = plt.subplots()
    draw_throughput(ax, gpu_throughput())
    labels = {label.get_text().split("\n")[0]: label.get_text() for label in ax.get_xticklabels()}
    assert "survey's figure" in labels["A100 SXM4"]
    assert "survey's text" in labels["T4"]
    int1 = next(line for line in ax.get_lines() if line.get_label() == "int1")
    assert int1.get_ydata()[0] == 4992
    plt.close(fig)


@pytest.mark.row("C3")
def test_scatter_shows_dense_figures_of_all_that_have_a_power():
    found = processors(gpus=True)
    fig, ax = plt.subplots()
    draw_processors(ax, found)
    named = [p for p in found if p.watts is not None]
    assert all(any(text.startswith(p.name) for text in texts(ax)) for p in named)
    assert not any(text.startswith("Apple") for text in texts(ax))
    heights = [float(line.get_ydata()[0]) for line in ax.get_lines() if len(line.get_ydata())]
    assert 137_500 in heights
    plt.close(fig)


@pytest.mark.slow
@pytest.mark.row("C3")
def test_interactive_scatter_tells_what_is_known():
    figure = processors_figure(processors())
    points = [text for trace in figure.data for text in trace.text]
    assert len(points) == sum(p.watts is not None for p in processors())
    orin = next(text for text in points if "Orin" in text)
    assert "275000 printed" in orin
    assert "int8" in orin
    assert figure.layout.xaxis.type == "log"
    assert "plotly" in plotly_html(figure, "a scatter")._repr_html_()


@pytest.mark.row("C1")
def test_layers_are_as_long_as_their_energy():
    layers = [LayerCost("a", "Linear", 100, 100, 10, 10), LayerCost("b", "Conv2d", 50, 500, 60, 60)]
    fig, ax = plt.subplots()
    draw_layer_energy(ax, layers, (32, 8))
    ends = sorted(bar.get_x() + bar.get_width() for bar in ax.patches)
    wanted = max(network_energy([c], b, b).total for c in layers for b in (32, 8)) * 1e-6
    assert ends[-1] == pytest.approx(wanted)
    assert texts(ax) == ["32 bits", "8 bits"] * 2
    plt.close(fig)
