"""Buttons of Binder and Colab: right where a repository is named, none where it is not."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import launch  # noqa: E402

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
extensions = ["myst_nb", "launch"]
html_theme = "sphinx_book_theme"
html_theme_options = {{"launch_buttons": {{"thebe": False}}, "repository_url": ""}}
nb_execution_mode = "off"
root_doc = "a/page"
exclude_patterns = ["out"]
"""


def built(folder, **names):
    """The page of a book of one notebook, built with these variables."""
    (folder / "a").mkdir(parents=True)
    (folder / "conf.py").write_text(CONF)
    cells = [nbformat.v4.new_markdown_cell("# A page\n\nText."), nbformat.v4.new_code_cell("1 + 1")]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), folder / "a/page.ipynb")
    rest = {k: v for k, v in os.environ.items() if not k.startswith("QLAB_")}
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(folder), str(folder / "out")]
    done = subprocess.run(command, env=rest | names, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "out/a/page.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_with_a_repository_the_links_lead_to_the_notebook(tmp_path):
    page = built(tmp_path, QLAB_REPOSITORY="https://github.com/someone/course.git", QLAB_BRANCH="autumn")
    links = set(re.findall(r'href="(https://(?:mybinder|colab)[^"]+)"', page))
    assert links == {
        "https://mybinder.org/v2/gh/someone/course/autumn?urlpath=lab/tree/a/page.ipynb",
        "https://colab.research.google.com/github/someone/course/blob/autumn/a/page.ipynb",
    }
    assert "qlab-course[notebooks] @ git+https://github.com/someone/course@autumn" in page
    assert page.index("</h1>") < page.index("qlab-colab") < page.index("Text.")


@pytest.mark.slow
def test_without_one_there_is_nothing(tmp_path):
    page = built(tmp_path)
    assert "Text." in page
    assert not re.search("mybinder|colab|launch-buttons", page, re.IGNORECASE)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({}, None),
        ({"QLAB_REPOSITORY": " "}, None),
        ({"QLAB_REPOSITORY": "https://github.com/a/b/"}, ("https://github.com/a/b", "main")),
        ({"QLAB_REPOSITORY": "https://github.com/a/b.c", "QLAB_BRANCH": "x"}, ("https://github.com/a/b.c", "x")),
    ],
)
def test_what_the_variables_say(given, known):
    assert launch.repository(given) == known


@pytest.mark.parametrize(
    "url", ["github.com/a/b", "https://gitlab.com/a/b", "https://github.com/a", 'https://github.com/a/b"c']
)
def test_an_address_that_colab_cannot_open_is_refused(url):
    with pytest.raises(ValueError, match="QLAB_REPOSITORY must be https:"):
        launch.repository({"QLAB_REPOSITORY": url})


def test_the_first_cell_and_binder_install_what_there_is():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    script = ROOT / ".binder/postBuild"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    for text in (script.read_text(encoding="utf-8"), launch.first_cell("https://github.com/a/b", "main")):
        assert re.findall(r"\[([a-z]+)\]", text) == ["notebooks"]
    assert "notebooks" in extras
    assert (ROOT / "constraints.txt").is_file()


def test_the_extra_holds_what_the_notebooks_import():
    """Every package that a chapter or a lab imports is one that `.[notebooks]` asks for, or comes with one."""
    allowed = {"qlab", "torch", "numpy", "scipy", "numba", "safetensors"}  # the library's own
    allowed |= {"matplotlib", "plotly", "pandas", "optuna", "joblib", "onnx", "onnxruntime", "myst_nb"}
    allowed |= {"IPython", "nbformat", "yaml", "ml_dtypes"}  # myst-nb brings the first three, onnx the last
    found = set()
    for path in [*ROOT.glob("book/**/*.ipynb"), *ROOT.glob("labs/release/*/*.ipynb")]:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                found |= set(re.findall(r"^\s*(?:import|from) ([A-Za-z_]\w*)", cell.source, re.MULTILINE))
    assert found - allowed - set(sys.stdlib_module_names) == set()
