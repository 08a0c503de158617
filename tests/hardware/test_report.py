"""The report on the reader's machine, from measurements that were made up: everything in it can be checked."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from qlab.hardware.__main__ import main
from qlab.hardware.networks import NetworkSpeed
from qlab.hardware.report import FULL, QUICK, Tools, collect, compare_reports, pages, read_report, steps, write
from qlab.hardware.report.content import KernelSpeed, LayerSpeed
from qlab.hardware.report.files import to_json
from qlab.hardware.report.memory import format_bytes
from qlab.hardware.report.pages import to_html, to_markdown
from qlab.hardware.report.verdicts import ahead_until, chance, stops_paying
from qlab.hardware.report.words import speed, working_set
from qlab.hardware.roofline import Roofline
from qlab.hardware.timing import Ratio
from qlab.zoo import load

TINY = QUICK._replace(batches=(1, 8, 64), networks=("mlp",), shapes=((64, 256), (128, 256)), sweep=(64, 256))


def kernels(rows, columns, batch, turns, threads, plain, factor=1.0):
    """int4 gains less and less; int8 as much as ever; binary gains nothing that can be seen."""
    made = {"fp32": (1.0, 1.0), "int8 numba": (3.1, 4), "int4 numba": (6.3 / batch**0.5, 8), "other int8": (2.9, 4)}
    made["binary numba"] = (1.01, 32)
    return [
        KernelSpeed(rows, columns, batch, name, 12.34567 * batch / r, r * f, r * f * w, r * f / w, limit)
        for name, (r, limit) in made.items()
        for f in [1.0 if name == "fp32" else factor]
        for w in [1.0 if name == "fp32" else 0.93]
    ]


def layers(network, batch, turns):
    return [LayerSpeed(network, f"{k}", batch, 0.4567 * 3**k, 1.234567 * 5**k, 0.00123456 * batch) for k in range(4)]


def networks(network, batches, turns, threads, pictures):
    def line(engine, batch, ratio, own):
        owns = (None, None, None) if own is None else (own, own * 0.97, own * 1.02)
        return NetworkSpeed(network, engine, batch, 3.21 / ratio, ratio, ratio, ratio, *owns, 171, pictures, 98_765, 1)

    made = {"PyTorch fp32": (1.0, None), "ONNX Runtime fp32": (2.1, 1.0), "ONNX Runtime integers": (2.2, 1.01)}
    return [line(e, b, *numbers) for b in batches for e, numbers in made.items()]


ROOFLINE = Roofline(123.456, ((8192, 300.5), (2**20, 87.65), (2**27, 12.3456)))
MADE_UP = Tools(
    noise=lambda turns, threads: Ratio(1.002, 0.97, 1.03),
    roofline=lambda sets, turns: ROOFLINE,
    layers=layers,
    kernels=kernels,
    networks=networks,
)


@pytest.fixture(scope="module")
def report():
    return collect(TINY, MADE_UP, progress=False)


class Page(HTMLParser):
    """Checks that tags close in order, and collects them, their attributes and the text."""

    VOID = ("meta", "wbr", "br")

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def parsed(html):
    page = Page()
    page.feed(html)
    page.close()
    assert not page.open
    return page


def numbers_of(value, key=""):
    if isinstance(value, dict):
        return {n for k, v in value.items() for n in numbers_of(v, k)}
    if isinstance(value, list):
        return {n for v in value for n in numbers_of(v, key)}
    return {value} if isinstance(value, (int, float)) and not isinstance(value, bool) else set()


def as_written(value):
    """Three digits, thousands apart, no exponent: written here a second time, by other means."""
    if isinstance(value, int):
        return f"{value:,}"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{round(value, digits):,.{max(digits, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@pytest.mark.row("C4", "C5", "C6")
def test_every_number_of_the_json_stands_in_both_pages(report):
    content = json.loads(to_json(report))
    content["settings"] = {k: content["settings"][k] for k in ("turns", "batches", "network_batches", "pictures")}
    content.pop("version")
    wanted = {as_written(n) for n in numbers_of(content)}
    assert len(wanted) > 80
    html = " ".join(parsed(to_html(report)).text)
    for text in (html, to_markdown(report)):
        found = set(re.findall(r"\d[\d,]*(?:\.\d+)?", text))
        found |= {n.rstrip(",") for n in found}
        assert not wanted - found


@pytest.mark.row("C4")
def test_the_page_parses_names_its_figures_and_asks_nobody_for_anything(report):
    html = to_html(report)
    page = parsed(html)
    tags = [tag for tag, _ in page.seen]
    assert tags.count("svg") == 3 and tags.count("main") == tags.count("h1") == 1
    assert all(a["role"] == "img" and len(a["aria-label"]) > 40 for tag, a in page.seen if tag == "svg")
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert not any(key in attributes for _, attributes in page.seen for key in ("src", "href"))
    assert "url(" not in html and "@import" not in html
    assert "//" not in html.split("</style>")[1]
    assert "prefers-color-scheme:dark" in html and "@media print" in html
    scopes = [a.get("scope") for tag, a in page.seen if tag == "th"]
    assert set(scopes) == {"col", "row"}


@pytest.mark.row("C4")
def test_it_concludes_nothing_from_noise(report):
    text = to_markdown(report)
    assert "1.01 (0.939–1.09), no difference seen" in text  # binary, made up to be as fast as fp32
    assert "ONNX Runtime integers against ONNX Runtime's own fp32: no difference seen everywhere" in text
    assert "binary numba no difference seen to begin with" in text
    assert speed(0.5, 0.4, 0.6).endswith("slower") and speed(2, 1.5, 3).endswith(")")
    noisy = replace(report, noise=Ratio(0.9, 0.85, 0.95))
    assert "distrust" in to_markdown(noisy) and "distrust" not in text


@pytest.mark.row("C6")
def test_where_low_precision_stops_paying():
    def speeds(kernel, ratios, spread=0.0):
        return [KernelSpeed(1, 1, b, kernel, 1, r, r - spread, r + spread, 8) for b, r in ratios.items()]

    falling = {64: 1.0, 1: 6.0, 8: 2.9, 16: 2.0}
    assert stops_paying(speeds("a", falling)) == 8
    assert stops_paying(speeds("a", falling, spread=0.3)) == 16  # 2.9 + 0.3 is not below half of 6 − 0.3
    assert stops_paying(speeds("a", {1: 3.0, 8: 4.0})) is None
    with pytest.raises(ValueError, match="one kernel"):
        stops_paying(speeds("a", falling) + speeds("b", falling))
    rival = speeds("b", {1: 3.0, 8: 2.0, 16: 2.1, 64: 0.5})
    assert ahead_until(speeds("a", falling), rival) == 8  # at 16 it is behind; 64 does not count any more
    assert ahead_until(speeds("a", falling, spread=0.6), rival) == 8
    assert ahead_until(speeds("a", falling, spread=3.1), rival) is None
    assert ahead_until(speeds("a", falling), []) is None


@pytest.mark.row("C4")
@pytest.mark.parametrize("turns", [5, 10, 17])
def test_verdicts_by_chance_are_no_more_than_promised(turns):
    ratios = np.exp(np.random.default_rng(turns).normal(size=(20_000, turns)))
    low, high = np.quantile(ratios, [0.25, 0.75], axis=1)
    found = np.mean((low > 1) | (high < 1))
    assert 0.2 * chance(turns) < found < chance(turns) + 0.01
    assert chance(FULL.turns) < 0.02 and chance(QUICK.turns) < 0.05


@pytest.mark.row("C5")
def test_bytes_by_hand():
    found = {(m.what, m.format): m for m in format_bytes(ROOFLINE, ("mlp",), (100, 64))}
    assert found["100 × 64", "fp32"].bytes == 25_600
    assert found["100 × 64", "int4"].bytes == 3_200 + 400
    assert found["100 × 64", "binary"].milliseconds == pytest.approx((800 + 400) / 300.5e6, rel=1e-9)
    parameters = [p.numel() for p in load("mlp").parameters()]
    assert found["mlp", "fp32"].bytes == 4 * sum(parameters) and found["mlp", "fp32"].milliseconds is None
    assert working_set(3 * 2**19) == "1.5 MB"


@pytest.mark.row("C4")
def test_files_say_what_was_measured_and_are_read_back(report, tmp_path):
    files = write(report, tmp_path / "new")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["report.html", "report.json", "report.md"]
    again = read_report(files[-1])
    assert again == report
    assert again.roofline.peak == 123.0 and again.sweep[2].ratio == 6.3 and again.seconds >= 0
    assert [s.batch for s in again.sweep if s.kernel == "fp32"] == [1, 8, 64]
    assert not re.search(r"/(home|tmp|root|Users)/", to_json(report))


@pytest.mark.row("C4")
def test_what_cannot_be_measured_is_said(tmp_path):
    def broken(rows, columns, batch, turns, threads, plain):
        if batch == 8:
            raise MemoryError("needs <much>")
        return kernels(rows, columns, batch, turns, threads, plain)

    def no_roofline(sets, turns):
        raise OSError

    report = collect(TINY, replace(MADE_UP, kernels=broken, roofline=no_roofline), progress=False)
    assert report.missing["kernels at 64 × 256, batch 8"] == "MemoryError: needs <much>"
    assert {s.batch for s in report.sweep} == {1, 64} and report.roofline is None and report.networks
    assert "needs &lt;much&gt;" in to_html(report) and "not measured, OSError" in to_markdown(report)
    parsed(to_html(report))
    nothing = Tools(*[no_roofline] * 5)  # every step raises: wrong number of arguments, or OSError
    bare = collect(TINY, nothing, progress=False)
    parsed(to_html(bare))
    assert len(bare.missing) >= 8 and read_report(write(bare, tmp_path)[-1]) == bare


@pytest.mark.row("C4")
def test_a_sweep_that_takes_too_long_stops_and_says_so(monkeypatch):
    now = iter(range(0, 10_000, 30))
    monkeypatch.setattr(steps.time, "perf_counter", lambda: float(next(now)))
    report = collect(TINY._replace(patience=20), MADE_UP, progress=False)
    assert {s.batch for s in report.sweep} == {1}
    assert report.missing["kernels at 64 × 256, batch 64"] == "the batch before took 30 seconds"


@pytest.mark.row("C4")
def test_interruptions_leave_no_file_and_old_files_whole(report, tmp_path, monkeypatch, capsys):
    def interrupt(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("qlab.hardware.__main__.collect", interrupt)
    assert main(["report", "--quick", "--to", str(tmp_path / "never")]) == 130
    assert list(tmp_path.iterdir()) == [] and "nothing was written" in capsys.readouterr().err

    with pytest.raises(KeyboardInterrupt):
        collect(TINY, replace(MADE_UP, networks=interrupt), progress=False)

    write(report, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr(pages.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(replace(report, seconds=99.0), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.row("C4", "C6")
def test_several_machines_in_one_table(report, tmp_path, capsys):
    fast = replace(MADE_UP, kernels=lambda *given: kernels(*given, factor=2.0))
    other = collect(TINY._replace(threads=2), fast, progress=False)
    other = replace(other, about={**other.about, "machine": "Another | processor, 8 cores, PyTorch 2"}, roofline=None)
    for name, one in (("ann", report), ("ben", other)):
        write(one, tmp_path / name)
    paths = [tmp_path / name / "report.json" for name in ("ann", "ben")]
    assert main(["compare", *map(str, paths)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]
    assert len(rows) == 4 and len({len(row) for row in rows}) == 1
    head, _, ann, ben = rows
    at = {name: k for k, name in enumerate(head)}
    assert (ann[0], ben[0]) == ("ann", "ben") and ben[1] == r"Another \| processor, 8 cores"
    assert ann[at["fp32 peak, GFLOP/s"]] == "123" and ben[at["fp32 peak, GFLOP/s"]] == "–"
    assert ann[at["ONNX Runtime integers × its fp32, mlp, batch 64"]] == "1.01 (0.98–1.03)"
    int8 = at["int8 × fp32, 128 × 256"]
    assert ann[int8] == "3.1 (2.88–3.33) numba" and ben[int8] == "**6.2 (5.77–6.67)** numba"
    assert ann[at["int4 gains less than half from batch"]] == "8"
    assert ann[at["int8 gains less than half from batch"]] == "not up to 64"
    assert any("compare with care" in line for line in lines)
    close = replace(MADE_UP, kernels=lambda *given: kernels(*given, factor=1.05))
    paths.append(write(collect(TINY, close, progress=False), tmp_path / "cleo")[-1])
    assert "**" not in compare_reports([paths[0], paths[2]])  # 3.1 and 3.26, whose quartiles overlap


@pytest.mark.row("C4")
def test_what_is_no_report_is_refused_in_clear_words(report, tmp_path, capsys):
    good = json.loads(to_json(report))
    wrong = {
        "none": (None, "cannot be read"),
        "words": ("hello", "no JSON"),
        "list": ("[1, 2]", "got JSON of kind None"),
        "table": (json.dumps({"kind": "latency"}), "got JSON of kind 'latency'"),
        "later": (json.dumps(good | {"version": 2}), "version 2, this qlab reads 1"),
        "torn": (json.dumps({k: v for k, v in good.items() if k != "sweep"}), "lacks something.*sweep"),
        "edited": (json.dumps(good | {"kernels": [{"rows": 3}]}), "changed by hand"),
    }
    for name, (text, words) in wrong.items():
        path = tmp_path / f"{name}.json"
        if text is not None:
            path.write_text(text)
        with pytest.raises(ValueError, match=words):
            read_report(path)
        with pytest.raises(SystemExit):
            main(["compare", str(path)])
        assert "python -m qlab.hardware report" in capsys.readouterr().err
    with pytest.raises(ValueError, match="at least one"):
        compare_reports([])


@pytest.mark.row("C4")
def test_arguments_that_make_no_sense_are_refused_before_anything_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("qlab.hardware.__main__.collect", lambda *given: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    wrong = [("--turns", "2"), ("--threads", "0"), ("--to", str(tmp_path / "file")), ("--turns", "many")]
    for option, value in wrong:
        given = ["report", "--quick", "--to", str(tmp_path), option, value]
        with pytest.raises(SystemExit):
            main(given)
        assert option in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.row("C4", "C6")
def test_the_command_itself(tmp_path):
    """The real thing with few turns; of times nothing is asserted but that they are positive."""
    command = [sys.executable, "-m", "qlab.hardware", "report", "--quick", "--turns", "3", "--to", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = read_report(tmp_path / "report.json")
    assert done.stdout.splitlines()[-1].endswith("report.json") and "100%" in done.stderr
    assert not [what for what in report.missing if not what.endswith("kernels")], report.missing
    assert {s.batch for s in report.sweep} == set(QUICK.batches)
    assert len(report.networks) == 2 * 2 * 5 and all(n.milliseconds > 0 for n in report.networks)
    assert all(n.right > 0.8 * n.pictures for n in report.networks)
    assert {(s.rows, s.columns) for s in report.kernels} == set(QUICK.shapes)
    parsed((tmp_path / "report.html").read_text())
    assert compare_reports([tmp_path / "report.json"]).count("\n|") >= 2
