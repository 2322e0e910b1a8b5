#!/usr/bin/env python3
"""Kills boots and clusters in the middle, takes them down, and asserts that the host is as it was before.

A second cluster runs beside them all the while and must not notice. `teardown_check.py [--seconds 0.1 0.5 ...]`
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common import run as runs  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.process import end, every_process, identify, marked  # noqa: E402
from testbed.common.run import STATE  # noqa: E402
from testbed.kubernetes import cluster  # noqa: E402
from testbed.kubernetes.api import Api  # noqa: E402
from testbed.kubernetes.layout import NODE_NAME, Layout  # noqa: E402

PROGRAM = Path(__file__).with_name("cluster.py")
BESIDE, VICTIM = f"beside-{os.getpid()}", f"victim-{os.getpid()}"
DELAYS = (0.05, 0.2, 0.35, 0.5, 0.8, 1.2, 1.6, 2.5, 4.0, 5.5)


def command(name: str, run_id: str) -> list[str]:
    return [sys.executable, str(PROGRAM), name, "--run", run_id]


def finish(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise TestbedError(f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr.decode()}")


def host_things() -> set[str]:
    """What a cluster could leave behind: links, namespaces, groups, mounts, namespaces held by a process."""
    found = {f"link {name}" for name in os.listdir("/sys/class/net")}
    netns = Path("/run/netns")
    found |= {f"netns {path.name}" for path in netns.iterdir()} if netns.exists() else set()
    found |= {f"cgroup {path}" for pattern in ("dbk*", "*/dbk*") for path in Path("/sys/fs/cgroup").glob(pattern)}
    found |= {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    for place in ("/run", "/var/lib", "/var/log", "/opt", "/var/tmp/drawbridge"):
        found |= {f"file {path}" for path in Path(place).glob("*")}
    # Other runs of this machine come and go meanwhile; theirs is named after another index.
    return {thing for thing in found if "dba" not in thing}


def of_victim(things: set[str], index: int) -> set[str]:
    """Those with the victim's name or index, or without any name of a run."""
    others = [f"dbk{other}" for other in range(32) if other != index]
    return {thing for thing in things if not any(thing.endswith(f"{name}") or f"{name}-" in thing for name in others)}


def kill_boot_after(seconds: float) -> None:
    """Boots, and kills the boot's own process."""
    boot = subprocess.Popen(command("up", VICTIM), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    boot.kill()
    boot.wait()


def boot_under_teardown() -> None:
    """Takes down a boot that still goes on: teardown ends it first."""
    subprocess.Popen(command("up", VICTIM), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.0)


def kill_everything() -> None:
    """Boots whole, then kills every process of the run at once, as a machine short of memory might."""
    finish(*command("up", VICTIM))
    end(marked(VICTIM))


def lose_records() -> None:
    """Boots whole, then loses the records of its processes: the mark in their environment must do."""
    finish(*command("up", VICTIM))
    for record in (STATE / VICTIM / "kubernetes" / "processes").iterdir():
        record.unlink()


def check(name: str, damage: Callable[[], None], beside: Layout) -> None:
    """One round: damage, two teardowns at once and one after, then look."""
    before = host_things()
    index = beside.run.index + 1
    damage()
    if found := runs.find(VICTIM):
        index = found.index
    at_once = [subprocess.Popen(command("down", VICTIM), stderr=subprocess.PIPE) for _ in range(2)]
    for process in at_once:
        _, error = process.communicate(timeout=60)
        if process.returncode != 0:
            raise TestbedError(f"{name}: one of two teardowns at once failed: {error.decode()}")
    finish(*command("down", VICTIM))
    if left := of_victim(host_things() - before, index):
        raise TestbedError(f"{name}: left on the host: {sorted(left)}")
    if alive := [pid for pid in every_process() if identify(pid) and mentions(pid, VICTIM)]:
        raise TestbedError(f"{name}: processes left: {alive}")
    if Api(beside).get(f"/api/v1/nodes/{NODE_NAME}") is None or len(cluster.daemons_of(beside).alive()) != 9:
        raise TestbedError(f"{name}: the cluster beside it was harmed")
    print(f"pass {name}", flush=True)


def mentions(pid: int, text: str) -> bool:
    try:
        return text.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main() -> int:
    """All rounds; the first failure ends it, with what it left in place to look at."""
    parser = argparse.ArgumentParser(prog="teardown_check.py", description="kills clusters and looks for remains")
    parser.add_argument("--seconds", nargs="*", type=float, default=DELAYS, help="when to kill a boot")
    given = parser.parse_args()
    finish(*command("up", BESIDE))
    try:
        beside = Layout(runs.load(BESIDE))
        for seconds in given.seconds:
            check(f"boot killed after {seconds} s", lambda: kill_boot_after(seconds), beside)
        check("taken down while it boots", boot_under_teardown, beside)
        check("everything killed", kill_everything, beside)
        check("records lost", lose_records, beside)
    finally:
        finish(*command("down", BESIDE))
    return 0


if __name__ == "__main__":
    main_wrapper("teardown_check.py", main)
