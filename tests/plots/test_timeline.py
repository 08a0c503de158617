"""The timeline's picture and table: every event is there once, and links lead only to chapters that exist."""

from collections import Counter

import matplotlib.pyplot as plt
import pytest

from qlab.history import timeline
from qlab.plots.timeline import THREADS, draw_timeline, thread_of, timeline_table

pytestmark = pytest.mark.row("H1", "H11")


def test_every_event_is_drawn_once_and_later_ones_lower():
    figure, ax = plt.subplots()
    events = timeline()
    draw_timeline(ax, events)
    texts = sorted(((t.get_position()[1], t.get_text()) for t in ax.texts), key=lambda p: p[0])
    plt.close(figure)
    assert [int(text.split()[0]) for _, text in texts] == [e.year for e in events]
    assert any(text == "1898 Sheppard" for _, text in texts)


def test_threads():
    count = Counter(thread_of(e) for e in timeline())
    assert set(count) == set(THREADS)
    by_reference = {e.reference: thread_of(e) for e in timeline()}
    expected = {"roberts1962": "errors", "max1960": "levels", "huffman1952": "bits", "lecun1990obd": "networks"}
    assert expected.items() <= by_reference.items()


def test_table_links_only_to_chapters_that_exist(tmp_path):
    (tmp_path / "book/history").mkdir(parents=True)
    (tmp_path / "book/history/pcm.ipynb").write_text("{}")
    lines = timeline_table(timeline(), tmp_path).splitlines()
    assert len(lines) == 2 + len(timeline())
    linked = [line for line in lines if "](" in line]
    assert linked and all("](../../book/history/pcm.ipynb)" in line for line in linked)
    assert len(linked) == sum(e.chapter == "book/history/pcm" for e in timeline())
