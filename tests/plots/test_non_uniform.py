"""The figures of non-uniform quantization show the levels and numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from qlab import MSE, PowersOfTwo, Quantizer, Symmetric
from qlab.plots.non_uniform import LOOKS, combs, curves


@pytest.mark.row("Q8")
def test_every_level_has_a_tooth():
    x = torch.randn(500, generator=torch.Generator().manual_seed(0))
    quantizers = {"uniform": Quantizer(Symmetric(3)), "powers of two": Quantizer(PowersOfTwo(4), calibration=MSE(20))}
    figure = combs(x, quantizers)
    below = figure.axes[1]
    teeth = [len(c.get_segments()) for c in below.collections]
    assert teeth == [7, 15]
    largest = max(s[0][0] for s in below.collections[0].get_segments())
    assert largest == pytest.approx(float(x.abs().max()))
    assert [t.get_text() for t in below.get_yticklabels()] == list(quantizers)
    plt.close(figure)


@pytest.mark.row("Q9")
def test_curves_hold_the_numbers_and_looks_differ():
    figure = curves({"a": {"uniform": {2: 1.0, 3: 2.0}}, "b": {"k-means": {2: 3.0}}}, "dB")
    assert np.array_equal(figure.axes[0].lines[0].get_ydata(), [1.0, 2.0])
    assert figure.axes[1].get_title() == "b"
    assert len({(v["color"], v["marker"]) for v in LOOKS.values()}) == len(LOOKS)
    plt.close(figure)
