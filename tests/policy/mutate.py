#!/usr/bin/env python3
"""Removes every statement of every policy, one at a time, from the deployed stack, and asks the probes each time.

    mutate.py --run ID --stack stack.json [--policy NAME]

A statement whose loss no probe notices is a statement that nothing proves: exit code 1. The stack is brought back to
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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.render import POLICIES  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.progress import say  # noqa: E402
from tests.policy.catalogue import everything  # noqa: E402
from tests.policy.probe import Probe  # noqa: E402
from tests.policy.probes import red, run_all  # noqa: E402
from tests.policy.world import World  # noqa: E402


@dataclass(frozen=True)
class Mutant:
    """A policy without one of its statements."""

    policy: str
    sid: str

    def write(self, directory: Path) -> None:
        """All policy files into `directory`, this one changed."""
        for path in POLICIES.glob("*.json"):
            shutil.copy(path, directory)
        path = directory / f"{self.policy}.json"
        document = json.loads(path.read_text())
        document["Statement"] = [statement for statement in document["Statement"] if statement["Sid"] != self.sid]
        if not document["Statement"]:  # IAM takes no empty policy; this one allows nothing that exists
            document["Statement"] = [{"Sid": "Nothing", "Effect": "Allow", "Action": "none:None", "Resource": "*"}]
        path.write_text(json.dumps(document))


def mutants(only: str | None) -> Iterator[Mutant]:
    for path in sorted(POLICIES.glob("*.json")):
        if only in (None, path.stem):
            for statement in json.loads(path.read_text())["Statement"]:
                yield Mutant(path.stem, statement["Sid"])


def first_red(world: World, probes: list[Probe]) -> Probe | None:
    """The first probe that does not hold; the rest is not asked."""
    return next((probe for probe in probes if not probe.holds(probe.run(world))), None)


def try_mutant(world: World, mutant: Mutant, probes: list[Probe]) -> Probe | None:
    with tempfile.TemporaryDirectory(prefix="drawbridge-mutant-") as directory:
        mutant.write(Path(directory))
        world.deploy(Path(directory))
        return first_red(world, probes)


def run(world: World, wanted: list[Mutant]) -> list[Mutant]:
    """Prints a row for each mutant; returns those that survived."""
    probes = everything()
    require_green(world, probes, "before any mutation")
    survivors = []
    for number, mutant in enumerate(wanted, 1):
        started = time.monotonic()
        killer = try_mutant(world, mutant, _likely_first(probes, mutant))
        took = f"{time.monotonic() - started:4.1f} s"
        print(f"{mutant.policy:14} {mutant.sid:26} {took}  {killer or 'SURVIVED'}", flush=True)
        say(f"{number} of {len(wanted)} statements")
        if killer is None:
            survivors.append(mutant)
    world.deploy(None)
    require_green(world, probes, "after the last mutation")
    return survivors


def _likely_first(probes: list[Probe], mutant: Mutant) -> list[Probe]:
    """Probes of the mutated policy's subject first: they die soonest. The order among the others stays."""
    subject = {"jumpbox": "box", "backup-bucket": "b", "state-bucket": "state", "endpoint": "endpoint"}
    word = subject.get(mutant.policy, mutant.policy)
    return sorted(probes, key=lambda probe: not probe.family.startswith(word) or mutant.sid == "OnlyTls")


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
    arguments = parser.parse_args()
    wanted = list(mutants(arguments.policy))
    if not wanted:
        raise TestbedError(f"infra/policies has no {arguments.policy}.json")
    started = time.monotonic()
    with World(arguments.run, arguments.stack).set_up() as world:
        try:
            survivors = run(world, wanted)
        finally:
            world.deploy(None)
    print(f"{len(wanted)} statements removed one by one in {time.monotonic() - started:.0f} s: "
          f"{len(wanted) - len(survivors)} noticed, {len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    main_wrapper("mutate.py", main)
