"""Names, addresses and paths of one cluster, so that no other module spells one out.

The node has network, mount and process namespaces of its own, so everything inside is the same in every run; what
the host sees carries the run's index.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testbed.common.run import Run

PART = "kubernetes"
NODE_NAME = "drawbridge-node"
CLUSTER_DOMAIN = "cluster.local"

POD_RANGE = "10.88.0.0/16"
NODE_POD_RANGE = "10.88.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"

API_PORT = 6443
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
KUBELET_PORT = 10250
DNS_PORT = 1053
DNS_READY_PORT = 1054

# Where the local AWS answers, for pods that ask by name.
HOSTS = {"aws.drawbridge.test": "198.51.100.2", "s3.drawbridge.test": "198.51.100.3"}
EGRESS_ADDRESS = "203.0.113.10"

PAUSE_IMAGE = "drawbridge.test/pause:1"
BUSYBOX_IMAGE = "drawbridge.test/busybox:1"
SHELL_IMAGE = "drawbridge.test/shell:1"


@dataclass(frozen=True)
class Layout:
    """One cluster's own names and places."""

    run: Run

    @property
    def dir(self) -> Path:
        """State directory of the cluster."""
        return self.run.part(PART)

    @property
    def host_link(self) -> str:
        """The host's end of the link to the node."""
        return f"dbk{self.run.index}"

    @property
    def cgroup(self) -> str:
        """kubelet's root group."""
        return f"dbk{self.run.index}"

    @property
    def host_address(self) -> str:
        return f"172.30.{self.run.index}.1"

    @property
    def node_address(self) -> str:
        return f"172.30.{self.run.index}.2"

    @property
    def server(self) -> str:
        return f"https://{self.node_address}:{API_PORT}"

    @property
    def pki(self) -> Path:
        return self.dir / "pki"

    @property
    def config(self) -> Path:
        return self.dir / "config"

    @property
    def images(self) -> Path:
        return self.dir / "images"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.dir / "admin.kubeconfig"

    @property
    def node_view(self) -> Path:
        """What the node sees as /run, /var/lib and /var/log lies below here."""
        return self.dir / "node"

    @property
    def containerd_socket(self) -> Path:
        return self.node_view / "run" / "containerd" / "containerd.sock"

    @property
    def audit_log(self) -> Path:
        return self.dir / "log" / "audit.log"

    def kubeconfig_of(self, user: str) -> Path:
        """The kubeconfig of one of the cluster's components."""
        return self.dir / f"{user}.kubeconfig"

    def make_directories(self) -> None:
        for path in (self.pki, self.config, self.images, self.dir / "log", self.dir / "processes"):
            path.mkdir(parents=True, exist_ok=True)
        for name in ("run", "var-lib", "var-log"):
            (self.node_view / name).mkdir(parents=True, exist_ok=True)


def netns_command(node_pid: int) -> list[str]:
    """Prefix that runs a command in the node's network only."""
    return ["nsenter", "-t", str(node_pid), "-n", "--"]


def node_command(node_pid: int) -> list[str]:
    """Prefix that runs a command in all of the node's namespaces, as its child."""
    return ["nsenter", "-t", str(node_pid), "-m", "-p", "-n", "--"]
