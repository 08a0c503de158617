"""Which row of the survey is met where: in the library, in a chapter, in a test, in a lab.

Nothing here is kept by hand. The rows themselves are `survey_map.csv`; each place says which rows it serves, and
we read it there: docstrings end in ``Survey-map row: H6.``, notebooks carry ``{"qlab": {"rows": ["H6"]}}`` in their
metadata, and tests are marked ``@pytest.mark.row("H6")``. Sources are parsed, never imported, so the table is made
in a second and cannot fail on a missing extra.
"""

import ast
import csv
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Place", "Row", "collect", "survey_rows", "table", "table_html"]

ROOT = Path(__file__).resolve().parents[2]
IN_PREPARATION = "in preparation"
_LINE = re.compile(r"Survey-map rows?:\s*([^\n]*(?:\n\s*[A-Z]\d+[^\n]*)*)")
_SPAN = re.compile(r"([A-Z])(\d+)(?:\s*[–-]\s*(?:\1)?(\d+))?")


@dataclass(frozen=True)
class Place:
    """Where a row is met: its name, its page in the built book (empty when it has none) and, for code, its module."""

    name: str
    address: str = ""
    module: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the survey map, and the places that serve it."""

    id: str
    part: str
    year: str
    concept: str
    wants_lab: bool
    code: tuple[Place, ...] = field(default=())
    chapters: tuple[Place, ...] = field(default=())
    tests: tuple[Place, ...] = field(default=())
    labs: tuple[Place, ...] = field(default=())

    @property
    def started(self) -> bool:
        """Whether anything at all serves this row."""
        return bool(self.code or self.chapters or self.tests or self.labs)


@cache
def survey_rows() -> tuple[Row, ...]:
    """Read the rows of the survey map.

    Returns
    -------
    tuple of Row
        In the survey's order, without places.

    Examples
    --------
    >>> [row.concept for row in survey_rows() if row.id == "H6"]
    ['Huffman coding']
    """
    with (Path(__file__).with_name("survey_map.csv")).open(encoding="utf-8", newline="") as lines:
        return tuple(
            Row(line["id"], line["part"], line["year"], line["concept"], line["lab"] == "yes")
            for line in csv.DictReader(lines)
        )


def parse_rows(text: str) -> tuple[str, ...]:
    """Find the row ids in a text such as ``"Q1–Q4, H6."``.

    Parameters
    ----------
    text : str
        Row ids; a dash between two ids of one letter means all from the first to the last.

    Returns
    -------
    tuple of str
        The ids in the order of the text.

    Examples
    --------
    >>> parse_rows("Q2–Q4, H6.")
    ('Q2', 'Q3', 'Q4', 'H6')
    """
    ids: list[str] = []
    for letter, first, last in _SPAN.findall(text):
        ids += [f"{letter}{number}" for number in range(int(first), int(last or first) + 1)]
    return tuple(dict.fromkeys(ids))


def rows_of_docstring(doc: str) -> tuple[str, ...]:
    r"""Find the rows that a docstring says it serves.

    Examples
    --------
    >>> rows_of_docstring("One line.\n\nSurvey-map rows: Q2, Q3.")
    ('Q2', 'Q3')
    """
    return tuple(dict.fromkeys(row for line in _LINE.findall(doc) for row in parse_rows(line)))


def collect(root: Path = ROOT) -> tuple[Row, ...]:
    """Fill every row with the places that serve it.

    Parameters
    ----------
    root : Path
        The top of the project, which holds qlab, book, labs and tests. What is missing there is left out.

    Returns
    -------
    tuple of Row
        In the survey's order.

    Raises
    ------
    ValueError
        If some place names a row that the survey map does not have.
    """
    found: dict[str, dict[str, list[Place]]] = {
        row.id: {"code": [], "chapters": [], "tests": [], "labs": []} for row in survey_rows()
    }
    for kind, places in {
        "code": _code(root),
        "chapters": _notebooks(root, "book"),
        "tests": _tests(root),
        "labs": _notebooks(root, "labs/source"),
    }.items():
        for ids, place in places:
            for row in ids:
                if row not in found:
                    raise ValueError(f"{place.name} names row {row}, which is not in the survey map")
                if place not in found[row][kind]:
                    found[row][kind].append(place)
    return tuple(
        Row(
            row.id, row.part, row.year, row.concept, row.wants_lab,
            *(tuple(found[row.id][kind]) for kind in ("code", "chapters", "tests", "labs")),
        )
        for row in survey_rows()
    )  # fmt: skip


def table(root: Path = ROOT) -> "pd.DataFrame":
    """Make the coverage table with plain names, for work in a notebook.

    Parameters
    ----------
    root : Path
        The top of the project.

    Returns
    -------
    pandas.DataFrame
        Indexed by row id; columns part, year, concept, code, chapters, tests, labs.
    """
    import pandas as pd

    lines = [
        {
            "id": row.id,
            "part": row.part,
            "year": row.year,
            "concept": row.concept,
            **{
                kind: ", ".join(place.name for place in getattr(row, kind))
                for kind in ("code", "chapters", "tests", "labs")
            },
        }
        for row in collect(root)
    ]
    return pd.DataFrame(lines).set_index("id")


def table_html(root: Path = ROOT, up: str = "../") -> str:
    """Make the coverage table as HTML with links, for the book's coverage page.

    Parameters
    ----------
    root : Path
        The top of the project.
    up : str
        The way from the page to the top of the built book.

    Returns
    -------
    str
        One table for each part of the survey, under a heading.
    """
    rows = collect(root)
    started = sum(row.started for row in rows)
    blocks = [f"<p>{started} of {len(rows)} rows have been started.</p>"]
    for part in dict.fromkeys(row.part for row in rows):
        name = html.escape(part)
        heads = "".join(f'<th scope="col">{head}</th>' for head in ("Row", "Concept", "Library", "Tests"))
        body = "".join(_row_html(row, up) for row in rows if row.part == part)
        blocks.append(
            f'<h2>{name}</h2><table class="qlab-coverage" aria-label="{name}"><thead><tr>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table>"
        )
    return "\n".join(blocks)


def _row_html(row: Row, up: str) -> str:
    """Make one row of the HTML table: the concept with its chapter and lab, the code, the tests."""
    year = f" ({html.escape(row.year)})" if row.year else ""
    concept = f"{html.escape(row.concept)}{year}"
    head = f'<tr><th scope="row">{row.id}</th>'
    if not row.started:
        return f"{head}<td>{concept}</td><td><em>{IN_PREPARATION}</em></td><td></td></tr>"
    concept += f"<p>Chapter: {_links(row.chapters, up)}</p>"
    if row.labs or row.wants_lab:
        concept += f"<p>Lab: {_links(row.labs, up)}</p>"
    return f"{head}<td>{concept}</td><td>{_code_html(row.code, up)}</td><td>{_tests_html(row.tests)}</td></tr>"


def _links(places: tuple[Place, ...], up: str) -> str:
    """Make links, or say that there is nothing yet."""
    made = [
        f'<a href="{up}{html.escape(place.address)}">{html.escape(place.name)}</a>'
        if place.address
        else html.escape(place.name)
        for place in places
    ]
    return "<br>".join(made) or f"<em>{IN_PREPARATION}</em>"


def _code_html(places: tuple[Place, ...], up: str) -> str:
    """Make links to objects, those of one module on one line."""
    modules: dict[str, list[str]] = {}
    for place in places:
        module, name = place.module or place.name, place.name.removeprefix(place.module).lstrip(".")
        link = f'<a href="{up}{html.escape(place.address)}">{html.escape(name or module)}</a>'
        modules.setdefault(module, []).append(link if name else f"{link} (whole)")
    made = [f"<strong>{html.escape(module)}</strong>: {', '.join(links)}" for module, links in modules.items()]
    return "<br>".join(made) or f"<em>{IN_PREPARATION}</em>"


def _tests_html(places: tuple[Place, ...]) -> str:
    """Name the test files, with the number of marked tests in each."""
    files: dict[str, int] = {}
    for place in places:
        name = place.name.split("::")[0]
        files[name] = files.get(name, 0) + 1
    made = [f"{_breakable(name)}&nbsp;({count})" for name, count in files.items()]
    return "<br>".join(made) or f"<em>{IN_PREPARATION}</em>"


def _breakable(file: str) -> str:
    """Let a long file name break after its strokes."""
    short = html.escape(file.removeprefix("tests/").removesuffix(".py"))
    return re.sub("([/_])", r"\1<wbr>", short)


def _code(root: Path) -> Iterator[tuple[tuple[str, ...], Place]]:
    """Yield the public objects of the library that name rows."""
    for path in sorted((root / "qlab").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts == ("qlab", "course", "coverage"):  # it speaks of the lines, it does not carry one
            continue
        package = parts[-1] == "__init__"
        if any(part.startswith("_") for part in (parts[:-1] if package else parts)):
            continue
        module = ".".join(parts[:-1] if package else parts)
        room = parts[1] if len(parts) > 2 else "core"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        offered = _offered(tree)
        for name, doc in _docstrings(tree):
            ids = rows_of_docstring(doc)
            full = f"{module}.{name}" if name else module
            # The API pages show what a module offers; the rest is reached through the module.
            shown = name and (offered is None or name.split(".")[0] in offered)
            anchor = full if shown else f"module-{module}"
            # A package's own page shows its modules, not its docstring.
            address = f"book/api/{room}.html" + ("" if package else f"#{anchor}")
            if ids:
                yield ids, Place(full.removeprefix("qlab."), address, module.removeprefix("qlab."))


def _offered(tree: ast.Module) -> set[str] | None:
    """Return the names in a module's `__all__`, or None when it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return None


def _docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the dotted name and docstring of a module, its public functions, classes and methods."""
    yield "", ast.get_docstring(tree) or ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node) or ""
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                        yield f"{node.name}.{inner.name}", ast.get_docstring(inner) or ""


def _notebooks(root: Path, folder: str) -> Iterator[tuple[tuple[str, ...], Place]]:
    """Yield the notebooks that name rows, by their titles. A lab's address is that of its release version."""
    for path in sorted((root / folder).rglob("*.ipynb")):
        relative = path.relative_to(root)
        if ".ipynb_checkpoints" in relative.parts:
            continue
        notebook = json.loads(path.read_text(encoding="utf-8"))
        ids = tuple(notebook["metadata"].get("qlab", {}).get("rows", ()))
        page = relative.with_suffix(".html").as_posix().replace("labs/source/", "labs/release/", 1)
        if ids:
            yield ids, Place(_title(notebook) or path.stem, page)


def _title(notebook: dict) -> str:
    """Return the first heading of a notebook."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and (
            found := re.search(r"^#\s+(.+)$", "".join(cell["source"]), re.MULTILINE)
        ):
            return found[1].strip()
    return ""


def _tests(root: Path) -> Iterator[tuple[tuple[str, ...], Place]]:
    """Yield the tests marked with rows, on themselves, on their class or by `pytestmark` on their module."""
    for path in sorted((root / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        whole = tuple(
            row
            for node in tree.body
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets)
            for row in _marked(list(ast.walk(node.value)))
        )
        yield from _tests_in(tree.body, path.relative_to(root).as_posix(), whole)


def _tests_in(body: list[ast.stmt], prefix: str, outer: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Place]]:
    """Yield the marked tests of a module or class."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            ids = outer + _marked(list(node.decorator_list))
            if isinstance(node, ast.ClassDef):
                yield from _tests_in(node.body, f"{prefix}::{node.name}", ids)
            elif node.name.startswith("test") and ids:
                yield ids, Place(f"{prefix}::{node.name}")


def _marked(nodes: list) -> tuple[str, ...]:
    """Return the rows in the `pytest.mark.row(...)` calls among some nodes."""
    return tuple(
        argument.value
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "row"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    )
