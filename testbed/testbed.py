#!/usr/bin/env python3
"""Brings a run of the whole testbed up and down: `testbed.py up|down|status --run ID [--without kubernetes|aws]`.

Both halves boot at once, each by its own program; then the node is plugged into the local internet, and testbed.json
in the run's directory says how everything is reached. DRAWBRIDGE_CLUSTER=kind takes kind for the cluster, which needs
a Docker daemon.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Sequence

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from testbed.aws.layout import ISSUERS  # noqa: E402
from testbed.common import progress, run as runs  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.process import Daemons, ancestors, end, marked  # noqa: E402
from testbed.common.run import PARTS, Run  # noqa: E402
from testbed.common.shell import run as shell  # noqa: E402
from testbed.common.teardown import claim, is_stale  # noqa: E402
from testbed.kubernetes import binaries  # noqa: E402

AWS, OWN_CLUSTER, KIND = HERE / "aws" / "aws.py", HERE / "kubernetes" / "cluster.py", HERE / "kubernetes" / "kind.py"


def _program(run_id: str, part: str) -> Path:
    """What brings a part up and down. A cluster goes down by what made it, whatever the environment says by then."""
    if part == "aws":
        return AWS
    run = runs.find(run_id)
    made_by_kind = run is not None and (run.part(part) / "kind").exists()
    return KIND if made_by_kind or os.environ.get("DRAWBRIDGE_CLUSTER") == "kind" else OWN_CLUSTER


def _interpreter(part: str) -> str:
    """The local AWS needs packages, which a virtual environment has; the cluster needs none."""
    cache = Path(os.environ.get("DRAWBRIDGE_CACHE", Path.home() / ".cache" / "drawbridge"))
    python = Path(os.environ.get("DRAWBRIDGE_VENV", cache / "venv"), "bin", "python")
    return str(python) if part == "aws" and python.exists() else sys.executable


def _call(part: str, command: str, run_id: str, *more: str) -> None:
    """Runs a part's program to its end; its progress lines go straight to our stderr."""
    program, arguments = _program(run_id, part), (command, "--run", run_id, *more)
    done = subprocess.run(
        [_interpreter(part), str(program), *arguments], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    )
    if done.returncode != 0:
        raise TestbedError(f"{part}: `{program.name} {' '.join(arguments)}` ended with {done.returncode}")


def _call_each(parts: Sequence[str], command: str, run_id: str) -> None:
    """The same for several parts at once. Each is waited for, and every failure named."""
    with ThreadPoolExecutor(len(PARTS)) as pool:
        calls = [pool.submit(_call, part, command, run_id) for part in parts]
    failures = [str(error) for call in calls if (error := call.exception()) is not None]
    if failures:
        raise TestbedError("; ".join(failures))


def up(run_id: str, parts: Sequence[str]) -> Path:
    """Boots the parts, joins them, and returns the path of testbed.json."""
    progress.begin()
    run = claim(run_id, "testbed")
    _call_each(parts, "up", run_id)
    facts: dict[str, Any] = {"run": run.id, "index": run.index, "dir": str(run.dir)}
    for part in parts:
        facts[part] = _facts(run, part)
    if set(parts) == set(PARTS):
        _call("aws", "connect", run_id, "--node-pid", str(facts["kubernetes"]["node_pid"]))
        _publish_issuer(run, facts["kubernetes"])
        progress.say("the node is plugged into the local internet")
    path = run.dir / "testbed.json"
    path.touch(mode=0o600)  # it has the local account's root keys
    path.write_text(json.dumps(facts, indent=2) + "\n")
    progress.say(f"up: {path}")
    return path


def _publish_issuer(run: Run, cluster: dict[str, Any]) -> None:
    """The cluster's token issuer and its public keys, as it would publish them on the internet for IAM to fetch."""

    def ask(path: str) -> Any:
        argv = [binaries.path("kubectl"), f"--kubeconfig={cluster['kubeconfig']}", "get", "--raw", path]
        return json.loads(shell(*argv))

    issuer = ask("/.well-known/openid-configuration")["issuer"]
    draft = run.part("aws") / "issuers.new"
    draft.write_text(json.dumps({issuer: ask("/openid/v1/jwks")}, indent=2))
    draft.replace(run.part("aws") / ISSUERS)


def _facts(run: Run, part: str) -> Any:
    try:
        return json.loads(run.facts(part).read_text())
    except OSError as error:
        raise TestbedError(f"{part} is up but left no {run.facts(part)}: its `up` writes its section there") from error


def down(run_id: str, parts: Sequence[str]) -> None:
    """Takes the parts down, whatever state they are in; a boot that is still going on is ended first."""
    runs.check_id(run_id)
    run = runs.find(run_id)
    if run is not None:
        own = ancestors()
        end([process for process in runs.claimants(run, "testbed") if process.pid not in own])
    _call_each(parts, "down", run_id)
    runs.release(run_id)


def status(run_id: str | None) -> int:
    """Prints the runs that hold an index, and what of each lives. Exit code 1 when the asked-for run is not up."""
    found = [run for run in runs.everything() if run_id in (None, run.id)]
    for run in found:
        state = "nothing of it lives; `down` removes what is left" if is_stale(run) else str(run.dir)
        print(f"{run.id}  index {run.index}  {state}")
        for part in PARTS:
            if run.part(part).exists() or marked(run.id, part):
                booting = "booting, " if runs.claimants(run, part) else ""
                alive = Daemons(run.id, part, run.part(part)).alive()
                print(f"  {part}: {booting}running: {' '.join(alive) or 'nothing'}")
    if not found:
        print("no run is up" if run_id is None else f"run {run_id!r} is not up")
    return 1 if run_id is not None and not found else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="testbed.py", description="a real Kubernetes and a local AWS, joined")
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--run", metavar="ID", help="name of the run, 1 to 20 of a-z, 0-9, '-'; status: all runs")
    parser.add_argument("--without", choices=PARTS, help="leave this part alone")
    given = parser.parse_args()
    if given.command == "status":
        return status(given.run)
    if given.run is None:
        parser.error("--run ID is required")
    parts = [part for part in PARTS if part != given.without]
    if given.command == "up":
        print(up(given.run, parts))
    else:
        down(given.run, parts)
    return 0


if __name__ == "__main__":
    main_wrapper("testbed.py", main)
