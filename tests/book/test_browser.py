"""The book as a reader sees it: it loads whole, from this machine only, renders, searches, moves, and can be read."""

import re
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.book.conftest import HTML, pages

pytestmark = [pytest.mark.browser, pytest.mark.slow]
# What this theme logs on every page, harmlessly.
KNOWN = ("Identifier 'THEBE_JS_URL' has already been declared", "Got invalid theme mode")


@pytest.fixture
def page(browser):
    tab = browser.new_page(viewport={"width": 1300, "height": 900})
    tab.complaints, tab.requested = [], []
    tab.on("console", lambda m: tab.complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda e: tab.complaints.append(str(e)))
    tab.on("requestfailed", lambda r: tab.complaints.append(f"failed: {r.url}"))
    tab.on("response", lambda r: tab.complaints.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    tab.on("request", lambda r: tab.requested.append(r.url))
    yield tab
    tab.close()


def opened(page, address):
    page.goto(address, wait_until="load")
    page.wait_for_function("!window.MathJax || !window.MathJax.startup || window.MathJax.startup.promise")
    page.evaluate("window.MathJax && window.MathJax.startup ? window.MathJax.startup.promise : null")
    return page


def barriers(page):
    """What axe-core finds against WCAG 2.1 A and AA, if it is serious or critical: rule, how often, the first place.

    Contrast is measured by `CONTRAST`, in both themes; inside equations MathJax has its own words for screen readers.
    Both would take axe most of its time.
    """
    options = {
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
        "rules": {"color-contrast": {"enabled": False}},
        "resultTypes": ["violations"],
    }
    found = Axe().run(page, context={"exclude": [["mjx-container"]]}, options=options).response["violations"]
    return [
        (rule["id"], len(rule["nodes"]), rule["nodes"][0]["html"][:200])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


CONTRAST = """() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const lum = c => { const f = parse(c).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const ground = e => { for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0.5) return getComputedStyle(e).backgroundColor; }
      return 'rgb(255,255,255)'; };
  let worst = [21, ''];
  const text = 'article :is(p, li, td, th, dd, h1, h2, h3, label, output, pre, a:not(.headerlink))';
  document.querySelectorAll(text).forEach(e => {
      if (!e.textContent.trim() || !e.offsetParent) return;
      const a = lum(getComputedStyle(e).color), b = lum(ground(e));
      const found = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (found < worst[0]) worst = [found, e.tagName + ': ' + e.textContent.trim().slice(0, 60)]; });
  return worst; }"""
WORDS = """() => { const a = document.querySelector('article').cloneNode(true);
  a.querySelectorAll('pre, code, .highlight').forEach(e => e.remove()); return a.textContent; }"""
WORDLESS = """() => [...document.querySelectorAll('article img')]
  .filter(i => !i.alt.trim() || i.alt.startsWith('../') || i.alt.startsWith('_images')).map(i => i.src.slice(0, 80))"""


@pytest.mark.parametrize("path", pages())
def test_page(page, site, path):
    """One visit: the page loads whole and from here only, renders, and reads in a narrow window, light and dark."""
    opened(page, f"{site}/{path}")
    page.wait_for_load_state("networkidle")
    complaints = [c for c in page.complaints if not any(k in c for k in KNOWN)]
    assert not complaints, "the browser complains"
    outside = [u for u in page.requested if urlsplit(u).scheme != "data" and urlsplit(u).hostname != "127.0.0.1"]
    assert not outside, "the page asks an outside host"
    assert page.title()

    assert page.locator("mjx-merror").count() == 0, "an equation does not parse"
    assert page.locator("mjx-container").count() >= page.locator("span.math, div.math").count(), "unrendered math"
    words = page.evaluate(WORDS)
    assert "$$" not in words, "raw math in the text"
    assert "Traceback" not in words
    assert not re.search(r"\{(glue|cite|prf|ref|eq)[:}]", words), "a role that was not rendered"
    assert page.locator("span.pasted-text:empty").count() == 0, "a number that is not there: glue Python's own floats"
    assert not page.evaluate(WORDLESS), "a picture without words"

    for width, scheme in ((1300, "light"), (400, "light"), (400, "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
        page.wait_for_timeout(250)  # the theme fades its colours
        if width == 1300:  # once: it takes seconds on a long page
            assert not barriers(page), "not accessible"
        assert page.evaluate("document.documentElement.scrollWidth") <= width + 1, f"wider than the window ({scheme})"
        contrast, where = page.evaluate(CONTRAST)
        assert contrast >= 4.5, f"hard to read in the {scheme}: {where}"


def test_search_finds_a_term(page, site):
    opened(page, f"{site}/search.html?q=quantizer")
    page.wait_for_selector("#search-results li a", timeout=15_000)
    assert "quantiz" in page.locator("#search-results").inner_text().lower()


SLIDERS = """() => [...document.querySelectorAll('article .qlab-slider')].map(s => {
  const input = s.querySelector('input'), shown = [...s.querySelector('.qlab-slider-frames').children]
      .map((f, i) => [f, i]).filter(([f]) => f.getBoundingClientRect().height > 0);
  return { at: shown.map(([, i]) => i), last: +input.max, value: input.getAttribute('aria-valuetext'),
      output: s.querySelector('output').textContent, name: input.labels.length && input.getAttribute('aria-label'),
      words: shown.map(([f]) => (f.querySelector('img, [role=img]') || f).outerHTML + f.textContent).join() }; })"""
MOVING = [path for path in pages() if (HTML / path).exists() and 'class="qlab-slider"' in (HTML / path).read_text()]


@pytest.mark.parametrize("path", MOVING or ["none"])
def test_sliders_move_their_figures(page, site, path):
    """By keyboard, without a kernel: one picture at a time, another at every stop, and the value is told."""
    assert MOVING, "no page of the book has a slider: the course promises figures that move"
    opened(page, f"{site}/{path}")
    for i, start in enumerate(page.evaluate(SLIDERS)):
        assert start["name"], "a slider without a label"
        stops = []
        page.locator("article .qlab-slider input").nth(i).focus()
        page.keyboard.press("Home")
        for _ in range(start["last"] + 1):
            stops.append(page.evaluate(SLIDERS)[i])
            page.keyboard.press("ArrowRight")
        assert [stop["at"] for stop in stops] == [[k] for k in range(start["last"] + 1)]
        assert len({stop["words"] for stop in stops}) == len({stop["value"] for stop in stops}) == len(stops)
        assert all(stop["value"] == stop["output"] for stop in stops)
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(SLIDERS)[i]["at"] == [max(start["last"] - 1, 0)]


PROMISED = {
    "bits": ("basics/uniform", 1),
    "clipping range and granularity": ("basics/granularity_calibration", 2),
    "rounding": ("history/rounding", 1),
    "rate and distortion": ("history/rate_distortion", 1),
    "Pareto front": ("advanced/mixed_precision", 1),
}


@pytest.mark.parametrize("what", PROMISED)
def test_what_the_course_promises_to_move_has_its_sliders(what):
    name, count = PROMISED[what]
    assert (HTML / f"book/{name}.html").read_text().count('class="qlab-slider"') >= count


def test_the_dark_mode_button_works(page, site):
    opened(page, f"{site}/book/intro.html")
    seen = set()
    for _ in range(3):
        page.locator("button.theme-switch-button").first.click()
        seen.add(page.evaluate("document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}


def test_links_of_the_coverage_table_lead_somewhere():
    page = (HTML / "book/coverage.html").read_text(encoding="utf-8")
    table = page[page.index('class="qlab-coverage"') :]
    links = set(re.findall(r'<a href="\.\./((?:book|labs)/[^"#]+)#?([^"]*)"', table[: table.rindex("</table>")]))
    assert links
    texts = {file: (HTML / file).read_text(encoding="utf-8") for file, _ in links}
    assert not [f"{file}#{place}" for file, place in sorted(links) if place and f'id="{place}"' not in texts[file]]


def test_a_plotly_figure_is_drawn_by_the_books_own_script(page, site):
    import plotly.graph_objects as go

    from qlab.plots import plotly_html

    figures = [plotly_html(go.Figure(go.Scatter(y=[1, 3, i])), "a line") for i in (2, 4)]
    body = "".join(figure._repr_html_() for figure in figures)
    text = f'<!doctype html><html data-content_root="../"><body>{body}</body></html>'
    page.route("**/book/plotly-test.html", lambda route: route.fulfill(body=text, content_type="text/html"))
    page.goto(f"{site}/book/plotly-test.html")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .scatterlayer .trace').length === 2")
    assert [u for u in page.requested if u.endswith("plotly.min.js")] == [f"{site}/_static/plotly.min.js"]
    assert not [u for u in page.requested if u.startswith("http") and not u.startswith(site)]
