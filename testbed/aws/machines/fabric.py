"""The fabric's links to instances, and its rules kept as EC2's state says."""

from __future__ import annotations

import ipaddress
import threading
from pathlib import Path
from typing import Any

from testbed.common.shell import run, succeeds

from ..layout import Names
from ..namespaces import ip_batch, settings
from .resolver import Resolver
from .rules import attached, device, render
from .sending import METADATA_ADDRESS, RESOLVER_ADDRESS, resolver_of

# Route tables of an instance that hold one interface's routes, as Amazon Linux sets them up.
FIRST_TABLE = 10001

Json = dict[str, Any]


class Fabric:
    """Plugs interfaces in and out. Several machines boot at once, each in a thread; the rules change under a lock."""

    def __init__(self, names: Names, applied: Path) -> None:
        """`applied` is the file that shows which rules hold."""
        self._names, self._applied = names, applied
        self._lock = threading.Lock()
        self._plugged: dict[str, str] = {}
        self._rules = ""
        self._publics: dict[str, str] = {}
        self._resolver = Resolver(names.fabric)

    def plug(self, interface: Json, namespace: str) -> str:
        """Links an interface to its instance; returns the fabric's end. It carries nothing until `apply` has rules for it."""
        link, name = device(interface), f"ens{5 + interface['index']}"
        network = ipaddress.ip_network(interface["subnet_range"])
        router, address = str(network[1]), interface["ip"]
        ip_batch(
            self._names.fabric, [f"link add {link} type veth peer name {name} netns {namespace}", f"link set {link} up"]
        )
        self._serve(interface, router)
        # What the fabric knows for itself no frame of the instance can change.
        known = f"neigh replace {address} lladdr {interface['mac']} dev {link} nud permanent"
        ip_batch(self._names.fabric, [f"route replace {address}/32 dev {link}", known])
        settings(self._names.fabric, {f"net.ipv4.conf.{link}.proxy_arp": 1, f"net.ipv4.neigh.{link}.proxy_delay": 0})
        table = FIRST_TABLE + interface["index"]
        ip_batch(
            namespace,
            [
                f"link set {name} address {interface['mac']}",
                f"addr add {address}/{network.prefixlen} dev {name}",
                f"link set {name} up",
                f"route add default via {router} dev {name} metric {100 * (interface['index'] + 1)}",
                f"rule add from {address} lookup {table}",
                f"route add {network} dev {name} table {table}",
                f"route add default via {router} dev {name} table {table}",
            ],
        )
        with self._lock:
            self._plugged[interface["id"]] = link
        return link

    def _serve(self, interface: Json, router: str) -> None:
        """The addresses that a VPC serves itself; another interface may have brought them already."""
        for address in (router, METADATA_ADDRESS, RESOLVER_ADDRESS, resolver_of(interface)):
            succeeds("ip", "-n", self._names.fabric, "addr", "add", f"{address}/32", "dev", "lo")
        for address in (RESOLVER_ADDRESS, resolver_of(interface)):
            self._resolver.listen(address)

    def unplug(self, interface_id: str) -> None:
        with self._lock:
            link = self._plugged.pop(interface_id, None)
        if link:
            succeeds("ip", "-n", self._names.fabric, "link", "del", link)

    def apply(self, snapshot: Json) -> None:
        """Brings the rules up to date; nothing to do when they are."""
        with self._lock:
            self._resolver.update(snapshot)
            wanted = render(snapshot, set(self._plugged))
            if wanted != self._rules:
                run("ip", "netns", "exec", self._names.fabric, "nft", "-f", "-", stdin=wanted.encode())
                self._forget_translations(attached(snapshot, set(self._plugged)))
                self._rules = wanted
                self._applied.write_text(wanted)

    def _forget_translations(self, nics: list[Json]) -> None:
        """An internet gateway translates each packet by the address that holds now; what we track would keep the old one
        for as long as something comes, with protocols that have no ports ten minutes after that."""
        publics = {nic["ip"]: nic["public"] for nic in nics if nic["public"]}
        for address, public in self._publics.items():
            if publics.get(address) != public:
                for side in ("--orig-src", "--reply-src"):
                    # Fails where there is nothing to forget.
                    succeeds("ip", "netns", "exec", self._names.fabric, "conntrack", "-D", side, address)
        self._publics = publics
