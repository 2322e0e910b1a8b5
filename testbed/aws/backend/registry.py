"""Walks everything that the back end holds, over all accounts and regions."""

from __future__ import annotations

import threading
from typing import Any, Iterator

from moto.ec2 import ec2_backends

# moto answers each request in a thread of its own; what reads and then writes takes this.
LOCK = threading.RLock()


def backends() -> Iterator[tuple[str, str, Any]]:
    """(account, region, EC2 back end) of each one that was ever used."""
    for account, regions in list(ec2_backends.items()):
        for region, backend in list(regions.items()):
            yield account, region, backend


def instances() -> Iterator[tuple[str, str, Any, Any]]:
    """(account, region, back end, instance), terminated ones too."""
    for account, region, backend in backends():
        for reservation in list(backend.reservations.values()):
            for instance in list(reservation.instances):
                yield account, region, backend, instance


def interfaces() -> Iterator[tuple[Any, Any]]:
    """(back end, network interface) of every interface, attached or not."""
    for _, _, backend in backends():
        for interface in list(backend.enis.values()):
            yield backend, interface
