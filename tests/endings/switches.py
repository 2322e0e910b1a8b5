"""Everything that can end a box besides the cluster, and how each is taken away: by the box's own root, or in the
account."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any

from tests.sessions.account import Account, expect

# The pattern does not match the command line that it stands in itself.
KILL_BOOT_SCRIPT = r"""
for process in /proc/[0-9]*; do
  case "$(tr '\0' ' ' <"$process/cmdline")" in *user-data.t[x]t*) kill -9 "${process#/proc/}" ;; esac
done
"""


class Switch(Enum):
    """One thing that ends a box, or that has it ended."""

    BOOT_SCRIPT = "the boot script, which shuts down when the box's program ends"
    PROGRAM = "the box's own timer, which puts the `ended` marker"
    SHUTDOWN = "the shutdown that user data armed"
    MARKER_EVENT = "the marker's S3 event"
    EC2_EVENT = "EC2's event"
    SCHEDULE = "the sweeper's schedule"


def take_away(account: Account, instance: str, switches: set[Switch]) -> None:
    """Takes away these and nothing else. The boot script goes first: it would shut down if the program went before it."""
    for switch in Switch:
        if switch in switches:
            OFF[switch](account, instance)


def _boot_script(account: Account, instance: str) -> None:
    account.in_box(instance, "bash", "-c", KILL_BOOT_SCRIPT)
    left = account.in_box(instance, "bash", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'user-data.t[x]t'")
    expect(left.strip() == "0", "the boot script must be gone", left)


def _program(account: Account, instance: str) -> None:
    account.in_box(instance, "bash", "-c", "kill -9 $(pidof drawbridge-jumpbox)")
    left = account.in_box(instance, "bash", "-c", "pidof drawbridge-jumpbox; true")
    expect(left.strip() == "", "the box's program must be gone", left)


def _shutdown(account: Account, instance: str) -> None:
    account.in_box(instance, "shutdown", "-c")
    left = account.in_box(instance, "bash", "-c", "test -e /run/shutdown-timer && echo armed; true")
    expect(left.strip() == "", "no shutdown may be armed", left)


def _marker_event(account: Account, _instance: str) -> None:
    """S3 may not invoke the function any more."""
    lambda_, function = account.client("lambda"), account.outputs["MarkerFunctionArn"]
    policy = json.loads(lambda_.get_policy(FunctionName=function)["Policy"])
    for statement in policy["Statement"]:
        if statement["Principal"] == {"Service": "s3.amazonaws.com"}:
            lambda_.remove_permission(FunctionName=function, StatementId=statement["Sid"])


def _rule(suffix: str) -> Callable[[Account, str], None]:
    def off(account: Account, _instance: str) -> None:
        account.client("events").disable_rule(Name=f"drawbridge-{account.cluster}-{suffix}")

    return off


OFF: dict[Switch, Callable[[Account, str], Any]] = {
    Switch.BOOT_SCRIPT: _boot_script,
    Switch.PROGRAM: _program,
    Switch.SHUTDOWN: _shutdown,
    Switch.MARKER_EVENT: _marker_event,
    Switch.EC2_EVENT: _rule("instance-ended"),
    Switch.SCHEDULE: _rule("sweep"),
}
