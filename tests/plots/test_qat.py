"""The figures of quantization-aware training show what the equations say."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

from qlab.grids import Symmetric
from qlab.plots.qat import draw_parameter_gradient, draw_staircase, parameter_gradient, smoothed
from qlab.qat import LSQ
from qlab.quantizer import Params, Quantizer

mpl.use("agg")


@pytest.mark.row("T1")
def test_a_staircase_smoothed_over_one_step_is_the_clip():
    r = torch.linspace(-3, 3, 601, dtype=torch.float64)
    stairs = (r / 0.5).round().clamp(-2, 2) * 0.5
    mean = smoothed(stairs, 0.5, 0.01)
    torch.testing.assert_close(mean, r[25:-25].clamp(-1, 1), atol=6e-3, rtol=0)
    with pytest.raises(ValueError, match="even multiple"):
        smoothed(stairs, 0.015, 0.01)


@pytest.mark.row("T2")
def test_the_gradient_of_the_step_value_by_value_and_its_figure():
    start = Params(torch.tensor([1.0]), torch.zeros(1, dtype=torch.int32))
    module = LSQ(Quantizer(Symmetric(2)), gradient_scale=False).module(start, torch.zeros(4))
    r = torch.tensor([-9.0, -0.4, 0.4, 0.7, 9.0])
    gradient = parameter_gradient(module, module.scale, r)
    torch.testing.assert_close(gradient, torch.tensor([-1.0, 0.4, -0.4, 0.3, 1.0]))
    fig, (left, right) = plt.subplots(1, 2)
    draw_staircase(left, r, module(r))
    draw_parameter_gradient(right, r, {"S": gradient})
    assert left.get_lines()[1].get_ydata().tolist() == [-1, 0, 0, 1, 1]
    assert right.get_lines()[0].get_ydata().tolist() == gradient.tolist()
    plt.close(fig)
