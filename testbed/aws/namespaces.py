"""The namespaces of a run and the links between them. What is made here is noted first, so that teardown finds it.

    host --dba0-- services (198.51.100.2 all APIs, .3 S3 only) ---- fabric ---- functions (Lambda processes)
                                                                    |    |----- outsider (203.0.113.20)
                                     cluster's node (203.0.113.10) --    |----- instances' interfaces (machines/)

The fabric has no link to the host and no default route: what is not routed there on purpose reaches nothing.
"""

from __future__ import annotations

from pathlib import Path

from testbed.common.made import Made
from testbed.common.shell import run, succeeds

from .layout import (
    API_ADDRESS,
    CLIENTS_RANGE,
    CLIENTS_ROUTER,
    CLUSTER_ADDRESS,
    FUNCTION_RUNTIME_ADDRESS,
    INTERNET_RANGE,
    INTERNET_ROUTER,
    LAMBDA_ADDRESS,
    OUTSIDER_ADDRESS,
    POD_AGENT_ADDRESS,
    RUNTIME_ADDRESS,
    S3_ADDRESS,
    Names,
)


def ip_batch(namespace: str | None, lines: list[str]) -> None:
    """Many `ip` commands in one process."""
    where = ["-n", namespace] if namespace else []
    run("ip", *where, "-batch", "-", stdin="".join(f"{line}\n" for line in lines).encode())


def settings(namespace: str, values: dict[str, int]) -> None:
    """Kernel settings of a namespace."""
    run("ip", "netns", "exec", namespace, "sysctl", "-qw", *[f"{name}={value}" for name, value in values.items()])


def up(names: Names, made: Made) -> None:
    """Makes namespaces and links."""
    namespaces = (names.services, names.functions, names.fabric, names.outsider)
    for namespace in namespaces:
        made.note("netns", namespace)
    made.note("link", names.host_link)
    ip_batch(None, [f"netns add {namespace}" for namespace in namespaces])
    _link_fabric(names)
    ip_batch(
        None,
        [
            f"link add {names.host_link} type veth peer name host netns {names.services}",
            f"addr add {names.host_address}/30 dev {names.host_link}",
            f"link set {names.host_link} up",
        ],
    )
    host_link = [f"addr add {names.services_address}/30 dev host", "link set host up"]
    _leaf(names.services, [API_ADDRESS, S3_ADDRESS], INTERNET_ROUTER, host_link)
    _leaf(names.functions, [LAMBDA_ADDRESS], INTERNET_ROUTER, [])
    _leaf(names.outsider, [OUTSIDER_ADDRESS], CLIENTS_ROUTER, [])
    _link_runtime(names)


def _link_fabric(names: Names) -> None:
    leaves = {"aws": names.services, "fn": names.functions, "out": names.outsider}
    routes = {API_ADDRESS: "aws", S3_ADDRESS: "aws", LAMBDA_ADDRESS: "fn", OUTSIDER_ADDRESS: "out"}
    ip_batch(
        names.fabric,
        [
            "link set lo up",
            f"addr add {INTERNET_ROUTER}/32 dev lo",
            f"addr add {CLIENTS_ROUTER}/32 dev lo",
            *[f"link add {link} type veth peer name eth0 netns {namespace}" for link, namespace in leaves.items()],
            *[f"link set {link} up" for link in leaves],
            *[f"route add {address}/32 dev {link}" for address, link in routes.items()],
        ],
    )
    settings(names.fabric, {f"net.ipv4.{name}": value for name, value in _ROUTER_SETTINGS.items()})
    if Path("/proc/sys/net/ipv6").exists():  # no VPC here has IPv6
        settings(names.fabric, {f"net.ipv6.conf.{which}.disable_ipv6": 1 for which in ("all", "default")})


# Source addresses are checked by the fabric's rules, interface by interface, not by routes.
_ROUTER_SETTINGS = {"ip_forward": 1, "conf.all.rp_filter": 0, "conf.default.rp_filter": 0}


def _leaf(namespace: str, addresses: list[str], router: str, more: list[str]) -> None:
    """A namespace with one link to the fabric and a default route over it."""
    ip_batch(
        namespace,
        [
            "link set lo up",
            *[f"addr add {address}/32 dev eth0" for address in addresses],
            "link set eth0 up",
            f"route add {router}/32 dev eth0",
            f"route add default via {router} dev eth0 src {addresses[0]}",
            *more,
        ],
    )


def _link_runtime(names: Names) -> None:
    ip_batch(
        names.services,
        [
            f"link add runtime type veth peer name runtime netns {names.functions}",
            f"addr add {RUNTIME_ADDRESS}/30 dev runtime",
            "link set runtime up",
        ],
    )
    ip_batch(names.functions, [f"addr add {FUNCTION_RUNTIME_ADDRESS}/30 dev runtime", "link set runtime up"])


def connect(names: Names, node_pid: int) -> None:
    """Plugs the cluster's node in: its pods leave as 203.0.113.10. Done again, it replaces the link."""
    node = ("nsenter", "-t", str(node_pid), "-n")
    succeeds("ip", "-n", names.fabric, "link", "del", "ext")
    succeeds(*node, "ip", "link", "del", "ext0")
    ip_batch(
        names.fabric,
        [
            f"link add ext type veth peer name ext0 netns {node_pid}",
            "link set ext up",
            f"route add {CLUSTER_ADDRESS}/32 dev ext",
        ],
    )
    # The node takes all of its range for neighbours; the fabric answers for those behind other links, at once.
    settings(names.fabric, {"net.ipv4.conf.ext.proxy_arp": 1, "net.ipv4.neigh.ext.proxy_delay": 0})
    commands = f"""\
addr add {CLUSTER_ADDRESS}/{CLIENTS_RANGE.rpartition("/")[2]} dev ext0
addr replace {POD_AGENT_ADDRESS}/32 dev lo
link set ext0 up
route replace {INTERNET_RANGE} via {CLIENTS_ROUTER} dev ext0
"""
    run(*node, "ip", "-batch", "-", stdin=commands.encode())
    run(*node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    rule = ("POSTROUTING", "-o", "ext0", "-j", "MASQUERADE")
    if not succeeds(*node, "iptables", "-w", "-t", "nat", "-C", *rule):
        run(*node, "iptables", "-w", "-t", "nat", "-A", *rule)
