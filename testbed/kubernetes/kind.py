#!/usr/bin/env python3
"""The same cluster commands on kind, for machines with a Docker daemon: `kind.py up|down|load-image --run ID`.

UNTRIED: written where no Docker daemon was to be had. What `cluster.py` does without Docker, kind does here; the rest
of the testbed sees no difference: the node is a container, whose network namespace the local AWS is plugged into.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common import progress, run as runs  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.process import mark_what_follows  # noqa: E402
from testbed.common.run import Run  # noqa: E402
from testbed.common.shell import run as shell  # noqa: E402
from testbed.common.teardown import claim, make_room, take_down  # noqa: E402
from testbed.kubernetes import binaries, containers  # noqa: E402
from testbed.kubernetes.layout import PART, Layout, netns_command  # noqa: E402

CONFIG = Path(__file__).resolve().parents[2] / "kind-config.yaml"
CREATE_SECONDS = 600  # the node's image is pulled the first time


def marker(run: Run) -> Path:
    """Says that kind made this cluster, and with which program: there before the cluster is."""
    return run.part(PART) / "kind"


def name_of(run_id: str) -> str:
    """The kind cluster of a run; runs stand side by side."""
    return f"drawbridge-{run_id}"


def node_of(run_id: str) -> str:
    """The container that is the cluster's only node."""
    return f"{name_of(run_id)}-control-plane"


def up(run_id: str) -> None:
    """Creates a cluster from kind-config.yaml and loads the images that every run has."""
    if not os.access(binaries.path("kind"), os.X_OK):
        raise TestbedError(f"{binaries.path('kind')} is missing: `cargo xtask tools` builds it where Docker answers")
    run = claim(run_id, PART)
    directory = make_room(run, PART)
    marker(run).write_text(binaries.path("kind"))
    layout = Layout(run)
    layout.make_directories()
    kubeconfig = directory / "kubeconfig"
    create = ("create", "cluster", "--name", name_of(run_id), "--config", str(CONFIG), "--wait", "120s")
    shell(binaries.path("kind"), *create, "--kubeconfig", str(kubeconfig), timeout=CREATE_SECONDS)
    kubeconfig.chmod(0o600)
    progress.say("kind: the node is Ready")
    for archive in containers.make_images(layout):
        load_image(run_id, archive)
    progress.say("images")
    node = ("docker", "exec", "-i", node_of(run_id))
    facts = {
        "kubeconfig": str(kubeconfig),
        "node_pid": node_pid(run_id),
        "node_netns_command": netns_command(node_pid(run_id)),
        "node_command": list(node),
        "ctr_command": [*node, "ctr", "--namespace", "k8s.io"],
        "bin": str(binaries.directory()),
        "program": str(Path(__file__).resolve()),
    }
    run.facts(PART).write_text(json.dumps(facts, indent=2))


def node_pid(run_id: str) -> int:
    """The node's first process, as the host sees it."""
    return int(shell("docker", "inspect", "--format", "{{.State.Pid}}", node_of(run_id)))


def load_image(run_id: str, archive: Path) -> str:
    """Loads an image archive into the node."""
    shell(binaries.path("kind"), "load", "image-archive", str(archive), "--name", name_of(run_id), timeout=300)
    return f"loaded {archive}"


def down(run_id: str) -> None:
    """Deletes the cluster, also half a one; deleting what is not there succeeds."""
    run = runs.find(run_id)
    if run is not None and marker(run).exists():
        shell(marker(run).read_text(), "delete", "cluster", "--name", name_of(run_id), timeout=120)
    take_down(run_id, PART)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="kind.py", description="a single-node Kubernetes in Docker (untried)")
    parser.add_argument("command", choices=("up", "down", "load-image"))
    parser.add_argument("--run", required=True, metavar="ID")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    given = parser.parse_args()
    progress.begin()
    if given.command == "load-image":
        mark_what_follows(given.run, PART)
        for file in given.files:
            if not file.exists():
                raise TestbedError(f"{file}: no such image archive")
            print(load_image(given.run, file))
    else:
        {"up": up, "down": down}[given.command](given.run)
    return 0


if __name__ == "__main__":
    main_wrapper("kind.py", main)
