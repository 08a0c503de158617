"""Grade a simulated class of 200 and say whether everyone got what was due: a rehearsal, and a measurement.

    python tools/grading_scale.py make DIR             # DIR/submitted, and what is due in DIR/due.csv
    python -m qlab.course grade lab2_huffman --submitted DIR/submitted --to DIR/graded --jobs 2 --cell-seconds 30
    python tools/grading_scale.py compare DIR          # writes qlab/course/grading_class.csv
    python tools/grading_scale.py time DIR --turn 0    # the same eight with one job and with two: grading_time.csv

`compare` notes the commit at which it runs, so grade and compare at one. The class that is kept was graded in parts, at
several commits: its file names part and commit of each line, taken from when the notebook was graded.

The class is made by a seed: right answers, blanks, seeded mistakes of the lab, and what goes wrong in every class.
"""

import argparse
import html
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import nbformat
from joblib import Parallel, delayed

from qlab.course.checks import lab2_huffman
from qlab.course.grading import Grade, grade_one, make_template
from qlab.hardware.record import origin, read_as, read_lines, write_lines

ROOT = Path(__file__).resolve().parent.parent
LAB = "lab2_huffman"
PLACE = ROOT / "qlab/course"
TURNS, EACH = 3, 8

# How many of each kind: 200 in all.
KINDS = {
    "right": 56,
    "blank": 14,
    "one mistake": 66,
    "two mistakes": 16,
    "half done": 10,
    "endless loop in a function": 6,
    "endless loop outside": 2,
    "ends Python": 6,
    "error outside a function": 6,
    "deleted a check": 6,
    "edited a check": 4,
    "reads the hidden tests": 4,
    "no notebook": 2,
    "no JSON": 2,
}

# Wrong cells as students type them, by the name that the lab's checks have for the mistake.
MISTAKES = {
    "entropy": {
        "the logarithm is not to base 2": """def entropy(counts):
    n = sum(counts)
    return -sum(c / n * math.log(c / n) for c in counts if c > 0)""",
        "the sign is missing": """def entropy(counts):
    n = sum(counts)
    return sum(c / n * math.log2(c / n) for c in counts if c > 0)""",
        "symbols that never occur stop it": """def entropy(counts):
    total = sum(counts)
    H = 0
    for c in counts:
        H -= c / total * math.log2(c / total)
    return H""",
    },
    "kraft-sum": {
        "the powers have the wrong sign": """def kraft_sum(lengths):
    return float(sum(2**n for n in lengths))""",
        "1/ℓ is summed up": """def kraft_sum(lengths):
    return sum(1 / n for n in lengths)""",
        "the division drops the fraction": """def kraft_sum(lengths):
    return sum(1 // 2**n for n in lengths)""",
    },
    "prefix-free": {
        "every word is compared with itself": """def is_prefix_free(words):
    for a in words:
        for b in words:
            if b.startswith(a):
                return False
    return True""",
        "only later words are looked at": """def is_prefix_free(words):
    for i in range(len(words)):
        for j in range(i + 1, len(words)):
            if words[j].startswith(words[i]):
                return False
    return True""",
        "only Kraft's sum is looked at": """def is_prefix_free(words):
    return sum(2 ** -len(w) for w in words) <= 1""",
    },
    "code-lengths": {
        "the lengths are −log2 p, rounded up": """def code_lengths(counts):
    n = sum(counts)
    return [math.ceil(-math.log2(c / n)) for c in counts]""",
        "all words have the same length": """def code_lengths(counts):
    return [math.ceil(math.log2(len(counts)))] * len(counts)""",
    },
    "canonical-code": {
        "the place in the list is taken for the word": """def canonical_code(lengths):
    return [f"{i:0{n}b}" for i, n in enumerate(lengths)]""",
        "leading zeros are missing": """def canonical_code(lengths):
    words = [""] * len(lengths)
    code, last = -1, 0
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        code = (code + 1) << (lengths[i] - last)
        last = lengths[i]
        words[i] = f"{code:b}"
    return words""",
    },
    "encode": {
        "there are commas between the words": """def encode(codes, words):
    return " ".join(words[q] for q in codes)""",
        "a list of words is returned": """def encode(codes, words):
    return [words[q] for q in codes]""",
    },
    "decode": {
        "the padding is decoded, too": """def decode(bits, words, n):
    symbols = {word: symbol for symbol, word in words.items()}
    codes, word = [], ""
    for bit in bits:
        word += bit
        if word in symbols:
            codes.append(symbols[word])
            word = ""
    return codes""",
        "words are returned, not codes": """def decode(bits, words, n):
    codes, word = [], ""
    for bit in bits:
        if len(codes) == n:
            break
        word += bit
        if word in words.values():
            codes.append(word)
            word = ""
    return codes""",
    },
    "compressed-bytes": {
        "bits are counted, not bytes": """def compressed_bytes(counts, lengths):
    return 5 + 2 * len(counts) + sum(c * n for c, n in zip(counts, lengths))""",
        "the last byte is lost": """def compressed_bytes(counts, lengths):
    return 5 + 2 * len(counts) + sum(c * n for c, n in zip(counts, lengths)) // 8""",
        "the header is missing": """def compressed_bytes(counts, lengths):
    return math.ceil(sum(c * n for c, n in zip(counts, lengths)) / 8)""",
    },
    "answer-1": {"not this one": "answer_1 = 2.25"},
    "answer-3": {"not this one": 'answer_3 = "c"'},
}
PEEK = """from pathlib import Path
for p in sorted(Path(".").resolve().parents[1].rglob("*.ipynb")):
    print(p.name, p.read_text().count("HIDDEN TESTS"))"""


class Due(NamedTuple):
    """What is due to one student: `hints`, joined by "; ", are the mistakes that the feedback must name."""

    student: str
    kind: str
    status: str
    points: float
    look_at: bool
    hints: str


def solved() -> tuple[nbformat.NotebookNode, dict[str, nbformat.NotebookNode], dict[str, float]]:
    """Return the students' version with the right answers in it, its cells by name, and the points of each answer."""
    nb = nbformat.read(ROOT / f"labs/release/{LAB}/{LAB}.ipynb", as_version=4)
    source = nbformat.read(ROOT / f"labs/source/{LAB}/{LAB}.ipynb", as_version=4)
    right = {c.metadata.nbgrader.grade_id: c.source for c in source.cells if "nbgrader" in c.metadata}
    cells = {c.metadata.nbgrader.grade_id: c for c in nb.cells if "nbgrader" in c.metadata}
    for name, cell in cells.items():
        if cell.metadata.nbgrader.solution:
            cell.source = "\n".join(line for line in right[name].split("\n") if "### " not in line)
    points = {
        n.removesuffix("-check"): c.metadata.nbgrader.points for n, c in cells.items() if c.metadata.nbgrader.grade
    }
    return nb, cells, points


def one(kind: str, k: int, draw: random.Random) -> tuple[nbformat.NotebookNode | None, list[tuple[str, str]], float]:
    """Make the k-th submission of a kind: the notebook, its mistakes (answer, name), and its points."""
    nb, cells, points = solved()
    blank = nbformat.read(ROOT / f"labs/release/{LAB}/{LAB}.ipynb", as_version=4)
    blanks = {c.metadata.nbgrader.grade_id: c.source for c in blank.cells if "nbgrader" in c.metadata}
    everything = [(answer, name) for answer, found in MISTAKES.items() for name in found]
    made: list[tuple[str, str]] = []
    lost: set[str] = set()
    if kind == "blank":
        return blank, [], 0.0
    if kind in ("no notebook", "no JSON"):
        return None, [], float("nan")
    if kind == "half done":
        lost = set(draw.sample(list(points), 6))
        for answer in lost:
            cells[answer].source = blanks[answer]
    elif kind == "one mistake":
        made = [everything[k % len(everything)]]
    elif kind == "two mistakes":
        made = [(a, draw.choice(list(MISTAKES[a]))) for a in draw.sample(list(MISTAKES), 2)]
    elif kind == "edited a check" or (kind == "deleted a check" and k % 2):
        made = [draw.choice(everything)]
    for answer, name in made:
        cells[answer].source = MISTAKES[answer][name]
    lost |= {answer for answer, _ in made}
    if kind == "endless loop in a function":
        answer = ("decode", "code-lengths", "entropy")[k % 3]
        head = cells[answer].source.split("\n")[0]
        cells[answer].source = head + "\n    while True:\n        pass"
        lost = {answer}
    elif kind == "endless loop outside":
        cells["encode"].source += "\n\nwhile True:\n    pass"
    elif kind == "ends Python":
        cells["kraft-sum"].source += "\n\nimport os\nos._exit(1)"
    elif kind == "error outside a function":
        cells["kraft-sum"].source += "\n\nprint(kraft_sum[0])"
    elif kind == "deleted a check":
        gone = f"{made[0][0] if made else draw.choice(list(points))}-check"
        nb.cells = [c for c in nb.cells if c is not cells[gone]]
    elif kind == "edited a check":
        cells[f"{made[0][0]}-check"].source = "print('✓ all cases are right.')"
    elif kind == "reads the hidden tests":
        cells["encode"].source += "\n\n" + PEEK
    return nb, made, float(sum(p for answer, p in points.items() if answer not in lost))


def make(folder: Path) -> list[Due]:
    """Write the class and what is due to each."""
    draw = random.Random(0)
    kinds = [(kind, k) for kind, n in KINDS.items() for k in range(n)]
    draw.shuffle(kinds)
    status = {"ends Python": "died", "no notebook": "no notebook", "no JSON": "unreadable"}
    dues = []
    for i, (kind, k) in enumerate(kinds, start=1):
        student = f"student{i:03}"
        place = folder / "submitted" / student / LAB
        place.mkdir(parents=True)
        nb, made, points = one(kind, k, draw)
        if nb is not None:
            nbformat.write(nb, place / f"{LAB}.ipynb")
        elif kind == "no JSON":
            (place / f"{LAB}.ipynb").write_text('{"cells": [', encoding="utf-8")
        else:
            (place / "answers.docx").write_text("", encoding="utf-8")
        if kind == "ends Python":
            points = float("nan")
        look_at = kind in ("ends Python", "reads the hidden tests")
        hints = "; ".join(f"{answer}: {name}" for answer, name in made)
        dues.append(Due(student, kind, status.get(kind, "graded"), points, look_at, hints))
    lines = [{k: str(v) for k, v in due._asdict().items()} for due in dues]
    write_lines(folder / "due.csv", Due._fields, lines)
    return dues


def hints(due: Due) -> Iterator[str]:
    """Say what the feedback of a student must hold: the lab's own hints for the mistakes made."""
    exercises = {e.name.replace("_", "-"): e for e in (*lab2_huffman.EXERCISES, *lab2_huffman.QUESTIONS)}
    exercises["prefix-free"] = lab2_huffman.IS_PREFIX_FREE
    for each in filter(None, due.hints.split("; ")):
        answer, name = each.split(": ", 1)
        wrong: Any = MISTAKES[answer][name]
        if answer.startswith("answer"):
            value = wrong.split(" = ")[1].strip('"')
            name = next(m.hint for m in exercises[answer].mistakes if str(m.solution) == value)
        yield name


def differences(folder: Path) -> list[str]:
    """List where the grades, or what was sent back, are not what is due."""
    grades = {g.student: g for g in read_as(folder / "graded/grades.csv", Grade)}
    wrong = []
    for line in read_lines(folder / "due.csv"):
        due = Due(*list(line.values())[:3], float(line["points"]), line["look_at"] == "True", line["hints"])
        g = grades.get(due.student)
        if g is None:
            wrong.append(f"{due.student} ({due.kind}) is missing")
            continue
        same = str(due.points) == str(g.points) and due.status == g.status and due.look_at == bool(g.look_at)
        if not same:
            wrong.append(f"{due.student} ({due.kind}, {due.hints}): due {due.status} {due.points}, got {g}")
        pages = {w: folder / f"graded/{w}/{due.student}/{LAB}/{LAB}.html" for w in ("feedback", "held")}
        sent = [w for w, page in pages.items() if page.is_file()]
        wanted = ["held" if due.look_at else "feedback"] if due.status == "graded" else []
        if sent != wanted:
            wrong.append(f"{due.student} ({due.kind}): feedback is in {sent}, should be in {wanted}")
        elif sent:
            text = " ".join(html.unescape(pages[sent[0]].read_text(encoding="utf-8")).split())
            wrong += [
                f"{due.student}: no word of {hint!r}" for hint in hints(due) if " ".join(hint.split()) not in text
            ]
        if due.status != "graded" and not g.message:
            wrong.append(f"{due.student} ({due.kind}) is not told why")
    return wrong


def compare(folder: Path) -> None:
    """Compare, and keep the class as data if all is well."""
    wrong = differences(folder)
    print(*wrong, sep="\n")
    grades = {g.student: g for g in read_as(folder / "graded/grades.csv", Grade)}
    print(f"{len(grades)} graded or reported, {len(wrong)} differences")
    if wrong:
        raise SystemExit(1)
    lines, note = [], origin()
    for due in read_lines(folder / "due.csv"):
        g = grades[due["student"]]
        found = {"status": g.status, "points": str(g.points), "possible": str(g.possible), "seconds": str(g.seconds)}
        kept = {"student": g.student, "kind": due["kind"], "due": due["points"], "looked_at": str(bool(g.look_at))}
        lines.append(kept | found | {"part": "1"} | note)
    write_lines(PLACE / "grading_class.csv", list(lines[0]), lines)


def measure(folder: Path, turn: int) -> None:
    """Grade the same eight with one job and with two, in an order that changes from turn to turn."""
    plain = ("right", "blank", "one mistake", "two mistakes", "half done")
    chosen = [line["student"] for line in read_lines(folder / "due.csv") if line["kind"] in plain]
    students = chosen[turn * EACH : (turn + 1) * EACH]
    file = PLACE / "grading_time.csv"
    lines = [line for line in read_lines(file) if line["turn"] != str(turn)]
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as target:
        make_template(LAB, ROOT / "labs/source", Path(made))
        for jobs in (1, 2) if turn % 2 == 0 else (2, 1):
            with Parallel(jobs) as run:
                run(delayed(time.sleep)(0.1) for _ in range(jobs))  # the workers are there
                call = [(LAB, s, Path(made), folder / "submitted" / s / LAB, Path(target)) for s in students]
                start = time.perf_counter()
                grades = run(delayed(grade_one)(*each) for each in call)
                took = time.perf_counter() - start
            each = median(g.seconds for g in grades)
            found = {
                "turn": turn,
                "jobs": jobs,
                "submissions": EACH,
                "seconds": round(took, 1),
                "median": round(each, 1),
            }
            lines.append({k: str(v) for k, v in found.items()} | origin())
            print(found)
    lines.sort(key=lambda line: (int(line["turn"]), int(line["jobs"])))
    write_lines(file, list(lines[0]), lines)


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("make", "compare", "time"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--turn", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.command == "make":
        print(len(make(chosen.folder)), "submissions")
    elif chosen.command == "compare":
        compare(chosen.folder)
    else:
        measure(chosen.folder, chosen.turn)


if __name__ == "__main__":
    main()
