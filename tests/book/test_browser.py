"""The book as a reader sees it: it loads whole, from this machine only, renders, searches, moves, and can be read."""

import re
from urllib.parse import urlsplit

import pytest

from tests.book.conftest import pages

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


@pytest.mark.parametrize("path", pages())
def test_page_loads_whole_and_asks_no_outside_host(page, site, path):
    opened(page, f"{site}/{path}")
    page.wait_for_load_state("networkidle")
    complaints = [c for c in page.complaints if not any(k in c for k in KNOWN)]
    assert not complaints
    outside = [u for u in page.requested if urlsplit(u).scheme != "data" and urlsplit(u).hostname != "127.0.0.1"]
    assert not outside
    assert page.title()


@pytest.mark.parametrize("path", pages())
def test_math_is_rendered_and_pictures_have_words(page, site, path):
    opened(page, f"{site}/{path}")
    assert page.locator("mjx-merror").count() == 0
    wanted = page.locator("span.math, div.math").count()
    assert page.locator("mjx-container").count() >= wanted
    code_free = page.evaluate(
        "(() => { const a = document.querySelector('article').cloneNode(true);"
        " a.querySelectorAll('pre, code, .highlight').forEach(e => e.remove()); return a.textContent; })()"
    )
    assert "$$" not in code_free
    assert "Traceback" not in code_free
    assert not re.search(r"\{(glue|cite|prf|ref|eq)[:}]", code_free)
    wordless = page.evaluate(
        "[...document.querySelectorAll('article img')].filter(i => !i.alt || i.alt.startsWith('../')"
        " || i.alt.startsWith('_images')).map(i => i.src)"
    )
    assert not wordless


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", pages())
def test_page_can_be_read_in_a_narrow_window_and_in_the_dark(browser, site, path, scheme):
    tab = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme=scheme)
    opened(tab, f"{site}/{path}")
    tab.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 401
    contrast = tab.evaluate(
        """() => {
          const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m; };
          const lum = c => { const f = parse(c).slice(0, 3).map(v => v / 255)
              .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
              return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
          const ground = e => { for (; e; e = e.parentElement) {
              const c = parse(getComputedStyle(e).backgroundColor);
              if (c.length < 4 || c[3] > 0.5) return getComputedStyle(e).backgroundColor; }
              return 'rgb(255,255,255)'; };
          let worst = 21;
          document.querySelectorAll('article p, article li, article td, article h1').forEach(e => {
              if (!e.textContent.trim() || !e.offsetParent) return;
              const a = lum(getComputedStyle(e).color), b = lum(ground(e));
              worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)); });
          return worst; }"""
    )
    tab.close()
    assert contrast >= 4.5


def test_search_finds_a_term(page, site):
    opened(page, f"{site}/search.html?q=quantizer")
    page.wait_for_selector("#search-results li a", timeout=15_000)
    assert "quantiz" in page.locator("#search-results").inner_text().lower()


def test_a_slider_moves_a_figure(page, site):
    for path in pages():
        opened(page, f"{site}/{path}")
        slider = page.locator("article input[type=range]").first
        if slider.count() == 0:
            continue
        figure = slider.locator("xpath=ancestor::*[.//svg or .//img][1]")
        before = figure.screenshot()
        slider.focus()
        for _ in range(2):
            page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(200)
        moved = figure.screenshot() != before
        page.keyboard.press("Home")
        page.wait_for_timeout(200)
        assert moved or figure.screenshot() != before
        return
    pytest.fail("no page of the book has a slider: the course promises figures that move")


def test_the_dark_mode_button_works(page, site):
    opened(page, f"{site}/book/intro.html")
    seen = set()
    for _ in range(3):
        page.locator("button.theme-switch-button").first.click()
        seen.add(page.evaluate("document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}
