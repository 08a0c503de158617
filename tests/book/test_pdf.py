"""The book on paper: the text of a page, and nothing of what surrounds it on the screen."""

import io
import re
import sys

import pytest
from pypdf import PdfReader

from tests.book.conftest import HTML, ROOT

sys.path.insert(0, str(ROOT / "tools"))
import pdf

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PAGES = ["book/basics/uniform", "book/notation", "book/teaching/instructors"]
LIGATURES = str.maketrans({"ﬁ": "fi", "ﬂ": "fl", "ﬀ": "ff", "ﬃ": "ffi", "ﬄ": "ffl"})
# The article's own sentences, without formulas and code, and without what is to be left out on paper.
SENTENCES = """() => { const a = document.querySelector('article').cloneNode(true);
  const other = '.solution, .headerlink, summary, mjx-container, .math, pre, style, script';
  a.querySelectorAll(other).forEach(e => e.remove());
  return [...a.querySelectorAll('p')].map(p => p.textContent); }"""
ARTICLE = "() => document.querySelector('article').textContent"
AROUND = "() => [...document.querySelectorAll('.bd-sidebar-primary a')].map(a => a.textContent)"


def words(text):
    return re.findall(r"\w+", text.translate(LIGATURES).lower())


@pytest.fixture(scope="module")
def book(browser, tmp_path_factory):
    """Three pages bound into one file: the reader's view, and the text of each page."""
    if missing := [name for name in PAGES if not (HTML / f"{name}.html").exists()]:
        pytest.fail(f"the book is not built ({', '.join(missing)}): run `make book` first")
    path = tmp_path_factory.mktemp("pdf") / "book.pdf"
    with path.open("wb") as file:
        pdf.bind(HTML, pdf.printed(browser, HTML, PAGES)).write(file)
    reader = PdfReader(path)
    starts = [reader.get_destination_page_number(item) for item in reader.outline]
    texts = [
        "".join(p.extract_text() for p in reader.pages[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)
    ]
    return reader, starts, dict(zip(PAGES, texts, strict=True))


@pytest.mark.parametrize("name", PAGES)
def test_the_text_is_there_and_the_sidebar_is_not(book, browser, name):
    printed = words(book[2][name])
    tab = browser.new_page()
    tab.goto((HTML / f"{name}.html").as_uri())
    sentences = [s for text in tab.evaluate(SENTENCES) if len(s := words(text)) > 3]
    article = " ".join(words(tab.evaluate(ARTICLE)))
    titles = (" ".join(w) for text in tab.evaluate(AROUND) if len(w := words(text)) > 2)
    around = [title for title in titles if title not in article]  # those that the article does not name itself
    tab.close()
    assert len(sentences) > 5
    assert len(around) > 10
    whole, everything = " ".join(printed), set(printed)
    lost = [word for sentence in sentences for word in sentence if word not in everything]
    assert len(lost) < 0.02 * sum(map(len, sentences)), lost
    assert not [title for title in around if title in whole]
    assert not [b for b in ("Skip to main content", "Search the book", "Show code cell") if " ".join(words(b)) in whole]


def test_answers_are_printed_and_solutions_on_demand(book, browser):
    name = "book/basics/uniform"
    text = " ".join(words(book[2][name]))
    assert "right" in text.split()
    ((_, _, data),) = pdf.printed(browser, HTML, [name], solutions=True)
    pages = PdfReader(io.BytesIO(data)).pages
    solved = " ".join(words("".join(page.extract_text() for page in pages)))
    assert "solution to exercise" not in text
    assert solved.count("solution to exercise") == (HTML / f"{name}.html").read_text().count('class="solution')
    assert len(solved) > len(text)


def test_links_between_the_pages_lead_inside(book):
    reader, starts, _ = book
    inside, outside = set(), []
    for page in reader.pages:
        for annotation in page.get("/Annots", ()):
            link = annotation.get_object()
            if "/Dest" in link:
                inside.add(reader.get_page_number(link["/Dest"][0].get_object()))
            elif "/A" in link:
                outside.append(str(link["/A"].get("/URI", "")))
    assert starts[0] == 0
    assert len(set(starts)) == len(PAGES)
    assert inside - {starts[0]}
    assert not [u for u in outside if not re.match("https?:|mailto:|$", u)], "a link to a file of this machine"
