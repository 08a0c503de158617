"""The tool that compares two executions: it sees what differs, and only what must not."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import reproduce

sys.path.pop(0)


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def shown(kind, text, **metadata):
    return new_output("display_data", data={kind: text}, metadata=metadata)


def found(one, other, tags=()):
    """Compare two executions of one cell."""
    source, first, second = (
        new_notebook(cells=[new_markdown_cell("words"), new_code_cell("1", metadata={"tags": list(tags)})])
        for _ in range(3)
    )
    second.cells.pop(0)  # caches keep code only
    first.cells[-1].outputs, second.cells[-1].outputs = one, other
    return [(how, timing) for _, how, timing in reproduce.differences(source, first, second)]


def test_the_same_is_the_same():
    outputs = [printed("loss 0.25"), shown("image/png", "aGVsbG8="), shown("text/html", "<b>3</b>")]
    assert found(outputs, outputs) == []


def test_a_number_that_differs_is_shown_with_its_fellow():
    assert found([printed("a 1.5 b 2e-3")], [printed("a 1.5 b 3e-3")]) == [
        ("printed: 1 numbers differ: 2e-3, 3e-3", False)
    ]
    assert found([printed("x = 4")], [printed("x = -4")]) == [("printed: 1 numbers differ: 4, -4", False)]
    record = "application/papermill.record/text/plain"
    one, other = ([shown(record, text, scrapbook={"name": "loss"})] for text in ("0.1", "0.2"))
    assert found(one, other) == [("glue loss: 1 numbers differ: 0.1, 0.2", False)]


def test_words_pictures_and_kinds_that_differ():
    assert found([printed("a cat")], [printed("a dog")])[0][0].startswith("printed: text differs")
    assert found([printed("a")], [printed("a 7")])[0][0].startswith("printed: text differs")
    for kind, text in (("image/png", "{}"), ("text/html", '<img src="data:image/png;base64,{}">')):
        (how, _), *rest = found([shown(kind, text.format("AAAA"))], [shown(kind, text.format("AAAB"))])
        assert "picture" in how
        assert not rest
    assert "kind" in found([printed("a")], [])[0][0]


def test_what_may_differ():
    assert found([printed("3 %|", "stderr")], [printed("4 %|", "stderr")]) == []
    tables = (f'<style>#T_{name}_row0 {{}}</style><table id="T_{name}">7</table>' for name in ("a1b2c", "00fe9"))
    assert found(*([shown("text/html", table)] for table in tables)) == []
    assert found([shown("text/plain", "<Styler at 0x7f12>")], [shown("text/plain", "<Styler at 0x7eab>")]) == []
    assert found([printed("1.5 ms")], [printed("1.6 ms")], ["timing"])[0][1]


def test_the_sample_fits_and_comes_round():
    paths = [Path(f"{i}.ipynb") for i in range(40)]
    took = dict.fromkeys(paths, 10.0) | {paths[3]: 500.0}
    days = [reproduce.sample(paths, 65, took, day) for day in range(40)]
    assert all(len(chosen) == 6 for chosen in days)
    assert {path for chosen in days for path in chosen} == set(paths) - {paths[3]}


def test_a_report_fails_on_what_differs_and_on_what_was_not_executed(tmp_path, monkeypatch, capsys):

    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    path = tmp_path / "one.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), path)
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    for name, value in (("a", "1"), ("b", "1"), ("c", "2")):
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[0].outputs = [printed(value)]
        bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": 1.0})
        get_cache(str(tmp_path / name)).cache_notebook_bundle(bundle, check_validity=False)
    assert not reproduce.report([path], tmp_path / "a", tmp_path / "b")
    assert reproduce.report([path], tmp_path / "a", tmp_path / "c")
    assert "1 numbers differ: 1, 2" in capsys.readouterr().out
    assert reproduce.report([path], tmp_path / "a", tmp_path / "empty")


@pytest.mark.parametrize("text", ["0.1", "−2", "1,234.5", "3e-05"])
def test_numbers_are_found_whole(text):
    assert reproduce.NUMBER.findall(f"x={text} y") == [text]


CLOCKS = re.compile(r"((?<![\w.])compare|\b(hardware\.compare|perf_counter|process_time|measure_roofline))\(")
SHOWS = re.compile(r"\b(print|glue|say|keep)\(|\bstyle\b|\.show\(\)")


@pytest.mark.parametrize("path", reproduce.notebooks(), ids=lambda path: path.stem)
def test_cells_that_show_a_time_are_tagged(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ours = any(re.search(r"import [^#]*\bcompare\b|hardware", cell.source) for cell in cells)
    shown = [c for c in cells if CLOCKS.search(c.source) and SHOWS.search(c.source) and "def compare(" not in c.source]
    missing = [c.id for c in shown if ours and "timing" not in c.metadata.get("tags", [])]
    assert not missing, "a cell that measures a time and shows something needs the tag `timing`"
