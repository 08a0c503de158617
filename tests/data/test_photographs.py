"""Real photographs: where they come from, how they are cut, and that calibration never sees what is measured."""

import sys

import numpy as np
import pytest
import skimage.data
import torch
from skimage.transform import resize

from qlab.data import PHOTOGRAPHS, real_photographs

pytestmark = pytest.mark.row("T7", "Z1")


def test_parts_share_no_photograph():
    calibration, test = real_photographs("calibration", size=32), real_photographs("test", size=32)
    assert not set(calibration.names) & set(test.names)
    assert set(calibration.names) | set(test.names) == set(PHOTOGRAPHS)
    assert len(calibration) == len(test) == 8


def test_crops_are_squares_of_the_picture_resized_as_another_library_does_it():
    found = real_photographs("test", crops=5, size=64)
    assert found.pixels.shape == (40, 3, 64, 64) and found.pixels.dtype == torch.uint8
    cat = skimage.data.chelsea()  # 300 × 451
    assert cat.shape == (300, 451, 3)
    at = found.names.index("chelsea")
    boxes = [cat[19:281, 94:356], cat[:225, :225], cat[:225, -225:], cat[-225:, :225], cat[-225:, -225:]]
    for k, box in enumerate(boxes):
        wanted = 255 * resize(box, (64, 64), order=1, anti_aliasing=True)
        assert np.abs(wanted.transpose(2, 0, 1) - found.pixels[8 * k + at].numpy()).mean() < 4


def test_middles_come_first_and_grey_is_grey():
    one, many = real_photographs(crops=1, size=32), real_photographs(crops=2, size=32)
    assert torch.equal(one.pixels, many.pixels[:16]) and many.names == PHOTOGRAPHS * 2
    moon = one.pixels[one.names.index("moon")]
    assert torch.equal(moon[0], moon[1]) and torch.equal(moon[0], moon[2]) and moon.float().std() > 1


@pytest.mark.parametrize(
    ("change", "says"), [({"part": "train"}, "part"), ({"crops": 6}, "crops"), ({"size": 0}, "size")]
)
def test_bad_requests_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        real_photographs(**change)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ImportError, match=r"qlab-course\[real\]"):
        real_photographs(size=32)
