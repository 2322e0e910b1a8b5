#!/usr/bin/env python3
"""The checks: `benches/checks/run.py --run RUN --stack FILE [--rounds N] [--table FILE]`.

The same trees cross with every check on and with every check off, in turn, and who goes first changes every round. With
the defaults the normal set must pass without a finding; infected and encrypted sets, and one with secrets, must be flagged
or rejected as the stack's checks say.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benches.checks import data  # noqa: E402
from benches.checks.attacked import attack, turn  # noqa: E402
from benches.checks.world import DEFAULTS, configure, records  # noqa: E402
from benches.transfer import ours  # noqa: E402
from benches.transfer.data import DataSet, provide  # noqa: E402
from benches.transfer.world import World  # noqa: E402

MIB = 1 << 20
GOAL = 0.8
# One check is off by default, since links to elsewhere are usual; it is made here, so that all are.
ALL_ON, ALL_OFF = "tar_symlink_absolute=flag", "all=off"


def compare(world: World, dataset: DataSet, rounds: int) -> tuple[list[str], list[str]]:
    """Throughput with all checks and with none; what they found."""
    world.start_pods(dataset.name, provide(dataset, world.run.dir / "bench-data"))
    seconds: dict[str, list[float]] = {ALL_ON: [], ALL_OFF: []}
    box = {ALL_ON: 0, ALL_OFF: 0}
    broken: list[str] = []
    for number in range(rounds):
        order = [ALL_ON, ALL_OFF] if number % 2 == 0 else [ALL_OFF, ALL_ON]
        for checks in order:
            configure(world, checks)
            label = "on" if checks == ALL_ON else "off"
            result = ours.run(world, dataset.name, f"{number}-{label}")
            seconds[checks].append(result.seconds)
            box[checks] = max(box[checks], result.box)
            observed = records(world)
            if {"measures" in artifact for artifact in observed} != {checks == ALL_ON}:
                raise SystemExit(f"checks {label}, but the manifest says otherwise: the two sides compare nothing")
            world.empty(world.outputs["BackupBucket"])
            print(f"  {dataset.name} {number + 1}/{rounds}, checks {label}: {result.seconds:.2f} s, box {result.box / MIB:.0f} MiB", flush=True)
    configure(world, DEFAULTS)
    ours.run(world, dataset.name, "defaults")
    seen = records(world)
    world.empty(world.outputs["BackupBucket"])
    world.stop_pods(dataset.name)
    findings = [finding for artifact in seen for finding in artifact.get("findings", [])]
    ratios = [off / on for on, off in zip(seconds[ALL_ON], seconds[ALL_OFF], strict=True)]
    ratio = statistics.median(ratios)
    if findings:
        broken.append(f"{dataset.about}: findings {findings}")
    if ratio < GOAL:
        broken.append(f"throughput with checks on is {ratio:.2f} of that with checks off, less than {GOAL}")

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"

    entries = sum(artifact["measures"]["entries"] for artifact in seen)
    original = sum(artifact["original_bytes"] for artifact in seen)
    row = (
        f"| {dataset.about} | {original / MIB:.0f} | {entries} | {spread(seconds[ALL_ON])} | {spread(seconds[ALL_OFF])} | "
        f"**{spread(ratios)}** | {box[ALL_ON] / MIB:.0f} / {box[ALL_OFF] / MIB:.0f} | {len(findings)} |"
    )
    return [row], broken


HEAD = """| data | original, MiB | entries | checks on, s | checks off, s | off / on | box's peak on / off, MiB | findings with the defaults |
|---|--:|--:|---|---|---|--:|--:|"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py")
    parser.add_argument("--run", required=True)
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    world = World(given.run, given.stack)
    world.prepare()
    rows, broken = compare(world, data.NORMAL, given.rounds)
    attacked, more = attack(world)
    turned, yet_more = turn(world)
    broken += more + yet_more
    verdict = f"Bounds: off / on at least {GOAL}, no finding in the normal set, every other set as its checks say: " + ("; ".join(broken) or "held")
    table = "\n".join([HEAD, *rows, "", "| data | checks | outcome |", "|---|---|---|", *attacked, *turned, "", verdict])
    print(table)
    if given.table:
        given.table.write_text(table + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
