"""The picture of a quantizer has one patch for each cell and one dot for each level."""

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from qlab.history import gaussian, lloyd_max
from qlab.plots.lloyd import draw_cells


@pytest.mark.row("H7")
def test_cells_cover_the_density_and_every_level_has_a_dot():
    best = lloyd_max(gaussian(2.0), 5)
    fig, ax = plt.subplots()
    draw_cells(ax, gaussian(2.0), best)
    assert len(ax.collections) == 5
    spans = [c.get_paths()[0].get_extents().intervalx for c in ax.collections]
    np.testing.assert_allclose([s[0] for s in spans], [-7.0, *best.thresholds])
    np.testing.assert_allclose([s[1] for s in spans], [*best.thresholds, 7.0])
    np.testing.assert_allclose(ax.lines[-1].get_xdata(), best.levels)
    plt.close(fig)
