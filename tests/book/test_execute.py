"""The cache of executed notebooks: what is unchanged is not run again, but for notebooks that read the other ones."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import execute  # noqa: E402

# What a notebook does that reads sources of this project.
READS = re.compile(r"_plan\.yml|nbformat\.read|qlab\.course\.coverage|labs/source|references\.bib")


def test_notebooks_that_read_the_sources_are_known():
    found = set()
    for path in (ROOT / "book").rglob("*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts:
            cells = nbformat.read(path, as_version=4).cells
            if any(READS.search(cell.source) for cell in cells if cell.cell_type == "code"):
                found.add(path)
    assert found == set(execute.READERS)


@pytest.mark.slow
def test_a_reader_is_run_each_time_and_others_once(tmp_path, monkeypatch):
    read = tmp_path / "read.txt"
    code = f"print(open({str(read)!r}).read())"
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    paths = [tmp_path / "reader.ipynb", tmp_path / "other.ipynb"]
    for path in paths:
        cells = [nbformat.v4.new_code_cell(code + f"  # {path.stem}")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    monkeypatch.setattr(execute, "READERS", (paths[0],))
    monkeypatch.setattr(execute, "ROOT", tmp_path)

    def printed(path):
        cache = get_cache(str(tmp_path / "cache"))
        _, made = cache.merge_match_into_notebook(nbformat.read(path, as_version=4))
        return made.cells[0].outputs[0].text.strip()

    read.write_text("one")
    assert execute.execute(paths, tmp_path / "cache", 2) == 0
    stamp = paths[0].stat().st_mtime_ns
    read.write_text("two")
    assert execute.execute(paths, tmp_path / "cache", 2) == 0
    assert [printed(path) for path in paths] == ["two", "one"]
    assert paths[0].stat().st_mtime_ns > stamp, "Sphinx would keep the page of last time"
    read.unlink()
    assert execute.execute(paths, tmp_path / "cache", 2) == 1
    with pytest.raises(KeyError):  # nothing stale is left for the build to take
        printed(paths[0])
