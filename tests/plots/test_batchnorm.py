"""The figures of oscillating weights show what happened."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

from qlab.plots.batchnorm import distance_to_threshold, draw_oscillation

mpl.use("agg")
pytestmark = pytest.mark.row("T4")


def test_an_oscillating_weight_its_codes_and_its_threshold():
    latent = torch.tensor([0.4, 0.6, 0.45, 0.55])
    fig, ax = plt.subplots()
    draw_oscillation(ax, latent, latent.round())
    lines = ax.get_lines()
    assert list(lines[0].get_ydata()) == [0, 1, 0, 1]
    assert torch.equal(torch.as_tensor(lines[1].get_ydata()), latent)
    assert [float(line.get_ydata()[0]) for line in lines[2:]] == [0.5]
    plt.close(fig)


def test_distances_change_sign_where_the_code_changes():
    t = torch.linspace(-2.4, 2.4, 97, dtype=torch.float64)
    for high in (1, 3):
        distance = distance_to_threshold(t, -high, high)
        codes = t.round().clamp(-high, high).abs()
        inside = (t.abs() < high) & (distance.abs() > 1e-9)
        assert (distance.abs()[inside] <= 0.5).all()
        up = torch.floor(t.abs()[inside]) + (distance[inside] > 0)
        assert torch.equal(up, codes[inside])
