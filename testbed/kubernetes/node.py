"""The node: private mount, process and network namespaces, held open by one process.

All daemons and pods live inside. When the holder ends, as the first process of the process namespace, the kernel
ends every process in it, and with them go all mounts, pod networks, bridges and packet filter rules. So teardown
needs no list of these, and the host's own are never touched.
"""

from __future__ import annotations

import os
from pathlib import Path

from testbed.common import cgroup
from testbed.common.errors import TestbedError
from testbed.common.made import Made
from testbed.common.process import Daemons
from testbed.common.shell import inside, run, succeeds, wait_until

from . import binaries
from .layout import POD_RANGE, SERVICE_RANGE, Layout, netns_command, node_command

# kubelet, containerd and the network plugins use fixed paths below these. They exist on every host, so covering them
# makes no directory there: removing one at teardown would silently unmount it in a cluster that runs beside this one.
COVERED = {"run": "/run", "var-lib": "/var/lib", "var-log": "/var/log"}


def start(layout: Layout, daemons: Daemons, made: Made) -> int:
    """Makes the node's namespaces, mounts, network and cgroup; returns the holder's process id."""
    pause = binaries.pause(layout.dir)
    flags = ["--mount", "--pid", "--net", "--fork", "--mount-proc", "--propagation", "slave"]
    holder = daemons.start("holder", [str(pause)], inside=["unshare", *flags, "--"], forks=True)
    wait_until(
        "the node's holder has its namespaces",
        lambda: _executable(holder) == str(pause.resolve()),
        seconds=10,
        meanwhile=lambda: daemons.expect("holder"),
        every=0.005,
    )
    _mount(layout, holder)
    _network(layout, holder, made)
    _make_cgroup(layout, made)
    return holder


def _executable(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def _mount(layout: Layout, holder: int) -> None:
    """Covers the fixed paths. Mounts must be shared inside: kubelet and containerd pass theirs on to each other."""
    in_node = inside(node_command(holder))
    in_node("mount", "--make-rshared", "/")
    for name, path in COVERED.items():
        in_node("mount", "--bind", str(layout.node_view / name), path)


def _network(layout: Layout, holder: int, made: Made) -> None:
    """A link to the host. There is no default route: what is outside is reached through the egress link, which the
    local AWS plugs in, and nothing of the node ever leaves through the host's own network."""
    made.note("link", layout.host_link)
    run("ip", "link", "add", layout.host_link, "type", "veth", "peer", "name", "eth0", "netns", str(holder))
    run("ip", "address", "add", f"{layout.host_address}/30", "dev", layout.host_link)
    run("ip", "link", "set", layout.host_link, "up")
    in_net = inside(netns_command(holder))
    in_net("ip", "link", "set", "lo", "up")
    in_net("ip", "address", "add", f"{layout.node_address}/30", "dev", "eth0")
    in_net("ip", "link", "set", "eth0", "up")
    # A connection from the node to a service address needs a route before kube-proxy's rules can turn it round.
    in_net("ip", "route", "add", SERVICE_RANGE, "dev", "eth0")
    _load_bridge_filter()
    # Without bridge-nf-call, a service's reply between two pods of the one bridge skips the rules and is lost.
    for setting in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
        in_net("sh", "-c", f"echo 1 > /proc/sys/{setting}")
    in_node = inside(node_command(holder))
    # Pods leave with the address of the link that they leave by; among themselves and to services they keep theirs.
    masquerade = ("-s", POD_RANGE, "!", "-d", POD_RANGE, "-j", "MASQUERADE")
    in_node("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", *masquerade)
    in_node("iptables", "-w", "-A", "FORWARD", "-s", POD_RANGE, "-j", "ACCEPT")
    in_node("iptables", "-w", "-A", "FORWARD", "-d", POD_RANGE, "-j", "ACCEPT")


def _load_bridge_filter() -> None:
    """The one thing that is left on the host: a kernel module, where it was not loaded already."""
    setting = Path("/proc/sys/net/bridge")
    if not setting.exists() and not (succeeds("modprobe", "br_netfilter") and setting.exists()):
        raise TestbedError("the kernel module br_netfilter is not loaded: `modprobe br_netfilter`")


def _make_cgroup(layout: Layout, made: Made) -> None:
    made.note("cgroup", layout.cgroup)
    for controller in cgroup.controllers_to_delegate():
        made.note("cgroup-controller", controller)
        cgroup.delegate(controller)
    cgroup.create(layout.cgroup)
