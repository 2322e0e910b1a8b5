#!/usr/bin/env python3
"""Tries every other way out of a box, as its root, on a deployed stack, and reads from EC2 what the box is.

    check.py --run ID --stack stack.json [--alone] [--only TEXT] [--table FILE]

An attempt counts as stopped only if the same one gets through once its controls are opened, or an allowed one by the same
tool does. With --alone each control is shown to stop it by itself. That user data stops the image's own services is shown on
machines whose user data does not. Exit code 1 when a row is red.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common.errors import main_wrapper  # noqa: E402
from tests.network import stock  # noqa: E402
from tests.network.attempts import everything  # noqa: E402
from tests.network.ground import Ground  # noqa: E402
from tests.network.objects import buckets  # noqa: E402
from tests.network.traits import Trait, facts, traits  # noqa: E402
from tests.network.trying import Row, Trial  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--stack", required=True, type=Path, help="what deploy.py wrote")
    parser.add_argument("--alone", action="store_true", help="also with all controls of an attempt opened but one")
    parser.add_argument("--only", default="", help="only attempts whose name holds this text")
    parser.add_argument("--table", type=Path, help="write the rows as Markdown into this file")
    arguments = parser.parse_args()
    begun = time.monotonic()
    ground = Ground(arguments.run, arguments.stack)
    with ground.standing(), buckets(ground):
        known = facts(ground)
        read = [*traits(known), *stock.controls(ground, known)]
        trial = Trial(ground, [attempt for attempt in everything(ground) if arguments.only in attempt.name])
        trial.closed()
        trial.beside()
        trial.opened()
        if arguments.alone:
            trial.alone()
    if arguments.table:
        arguments.table.write_text(table(read, trial.rows, arguments.alone))
    return report(read, trial.rows, time.monotonic() - begun)


def report(read: list[Trait], rows: list[Row], seconds: float) -> int:
    for trait in read:
        print(f"{'ok ' if trait.holds else 'RED'} {trait.name}" + ("" if trait.holds else f": {trait.found}"))
    for row in rows:
        print(f"{'ok ' if row.holds() else 'RED'} {row.attempt.name}: {_closed(row)}; {_twin(row)}{_alone(row)}")
    red = sum(not row.holds() for row in rows) + sum(not trait.holds for trait in read)
    print(f"{len(rows)} ways out and {len(read)} traits in {seconds:.0f} s: {len(rows) + len(read) - red} hold, {red} red")
    return 1 if red else 0


def table(read: list[Trait], rows: list[Row], alone: bool) -> str:
    """Both as Markdown."""
    head = ["| way out | tried | each of these stops it" + (" alone |" if alone else " |") + " proof that it could work |"]
    lines = [
        f"| {row.attempt.name} | {_closed(row)} | {', '.join(row.attempt.stopped_by) or 'nobody can open it'} | {_twin(row)}"
        f"{_alone(row)} |"
        for row in rows
    ]
    known = [f"| {trait.name} | {'holds' if trait.holds else f'**does not hold**: {trait.found}'} |" for trait in read]
    ways = [*head, "|---|---|---|---|", *lines]
    return "\n".join(["| as EC2 and the box say | |", "|---|---|", *known, "", *ways]) + "\n"


def _closed(row: Row) -> str:
    return "stopped" if row.stopped else f"**got through** ({row.came})"


def _twin(row: Row) -> str:
    said = []
    if row.opened is not None:
        said.append("opened, it gets through" if row.opened else "**opened, it is still stopped**")
    if row.beside is not None:
        said.append("an allowed one gets through" if row.beside else "**an allowed one does not get through**")
    return "; ".join(said) or "**none**"


def _alone(row: Row) -> str:
    weak = [control for control, stops in row.alone.items() if not stops]
    return f"; **not stopped by {', '.join(weak)} alone**" if weak else ""


if __name__ == "__main__":
    main_wrapper("check.py", main)
