"""The look of the figures: colours that differ in grey and carry on white, and curves that differ without colour."""

import itertools

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from qlab.plots import COLORS, PALETTE, use_style


def luminance(color):
    """Relative luminance as WCAG 2 defines it."""
    parts = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(color)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.fixture(autouse=True)
def restored():
    with mpl.rc_context():
        yield


def test_first_colours_of_a_figure_stand_out_on_white():
    assert all(1.05 / (luminance(color) + 0.05) >= 3 for color in COLORS[:3])


def test_palette_is_okabe_and_itos():
    # Okabe and Ito 2008, the table of the eight colours, in RGB (0-255).
    published = {
        "black": (0, 0, 0),
        "orange": (230, 159, 0),
        "sky": (86, 180, 233),
        "green": (0, 158, 115),
        "blue": (0, 114, 178),
        "vermilion": (213, 94, 0),
        "purple": (204, 121, 167),
    }
    for name, rgb in published.items():
        assert tuple(round(255 * v) for v in to_rgb(PALETTE[name])) == rgb


def test_curves_differ_without_colour():
    use_style(markers=True)
    cycle = list(mpl.rcParams["axes.prop_cycle"])
    looks = [(str(entry["linestyle"]), entry["marker"]) for entry in cycle]
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.combinations(looks, 2))


def test_figures_are_white_cards_whatever_was_set_before():
    mpl.rcParams["axes.facecolor"] = "black"
    use_style()
    assert mpl.rcParams["figure.facecolor"] == mpl.rcParams["axes.facecolor"] == "white"
