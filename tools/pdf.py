"""Print the built book, or some of its pages, into one PDF with chromium: python tools/pdf.py [PAGE …] [--to FILE].

A page is named as in the table of contents, book/basics/uniform. What can be opened by a click is open on paper, as the
questions and their answers are; solutions of the exercises are left out unless --solutions asks for them, and so are
folded cells of code. Links from page to page lead inside of the PDF.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, FloatObject, NameObject, NullObject
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build/html"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
FOOTER = """<div style="width: 100%; font-size: 8px; text-align: center; color: #555">
<span class="title"></span> · <span class="pageNumber"></span>/<span class="totalPages"></span></div>"""
PAPER: dict[str, Any] = {
    "format": "A4",
    "scale": 0.8,
    "margin": {"top": "15mm", "bottom": "16mm", "left": "16mm", "right": "16mm"},
    "print_background": True,
    "display_header_footer": True,
    "header_template": "<span></span>",
    "footer_template": FOOTER,
}
READY = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode().catch(() => {}); })); }"""


def contents() -> list[str]:
    """List the pages of the table of contents, in its order."""
    return re.findall(r"(?:file|root): (\S+)", (ROOT / "book/_toc.yml").read_text(encoding="utf-8"))


def chromium() -> str:
    """Find the browser."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise SystemExit("make pdf: chromium is not installed (apt-get install chromium)")


def printed(
    browser: Any, html: Path, pages: Iterable[str], solutions: bool = False
) -> Iterator[tuple[str, str, bytes]]:
    """Print pages one by one: name, title, PDF."""
    context = browser.new_context(viewport={"width": 900, "height": 1200}, color_scheme="light")
    context.add_init_script("localStorage.setItem('mode', 'light'); localStorage.setItem('theme', 'light')")
    for name in pages:
        tab = context.new_page()
        tab.emulate_media(media="print")
        tab.goto((html / f"{name}.html").resolve().as_uri(), wait_until="load")
        tab.evaluate(READY)
        if solutions:
            tab.evaluate("document.documentElement.classList.add('qlab-solutions')")
        title = tab.title().split(" — ")[0]
        tab.evaluate("title => { document.title = title; }", title)  # the footer shows it
        yield name, title, tab.pdf(**PAPER)
        tab.close()
    context.close()


def bind(html: Path, sheets: Iterable[tuple[str, str, bytes]]) -> PdfWriter:
    """Put printed pages together, with a list of contents, and let the links between them lead to each other."""
    writer, first, bound = PdfWriter(), {}, []
    for name, title, data in sheets:
        reader, start = PdfReader(io.BytesIO(data)), len(writer.pages)
        first[(html / f"{name}.html").resolve().as_uri()] = start
        places = {}
        for key, place in reader.named_destinations.items():
            number = reader.get_destination_page_number(place)
            places[key] = (start + number, place.top) if number is not None else None
        bound += [(writer.add_page(page), places) for page in reader.pages]
        writer.add_outline_item(title=title, page_number=start)
    for page, places in bound:
        links = list(page.get("/Annots", ()))
        for reference in links:
            redirect(writer, reference.get_object(), first, places)
        # What still leads to a file (a picture, a page that was not printed) leads nowhere on another machine.
        kept = [r for r in links if not str(r.get_object().get("/A", {}).get("/URI", "")).startswith("file:")]
        page[NameObject("/Annots")] = ArrayObject(kept)
    return writer


def redirect(writer: PdfWriter, link: DictionaryObject, first: dict[str, int], places: dict[str, Any]) -> None:
    """Turn a link to a page of this PDF, or to a named place on its own page, into a place of the PDF."""
    action = link.get("/A", DictionaryObject()).get_object()
    if address := action.get("/URI"):
        number = first.get(str(address).split("#")[0])
        found = None if number is None else (number, None)
    else:
        found = places.get(str(link.get("/Dest", action.get("/D", ""))))
    if found is not None:
        number, top = found
        link.pop("/A", None)
        height = NullObject() if top is None else FloatObject(top)
        page = writer.pages[number].indirect_reference
        link[NameObject("/Dest")] = ArrayObject([page, NameObject("/XYZ"), NullObject(), height, NullObject()])


def main() -> None:
    """Print, bind, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="*", help="as book/basics/uniform; the whole book by default")
    parser.add_argument("--to", type=Path, default=ROOT / "_build/qlab.pdf")
    parser.add_argument("--html", type=Path, default=HTML, help="folder of the built book")
    parser.add_argument("--solutions", action="store_true", help="with the solutions of the exercises")
    chosen = parser.parse_args()
    names = [name.removesuffix(".html").removesuffix(".ipynb") for name in chosen.page] or contents()
    if missing := [name for name in names if not (chosen.html / f"{name}.html").is_file()]:
        raise SystemExit(f"make pdf: not built: {', '.join(missing)}. Run make book first.")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        sheets = printed(browser, chosen.html, names, chosen.solutions)
        book = bind(chosen.html, tqdm(sheets, "pages", len(names), file=sys.stderr))
        browser.close()
    temporary = chosen.to.with_name(chosen.to.name + ".tmp")
    with temporary.open("wb") as file:
        book.write(file)
    os.replace(temporary, chosen.to)
    print(f"{len(book.pages)} sheets in {chosen.to}")


if __name__ == "__main__":
    main()
