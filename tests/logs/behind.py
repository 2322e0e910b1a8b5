"""A container that restarts while the API server refuses its pod's status: kubelet knows of the restart, the status does not."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from benches.transfer.world import NAMESPACE, World, until
from tests.logs.judge import Stored, Writer
from tests.logs.series import apply, end, fetch, look, nanoseconds, written

POLICY = "status-behind"
READING = 4.0
"""Seconds for which two jobs are let read before the status is let through."""
WAITED = 20.0
"""Seconds after which a job might believe the status before kubelet sends it again."""


def refuse(world: World, writer: Writer) -> None:
    """The pod's status is not taken any more."""
    group, pods = "admissionregistration.k8s.io", {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/status"]}
    world.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": POLICY},
            "spec": {
                "matchConstraints": {"resourceRules": [{**pods, "operations": ["UPDATE"]}]},
                "matchConditions": [{"name": "the-writer", "expression": f"request.name == '{writer.name}'"}],
                "validations": [{"expression": "false", "message": "the status is kept behind"}],
            },
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": POLICY},
            "spec": {"policyName": POLICY, "validationActions": ["Deny"]},
        },
    )
    patch = ["patch", "pod", writer.name, "-n", NAMESPACE, "--subresource=status", "--dry-run=server", "--type=merge"]
    words = world.kubectl_words(*patch, "-p", json.dumps({"status": {"message": "tried"}}))

    def is_refused() -> bool:
        done = subprocess.run(words, capture_output=True, check=False)
        return b"the status is kept behind" in done.stderr

    until("the policy holds", is_refused, 60)


def let_through(world: World) -> None:
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        world.kubectl("delete", kind, POLICY, "--wait=true")


def restarts(world: World, writer: Writer) -> int:
    pod = json.loads(world.kubectl("get", "pod", writer.name, "-n", NAMESPACE, "-o", "json"))
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


def follow(world: World, writer: Writer, directory: Path) -> dict[str, Stored]:
    """One series that has a line to go on from, one that begins while the status is behind."""
    series = {"resumed": Stored(), "begun": Stored()}
    fetch(world, writer, end(world, apply(world, writer, "resumed", 0)), series["resumed"])
    if written(directory) >= writer.stop:
        raise SystemExit(f"{writer.name} was restarted before its first job was done: nothing is shown")
    refuse(world, writer)
    try:
        until(f"{writer.name} is restarted", lambda: written(directory) > writer.stop + 1000, 120)
        last = world.kubectl("logs", writer.name, "-n", NAMESPACE, "--previous", "--tail=1")
        if not last.startswith(b"n=%012d " % (writer.stop - 1)):
            raise SystemExit(f"{writer.name}: kubelet does not give the first run's log as the previous one: nothing is shown")
        meanwhile = {name: apply(world, writer, name, 1) for name in series}
        running: list[float] = []
        for job in meanwhile.values():
            until(f"{job} runs", lambda: look(world, job).get("status", {}).get("phase") == "Running", 60)  # noqa: B023
            running.append(time.monotonic())
        time.sleep(READING)
        if restarts(world, writer) != 0:
            raise SystemExit(f"{writer.name}: the status shows the restart too early: nothing is shown")
        over = [job for job in meanwhile.values() if look(world, job)["status"]["phase"] != "Running"]
    finally:
        through = time.time_ns()
        let_through(world)
    if over or time.monotonic() - running[0] > WAITED:
        raise SystemExit(f"{writer.name}: {over or 'the jobs'} did not wait for the status: nothing is shown, or it is believed too early")
    for name, job in meanwhile.items():
        done = end(world, job)
        for kept in done["status"]["logs"]["containers"]:
            if nanoseconds(kept["readAt"]) >= through:
                raise SystemExit(f"{job} looked at the pod's status when it was let through: nothing is shown")
        fetch(world, writer, done, series[name])
    until(f"{writer.name} has written everything", lambda: written(directory) == writer.total, 180)
    for name, stored in series.items():
        fetch(world, writer, end(world, apply(world, writer, name, 2)), stored)
        print(f"  {writer.name}, {name}: {len(stored.lines)} of {written(directory)} lines, {len(stored.gaps)} gaps", flush=True)
    return {f"{writer.about}, a series {name} then": stored for name, stored in series.items()}
