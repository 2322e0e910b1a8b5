#!/usr/bin/env python3
"""The checks: `benches/checks/run.py --run RUN --stack FILE [--rounds N] [--table FILE]`.

The same trees cross with every check on and with every check off, in turn, and who goes first changes every round. With
the defaults the normal set must pass without a finding, the encrypted one must be flagged, and a stack that says so
rejects it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benches.checks import data  # noqa: E402
from benches.transfer import ours  # noqa: E402
from benches.transfer.data import DataSet, provide  # noqa: E402
from benches.transfer.world import NAMESPACE, World  # noqa: E402

MIB = 1 << 20
GOAL = 0.8
DEFAULTS = ""
# One check is off by default, since links to elsewhere are usual; it is made here, so that all are.
ALL_ON, ALL_OFF = "tar_symlink_absolute=flag", "all=off"


def configure(world: World, checks: str) -> None:
    """Sets the checks of every box from now on, as the stack's parameter does: to create, and to posture, which compares."""
    functions = world.client("lambda")
    for output, variable in (("PostureFunctionArn", "DRAWBRIDGE_PARAM_Checks"), ("CreateFunctionArn", "DRAWBRIDGE_CHECKS")):
        name = world.outputs[output]
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": {**variables, variable: checks}})


def records(world: World) -> list[dict[str, Any]]:
    """What the box observed of every artifact in the bucket."""
    s3, bucket, found = world.client("s3"), world.outputs["BackupBucket"], []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for key in (entry["Key"] for entry in page.get("Contents", []) if entry["Key"].endswith("/manifest.json")):
            manifest = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            found += [artifact["observed"] for artifact in manifest["predicate"]["artifacts"]]
    if not found:
        raise SystemExit("there is no manifest to read")
    return found


def failure(world: World, job: str) -> dict[str, Any]:
    found = json.loads(world.kubectl("get", "backupjob", job, "-n", NAMESPACE, "-o", "json"))
    fault: dict[str, Any] = found["status"]["fault"]
    return fault


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


def attack(world: World, dataset: DataSet) -> tuple[list[str], list[str]]:
    """What an encrypted set meets: flagged by default, rejected where the stack says so."""
    world.start_pods(dataset.name, provide(dataset, world.run.dir / "bench-data"))
    rows, broken = [], []
    configure(world, DEFAULTS)
    ours.run(world, dataset.name, "flag")
    for artifact in records(world):
        checks = [finding["check"] for finding in artifact.get("findings", [])]
        rows.append(f"| {dataset.about} | defaults | {artifact['verdict']}: {', '.join(checks)} |")
        if artifact["verdict"] != "flagged" or "high_entropy" not in checks:
            broken.append(f"{dataset.about}: {artifact['verdict']} {checks}")
    world.empty(world.outputs["BackupBucket"])
    configure(world, "high_entropy=reject")
    try:
        ours.run(world, dataset.name, "reject")
        broken.append(f"{dataset.about}: stored although its check rejects")
    except SystemExit:
        fault = failure(world, f"{dataset.name}-reject")
        rows.append(f"| {dataset.about} | `high_entropy=reject` | {fault['reason']}: {fault['message']} |")
        if fault["reason"] != "Rejected" or "high_entropy" not in fault["message"]:
            broken.append(f"{dataset.about}: {fault}")
    world.stop_pods(dataset.name)
    configure(world, DEFAULTS)
    return rows, broken


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
    attacked, more = attack(world, data.ENCRYPTED)
    broken += more
    verdict = f"Bounds: off / on at least {GOAL}, no finding in the normal set, the encrypted one met: " + ("; ".join(broken) or "held")
    table = "\n".join([HEAD, *rows, "", "| data | checks | outcome |", "|---|---|---|", *attacked, "", verdict])
    print(table)
    if given.table:
        given.table.write_text(table + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
