"""The sources of the book and the labs: complete, clean, and asking nothing of any outside host."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from qlab.course.coverage import survey_rows

ROOT = Path(__file__).resolve().parents[2]
PLAN = yaml.safe_load((ROOT / "book/_plan.yml").read_text(encoding="utf-8"))
CHAPTERS = [chapter for part in PLAN["parts"] for chapter in part["chapters"]]
FILES = {chapter["file"] for chapter in CHAPTERS}
NOTEBOOKS = sorted(p.relative_to(ROOT).as_posix() for d in ("book", "labs") for p in (ROOT / d).rglob("*.ipynb"))
NOTEBOOKS = [name for name in NOTEBOOKS if ".ipynb_checkpoints" not in name]
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "book").glob("*.md"))
WITH_QUESTIONS = [
    chapter["file"]
    for chapter in CHAPTERS
    if chapter["file"].startswith("book/") and (ROOT / (chapter["file"] + ".ipynb")).exists()
]
# What makes a browser fetch: sources of elements, imports and fetches; an ordinary link does not.
FETCHES = re.compile(r"""(?:src\s*=|@import|url\(|fetch\(|import\()\s*["'\\(]*https?://""")


def notebook(name):
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def test_plan_covers_every_row_of_the_survey_once():
    planned = [row for part in PLAN["parts"][:6] for chapter in part["chapters"] for row in chapter["rows"]]
    assert sorted(planned) == sorted(row.id for row in survey_rows())


def test_table_of_contents_and_chapter_lists_are_what_the_files_give():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/frame.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if not name.startswith("labs/template")])
def test_every_notebook_is_in_the_plan(name):
    known = FILES | set(PLAN["reference"]) | set(PLAN["teaching"])
    assert name.removesuffix(".ipynb").replace("labs/source/", "labs/release/") in known


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_clean_and_names_its_rows(name):
    content = notebook(name)
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    rows = content["metadata"]["qlab"]["rows"]
    file = name.removesuffix(".ipynb").replace("labs/source/", "labs/release/")
    planned = [chapter["rows"] for chapter in CHAPTERS if chapter["file"] == file]
    assert sorted(rows) == sorted(planned[0] if planned else [])
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "run nbstripout"
            assert cell["execution_count"] is None


@pytest.mark.parametrize("name", NOTEBOOKS + PAGES)
def test_source_fetches_nothing_from_outside(name):
    assert not FETCHES.search((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [n for n in NOTEBOOKS if n.startswith("book/") and n.removesuffix(".ipynb") in FILES])
def test_chapter_has_its_sections_and_a_claim(name):
    cells = notebook(name)["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    wanted = ["What you will be able to do", "The idea in a picture", "What it costs on hardware"]
    wanted += ["Where it breaks", "Exercises", "Further reading"]
    found = [heading for heading in re.findall(r"^## +(.+?)\s*$", text, re.MULTILINE) if heading in wanted]
    assert found == wanted
    assert "{solution" in text
    assert "{cite:" in text
    claims = [cell for cell in cells if "claim" in cell["metadata"].get("tags", [])]
    assert claims
    assert all("assert" in "".join(cell["source"]) for cell in claims)


def questions(name):
    """Read the section `Check yourself` of a chapter: for each question its options (letter, title, answer)."""
    cells = notebook(f"{name}.ipynb")["cells"]
    text = "\n" + "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert "\n## Check yourself\n" in text
    section, *after = re.split(r"^## ", text.split("\n## Check yourself\n")[1], flags=re.MULTILINE)
    assert after[0].startswith("Exercises")
    blocks = re.split(r"^\*\*(\d+)\. .+\*\*$", section, flags=re.MULTILINE)
    option = r"^:::\{dropdown\} ([A-D])\. (\S.*)\n:class-container: qlab-quiz\n\n(.+)\n:::$"
    found = [re.findall(option, block, re.MULTILINE) for block in blocks[2::2]]
    assert [int(number) for number in blocks[1::2]] == list(range(1, len(found) + 1))
    assert section.count("{dropdown}") == sum(map(len, found)), "an option that is not written like the others"
    return found


@pytest.mark.parametrize("name", WITH_QUESTIONS)
def test_chapter_ends_in_questions_with_one_right_answer_each(name):
    asked = questions(name)
    assert len(asked) >= 3
    right = [letter for options in asked for letter, _, answer in options if answer.startswith("Right: ")]
    for options in asked:
        assert 3 <= len(options) <= 4
        assert "".join(letter for letter, _, _ in options) == "ABCD"[: len(options)]
        assert all(re.match("(Right|No|Not quite): ", answer) for _, _, answer in options)
        assert sum(answer.startswith("Right: ") for _, _, answer in options) == 1
    assert len(set(right)) > 1, "always the same letter"


def test_right_answers_stand_at_all_letters_and_are_not_told_by_their_length():
    asked = [options for name in WITH_QUESTIONS for options in questions(name)]
    place = [next(k for k, option in enumerate(options) if option[2].startswith("Right")) for options in asked]
    assert all(place.count(k) > 0.12 * len(asked) for k in range(4))
    lengths = [[len(title) for _, title, _ in options] for options in asked]
    for extreme in (min, max):
        told = sum(own.index(extreme(own)) == k for own, k in zip(lengths, place, strict=True))
        assert told < 0.45 * len(asked)


def test_every_citation_is_in_the_bibliography_and_keys_are_unique():
    keys = re.findall(r"^@\w+\{([^,]+),", (ROOT / "book/references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(keys)) == len(keys)
    cited = set()
    for name in NOTEBOOKS + PAGES:
        for group in re.findall(r"\{cite:?\w*\}`([^`]+)`", (ROOT / name).read_text(encoding="utf-8")):
            cited |= {key.strip() for key in group.split(",")}
    assert cited <= set(keys)
    assert "gholami2021survey" in cited


def test_labels_are_unique_in_the_whole_book():
    released = [name for name in NOTEBOOKS if not name.startswith("labs/source")]
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in released + PAGES]
    labels = [label for text in texts for label in re.findall(r"(?:\$\$ \(|:label: )([\w-]+)", text)]
    assert sorted(set(labels)) == sorted(labels)


def test_glossary_terms_are_sorted_and_unique():
    text = (ROOT / "book/glossary.md").read_text(encoding="utf-8").split("```{glossary}")[1].split("```")[0]
    terms = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert len(set(terms)) == len(terms)
    assert terms == sorted(terms, key=str.lower)


def glossary():
    """Read the glossary: for each term its definition."""
    text = (ROOT / "book/glossary.md").read_text(encoding="utf-8").split("```{glossary}\n")[1].split("```")[0]
    return dict(entry.split("\n", 1) for entry in text.strip().split("\n\n"))


@pytest.mark.parametrize("term", glossary())
def test_glossary_term_leads_to_a_chapter_that_is_written_and_speaks_of_it(term):
    *_, name = re.findall(r"\{doc\}`([^`]+)`", glossary()[term])
    assert f"book/{name}" in FILES
    cells = notebook(f"book/{name}.ipynb")["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells).lower().replace("-", " ")
    words = [word for word in re.split(r"[^\wμ']+", term.lower()) if len(word) > 2]
    assert words
    assert not [word for word in words if word[:5] not in text]


def test_glossary_terms_that_are_referred_to_exist():
    named = {
        re.sub(r".*<(.+)>", r"\1", name)
        for text in glossary().values()
        for name in re.findall(r"\{term\}`([^`]+)`", text)
    }
    assert named <= set(glossary())


def places(unit):
    """For each chapter of a teaching plan, when it is read: (week, place)."""
    return {name: (i, j) for i, lecture in enumerate(PLAN[unit]) for j, name in enumerate(lecture["read"])}


@pytest.mark.parametrize("unit", ["weeks", "days"])
def test_a_teaching_plan_names_what_is_planned_and_nothing_before_what_it_needs(unit):
    chapters = {chapter["file"].removeprefix("book/"): chapter for chapter in CHAPTERS}
    when = places(unit)
    assert len(PLAN[unit]) == {"weeks": 10, "days": 3}[unit]
    assert sum(len(lecture["read"]) for lecture in PLAN[unit]) == len(when), "a chapter is read twice"
    assert set(when) <= set(chapters)
    early = [(name, need) for name in when for need in chapters[name]["needs"] if when.get(need, (-1,)) > when[name]]
    assert not early
    labs = {file.split("/")[2].split("_")[0] for file in FILES if file.startswith("labs/")}
    given = [lab for lecture in PLAN[unit] for lab in lecture["labs"]]
    assert len(given) == len(set(given))
    assert set(given) <= labs
