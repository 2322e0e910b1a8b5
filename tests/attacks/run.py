#!/usr/bin/env python3
"""Tries every attempt of the catalogue on a deployed stack, takes away what stops it, and puts that back.

    run.py --run ID --stack stack.json [--only WORD] [--standing] [--without-kubernetes] [--table FILE]

A row holds when the attempt ends with its error, exactly; its twin is allowed; without its controls the attempt gets
through; of several controls each stops it alone; and all is back at the end. With --standing nothing is taken away.
Exit code 1 when a row does not hold.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common.errors import main_wrapper  # noqa: E402
from tests.attacks.attack import Verdict  # noqa: E402
from tests.attacks.controls import NotBack  # noqa: E402
from tests.attacks.stages import Choice, stages  # noqa: E402
from tests.attacks.table import summary, table  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--stack", required=True, type=Path, help="what deploy.py wrote")
    parser.add_argument("--only", default="", help="only rows whose id holds this word")
    parser.add_argument("--standing", action="store_true", help="attempts and twins alone: nothing is taken away")
    parser.add_argument("--without-kubernetes", action="store_true", help="leave out rows that need a cluster")
    parser.add_argument("--table", type=Path, help="write the rows as Markdown into this file")
    given = parser.parse_args()
    begun = time.monotonic()
    choice = Choice(given.run, given.stack, given.only, removing=not given.standing, kubernetes=not given.without_kubernetes)
    verdicts: list[Verdict] = []
    broken: list[str] = []
    for name, stage in stages(choice):
        try:
            verdicts += stage(choice)
        except Exception as error:  # noqa: BLE001 - the rows of the other stages are worth knowing
            traceback.print_exc()
            broken.append(f"{name}: {type(error).__name__}: {error}")
            if isinstance(error, NotBack):
                break
    if given.table:
        given.table.write_text(table(verdicts))
    return report(verdicts, broken, time.monotonic() - begun)


def report(verdicts: list[Verdict], broken: list[str], seconds: float) -> int:
    """Each row that does not hold, and why."""
    wrong = [(verdict, fault) for verdict in verdicts for fault in verdict.faults()]
    for verdict, fault in wrong:
        print(f"RED {verdict.id}: {fault}")
    for stage in broken:
        print(f"BROKEN {stage}; its rows are not among these")
    if not verdicts:
        print("no row was tried")
    print(f"{summary(verdicts)}; {seconds:.0f} s")
    return 1 if wrong or broken or not verdicts else 0


if __name__ == "__main__":
    main_wrapper("run.py", main)
