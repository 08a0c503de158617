"""The course's command line.

``python -m qlab.course results`` makes the tables of results, or completes them;
``python -m qlab.course grade LAB`` grades what a class has handed in.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from qlab.course.cluster import workers
from qlab.course.grading import CELL_SECONDS, grade, summary
from qlab.course.results.sweep import FAMILIES, PLACE, sweep


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m qlab.course", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    results = commands.add_parser("results", help="run every method on every network; goes on where it was stopped")
    results.add_argument("family", nargs="*", help=f"among {', '.join(FAMILIES)}; all by default")
    results.add_argument("--networks", nargs="*", default=[], help="all by default")
    results.add_argument("--seeds", type=int, default=3)
    results.add_argument("--jobs", type=int, default=1, help="entries at a time, one thread each")
    results.add_argument("--to", type=Path, default=PLACE, help="folder of the tables")
    results.add_argument("--scheduler", help="of a Dask cluster, as tcp://HOST:8786; this machine by default")
    homework = commands.add_parser("grade", help="grade a lab with nbgrader, several submissions at once")
    homework.add_argument("lab", help="as lab1_uniform")
    homework.add_argument("--submitted", type=Path, required=True, help="folder of STUDENT/LAB/LAB.ipynb")
    homework.add_argument("--to", type=Path, required=True, help="gets grades.csv, autograded/, feedback/, held/")
    homework.add_argument("--source", type=Path, default=Path("labs/source"), help="folder of LAB/LAB.ipynb")
    homework.add_argument("--jobs", type=int, default=1, help="submissions at a time")
    homework.add_argument("--seconds", type=float, default=900, help="for one submission")
    homework.add_argument("--cell-seconds", type=int, default=CELL_SECONDS, help="for one cell of a submission")
    homework.add_argument("--scheduler", help="of a Dask cluster that shares this machine's files")
    chosen = parser.parse_args(arguments)
    with workers(chosen.scheduler):
        run(chosen)


def run(chosen: argparse.Namespace) -> None:
    """Run one command."""
    if chosen.command == "grade":
        where = (chosen.source, chosen.submitted, chosen.to)
        grades = grade(chosen.lab, *where, chosen.jobs, chosen.seconds, chosen.cell_seconds)
        print(summary(grades))
    else:
        sweep(chosen.family, chosen.seeds, chosen.jobs, chosen.to, chosen.networks)


if __name__ == "__main__":
    main()
