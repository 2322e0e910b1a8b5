"""The VPC resolver: answers on 169.254.169.253 and on the base of each VPC's range plus two, by UDP and TCP.

It knows AWS's names. Every other name it asks the internet, which here is whoever listens on the outsider's port 53: so
what a box says in a name reaches somebody who holds that name's zone, as it does in AWS. DNS Firewall is what stands
between.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from typing import Any, Callable

from ..layout import API_ADDRESS, OUTSIDER_ADDRESS, REGION, S3_ADDRESS
from . import dns, firewall
from .entering import within

PORT = 53
UPSTREAM_SECONDS = 1.0
AWS_ZONE = ".amazonaws.com"
S3_NAME = f"s3.{REGION}{AWS_ZONE}"
# What a bucket's name is an alias of.
S3_ALIAS = f"s3-r-w.{REGION}{AWS_ZONE}"

Json = dict[str, Any]
# From a client's address to the rules of its VPC.
RulesOf = Callable[[str], list[Json]]


class Resolver:
    """One for all VPCs of a run: the fabric's rules let each machine reach its own VPC's addresses only."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._listening: set[str] = set()
        self._vpcs: dict[str, str] = {}
        self._rules: dict[str, list[Json]] = {}
        self._lock = threading.Lock()

    def update(self, snapshot: Json) -> None:
        """Follows what EC2 and DNS Firewall say."""
        nics = [nic for instance in snapshot["instances"] for nic in instance["nics"]]
        self._vpcs, self._rules = {nic["ip"]: nic["vpc"] for nic in nics}, snapshot["dns_firewalls"]

    def listen(self, address: str) -> None:
        """Serves an address that the fabric has."""
        with self._lock:
            if address in self._listening:
                return
            self._listening.add(address)
        for kind in (_Udp, _Tcp):
            server = within(self._namespace, lambda kind=kind: kind((address, PORT), self))
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True).start()

    def answer(self, client: str, query: bytes) -> bytes | None:
        """What a client gets for a query; nothing for what is none."""
        try:
            asked = dns.question(query)
        except dns.Malformed:
            return None
        rules = self._rules.get(self._vpcs.get(client, ""), [])
        code = firewall.blocked(rules, asked.name)
        if code is not None:
            return dns.answer(query, [], code)
        found = own(query, asked) if asked.name.endswith(AWS_ZONE) else self._ask_the_internet(query)
        code = firewall.blocked(rules, asked.name, dns.aliases(found))
        return found if code is None else dns.answer(query, [], code)

    def _ask_the_internet(self, query: bytes) -> bytes:
        with within(self._namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as upstream:
            upstream.settimeout(UPSTREAM_SECONDS)
            try:
                upstream.connect((OUTSIDER_ADDRESS, PORT))
                upstream.send(query)
                found = upstream.recv(65535)
                dns.aliases(found)
            except (OSError, dns.Malformed, struct.error):
                return dns.answer(query, [], dns.SERVER_FAILURE)
        return found


def own(query: bytes, asked: dns.Question) -> bytes:
    """AWS's own names: S3's lead to S3's address, a bucket's by way of an alias, all others to the API's."""
    records = []
    address = API_ADDRESS
    if asked.name in (S3_NAME, S3_ALIAS):
        address = S3_ADDRESS
    elif asked.name.endswith(f".{S3_NAME}"):
        records.append(dns.Record(asked.name, dns.CNAME, S3_ALIAS))
        address = S3_ADDRESS
    name = records[-1].value if records else asked.name
    if asked.kind == dns.A:
        records.append(dns.Record(name, dns.A, address))
    return dns.answer(query, records)


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], resolver: Resolver) -> None:
        super().__init__(address, _UdpHandler)
        self.resolver = resolver


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        query, through = self.request
        found = self.server.resolver.answer(self.client_address[0], query)
        if found:
            through.sendto(found, self.client_address)


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], resolver: Resolver) -> None:
        super().__init__(address, _TcpHandler)
        self.resolver = resolver


class _TcpHandler(socketserver.StreamRequestHandler):
    server: _Tcp
    timeout = 10

    def handle(self) -> None:
        length = self.rfile.read(2)
        if len(length) == 2:
            found = self.server.resolver.answer(self.client_address[0], self.rfile.read(int.from_bytes(length)))
            if found:
                self.wfile.write(len(found).to_bytes(2) + found)
