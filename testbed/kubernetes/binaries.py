"""Where the cluster's programs are: in $DRAWBRIDGE_BIN, else where `cargo xtask tools` puts them."""

from __future__ import annotations

import os
from pathlib import Path

from testbed.common.errors import TestbedError
from testbed.common.shell import run

BUILT = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "etcd",
    "coredns",
)
INSTALLED = ("containerd", "ctr", "runc", "iptables", "conntrack", "openssl", "ip", "nsenter", "unshare", "busybox")
INSTALLED_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
CNI_PLUGINS = Path("/usr/lib/cni")


def directory() -> Path:
    """The directory of the programs that we build."""
    cache = Path(os.environ.get("DRAWBRIDGE_CACHE", Path.home() / ".cache" / "drawbridge"))
    return Path(os.environ.get("DRAWBRIDGE_BIN", cache / "bin")).resolve()


def path(name: str) -> str:
    """A program that we build."""
    return str(directory() / name)


def check() -> None:
    """Raises before anything is made if a program is missing, naming all that are."""
    missing = [name for name in BUILT if not os.access(path(name), os.X_OK)]
    if missing:
        raise TestbedError(f"{directory()} lacks {', '.join(missing)}: build them, or point DRAWBRIDGE_BIN at them")
    if directory().is_relative_to("/var/lib") or directory().is_relative_to("/run"):
        raise TestbedError(f"{directory()}: the node has /run and /var/lib of its own; point DRAWBRIDGE_BIN elsewhere")
    absent = [name for name in INSTALLED if not any(Path(place, name).exists() for place in INSTALLED_PATH)]
    if not (CNI_PLUGINS / "bridge").exists():
        absent.append(f"{CNI_PLUGINS}/bridge")
    if absent:
        raise TestbedError(
            f"this machine lacks {', '.join(absent)}: on Debian, apt-get install containerd runc "
            "containernetworking-plugins busybox-static iptables conntrack openssl iproute2 util-linux"
        )


def pause(fallback_directory: Path) -> Path:
    """The program that holds namespaces. Compiled on the spot if the tools have none: it takes 0.1 s."""
    built = directory() / "pause"
    if built.exists():
        return built
    compiled = fallback_directory / "pause"
    source = Path(__file__).parent / "pause.c"
    run("gcc", "-Os", "-static", "-s", "-o", str(compiled), str(source))
    return compiled
