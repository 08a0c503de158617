"""Write what depends on which chapters exist: book/_toc.yml and the chapter lists on the front pages.

The plan is book/_plan.yml. A chapter whose file exists is linked; any other is listed as in preparation.
The lists stand between `<!-- chapters -->` and `<!-- /chapters -->` in book/intro.md and the part pages.
`python tools/frame.py --check` changes nothing and fails when something is out of date.
"""

import re
import sys
from pathlib import Path

import api
import yaml

ROOT = Path(__file__).resolve().parent.parent
LIST = re.compile(r"(<!-- chapters -->\n).*?(<!-- /chapters -->)", re.DOTALL)


def exists(file: str, root: Path) -> bool:
    """Say whether a chapter is written, as a notebook or a Markdown page."""
    return any((root / file).with_name(Path(file).name + end).exists() for end in (".ipynb", ".md"))


def api_pages(root: Path) -> list[str]:
    """List the API pages: one per room of the package."""
    return [f"book/api/{room}" for room in api.rooms(root)]


def toc(plan: dict, root: Path) -> str:
    """Make the text of book/_toc.yml."""
    lines = [
        "# Made by tools/frame.py from book/_plan.yml; change the plan.",
        "format: jb-book",
        "root: book/intro",
        "parts:",
    ]
    for part in plan["parts"]:
        lines += [f'  - caption: "{part["title"].split(". ")[0]}"', "    chapters:", f"      - file: {part['file']}"]
        lines += [f"      - file: {chapter['file']}" for chapter in part["chapters"] if exists(chapter["file"], root)]
    if teaching := [page for page in plan["teaching"] if exists(page, root)]:
        lines += ["  - caption: Teaching", "    chapters:", *(f"      - file: {page}" for page in teaching)]
    lines += ["  - caption: Reference", "    chapters:"]
    for page in plan["reference"]:
        lines.append(f"      - file: {page}")
        if page == "book/api/index" and (pages := api_pages(root)):
            lines.append("        sections:")
            lines += [f"          - file: {api}" for api in pages]
    return "\n".join(lines) + "\n"


def line(chapter: dict, root: Path, up: str) -> str:
    """Make one line of a chapter list, a link when the chapter is written."""
    rows = f" ({', '.join(chapter['rows'])})" if chapter["rows"] else ""
    if exists(chapter["file"], root):
        return f"- [{chapter['title']}]({up}{chapter['file']}){rows}"
    return f"- {chapter['title']}{rows}, *in preparation*"


def chapter_list(part: dict, root: Path) -> str:
    """Make the chapter list of a part page."""
    return "\n".join(line(chapter, root, "../") for chapter in part["chapters"]) + "\n"


def frame(plan: dict, root: Path) -> str:
    """Make the frame of the whole course for the front page."""
    blocks = [f"**[{part['title']}](../{part['file']})**\n\n" + chapter_list(part, root) for part in plan["parts"]]
    return "\n".join(blocks)


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Map each file that depends on the plan to the text it should hold."""
    plan = yaml.safe_load((root / "book/_plan.yml").read_text(encoding="utf-8"))
    made = {root / "book/_toc.yml": toc(plan, root)}
    lists = {f"{part['file']}.md": chapter_list(part, root) for part in plan["parts"]}
    lists["book/intro.md"] = frame(plan, root)
    for name, text in lists.items():
        path = root / name
        made[path] = LIST.sub(lambda found, text=text: found[1] + text + found[2], path.read_text(encoding="utf-8"))
    return made


def main() -> int:
    """Write the files, or with --check only compare them."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run python tools/frame.py")
        return bool(stale)
    made = pages()
    for path in stale:
        path.write_text(made[path], encoding="utf-8")
        print(f"Wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
