"""The figures that the chapters share, and their one look."""

from qlab.plots.interactive import plotly_html, slider_figure
from qlab.plots.style import COLORS, PALETTE, use_style

__all__ = ["COLORS", "PALETTE", "plotly_html", "slider_figure", "use_style"]
