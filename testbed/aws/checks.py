#!/usr/bin/env python3
"""Shows that the local AWS allows and refuses what it must: `checks.py [--slow] [--keep]`, as root, with the run's packages.

It boots runs of its own, so it can stand beside others, and takes them down at the end.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.aws import aws  # noqa: E402
from testbed.aws.checking import (  # noqa: E402
    events,
    filtering,
    instances,
    keys,
    network,
    policies,
    rights,
    stack,
    transport,
)
from testbed.aws.checking.kit import Bed, Checks, until  # noqa: E402
from testbed.aws.layout import Names  # noqa: E402
from testbed.common import run as runs  # noqa: E402
from testbed.common.process import Daemons  # noqa: E402


def command(*arguments: str) -> None:
    subprocess.run([sys.executable, str(Path(aws.__file__)), *arguments], check=True)


def on_host(index: int) -> list[str]:
    """What of a run can be seen on the host."""
    prefix = Names(index).prefix
    spaces = [name for name in os.listdir("/run/netns") if name.startswith(prefix)]
    links = [name for name in os.listdir("/sys/class/net") if name == Names(index).host_link]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{prefix}*")]
    return [*spaces, *links, *groups]


def behaviour(run: str, checks: Checks, slow: bool) -> None:
    bed = Bed(runs.load(run))
    made = stack.make(bed)
    life = instances.Instances(bed, made, checks)
    life.refused_launches()
    box = life.launch_box()
    wires = network.Network(bed, made, checks, box)
    wires.way_in()
    wires.public_side_out()
    wires.endpoint()
    filtering.Filtering(bed, made, checks, wires).everything()
    wires.s3_address()
    transport.trust(bed, checks)
    transport.plain_http(bed, checks)
    life.bounded(box)
    life.visibility()
    life.shutdown_inside()
    until(lambda: all(i["state"] == "terminated" or i["id"] == box for i in aws.instances(bed.run)))
    life.terminate(box)
    life.crash_leaks_interface()
    rights.authorization(bed, made, checks)
    policies.write_once(bed, checks)
    policies.presigned(bed, checks)
    keys.signing(bed, checks)
    policies.called_via(bed, checks)
    policies.excepted(bed, checks)
    heard = events.Events(bed, made, checks)
    heard.place()
    heard.instance_state(life)
    heard.notification()
    policies.invoke_only(bed, checks, heard.function)
    policies.unknown_keys(bed, checks)
    if slow:
        heard.schedule()


def teardown(run: str, beside: str, checks: Checks) -> None:
    """Two runs stand side by side with the same addresses inside; a run is undone after its programs were killed."""
    first, second = runs.load(run), runs.load(beside)
    beds = [Bed(first), Bed(second)]
    made = stack.make(beds[1])
    life = instances.Instances(beds[1], made, checks)
    kept = life.start()
    checks.that("a second run has an instance of its own", life.state(kept) == "running")
    checks.that("... and the first does not know it", all(i["id"] != kept for i in aws.instances(first)))
    daemons = Daemons(second.id, aws.PART, second.part(aws.PART))
    for name in daemons.names():
        os.kill(daemons.pid(name), signal.SIGKILL)
    checks.that("after kill -9 of everything its machine is still there", on_host(second.index))
    command("down", "--run", beside)
    checks.that("down leaves nothing of it on the host", not on_host(second.index), on_host(second.index))
    command("down", "--run", beside)
    checks.that("down again is no error, and the first run goes on", Bed(first).client("sts").get_caller_identity())
    command("down", "--run", run)
    checks.that("down of the first leaves nothing", not on_host(first.index), on_host(first.index))


def main() -> int:
    parser = argparse.ArgumentParser(prog="checks.py")
    parser.add_argument("--slow", action="store_true", help="also what takes a minute: schedules")
    parser.add_argument(
        "--keep", action="store_true", help="leave the run up to look around, and skip teardown's checks"
    )
    parser.add_argument("--run", default="aws-checks", metavar="ID", help="names the run, and with -2 the one beside it")
    given = parser.parse_args()
    run, beside = given.run, f"{given.run}-2"
    checks, begun = Checks(), time.monotonic()
    command("down", "--run", run)
    command("up", "--run", run)
    try:
        behaviour(run, checks, given.slow)
        if not given.keep:
            command("up", "--run", beside)
            teardown(run, beside, checks)
    finally:
        for run_id in () if given.keep else (run, beside):
            command("down", "--run", run_id)
    print(f"{checks.passed} passed, {len(checks.failed)} failed, {time.monotonic() - begun:.0f} s")
    for name in checks.failed:
        print(f"  failed: {name}")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
