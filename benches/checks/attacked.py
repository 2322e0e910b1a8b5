"""What sets meet that are not as they should be: infected, careless with secrets, encrypted, encrypted since the run before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from benches.checks import data
from benches.checks.world import DEFAULTS, configure, failure, records
from benches.transfer import ours
from benches.transfer.data import DataSet, provide
from benches.transfer.world import NAMESPACE, World


@dataclass(frozen=True)
class Case:
    """A set, the stack's checks, and what must come of it."""

    dataset: DataSet
    checks: str
    rejected: bool
    # What the finding, or the refusal, names.
    named: str


CASES = [
    Case(data.INFECTED, DEFAULTS, True, "eicar_test_file"),
    Case(data.INFECTED, "yara.eicar_test_file=flag", False, "eicar_test_file"),
    Case(data.CARELESS, DEFAULTS, False, "aws_access_key_id"),
    Case(data.CARELESS, "secret=reject", True, "aws_access_key_id"),
    Case(data.ENCRYPTED, DEFAULTS, False, "high_entropy"),
    Case(data.ENCRYPTED, "high_entropy=reject", True, "high_entropy"),
]


def attack(world: World) -> tuple[list[str], list[str]]:
    """Every case on a job of its own; rows, and what was not as it must be."""
    rows, broken = [], []
    for number, case in enumerate(CASES):
        world.start_pods(case.dataset.name, provide(case.dataset, world.run.dir / "bench-data"))
        configure(world, case.checks)
        outcome, named = _outcome(world, case.dataset.name, number)
        rows.append(f"| {case.dataset.about} | {f'`{case.checks}`' if case.checks else 'defaults'} | {outcome} |")
        if not outcome.startswith("Rejected: " if case.rejected else "flagged: ") or case.named not in named:
            broken.append(f"{case.dataset.about}, {case.checks or 'defaults'}: {outcome}")
        world.empty(world.outputs["BackupBucket"])
        world.stop_pods(case.dataset.name)
    configure(world, DEFAULTS)
    return rows, broken


def turn(world: World) -> tuple[list[str], list[str]]:
    """A job's data is encrypted between two runs: the second is held against what cleanup kept of the first."""
    dataset = data.TURNED
    directories = provide(dataset, world.run.dir / "bench-data")
    world.start_pods(dataset.name, directories)
    configure(world, "high_entropy=off")
    before, _ = _outcome(world, dataset.name, 0)
    world.empty(world.outputs["BackupBucket"])
    for seed, directory in enumerate(directories):
        data.encrypt(directory, seed)
    # The same name: a job that belongs to no schedule is held against the one of its name.
    world.kubectl("delete", "backupjob", f"{dataset.name}-0", "-n", NAMESPACE, "--wait=true")
    after, _ = _outcome(world, dataset.name, 0)
    world.empty(world.outputs["BackupBucket"])
    world.stop_pods(dataset.name)
    configure(world, DEFAULTS)
    rows = [f"| {dataset.about}, before | `high_entropy=off` | {before} |", f"| the same job after it | `high_entropy=off` | {after} |"]
    held = before == "accepted" and after.startswith("flagged: ") and "baseline_entropy" in after
    return rows, [] if held else [f"{dataset.about}: {before}, then {after}"]


def _outcome(world: World, name: str, number: int) -> tuple[str, str]:
    """What became of a job of one artifact, and all that was said of it."""
    try:
        ours.run(world, name, number)
    except SystemExit:
        fault = failure(world, f"{name}-{number}")
        return f"{fault['reason']}: {fault['message']}", fault["message"]
    seen = records(world)
    if len(seen) != 1:
        raise SystemExit(f"one artifact was expected of {name}-{number}, and there are {len(seen)}")
    artifact: dict[str, Any] = seen[0]
    findings = artifact.get("findings", [])
    checks = ", ".join(finding["check"] for finding in findings)
    return f"{artifact['verdict']}: {checks}" if checks else artifact["verdict"], json.dumps(findings)


