#!/usr/bin/env python3
"""A stack with every option on: Object Lock, and a key of the bucket's own. A second one beside the run's, of its own.

    options.py --run ID --stack stack.json

Nobody can delete or shorten what is locked: not the box, not the functions, not an administrator, not the account's
root, with the bucket's policy or without. And every statement that only such a stack has is taken out once.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.aws.cloudformation.stack import Deployment, Stack  # noqa: E402
from testbed.aws.deploy import (  # noqa: E402
    account_of,
    load_template,
    load_watch_template,
    watch_parameters,
    write_stack,
)
from testbed.aws.layout import ACCOUNT, REGION  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.progress import say  # noqa: E402
from testbed.common.shell import wait_until  # noqa: E402
from tests.policy.catalogue import options  # noqa: E402
from tests.policy.mutate import OWN_KEY, SURVIVED, Mutant, run  # noqa: E402
from tests.policy.probes import red, run_all  # noqa: E402
from tests.policy.world import World  # noqa: E402
from tests.watch.ground import Ground  # noqa: E402

CLUSTER = "locked"
PARAMETERS = {
    "ClusterName": CLUSTER,
    "ObjectLockDays": "1",
    "EncryptionKey": "yes",
    "ExpireDays": "30",
    # Its operator has a key alone: the run's issuer and cluster speak for the first stack's.
    "OidcIssuer": "",
    "EksCluster": "",
}
WATCH = {"LogLockDays": "1"}
MUTANTS = [
    Mutant("jumpbox", "EncryptBackups"),
    *(Mutant("jumpbox", "EncryptBackups", ("Action", index)) for index in range(2)),
    Mutant("jumpbox", "EncryptBackups", ("Condition", "StringEquals", "kms:ViaService")),
    Mutant("backup-key", "AccountsOwnPoliciesDecide"),
    Mutant("backup-key", "OnlyBreakGlassEnds"),
    *(Mutant("backup-key", "OnlyBreakGlassEnds", ("Action", index)) for index in range(2)),
    Mutant("backup-key", "OnlyBreakGlassEnds", ("Condition", "StringNotLike", "aws:PrincipalArn")),
    Mutant("backup-key", "OnlyTheStackChanges"),
    *(Mutant("backup-key", "OnlyTheStackChanges", ("Action", index)) for index in range(3)),
    Mutant("backup-key", "OnlyTheStackChanges", ("Condition", "StringNotEquals", "aws:CalledViaFirst")),
    Mutant("backup-key", "OnlyTheStackChanges", ("Condition", "StringNotLike", "aws:PrincipalArn")),
    Mutant("backup-bucket", "OwnKey"),
    Mutant("backup-bucket", "OwnKey", ("Condition", "StringNotEquals", OWN_KEY)),
    Mutant("backup-bucket", "OwnEncryption"),
]


def deploy(
    run_id: str, standing: Path, target: Path, parameters: dict[str, str] = PARAMETERS, watching: dict[str, str] = WATCH
) -> None:
    """The second stack, with the code of the first."""
    account = account_of(run_id)
    first = json.loads(standing.read_text())
    name = f"drawbridge-{parameters['ClusterName']}"
    stack = Stack(name, REGION, ACCOUNT, {**first["parameters"], **parameters})
    Deployment(load_template(None), stack, account.client).create()
    watch = Stack(f"{stack.name}-watch", REGION, ACCOUNT, watch_parameters(stack, watching))
    Deployment(load_watch_template(None), watch, account.client).create()
    write_stack(target, stack, watch, first["operator"])


def hold(world: World) -> None:
    probes = [probe for family in options.families(world) for probe in family.checked()]
    failed = red(run_all(world, probes))
    for probe, outcome in failed:
        print(f"RED {probe}: {outcome} (expected {probe.expected})")
    if failed:
        raise TestbedError(f"{len(failed)} of {len(probes)} probes are red")
    say(f"{len(probes)} probes of locks and keys hold")


def alarmed(world: World) -> None:
    """A refused attempt on the key is enough."""
    alarm = f"drawbridge-{CLUSTER}-key"
    states = world.client("cloudwatch", "root")

    def state() -> str:
        return str(states.describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"])

    wait_until("the alarm is quiet", lambda: state() != "ALARM", seconds=90)  # an earlier run's period is a minute
    with Ground(world).set_up() as ground:
        attempt = next(p for f in options.key_families() for p in f.checked() if p.what == "schedule_key_deletion")
        if not attempt.holds(attempt.run(world)):
            raise TestbedError(f"{attempt}: not {attempt.expected}")
        wait_until("an attempt on the key raises the alarm", lambda: state() == "ALARM", seconds=15)
        wait_until("the topic hears of it", lambda: "ALARM" in ground.heard(), seconds=15)
    say("an attempt on the key is told")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--stack", required=True, type=Path, help="what deploy.py wrote")
    arguments = parser.parse_args()
    target = arguments.stack.with_name("stack-options.json")
    if not target.exists():
        deploy(arguments.run, arguments.stack, target)
    with World(arguments.run, target).set_up() as world:
        alarmed(world)
        hold(world)
        try:
            fates = run(world, MUTANTS, [p for f in options.key_families() for p in f.checked()], elsewhere=False)
        finally:
            world.deploy(None)
    return 1 if SURVIVED in fates.values() else 0


if __name__ == "__main__":
    main_wrapper("options.py", main)
