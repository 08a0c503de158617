"""The students' version is made from the source, holds no solution, and answers a blank with words."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted(p.name for p in (ROOT / "labs/source").iterdir() if p.is_dir())


@pytest.mark.slow
def test_the_committed_release_is_what_the_source_gives(tmp_path):
    subprocess.run([sys.executable, ROOT / "tools/release.py", "--to", tmp_path], check=True, capture_output=True)
    for lab in LABS:
        fresh = nbformat.read(tmp_path / lab / f"{lab}.ipynb", as_version=4)
        committed = nbformat.read(ROOT / "labs/release" / lab / f"{lab}.ipynb", as_version=4)
        assert [c.source for c in fresh.cells] == [c.source for c in committed.cells]
        assert [c.id for c in fresh.cells] == [c.id for c in committed.cells]


@pytest.mark.parametrize("lab", LABS)
def test_no_solution_is_published_and_every_blank_says_so(lab):
    source = nbformat.read(ROOT / "labs/source" / lab / f"{lab}.ipynb", as_version=4)
    release = nbformat.read(ROOT / "labs/release" / lab / f"{lab}.ipynb", as_version=4)
    blanks = [c for c in release.cells if "YOUR CODE HERE" in c.source and c.cell_type == "code"]
    assert len(blanks) == sum("BEGIN SOLUTION" in c.source for c in source.cells) > 0
    assert all("raise NotImplementedError()" in c.source for c in blanks)
    assert not any("SOLUTION" in c.source for c in release.cells)
    assert all(not c.get("outputs") for c in release.cells)


@pytest.mark.parametrize("lab", LABS)
def test_a_hidden_test_calls_no_other_answer_than_the_one_it_grades(lab):
    """Otherwise a mistake in one function would be charged a second time, to a function that is right."""
    cells = nbformat.read(ROOT / "labs/source" / lab / f"{lab}.ipynb", as_version=4).cells
    kinds = ast.FunctionDef | ast.ClassDef
    answers = {
        node.name
        for cell in cells
        if cell.metadata.get("nbgrader", {}).get("solution") and cell.cell_type == "code"
        for node in ast.parse(cell.source).body
        if isinstance(node, kinds)
    }
    assert answers
    for cell in cells:
        if cell.metadata.get("nbgrader", {}).get("grade") and "### BEGIN HIDDEN TESTS" in cell.source:
            seen, hidden = cell.source.split("### BEGIN HIDDEN TESTS")
            graded = set(re.findall(r"check\(\s*[\w.\[\]]+,\s*(\w+)", seen))
            used = {node.id for node in ast.walk(ast.parse(hidden)) if isinstance(node, ast.Name)}
            assert used & answers <= graded, cell.metadata.nbgrader.grade_id


@pytest.mark.slow
@pytest.mark.parametrize("lab", LABS)
def test_an_untouched_release_stops_at_the_first_check_with_a_message(lab):
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    release = nbformat.read(ROOT / "labs/release" / lab / f"{lab}.ipynb", as_version=4)
    with pytest.raises(CellExecutionError) as stopped:
        NotebookClient(release, timeout=120, kernel_name="python3").execute()
    assert stopped.value.ename == "CheckFailed"
    assert "nothing here yet" in stopped.value.evalue
