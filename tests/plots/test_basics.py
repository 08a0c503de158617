"""The figures of the basic concepts: what they compute is right, and each draws what it says."""

from collections.abc import Iterator

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from qlab import (
    ACIQ,
    MSE,
    Asymmetric,
    Codebook,
    MinMax,
    PerBlock,
    PerChannel,
    PerGroup,
    PerTensor,
    Quantizer,
    Symmetric,
)
from qlab.plots import basics

R = torch.randn(2000, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.row("Q2", "Q4")
@pytest.mark.parametrize(
    "grid", [Symmetric(3), Symmetric(3, restricted=False), Asymmetric(3), Codebook((-2.0, -0.5, 0.0, 1.0))], ids=repr
)
def test_levels_are_all_values_that_come_back(grid: object) -> None:
    q = Quantizer(grid)  # type: ignore[arg-type]
    p = q.calibrate(R)
    sweep = torch.linspace(-10, 10, 20_001)
    assert np.allclose(basics.levels(q, p), q.fake(sweep, p).unique().numpy(), atol=1e-6)


@pytest.mark.row("Q7")
def test_levels_of_one_row() -> None:
    q = Quantizer(Symmetric(2), PerChannel())
    p = q.calibrate(torch.tensor([[1.0, -1.0], [3.0, 0.0]]))
    assert basics.levels(q, p, row=1).tolist() == [-3.0, 0.0, 3.0]


@pytest.mark.row("Q2", "Q3")
def test_staircase_draws_the_quantizer() -> None:
    q = Quantizer(Asymmetric(3))
    top, below = basics.staircase(R, q).axes
    r, r_tilde = (torch.as_tensor(np.asarray(c, np.float32)) for c in top.lines[1].get_data())
    assert torch.allclose(q.fake(r, q.calibrate(R)), r_tilde)
    assert "8 levels" in top.get_title()
    assert len(below.collections[0].get_segments()) == 8


@pytest.mark.row("Q4")
def test_zero_points_marks_unused_levels() -> None:
    figure = basics.zero_points(
        {"h": R.relu()}, {"symmetric": Quantizer(Symmetric(4)), "asymmetric": Quantizer(Asymmetric(4))}
    )
    symmetric, asymmetric = ([len(c.get_segments()) for c in ax.collections] for ax in figure.axes)
    assert symmetric == [8, 7]  # used, unused
    assert asymmetric == [16, 0]
    assert [t.get_text() for t in figure.axes[1].texts] == ["0", "0", "15"]


@pytest.mark.row("Q3")
def test_error_densities_integrate_to_one() -> None:
    (ax,) = basics.error_densities(R, [Quantizer(Symmetric(6))], ["6 bits"]).axes
    assert np.isclose(sum(p.get_height() * p.get_width() for p in ax.patches), 1)


@pytest.mark.row("Q5")
def test_clipping_tradeoff_adds_up() -> None:
    q, fractions = Quantizer(Asymmetric(4)), torch.tensor([0.25, 0.5, 1.0])
    _, below = basics.clipping_tradeoff(R, q, 1.0, fractions, "r").axes
    clipped, rounded, both, here = (np.asarray(line.get_ydata(), float) for line in below.lines)
    assert np.allclose(clipped + rounded, both) and clipped[-1] == 0
    assert np.isclose(here[0], both[-1])
    assert np.isclose(both[-1], (R - q.fake(R)).square().mean().item(), rtol=1e-4)


@pytest.mark.row("Q5")
def test_chosen_ranges_puts_mse_on_top() -> None:
    (ax,) = basics.chosen_ranges(
        R.abs(), Quantizer(Asymmetric(4)), {"min/max": MinMax(), "MSE": MSE(), "ACIQ": ACIQ()}
    ).axes
    curve, minmax, mse, aciq = (np.asarray(line.get_ydata(), float) for line in ax.lines)
    assert mse[0] >= max(minmax[0], aciq[0]) and mse[0] > curve.max() - 0.1
    assert np.isclose(ax.lines[1].get_xdata()[0], R.abs().max())


@pytest.mark.row("Q7")
def test_granularity_ranges_cover_their_channels() -> None:
    w = torch.randn(8, 3, 3, generator=torch.Generator().manual_seed(2)) * torch.arange(1, 9)[:, None, None]
    figure = basics.granularity_ranges(w, {"layer": PerTensor(), "group": PerGroup(4), "channel": PerChannel()})
    reach = w.flatten(1).abs().amax(1).numpy()
    widths = [np.array([bar.get_width() / 2 for bar in ax.patches]) for ax in figure.axes]
    assert np.allclose(widths[0], reach.max()) and np.allclose(widths[2], reach)
    assert np.allclose(widths[1], np.repeat([reach[:4].max(), reach[4:].max()], 4))
    assert "4 scales" not in figure.axes[0].get_title() and "2 scales" in figure.axes[1].get_title()


@pytest.mark.row("Q2", "Q7")
def test_other_figures_draw_every_curve() -> None:
    assert (
        len(basics.staircases(R, {"a": Quantizer(Symmetric(3)), "b": Quantizer(Codebook((-1.0, 0.0, 1.0)))}).axes) == 2
    )
    (ax,) = basics.against_bits([2, 4], {"a": [1, 2], "b": [3, 4]}, "y", {"reference": 5.0}).axes
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "reference"]
    left, right = basics.pareto({"one": {"a": ([2, 3], [1, 2])}, "two": {"a": ([2, 3], [1, 2])}}).axes
    assert left.lines[0].get_xdata().tolist() == [2, 3] and right.get_title() == "two"


@pytest.mark.row("Q7")
def test_shared_scales_show_the_step_of_each_weight() -> None:
    w = R[:512].reshape(8, 64) * torch.arange(1, 9)[:, None]
    ways = {"layer": PerTensor(), "channel": PerChannel(), "blocks": PerBlock(16, axis=1)}
    for shown, scales in (("layer", 1), ("channel", 8), ("blocks", 32)):
        figure, words = basics.shared_scales(w, Symmetric(4), ways, shown)
        left, right = figure.axes[:2]
        steps = np.asarray(left.images[0].get_array())
        reach = w.reshape(scales, -1).abs().amax(1)
        assert np.allclose(steps.reshape(scales, -1), (reach / reach.max())[:, None], atol=1e-6)
        x, y = (float(c[0]) for c in right.lines[-1].get_data())
        assert x == pytest.approx(4 + 32 * scales / 512)
        error = (w - Quantizer(Symmetric(4), ways[shown])(w).dequantize()).square().sum()
        assert y == pytest.approx(10 * float((w.square().sum() / error).log10()), abs=1e-4)
        assert words.startswith(f"{shown}: {scales} scale")
    with pytest.raises(ValueError, match="shown must be one of layer, channel, blocks"):
        basics.shared_scales(w, Symmetric(4), ways, "row")
