"""Make labs/release, the students' version, from labs/source with nbgrader. `--to DIR` writes elsewhere."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent


def make(target: Path) -> list[str]:
    """Generate every assignment into `target`, and return their names."""
    names = sorted(p.name for p in (ROOT / "labs/source").iterdir() if p.is_dir())
    # nbgrader calls alembic by name: it must find the one of this environment, activated or not
    environment = os.environ | {"PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", "")}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(ROOT / "labs/source", work / "source")
        shutil.copy(ROOT / "labs/nbgrader_config.py", work)
        for name in names:
            command = [sys.executable, "-m", "nbgrader", "generate_assignment", name, "--create", "--force"]
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                raise SystemExit(f"nbgrader could not make {name}:\n{done.stdout}{done.stderr}")
            made = nbformat.read(work / "release" / name / f"{name}.ipynb", as_version=4)
            for cell in made.cells:  # nbgrader's own bookkeeping differs from run to run; ids and grades stay
                cell.metadata.get("nbgrader", {}).pop("checksum", None)
            (target / name).mkdir(parents=True, exist_ok=True)
            temporary = target / name / f"{name}.tmp"
            nbformat.write(made, temporary)
            temporary.replace(target / name / f"{name}.ipynb")
    return names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "labs/release")
    print("made", *make(parser.parse_args().to))
