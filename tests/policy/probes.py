#!/usr/bin/env python3
"""Asks a deployed stack, request by request, whether its policies hold.

    probes.py --run ID --stack stack.json [--only TEXT] [--quiet]

Every denial stands in a family with a request that is allowed. Exit code 1 when a probe is red.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common.errors import main_wrapper  # noqa: E402
from tests.policy.catalogue import everything  # noqa: E402
from tests.policy.probe import Outcome, Probe  # noqa: E402
from tests.policy.world import World  # noqa: E402


def run_all(world: World, probes: list[Probe]) -> list[tuple[Probe, Outcome]]:
    return [(probe, probe.run(world)) for probe in probes]


def red(results: list[tuple[Probe, Outcome]]) -> list[tuple[Probe, Outcome]]:
    return [(probe, outcome) for probe, outcome in results if not probe.holds(outcome)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--stack", required=True, type=Path, help="what deploy.py wrote")
    parser.add_argument("--only", default="", help="only probes whose description holds this text")
    parser.add_argument("--quiet", action="store_true", help="show red probes and the sum only")
    arguments = parser.parse_args()
    probes = [probe for probe in everything() if arguments.only in str(probe)]
    started = time.monotonic()
    with World(arguments.run, arguments.stack).set_up() as world:
        results = run_all(world, probes)
    failed = red(results)
    for probe, outcome in failed if arguments.quiet else results:
        mark = "ok " if probe.holds(outcome) else "RED"
        print(f"{mark} {probe}: {outcome}" + ("" if probe.holds(outcome) else f" (expected {probe.expected})"))
    kinds = Counter("allowed" if probe.expected == "allowed" else "denied" for probe in probes)
    print(
        f"{len(probes)} probes in {time.monotonic() - started:.1f} s ({kinds['denied']} denials, "
        f"{kinds['allowed']} allowed twins): {len(probes) - len(failed)} hold, {len(failed)} red"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    main_wrapper("probes.py", main)
