"""Grade a pile of submissions with nbgrader, several at once; every one of them ends graded or reported.

    python -m qlab.course grade LAB --submitted DIR --to DIR [--jobs N]

nbgrader grades in one process with one database, and what kills that process leaves the rest of the class waiting. Here
each submission gets a folder, a database and a process of its own, so that a kernel that dies, a loop that never ends
or a file that is no notebook costs its author's turn and nobody else's. A run that was interrupted goes on where it
stopped; a submission that has changed since is graded again.

The grader runs what students wrote, with your rights: use a container or an account of its own. It holds no secrets of
yours, but it does not stop a program from looking for some; `suspicious` points at code that a person should read.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from qlab.hardware.record import read_as, write_lines

__all__ = ["Grade", "grade", "grade_one", "make_template", "summary", "suspicious"]

CELL_SECONDS = 120
"""What one cell may take. The labs' checks stop a student's function after ten seconds by themselves."""
SETTINGS = """c = get_config()
c.CourseDirectory.course_id = "qlab"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__"]
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\\nraise NotImplementedError()"}
c.OverwriteCells.add_missing_cells = True
"""
# jsonschema loads a grammar of international addresses if it finds one, which is more than half of the time in which
# nbgrader starts. No notebook needs it.
NBGRADER = """import sys
sys.modules["rfc3987_syntax"] = None
from nbgrader.apps.nbgraderapp import main
main()"""
# What solutions of this course have no business with.
WATCHED_NAMES = {"open", "exec", "eval", "__import__", "globals", "get_ipython"}
WATCHED_MODULES = {"os", "sys", "subprocess", "inspect", "sqlite3", "socket", "shutil", "pathlib", "importlib", "gc"}
WATCHED_ATTRIBUTES = {"solution", "mistakes", "cases", "read_text", "read_bytes", "__globals__", "__closure__"}
KEPT_NAMES = {"check", "question", "lab"}


class Grade(NamedTuple):
    """What became of one submission.

    Attributes
    ----------
    student, lab : str
    points, possible : float
        NaN if it could not be graded.
    status : str
        "graded", or why not: "no notebook", "unreadable", "died", "out of time", "failed".
    message : str
        What to tell the student, or to look into.
    look_at : str
        Code that a person should read before the points count; feedback is held back until then.
    seconds : float
    digest : str
        SHA-256 of the notebook, by which a changed submission is known.
    """

    student: str
    lab: str
    points: float
    possible: float
    status: str
    message: str
    look_at: str
    seconds: float
    digest: str


def make_template(lab: str, source: Path, folder: Path, cell_seconds: int = CELL_SECONDS) -> None:
    """Make what every submission of a lab is graded against: nbgrader's database, settings and the students' version.

    Parameters
    ----------
    lab : str
    source : Path
        Holds `LAB/LAB.ipynb` with solutions.
    folder : Path
        Where the template goes; must be empty.
    cell_seconds : int
        After which a cell is interrupted. The next one is run all the same.

    Raises
    ------
    ValueError
        If there is no such lab, or nbgrader cannot make it.
    """
    if not (source / lab / f"{lab}.ipynb").is_file():
        known = ", ".join(sorted(p.parent.name for p in source.glob("*/*.ipynb"))) or "none"
        raise ValueError(f"lab must be one of those in {source} ({known}), got {lab!r}")
    shutil.copytree(source / lab, folder / "source" / lab)
    (folder / "nbgrader_config.py").write_text(SETTINGS + f"c.Execute.timeout = {cell_seconds}\n", encoding="utf-8")
    done = _nbgrader(folder, folder, 600, "generate_assignment", lab, "--create", "--force")
    if done.returncode:
        raise ValueError(f"nbgrader could not make {lab}: {done.stderr[-2000:]}")


def grade_one(lab: str, student: str, template: Path, submitted: Path, target: Path, seconds: float = 900) -> Grade:
    """Grade one submission in a folder, with a database and in a process of its own.

    Parameters
    ----------
    lab, student : str
    template : Path
        Made by `make_template`.
    submitted : Path
        The student's folder, which holds `LAB.ipynb`.
    target : Path
        Gets `autograded/STUDENT/LAB`, and `feedback/STUDENT/LAB` (`held/…` if there is something to look at).
    seconds : float
        After which the whole run is stopped.
    """
    start = time.perf_counter()
    path = submitted / f"{lab}.ipynb"
    nan = float("nan")

    def ended(status: str, message: str, look_at: str = "", points: float = nan, possible: float = nan) -> Grade:
        took = round(time.perf_counter() - start, 1)
        return Grade(student, lab, points, possible, status, message, look_at, took, _digest(path))

    if not path.is_file():
        found = ", ".join(sorted(p.name for p in submitted.glob("*"))) or "nothing"
        return ended("no notebook", f"{lab}.ipynb was expected, {found} was handed in")
    try:
        look_at = "; ".join(suspicious(path, template / "release" / lab / f"{lab}.ipynb"))
    except ValueError as error:
        return ended("unreadable", str(error))
    # Two folders that share no parent but the system's: what runs in one does not stumble over the other.
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as kept:
        work, secret = Path(here), Path(kept)
        shutil.copy(template / "nbgrader_config.py", work)
        shutil.copy(template / "gradebook.db", secret)
        shutil.copytree(submitted, work / "submitted" / student / lab)
        # nbgrader puts the lab's other files back as they were handed out
        shutil.copytree(template / "source" / lab, work / "source" / lab, ignore=shutil.ignore_patterns("*.ipynb"))
        names = (lab, "--student", student, "--force")
        try:
            done = _nbgrader(work, secret, seconds, "autograde", *names)
        except subprocess.TimeoutExpired:
            return ended("out of time", f"stopped after {seconds:g} s", look_at)
        if done.returncode:
            died = "DeadKernelError" in done.stderr or "Kernel died" in done.stderr
            last = (done.stderr.strip().splitlines() or ["nbgrader said nothing"])[-1]
            return ended(
                *(("died", "the kernel died: a cell ends Python itself") if died else ("failed", last)), look_at
            )
        points, possible = _score(secret, lab, student)
        _nbgrader(work, secret, seconds, "generate_feedback", *names)
        _move(work / "autograded" / student / lab, target / "autograded" / student / lab)
        _move(work / "feedback" / student / lab, target / ("held" if look_at else "feedback") / student / lab)
    return ended("graded", "", look_at, points, possible)


def grade(
    lab: str,
    source: Path,
    submitted: Path,
    target: Path,
    jobs: int = 1,
    seconds: float = 900,
    cell_seconds: int = CELL_SECONDS,
) -> tuple[Grade, ...]:
    """Grade every submission of a lab that has not been graded yet, or has changed since.

    Parameters
    ----------
    lab : str
    source : Path
        Labs with solutions: `LAB/LAB.ipynb`.
    submitted : Path
        `STUDENT/LAB/LAB.ipynb`.
    target : Path
        Gets `grades.csv`, `autograded/`, `feedback/`.
    jobs : int
        Submissions at a time. They run in joblib workers, and so on any cluster that joblib knows.
    seconds, cell_seconds : float, int
        For one submission, and for one of its cells.

    Returns
    -------
    tuple of Grade
        One for each student, in the order of their names.

    Raises
    ------
    ValueError
        If there is no such lab, nobody has handed it in, or jobs or seconds are not positive.
    """
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    if jobs < 1 or not seconds > 0:
        raise ValueError(f"jobs and seconds must be positive, got {jobs} and {seconds}")
    students = sorted(p.parent.name for p in submitted.glob(f"*/{lab}") if p.is_dir())
    if not students:
        raise ValueError(f"submitted must hold folders STUDENT/{lab}, {submitted} holds none")
    target.mkdir(parents=True, exist_ok=True)
    file = target / "grades.csv"
    known = {(g.student, g.lab): g for g in read_as(file, Grade)}
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder)
        make_template(lab, source, template, cell_seconds)
        todo = [s for s in students if not _is_done(known.get((s, lab)), submitted / s / lab / f"{lab}.ipynb")]
        run = Parallel(jobs, return_as="generator_unordered")(
            delayed(grade_one)(lab, s, template, submitted / s / lab, target, seconds) for s in todo
        )
        for found in tqdm(run, lab, total=len(todo)):
            known[found.student, lab] = found
            lines = [{k: str(v) for k, v in known[key]._asdict().items()} for key in sorted(known)]
            write_lines(file, Grade._fields, lines)
    return tuple(known[s, lab] for s in students)


def summary(grades: Iterable[Grade]) -> str:
    """Return what an instructor wants to know first: how many are graded, and whom to look at.

    Examples
    --------
    >>> nan = float("nan")
    >>> a = Grade("Ada", "lab1", 24.0, 25.0, "graded", "", "", 9.0, "")
    >>> b = Grade("Bob", "lab1", nan, nan, "died", "the kernel died", "", 9.0, "")
    >>> print(summary([a, b]))
    1 of 2 graded, median 24 of 25 points
    not graded  Bob: died, the kernel died
    """
    grades = list(grades)
    done = [g for g in grades if g.status == "graded"]
    line = f"{len(done)} of {len(grades)} graded"
    if done:
        line += f", median {median(g.points for g in done):g} of {max(g.possible for g in done):g} points"
    lines = [line]
    lines += [f"not graded  {g.student}: {g.status}, {g.message}" for g in grades if g.status != "graded"]
    lines += [f"look at     {g.student}: {g.look_at}" for g in grades if g.look_at]
    return "\n".join(lines)


def suspicious(path: Path, release: Path) -> list[str]:
    """Return what a person should look at in a submission: code that reads files, or reaches into the checks.

    It proves nothing, in either direction: some honest solutions open a file, and who wants to hide finds a way.

    Parameters
    ----------
    path, release : Path
        The submission, and the students' version that it began with.

    Raises
    ------
    ValueError
        If the submission is no notebook.

    Examples
    --------
    A line of the answer reads "cell 7 uses .solution": the student took the check's own answer.
    """
    import nbformat

    try:
        nb = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises whatever its readers raise
        raise ValueError(f"{path.name} is no notebook: {error}"[:300]) from error
    given = {cell.source for cell in nbformat.read(release, as_version=4).cells}
    found = []
    for i, cell in enumerate(nb.cells, start=1):
        locked = cell.metadata.get("nbgrader", {}).get("locked", False)  # nbgrader restores these
        if cell.cell_type == "code" and not locked and cell.source not in given:
            found += [f"cell {i} {what}" for what in dict.fromkeys(_watched(cell.source))]
    return found


def _watched(source: str) -> Iterator[str]:
    lines = source.splitlines()
    yield from (f"runs {line.strip()[:30]}" for line in lines if line.lstrip().startswith(("!", "%")))
    code = "\n".join(line for line in lines if not line.lstrip().startswith(("!", "%")))
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            modules = []
        for module in modules:
            if module.split(".")[0] in WATCHED_MODULES or module.startswith("qlab.course"):
                yield f"imports {module}"
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in WATCHED_NAMES:
            yield f"uses {node.id}"
        if isinstance(node, ast.Attribute) and node.attr in WATCHED_ATTRIBUTES:
            yield f"uses .{node.attr}"
        if isinstance(node, ast.FunctionDef) and node.name in KEPT_NAMES:
            yield f"redefines {node.name}"
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in KEPT_NAMES:
            yield f"redefines {node.id}"


def _nbgrader(
    work: Path, secret: Path, seconds: float, command: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of nbgrader in a folder; if its time is up, it and all that it started are killed."""
    call = [sys.executable, "-c", NBGRADER, command, *arguments]
    call += [f"--CourseDirectory.root={work}", f"--CourseDirectory.db_url=sqlite:///{secret / 'gradebook.db'}"]
    environment = os.environ | {
        # nbgrader calls alembic by name: it must find the one of this environment, activated or not
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", ""),
        "IPYTHONDIR": str(secret / "ipython"),  # side by side, kernels would wait for one history file
        "JUPYTER_RUNTIME_DIR": str(secret / "runtime"),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        call,
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(call, process.returncode, out, err)


def _score(secret: Path, lab: str, student: str) -> tuple[float, float]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{secret / 'gradebook.db'}", "qlab") as book:
        found: Any = book.find_submission(lab, student)
        return float(found.score), float(found.max_score)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _is_done(known: Grade | None, path: Path) -> bool:
    return known is not None and known.digest == _digest(path)


def _move(made: Path, target: Path) -> None:
    """Put a folder into its place whole: under a temporary name first, then renamed."""
    if not made.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(target.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(made, temporary)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)
