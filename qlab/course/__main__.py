"""The course's command line: ``python -m qlab.course results`` makes the tables of results, or completes them."""

from __future__ import annotations

import argparse
from pathlib import Path

from qlab.course.results.sweep import FAMILIES, PLACE, sweep


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m qlab.course", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    results = commands.add_parser("results", help="run every method on every network; goes on where it was stopped")
    results.add_argument("family", nargs="*", help=f"among {', '.join(FAMILIES)}; all by default")
    results.add_argument("--networks", nargs="*", default=[], help="all by default")
    results.add_argument("--seeds", type=int, default=3)
    results.add_argument("--jobs", type=int, default=1, help="entries at a time, one thread each")
    results.add_argument("--to", type=Path, default=PLACE, help="folder of the tables")
    chosen = parser.parse_args(arguments)
    sweep(chosen.family, chosen.seeds, chosen.jobs, chosen.to, chosen.networks)


if __name__ == "__main__":
    main()
