"""One look for all figures: readable in grey, to colour-blind eyes, and in dark mode.

The colours are those of Okabe and Ito; each comes with its own line style and marker, so that no figure depends on
colour alone.

References
----------
M. Okabe and K. Ito, *Color Universal Design: how to make figures and presentations that are friendly to colorblind
people*, 2008.
"""

from types import MappingProxyType

__all__ = ["COLORS", "PALETTE", "use_style"]

PALETTE = MappingProxyType(
    {
        "blue": "#0072B2",
        "vermilion": "#D55E00",
        "green": "#009E73",
        "purple": "#CC79A7",
        "orange": "#E69F00",
        "sky": "#56B4E9",
        "black": "#000000",
        "grey": "#6E6E6E",
    }
)
"""Colours by name; the first six are the order in which curves are drawn."""

COLORS = tuple(PALETTE[name] for name in ("blue", "vermilion", "green", "purple", "orange", "sky"))
"""The colours of successive curves."""

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)))
MARKERS = ("o", "s", "^", "D", "v", "X")


def use_style(markers: bool = False) -> None:
    """Set matplotlib up for the book: call it once at the top of a notebook.

    Parameters
    ----------
    markers : bool
        Also give each successive curve its own marker; for curves through a few measured points.

    Examples
    --------
    >>> import matplotlib
    >>> use_style()
    >>> matplotlib.rcParams["figure.facecolor"]
    'white'
    """
    import matplotlib as mpl
    from cycler import cycler

    cycle = cycler(color=COLORS) + cycler(linestyle=LINES)
    if markers:
        cycle = cycle + cycler(marker=MARKERS)
    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.edgecolor": "#444444",
            "axes.facecolor": "white",
            "axes.grid": True,
            "axes.prop_cycle": cycle,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 12,
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "figure.figsize": (7.0, 3.8),
            "font.size": 11,
            "grid.alpha": 0.6,
            "grid.color": "#DDDDDD",
            "image.cmap": "cividis",
            "legend.frameon": False,
            "lines.linewidth": 2.0,
            "lines.markersize": 6,
            "savefig.dpi": 110,
            "savefig.facecolor": "white",
            "svg.fonttype": "path",
            "svg.hashsalt": "qlab",
        }
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    # Pictures twice as fine as the screen's points, still small files; no date in them, so two builds are equal.
    set_matplotlib_formats("retina", metadata={"Software": None})
