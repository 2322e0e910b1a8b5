"""Addresses: private ones that are unique in the run, public ones from the range that the fabric routes.

The fabric routes single addresses, so two VPCs with the same range may not hand out the same one; and an address
that was just released is not given out again at once, or a client would meet the next box under the old one's name.
"""

from __future__ import annotations

import ipaddress
import random
import time
from typing import Any

from moto.ec2 import utils
from moto.ec2.models import elastic_ip_addresses, elastic_network_interfaces, subnets

from ..layout import INSTANCE_PUBLIC_ADDRESSES
from .errors import refuse
from .registry import LOCK, interfaces

REST_SECONDS = 5.0
_IN_USE = float("inf")
_released: dict[str, float] = {}
_next = 0


def take_public_address() -> str:
    """The next address of the pool, round robin."""
    global _next
    with LOCK:
        for _ in INSTANCE_PUBLIC_ADDRESSES:
            address = INSTANCE_PUBLIC_ADDRESSES[_next % len(INSTANCE_PUBLIC_ADDRESSES)]
            _next += 1
            if time.time() - _released.get(address, 0) > REST_SECONDS:
                _released[address] = _IN_USE
                return address
    raise refuse("InsufficientAddressCapacity", "Insufficient capacity to satisfy your address request.")


def release_public_address(address: str | None) -> None:
    if address:
        _released[address] = time.time()


def take_private_address(cidr: str | None = None, ipv6: bool = False) -> str:
    """An address of the subnet that no interface of the run has; the first four and the last are AWS's own."""
    if not cidr or ipv6:
        return utils.random_private_ip(cidr, ipv6)
    with LOCK:
        taken = {entry["PrivateIpAddress"] for _, eni in interfaces() for entry in eni.private_ip_addresses}
        free = [str(a) for a in list(ipaddress.ip_network(cidr))[4:-1] if str(a) not in taken]
    if not free:
        raise refuse(
            "InsufficientFreeAddressesInSubnet",
            "The specified subnet does not have enough free addresses to satisfy the request.",
        )
    return random.choice(free)


def _subnet_address(self: Any, instance: Any) -> str:
    address = take_private_address(self.cidr_block)
    self._subnet_ips[address] = instance
    return address


def install() -> None:
    elastic_network_interfaces.random_public_ip = take_public_address
    elastic_network_interfaces.random_private_ip = take_private_address
    elastic_ip_addresses.random_ip = take_public_address
    subnets.Subnet.get_available_subnet_ip = _subnet_address
