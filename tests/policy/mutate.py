#!/usr/bin/env python3
"""Removes every statement of every policy, one at a time, from the deployed stack, and asks the probes each time.

    mutate.py --run ID --stack stack.json [--parts] [--policy NAME] [--table FILE]

With --parts also every condition, and every action, resource and condition value that stands in a list. What no probe
misses, nothing proves: exit code 1. The stack is brought back to
the policies of infra/ at the end, also after a failure.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.render import POLICIES  # noqa: E402
from testbed.aws.cloudformation.errors import TemplateError  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.progress import say  # noqa: E402
from tests.policy.catalogue import everything  # noqa: E402
from tests.policy.probe import Probe  # noqa: E402
from tests.policy.probes import red, run_all  # noqa: E402
from tests.policy.world import World  # noqa: E402


@dataclass(frozen=True)
class Mutant:
    """A policy without one of its statements, or with a statement that lacks one part."""

    policy: str
    sid: str
    # Where in the statement the part lies, ("Action", 1) or ("Condition", "Null", "s3:if-none-match"); empty for all of it.
    part: tuple[str | int, ...] = ()

    def write(self, directory: Path) -> None:
        """All policy files into `directory`, this one changed."""
        for path in POLICIES.glob("*.json"):
            shutil.copy(path, directory)
        path = directory / f"{self.policy}.json"
        path.write_text(json.dumps(without(json.loads(path.read_text()), self.sid, self.part)))

    def __str__(self) -> str:
        part = " ".join(str(step) for step in self.part)
        return f"{self.policy:13} {self.sid}{' - ' if part else ''}{part}"


def without(policy: dict[str, Any], sid: str, part: tuple[str | int, ...] = ()) -> dict[str, Any]:
    """The policy without a statement, or with the statement but without a part of it."""
    document: dict[str, Any] = json.loads(json.dumps(policy))
    if part:
        holder = next(statement for statement in document["Statement"] if statement["Sid"] == sid)
        for step in part[:-1]:
            holder = holder[step]
        del holder[part[-1]]
    else:
        document["Statement"] = [entry for entry in document["Statement"] if entry["Sid"] != sid]
    if not document["Statement"]:  # IAM takes no empty policy; this one allows nothing that exists
        document["Statement"] = [{"Sid": "Nothing", "Effect": "Allow", "Action": "none:None", "Resource": "*"}]
    return document


SURVIVED = "SURVIVED"
SERVICE = "aws:PrincipalIsAWSService"
OWN_KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"
SERVICES_OWN = "S3 replicates itself: no request can ask for it"
NO_STREAMS = "the local CloudWatch Logs judges by the group, AWS by the stream"
# Parts that no probe can miss here, and why.
COVERED = {
    Mutant("create", "PassBoxRole", ("Condition", "StringEquals", "iam:PassedToService")): (
        "create may call no other service that takes a role"
    ),
    Mutant("log-bucket", "OnlyServicesWrite", ("Condition", "Bool", SERVICE)): "tests/watch/check.py",
    Mutant("backup-bucket", "OwnKey", ("Condition", "StringNotEquals", OWN_KEY)): "tests/policy/options.py",
    Mutant("backup-bucket", "NobodyReplicatesHere"): SERVICES_OWN,
    Mutant("backup-bucket", "NobodyReplicatesHere", ("Action", 0)): SERVICES_OWN,
    Mutant("backup-bucket", "NobodyReplicatesHere", ("Action", 1)): SERVICES_OWN,
    Mutant("create", "WriteOwnLog", ("Resource", 1)): NO_STREAMS,
    Mutant("cleanup", "WriteOwnLog", ("Resource", 1)): NO_STREAMS,
    Mutant("cleanup", "WriteOwnLog", ("Resource", 3)): NO_STREAMS,
    Mutant("cleanup", "WriteOwnLog", ("Resource", 5)): NO_STREAMS,
    Mutant("posture", "WriteOwnLog", ("Resource", 1)): NO_STREAMS,
}

# What only a stack with other parameters, or only a service of AWS, is bound by: these tests ask for it.
ASKED_ELSEWHERE = {
    ("jumpbox", "EncryptBackups"): "tests/policy/options.py",
    ("backup-key", ""): "tests/policy/options.py",
    ("log-bucket", "TrailLooks"): "CloudTrail asks once, as it is set up; the local one does not",
    ("log-bucket", "TrailWrites"): "tests/watch/check.py",
    ("alarm-topic", ""): "tests/watch/check.py",
    ("watch-log", ""): "tests/watch/check.py",
}


def excused(mutant: Mutant) -> str | None:
    """Why no probe need notice, if none need."""
    elsewhere = ASKED_ELSEWHERE.get((mutant.policy, mutant.sid)) or ASKED_ELSEWHERE.get((mutant.policy, ""))
    return COVERED.get(mutant) or elsewhere


def mutants(only: str | None, parts: bool = False) -> Iterator[Mutant]:
    for path in sorted(POLICIES.glob("*.json")):
        if only in (None, path.stem):
            for statement in json.loads(path.read_text())["Statement"]:
                yield Mutant(path.stem, statement["Sid"])
                if parts:
                    yield from (Mutant(path.stem, statement["Sid"], part) for part in _parts(statement))


def _parts(statement: dict[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """Every action, resource, exception and condition value that stands in a list, every condition key."""
    for name in ("Action", "Resource", "NotResource"):
        if isinstance(statement.get(name), list):
            yield from ((name, index) for index in range(len(statement[name])))
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            yield "Condition", operator, key
            if isinstance(values, list):
                yield from (("Condition", operator, key, index) for index in range(len(values)))


def first_red(world: World, probes: list[Probe]) -> Probe | None:
    """The first probe that does not hold; the rest is not asked."""
    return next((probe for probe in probes if not probe.holds(probe.run(world))), None)


def try_mutant(world: World, mutant: Mutant, probes: list[Probe]) -> Probe | str | None:
    """What noticed it: a probe, or the deployment itself, which refuses a key that nobody could administer."""
    with tempfile.TemporaryDirectory(prefix="drawbridge-mutant-") as directory:
        mutant.write(Path(directory))
        try:
            world.deploy(Path(directory))
        except TemplateError as error:
            return f"the deployment: {error}"
        return first_red(world, probes)


def run(world: World, wanted: list[Mutant], probes: list[Probe], elsewhere: bool = True) -> dict[Mutant, str]:
    """Prints a row for each mutant; returns what became of each. `elsewhere`: what others ask is left to them."""
    require_green(world, probes, "before any mutation")
    fates = {}
    for number, mutant in enumerate(wanted, 1):
        started = time.monotonic()
        excuse = excused(mutant) if elsewhere else None
        killer = None if excuse else try_mutant(world, mutant, _likely_first(probes, mutant))
        took = f"{time.monotonic() - started:4.1f} s"
        fates[mutant] = str(killer) if killer else f"covered: {excuse}" if excuse else SURVIVED
        print(f"{mutant!s:75} {took}  {fates[mutant]}", flush=True)
        say(f"{number} of {len(wanted)} mutants")
    world.deploy(None)
    require_green(world, probes, "after the last mutation")
    return fates


def _likely_first(probes: list[Probe], mutant: Mutant) -> list[Probe]:
    """Probes of the mutated policy's subject first: they die soonest. The order among the others stays."""
    subject = {"receipt-key": "receipt key", "jumpbox": "box", "backup-bucket": "b", "state-bucket": "state", "log-bucket": "log"}
    word = "plain HTTP" if mutant.sid == "OnlyTls" else subject.get(mutant.policy, mutant.policy)
    return sorted(probes, key=lambda probe: not probe.family.startswith(word))


def require_green(world: World, probes: list[Probe], when: str) -> None:
    failed = red(run_all(world, probes))
    if failed:
        shown = "; ".join(f"{probe}: {outcome}, expected {probe.expected}" for probe, outcome in failed[:5])
        raise TestbedError(f"{len(failed)} probes are red {when}: {shown}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--stack", required=True, type=Path, help="what deploy.py wrote")
    parser.add_argument("--policy", help="only the statements of infra/policies/POLICY.json")
    parser.add_argument("--parts", action="store_true", help="remove parts of statements too")
    parser.add_argument("--table", type=Path, help="write the rows as Markdown into this file")
    arguments = parser.parse_args()
    wanted = list(mutants(arguments.policy, arguments.parts))
    if not wanted:
        raise TestbedError(f"infra/policies has no {arguments.policy}.json")
    started = time.monotonic()
    with World(arguments.run, arguments.stack).set_up() as world:
        try:
            fates = run(world, wanted, everything())
        finally:
            world.deploy(None)
    if arguments.table:
        arguments.table.write_text(table(fates))
    print(summary(fates, time.monotonic() - started))
    return 1 if SURVIVED in fates.values() else 0


def summary(fates: dict[Mutant, str], seconds: float) -> str:
    survived = list(fates.values()).count(SURVIVED)
    covered = len([fate for fate in fates.values() if fate.startswith("covered: ")])
    return (
        f"{len(fates)} mutants in {seconds:.0f} s: {len(fates) - survived - covered} noticed, "
        f"{covered} of parts that cannot be missed here, {survived} survived"
    )


def table(fates: dict[Mutant, str]) -> str:
    """The rows as Markdown."""
    rows = [f"| {m.policy} | {m.sid} | {' '.join(map(str, m.part)) or 'all of it'} | {fates[m]} |" for m in fates]
    head = ["| policy | statement | removed | the probe that noticed |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    main_wrapper("mutate.py", main)
