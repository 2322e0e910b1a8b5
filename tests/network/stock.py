"""What stops a box's stock services: machines that boot by its user data, each without one part of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from testbed.common.shell import wait_until
from tests.network.ground import Ground
from tests.network.traits import LISTENS_ALONE, NO_STOCK, Json, Trait, services, traits

# In crates/lambdas/src/boot.sh: the call of what stops them, and in it what it does to each.
CALL, STOPPING = "\nstop_stock_access\n", 'systemctl stop "$unit"; systemctl mask "$unit"'
BY_ITSELF = "Client.InstanceInitiatedShutdown"
PATIENCE = 20.0


def controls(ground: Ground, known: Json) -> list[Trait]:
    """`known` is what `facts` says of the box. These machines get no second interface, so their user data comes no further than
    to wait for one: they fetch nothing and report nothing."""
    given = ground.read(ground.box, "cat /var/lib/cloud/instance/user-data.txt")
    with _machine(ground, without(given, CALL, "\n:\n")) as unstopped, _machine(ground, without(given, STOPPING, ":")) as failing:
        _reaches(ground, unstopped, "running")
        machine = replace(ground.box, instance=unstopped)
        # The first that user data makes after the call.
        past = "test -d /run/drawbridge && echo past; true"
        wait_until("the user data is past the stop", lambda: bool(ground.read(machine, past)), seconds=PATIENCE)
        _reaches(ground, failing, "terminated")
        return [left_running(known, services(ground, unstopped)), refused(ground.describe(failing))]


def without(user_data: str, part: str, instead: str) -> str:
    """Refuses what is not there once: the machine would be a box like any other."""
    if (count := user_data.count(part)) != 1:
        raise ValueError(f"user data must have {part!r} once, and has it {count} times: adapt tests/network/stock.py to boot.sh")
    return user_data.replace(part, instead)


def left_running(known: Json, found: Json) -> Trait:
    """A box with such services has lost the two traits that are about them, and no other."""
    lost = {trait.name for trait in traits({**known, **found}) if not trait.holds}
    ssh = any(listener.startswith("0016=") for listener in found["listens"])
    holds = ssh and lost == {LISTENS_ALONE, NO_STOCK} and len(set(found["stock"])) == 2
    return Trait("without the stop in its user data the stock sshd and SSM agent run", holds, str(found))


def refused(machine: Json) -> Trait:
    code = machine.get("StateReason", {}).get("Code")
    return Trait("where the stop stops nothing the machine shuts down", code == BY_ITSELF, str(code))


@contextlib.contextmanager
def _machine(ground: Ground, user_data: str) -> Iterator[str]:
    side = {"SubnetId": ground.outputs["PrivateSubnetId"], "Groups": [ground.outputs["PrivateSecurityGroupId"]]}
    box = ground.describe(ground.box.instance)
    made = ground.ec2.run_instances(
        ImageId=box["ImageId"],
        InstanceType=box["InstanceType"],
        MinCount=1,
        MaxCount=1,
        UserData=user_data,
        IamInstanceProfile={"Arn": ground.resources["JumpBoxProfile"]["attributes"]["Arn"]},
        InstanceInitiatedShutdownBehavior="terminate",
        NetworkInterfaces=[{"DeviceIndex": 0, "DeleteOnTermination": True, **side}],
    )
    instance = made["Instances"][0]["InstanceId"]
    try:
        yield instance
    finally:
        ground.ec2.terminate_instances(InstanceIds=[instance])
        _reaches(ground, instance, "terminated")


def _reaches(ground: Ground, instance: str, state: str) -> None:
    wait_until(f"{instance} is {state}", lambda: ground.describe(instance)["State"]["Name"] == state, seconds=PATIENCE)
