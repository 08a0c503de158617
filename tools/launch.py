"""A Sphinx extension: buttons that open a notebook on Binder or Colab, where the book's repository is known.

    QLAB_REPOSITORY=https://github.com/OWNER/NAME QLAB_BRANCH=main make book

Without the first variable there are no buttons. Colab knows nothing of this library, so each notebook then says above
its text which cell to run first; Binder reads the folder .binder.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

GITHUB = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")
HEADING = re.compile(r"</h1>")


def repository(environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Return address and branch, or None if no repository is named."""
    url = environment.get("QLAB_REPOSITORY", "").strip().rstrip("/").removesuffix(".git")
    if not url:
        return None
    if not GITHUB.fullmatch(url):
        raise ValueError(f"QLAB_REPOSITORY must be https://github.com/OWNER/NAME, which Colab can open, got {url!r}")
    return url, environment.get("QLAB_BRANCH", "").strip() or "main"


def first_cell(url: str, branch: str) -> str:
    """Return what has to run first where the library is not installed."""
    return f'%pip install -q "qlab-course[notebooks] @ git+{url}@{branch}"'


def add_buttons(app: Any, config: Any) -> None:
    """Tell the theme of the repository."""
    if known := repository():
        url, branch = known
        buttons = config.html_theme_options.get("launch_buttons") or {}
        services = {"binderhub_url": "https://mybinder.org", "colab_url": "https://colab.research.google.com"}
        services["notebook_interface"] = "jupyterlab"
        config.html_theme_options |= {
            "repository_url": url,
            "repository_branch": branch,
            "path_to_docs": "",
            "launch_buttons": buttons | services,
        }


def add_first_cell(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Say below the heading of a notebook what Colab needs."""
    known = repository()
    if known and doctree is not None and str(app.env.doc2path(pagename)).endswith(".ipynb"):
        note = f'<p class="qlab-colab">On Colab, run this first: <code>{first_cell(*known)}</code></p>'
        context["body"] = HEADING.sub(lambda found: found[0] + note, context["body"], count=1)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.connect("config-inited", add_buttons)
    app.connect("html-page-context", add_first_cell)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
