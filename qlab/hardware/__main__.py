"""The command line of the hardware room.

``python -m qlab.hardware report --to DIR`` measures this machine and writes DIR/report.html, .md and .json;
``python -m qlab.hardware compare A.json B.json …`` prints one table of several machines.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from qlab.hardware.report import FULL, QUICK, collect, compare_reports, write


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return what the shell shall see."""
    parser = argparse.ArgumentParser(
        prog="python -m qlab.hardware", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="measure this machine: some minutes, or --quick, below one")
    report.add_argument("--to", type=Path, required=True, help="folder for report.html, report.md and report.json")
    report.add_argument("--quick", action="store_true", help="fewer turns, fewer batches, smaller matrices")
    report.add_argument("--threads", type=_positive, default=1, help="for kernels and networks")
    report.add_argument("--turns", type=_positive, help=f"at least 3; {FULL.turns} by default, {QUICK.turns} if quick")
    several = commands.add_parser("compare", help="print one table of several machines, in Markdown")
    several.add_argument("reports", type=Path, nargs="+", help="report.json of each")
    given = parser.parse_args(arguments)
    if given.command == "compare":
        try:
            print(compare_reports(given.reports), end="")
        except ValueError as error:
            several.error(str(error))
        return 0
    settings = QUICK if given.quick else FULL
    turns = settings.turns if given.turns is None else given.turns
    if turns < 3:
        report.error(f"--turns must be at least 3, for the quartiles, got {turns}")
    if given.to.exists() and not (given.to.is_dir() and os.access(given.to, os.W_OK)):
        report.error(f"--to must be a folder that can be written to, got {given.to}")
    try:
        found = collect(settings._replace(turns=turns, threads=given.threads))
        files = write(found, given.to)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        return 130
    for what, why in found.missing.items():
        print(f"{what}: not measured, {why}")
    print(*files, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
