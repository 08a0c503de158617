"""Write the API pages, book/api/<room>.md, one for each room of the package, from the modules that exist.

The pages are not committed: they are made before each build, so a new module appears by itself.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TITLES = {
    "core": "Core: the quantizer and its five choices",
    "course": "qlab.course: coverage and checks",
    "data": "qlab.data: pictures to work on",
    "hardware": "qlab.hardware: what bits cost",
    "integer": "qlab.integer: inference without a float",
    "history": "qlab.history: two centuries of quantization",
    "neighbours": "qlab.neighbours: pruning, distillation, low rank, search",
    "nonuniform": "qlab.nonuniform: levels fitted to the data",
    "plots": "qlab.plots: the figures",
    "ptq": "qlab.ptq: post-training quantization",
    "qat": "qlab.qat: quantization-aware training",
    "stochastic": "qlab.stochastic: rounding at random",
    "zsq": "qlab.zsq: zero-shot quantization",
    "zoo": "qlab.zoo: small trained networks",
}


def rooms(root: Path = ROOT) -> dict[str, list[str]]:
    """Map each room to its public modules; the modules at the top of the package are the room `core`."""
    found: dict[str, list[str]] = {"core": []}
    for path in sorted((root / "qlab").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] == "__init__":
            if len(parts) == 3:
                found.setdefault(parts[1], [])
            continue
        if any(part.startswith("_") for part in parts):
            continue
        room = parts[1] if len(parts) > 2 else "core"
        found.setdefault(room, []).append(".".join(parts))
    return found


def purpose(module: str, root: Path) -> str:
    """Return the first line of a module's docstring."""
    path = (root / module.replace(".", "/")).with_suffix(".py")
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.split("\n")[0]


def page(room: str, modules: list[str]) -> str:
    """Make the text of one API page."""
    blocks = [f"# {TITLES.get(room, f'qlab.{room}')}"]
    if not modules:
        blocks.append("*In preparation.*")
    for module in modules:
        directive = f".. automodule:: {module}\n   :members:"
        blocks.append(f"## {module}\n\n```{{eval-rst}}\n{directive}\n```")
    return "\n\n".join(blocks) + "\n"


def main(root: Path = ROOT) -> None:
    """Write the pages that changed, and remove those of rooms that are gone."""
    folder = root / "book/api"
    made = {f"{room}.md": page(room, modules) for room, modules in rooms(root).items()}
    for old in folder.glob("*.md"):
        if old.name not in made and old.name != "index.md":
            old.unlink()
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
