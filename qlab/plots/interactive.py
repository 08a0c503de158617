"""Figures that move without a kernel and without a network: they work in the built book and in JupyterLab.

`slider_figure` shows one of several prepared pictures, chosen by an ordinary slider, which the arrow keys move too.
`plotly_html` shows a plotly figure with the copy of its script that lies in the book.
"""

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.display import HTML

__all__ = ["plotly_html", "slider_figure"]

# The style is repeated here, for JupyterLab, which does not read the book's own sheet.
_STYLE = (
    "<style>.qlab-slider-frames>*{display:none}.qlab-slider-frames>.qlab-on{display:block}"
    ".qlab-slider-frames{background:#fff;color:#000}"
    ".qlab-slider-frames img,.qlab-slider-frames svg{max-width:100%;height:auto}"
    ".qlab-slider-frames .qlab-slider-words{margin:.4em .6em 0;font-size:.92em;color:#000}"
    ".qlab-slider-control{display:flex;flex-wrap:wrap;gap:.3em .8em;align-items:center}"
    ".qlab-slider-control input{flex:1 1 12rem;min-width:8rem}</style>"
)

_MOVE = (
    "var b=this.closest('.qlab-slider'),f=b.querySelector('.qlab-slider-frames').children,"
    "v=JSON.parse(b.dataset.values),i=+this.value;"
    "for(var k=0;k<f.length;k++)f[k].classList.toggle('qlab-on',k===i);"
    "b.querySelector('output').textContent=v[i];this.setAttribute('aria-valuetext',v[i]);"
)


def slider_figure(
    frames: Sequence[Any],
    values: Sequence[object],
    label: str,
    alt: str | Sequence[str],
    *,
    start: int = 0,
    dpi: int = 144,
) -> "HTML":
    """Show one of several pictures, chosen by a slider.

    Parameters
    ----------
    frames : sequence of matplotlib figures or of str
        The pictures, one for each position of the slider. A string is inline SVG.
    values : sequence
        What each position is called; numbers or strings, as many as frames.
    label : str
        What the slider changes, with its unit, such as ``"bits"``.
    alt : str or sequence of str
        The picture in words. ``{value}`` in it becomes the value of each frame. Where the pictures tell different
        things, as many texts as frames; each is then shown below its picture, so that nobody needs to see it to follow.
    start : int
        The position shown first.
    dpi : int
        Resolution of pictures made from matplotlib figures.

    Returns
    -------
    IPython.display.HTML
        As the last expression of a cell it is the cell's output.

    Raises
    ------
    ValueError
        If there are no frames, their number is not that of the values or the texts, start is not among them, or alt is
        empty.

    Examples
    --------
    >>> shown = slider_figure(["<svg></svg>", "<svg></svg>"], [2, 3], "bits", "A staircase of {value} bits")
    >>> 'type="range"' in shown.data and 'max="1"' in shown.data
    True
    """
    from IPython.display import HTML

    if not frames:
        raise ValueError("frames must hold at least one picture, got none")
    if len(frames) != len(values):
        raise ValueError(f"values must be as many as frames ({len(frames)}), got {len(values)}")
    if not 0 <= start < len(frames):
        raise ValueError(f"start must be a position from 0 to {len(frames) - 1}, got {start}")
    told = not isinstance(alt, str)
    texts = list(alt) if not isinstance(alt, str) else [alt] * len(frames)
    if len(texts) != len(frames):
        raise ValueError(f"alt must be one text or as many as frames ({len(frames)}), got {len(texts)}")
    if not all(text.strip() for text in texts):
        raise ValueError("alt must describe the picture in words, got an empty text")
    names = [str(value) for value in values]
    alts = [html.escape(text.replace("{value}", name), quote=True) for text, name in zip(texts, names, strict=True)]
    if told:  # once: who hears the text below the picture need not hear it as its alt too
        below = [html.escape(f"{label}: {name}, described below", quote=True) for name in names]
        words = [f'<p class="qlab-slider-words">{text}</p>' for text in alts]
    else:
        below, words = alts, [""] * len(alts)
    pictures = [_picture(frame, a, dpi) + w for frame, a, w in zip(frames, below, words, strict=True)]
    shown = "".join(
        f'<div class="qlab-frame{" qlab-on" if i == start else ""}">{picture}</div>'
        for i, picture in enumerate(pictures)
    )
    name = _name(label, shown)
    known = html.escape(json.dumps(names), quote=True)
    live = ' aria-live="polite"' if told else ""
    text = html.escape(label, quote=True)
    return HTML(
        f'{_STYLE}<div class="qlab-slider" id="{name}" data-values="{known}">'
        f'<div class="qlab-slider-frames"{live}>{shown}</div>'
        f'<div class="qlab-slider-control"><label for="{name}-input">{text}</label>'
        f'<input id="{name}-input" type="range" min="0" max="{len(frames) - 1}" step="1" value="{start}" '
        f'autocomplete="off" aria-label="{text}" aria-valuetext="{html.escape(names[start], quote=True)}" '
        f'oninput="{_MOVE}"><output for="{name}-input">{html.escape(names[start])}</output></div></div>'
    )


def plotly_html(figure: Any, alt: str, *, height: int = 420) -> Any:
    """Show a plotly figure in the book, with the script that lies beside its pages, and in JupyterLab.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        The figure.
    alt : str
        The figure in words, for those who cannot see it.
    height : int
        Height in pixels; the width follows the window.

    Returns
    -------
    object
        Shows itself as the last expression of a cell: as HTML in the book, by plotly's own viewer in JupyterLab.

    Raises
    ------
    ValueError
        If alt is empty.
    """
    if not alt.strip():
        raise ValueError("alt must describe the figure in words, got an empty text")
    return _PlotlyFigure(figure, alt, height)


class _PlotlyFigure:
    """A plotly figure that gives its HTML to whoever asks."""

    def __init__(self, figure: Any, alt: str, height: int) -> None:
        import plotly.graph_objects as go

        self.figure = go.Figure(figure).update_layout(
            height=height, paper_bgcolor="white", plot_bgcolor="white", margin={"l": 55, "r": 15, "t": 40, "b": 45}
        )
        self.alt = alt

    def _repr_html_(self) -> str:
        content = self.figure.to_json()
        name = _name("plotly", content)
        words = html.escape(self.alt, quote=True)
        body = self.figure.to_html(
            full_html=False, include_plotlyjs=False, div_id=name, config={"responsive": True, "displaylogo": False}
        )
        scripts = re.findall(r"<script[^>]*>(.*?)</script>", body, re.DOTALL)
        draw = "\n".join(script for script in scripts if "newPlot" in script)
        # The page knows where its static files are (Sphinx writes it on <html>); one script serves all its figures.
        return (
            f'<div class="qlab-plotly" role="group" aria-label="{words}">'
            f'<div id="{name}" style="min-height:{self._height}px"></div></div>'
            f"<script>(function(){{function draw(){{{draw}}}"
            "if(window.Plotly){draw();return;}"
            "var s=document.getElementById('qlab-plotly-script');"
            "if(!s){var r=document.documentElement.dataset.content_root;if(r===undefined)return;"
            "s=document.createElement('script');s.id='qlab-plotly-script';s.src=r+'_static/plotly.min.js';"
            "document.head.appendChild(s);}s.addEventListener('load',draw);})();</script>"
        )

    @property
    def _height(self) -> int:
        return int(self.figure.layout.height)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            "application/vnd.plotly.v1+json": json.loads(self.figure.to_json()),
            "text/html": self._repr_html_(),
            "text/plain": self.alt,
        }


def _name(label: str, content: str) -> str:
    """Make an id from what is shown: the same each time, and different for different figures."""
    return "qlab-" + hashlib.sha256(f"{label}\n{content}".encode()).hexdigest()[:12]


def _picture(frame: Any, alt: str, dpi: int) -> str:
    """Turn one frame into HTML that needs no other file. `alt` is already escaped."""
    if isinstance(frame, str):
        return f'<div role="img" aria-label="{alt}">{frame}</div>'
    if not hasattr(frame, "savefig"):
        raise TypeError(f"frames must be matplotlib figures or SVG text, got {type(frame).__name__}")
    data = io.BytesIO()
    frame.savefig(data, format="png", dpi=dpi, metadata={"Software": None})
    _close(frame)
    code = base64.b64encode(data.getvalue()).decode()
    width = round(frame.get_figwidth() * 96)
    return f'<img alt="{alt}" width="{width}" src="data:image/png;base64,{code}">'


def _close(frame: Any) -> None:
    """Keep the notebook from showing the figure a second time."""
    import matplotlib.pyplot as plt

    plt.close(frame)
