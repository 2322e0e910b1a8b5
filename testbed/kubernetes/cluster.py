#!/usr/bin/env python3
"""Brings a cluster up and down: `cluster.py up|down|load-image|restart-apiserver --run ID`.

`up` ends when the node is Ready and takes pods. It does at once what does not wait for one another: certificates
beside the node's namespaces, containerd and images beside etcd and the API server.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common import progress, run as runs  # noqa: E402
from testbed.common.errors import TestbedError, main_wrapper  # noqa: E402
from testbed.common.made import Made  # noqa: E402
from testbed.common.process import Daemons, mark_what_follows  # noqa: E402
from testbed.common.shell import wait_until  # noqa: E402
from testbed.common.teardown import claim, make_room, take_down  # noqa: E402
from testbed.kubernetes import agents, binaries, certificates, containers, control_plane, dns, node  # noqa: E402
from testbed.kubernetes.api import Api  # noqa: E402
from testbed.kubernetes.layout import NODE_NAME, PART, Layout, netns_command, node_command  # noqa: E402


def up(run_id: str) -> None:
    """Boots a cluster."""
    binaries.check()
    run = claim(run_id, PART)
    directory = make_room(run, PART)
    layout = Layout(run)
    layout.make_directories()
    daemons = daemons_of(layout)
    with ThreadPoolExecutor(2) as pool:
        certified = pool.submit(certificates.make, layout)
        holder = node.start(layout, daemons, Made(directory))
        progress.say(f"node: namespaces and network ({layout.host_link})")
        certified.result()
        progress.say("certificates")
        control_plane.start_etcd(layout, daemons, holder)
        control_plane.start_apiserver(layout, daemons, holder)
        contained = pool.submit(_start_containers, layout, daemons, holder)
        control_plane.start_controller_manager(layout, daemons, holder)
        control_plane.start_scheduler(layout, daemons, holder)
        _wait_apiserver(layout, daemons)
        contained.result()
    api = Api(layout)
    agents.start_kubelet(layout, daemons, holder)
    agents.start_proxy(layout, daemons, holder)
    _let_apiserver_use_kubelet(api)
    dns.start(layout, daemons, holder, api)
    _wait_node(api, daemons)
    run.facts(PART).write_text(json.dumps(describe(layout), indent=2))
    progress.say("node Ready")


def _start_containers(layout: Layout, daemons: Daemons, holder: int) -> None:
    containers.start(layout, daemons, holder)
    archives = containers.make_images(layout)
    containers.wait_ready(layout, daemons)
    for archive in archives:
        containers.load_image(layout, archive)
    progress.say("containerd and images")


def _wait_apiserver(layout: Layout, daemons: Daemons) -> None:
    wait_until(
        "the API server is ready",
        Api(layout).ready,
        seconds=90,
        meanwhile=lambda: daemons.expect("etcd", "kube-apiserver"),
    )
    progress.say("apiserver ready")


def _let_apiserver_use_kubelet(api: Api) -> None:
    """exec, logs and port-forward are requests of the API server to kubelet, which asks it whether they are allowed."""
    name = "testbed:apiserver-kubelet"
    granted = dns.binding(name, role="system:kubelet-api-admin", user="kube-apiserver-kubelet-client")
    api.apply(f"{dns.RBAC}/clusterrolebindings/{name}", granted)


def _wait_node(api: Api, daemons: Daemons) -> None:
    """Ready and without taint; and the default service account is there, or the first pods would be refused."""

    def is_ready() -> bool:
        found = api.get(f"/api/v1/nodes/{NODE_NAME}")
        if found is None or found["spec"].get("taints"):
            return False
        conditions = {condition["type"]: condition["status"] for condition in found["status"].get("conditions", [])}
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        return conditions.get("Ready") == "True" and api.get(account) is not None

    names = ("kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler", "coredns", "containerd")
    wait_until("the node is Ready", is_ready, seconds=90, meanwhile=lambda: daemons.expect(*names))


def down(run_id: str) -> None:
    """Ends a cluster; what it runs is worth nothing, so nothing gets time to say goodbye. The holder's end is
    everyone's."""
    runs.check_id(run_id)
    take_down(run_id, PART, first=("holder",))


def daemons_of(layout: Layout) -> Daemons:
    """The processes of a cluster."""
    return Daemons(layout.run.id, PART, layout.dir)


def holder_pid(layout: Layout) -> int:
    """The process that holds the node's namespaces."""
    return daemons_of(layout).pid("holder")


def describe(layout: Layout) -> dict[str, object]:
    """The cluster's section of testbed.json."""
    holder = holder_pid(layout)
    return {
        "kubeconfig": str(layout.kubeconfig),
        "server": layout.server,
        "node_pid": holder,
        "node_netns_command": netns_command(holder),
        "node_command": node_command(holder),
        "containerd_socket": str(layout.containerd_socket),
        "ctr_command": containers.ctr_command(layout),
        "audit_log": str(layout.audit_log),
        "bin": str(binaries.directory()),
        "program": str(Path(__file__).resolve()),
    }


def restart_apiserver(run_id: str) -> None:
    """Ends the API server and starts it again, for tests of what a controller does meanwhile."""
    layout = Layout(runs.load(run_id))
    daemons = daemons_of(layout)
    holder = holder_pid(layout)
    daemons.stop("kube-apiserver", patience=1)  # its graceful end waits for watches, which never end
    control_plane.start_apiserver(layout, daemons, holder)
    _wait_apiserver(layout, daemons)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="cluster.py", description="a real single-node Kubernetes without Docker")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "boot a cluster; ends when the node is Ready"),
        ("down", "end it and remove what it made; safe at any time"),
        ("load-image", "import image archives into its containerd"),
        ("restart-apiserver", "end the API server and start it again"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--run", required=True, metavar="ID")
        if name == "load-image":
            command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    given = parser.parse_args()
    progress.begin()
    if given.command == "up":
        up(given.run)
    elif given.command == "down":
        down(given.run)
    elif given.command == "load-image":
        mark_what_follows(given.run, PART)
        for file in given.files:
            if not file.exists():
                raise TestbedError(f"{file}: no such image archive")
            print(containers.load_image(Layout(runs.load(given.run)), file))
    else:
        restart_apiserver(given.run)
    return 0


if __name__ == "__main__":
    main_wrapper("cluster.py", main)
