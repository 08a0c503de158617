"""Figures that move: safe HTML, words for those who cannot see, and the same text each time."""

import json
import re

import matplotlib.pyplot as plt
import pytest

from qlab.plots import plotly_html, slider_figure


def frames(count=3):
    made = []
    for i in range(count):
        figure, axis = plt.subplots(figsize=(2, 1))
        axis.plot([0, i])
        made.append(figure)
    return made


def test_slider_has_a_picture_with_words_for_each_value():
    shown = slider_figure(frames(), [2, 4, "8 <&>"], 'bits "b"', "A line at {value} bits", start=1, dpi=40).data
    assert re.findall(r'<img alt="([^"]*)"', shown) == [f"A line at {v} bits" for v in ("2", "4", "8 &lt;&amp;&gt;")]
    assert [m == " qlab-on" for m in re.findall(r'class="qlab-frame( qlab-on)?"', shown)] == [False, True, False]
    assert 'min="0" max="2" step="1" value="1"' in shown
    assert 'aria-label="bits &quot;b&quot;"' in shown
    assert "http" not in shown
    assert not plt.get_fignums()


def test_slider_with_a_text_for_each_picture_shows_it_once_and_tells_of_its_change():
    shown = slider_figure(frames(2), [2, 4], "bits", ["flat <here>", "{value} times steeper"], dpi=40).data
    assert re.findall(r'<p class="qlab-slider-words">([^<]*)</p>', shown) == ["flat &lt;here&gt;", "4 times steeper"]
    assert re.findall(r'<img alt="([^"]*)"', shown) == ["bits: 2, described below", "bits: 4, described below"]
    assert 'class="qlab-slider-frames" aria-live="polite"' in shown
    with pytest.raises(ValueError, match="one text or as many"):
        slider_figure(["<svg></svg>"], [1], "bits", ["one", "two"])
    with pytest.raises(ValueError, match="alt must describe"):
        slider_figure(["<svg></svg>"], [1], "bits", [""])


def test_slider_is_the_same_each_time_and_two_differ():
    first, again = (slider_figure(frames(), [1, 2, 3], "bits", "{value}", dpi=40).data for _ in range(2))
    other = slider_figure(frames(2), [1, 2], "bits", "{value}", dpi=40).data
    assert first == again
    ids = [re.search(r'class="qlab-slider" id="([^"]+)"', text)[1] for text in (first, other)]
    assert ids[0] != ids[1]


def test_slider_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="at least one"):
        slider_figure([], [], "bits", "words")
    with pytest.raises(ValueError, match="as many as frames"):
        slider_figure(["<svg></svg>"], [1, 2], "bits", "words")
    with pytest.raises(ValueError, match="start must be"):
        slider_figure(["<svg></svg>"], [1], "bits", "words", start=1)
    with pytest.raises(ValueError, match="alt must"):
        slider_figure(["<svg></svg>"], [1], "bits", " ")
    with pytest.raises(TypeError, match="matplotlib figures or SVG"):
        slider_figure([3], [1], "bits", "words")


def test_plotly_comes_as_html_for_the_book_and_as_data_for_jupyterlab():
    import plotly.graph_objects as go

    shown = plotly_html(go.Figure(go.Scatter(y=[1, 3, 2])), 'A "line"')
    bundle = shown._repr_mimebundle_()
    assert bundle["application/vnd.plotly.v1+json"]["data"][0]["type"] == "scatter"
    json.dumps(bundle)
    page = bundle["text/html"]
    assert "_static/plotly.min.js" in page
    assert "cdn" not in page
    assert 'aria-label="A &quot;line&quot;"' in page
    assert page == plotly_html(go.Figure(go.Scatter(y=[1, 3, 2])), 'A "line"')._repr_html_()
    with pytest.raises(ValueError, match="alt must"):
        plotly_html(go.Figure(), "")
