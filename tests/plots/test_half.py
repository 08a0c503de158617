"""Figures of half precision: what is drawn is counted against NumPy's and ml_dtypes' own numbers."""

import matplotlib.pyplot as plt
import ml_dtypes
import numpy as np
import pytest
import torch

from qlab.plots.half import FIELDS, draw_fields, draw_ranges, gradient_histogram, relative_spacing

pytestmark = pytest.mark.row("B11")
PEERS = {"fp32": np.float32, "fp16": np.float16, "bf16": ml_dtypes.bfloat16}


def test_fields_and_ranges_are_the_formats():
    figure, (left, right) = plt.subplots(1, 2)
    draw_fields(left)
    draw_ranges(right)
    boxes = [b.get_bbox() for b in right.patches]
    width = {
        row: max(b.x1 for b in (p.get_bbox() for p in left.patches) if round(b.y0 + 0.31) == row) for row in (0, 1)
    }
    plt.close(figure)
    assert width == {0: 32, 1: 16}
    for (normal, subnormal), name in zip(zip(boxes[::2], boxes[1::2], strict=True), FIELDS, strict=True):
        info = ml_dtypes.finfo(PEERS[name])
        assert normal.x0 == subnormal.x1 == np.log2(float(info.smallest_normal))
        assert normal.x1 == np.ceil(np.log2(float(info.max)))
        assert subnormal.x0 == np.log2(float(info.smallest_subnormal))


def test_histogram_names_what_is_lost():
    g = torch.tensor([0.0, 2.0**-40, -(2.0**-39), 2.0**-20, 1.0, 2.0**20])
    figure = gradient_histogram(g, title="five")
    labels = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    plt.close(figure)
    assert [float(label.split(":")[-1].removesuffix("%")) for label in labels] == [40, 20, 20, 20]
    figure = gradient_histogram(g, scale=2.0**20)
    labels = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    plt.close(figure)
    assert [float(label.split(":")[-1].removesuffix("%")) for label in labels] == [0, 40, 20, 40]


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_spacing_is_the_peers(name):
    x = torch.logspace(-20, 14, 300, 2)
    ours = relative_spacing(x, name).numpy()
    kept = x.numpy().astype(PEERS[name])
    assert np.allclose(ours, np.spacing(kept).astype(float) / kept.astype(float), rtol=1e-6)
