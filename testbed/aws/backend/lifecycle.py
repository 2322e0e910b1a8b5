"""Instance states that take time: pending until the instance host booted it, shutting-down until the host ended it.

Also what only the start and the end of an instance decide: two interfaces with an automatic public address are
refused, capacity can be short, and an interface that outlives its machine becomes available again.
"""

from __future__ import annotations

import copy
import time
from typing import Any

from moto.ec2.exceptions import InvalidParameterCombination
from moto.ec2.models import instances as model

from .addresses import release_public_address
from .errors import refuse
from .registry import LOCK, backends

# Instance types without capacity now (control API).
no_capacity: set[str] = set()

# A terminated instance can be described for a while, on EC2 "usually less than one hour". Here looking at all that ever
# were would soon take most of a core.
REMEMBERED_SECONDS = 600.0

_original_init = model.Instance.__init__
_original_terminate = model.Instance.terminate


def _init(self: Any, *args: Any, **options: Any) -> None:
    interfaces = options.get("nics") or []
    if len(interfaces) > 1:
        if any(interface.get("AssociatePublicIpAddress") is True for interface in interfaces):
            raise InvalidParameterCombination(
                "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces."
            )
        options["associate_public_ip"] = False  # nor does the subnet's setting give one, as far as reports agree
    if options.get("instance_type") in no_capacity:
        raise refuse(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {options['instance_type']} capacity in the Availability Zone you requested.",
        )
    _original_init(self, *args, **options)
    self._state = model.InstanceState("pending", 0)
    self.born = time.time()


def _begin_termination(self: Any) -> Any:
    previous = copy.copy(self._state)
    if self._state.name not in ("terminated", "shutting-down"):
        self._state = model.InstanceState("shutting-down", 32)
    return previous


def _begin_stop(self: Any) -> Any:
    previous = copy.copy(self._state)
    if self._state.name == "running":
        self._state = model.InstanceState("stopping", 64)
    return previous


def _begin_start(self: Any) -> Any:
    previous = copy.copy(self._state)
    if self._state.name != "stopped":
        raise refuse(
            "IncorrectInstanceState", f"The instance '{self.id}' is not in a state from which it can be started."
        )
    for interface in self.nics.values():
        interface.start()
    self._state = model.InstanceState("pending", 0)
    return previous


def finish_termination(instance: Any, reason: str | None, code: str | None) -> None:
    """What the instance host reports when the machine is gone."""
    automatic = [nic.public_ip for nic in instance.nics.values() if nic.public_ip_auto_assign]
    _original_terminate(instance)
    for address in automatic:
        release_public_address(address)
    for nic in instance.nics.values():
        if not nic.delete_on_termination:
            nic.instance = None
            nic.status = "available"
            nic.attachment_id = nic.attach_time = nic.device_index = None
    instance.nics = {}
    instance.ended = time.time()
    _explain(instance, reason, code)


def forget_ended() -> None:
    """Instances that have been terminated for long are not there any more."""
    before = time.time() - REMEMBERED_SECONDS
    with LOCK:
        for _, _, backend in backends():
            for reservation in list(backend.reservations.values()):
                for instance in list(reservation.instances):
                    if getattr(instance, "ended", before) < before:
                        reservation.instances.remove(instance)
                        backend.tags.pop(instance.id, None)
                if not reservation.instances:
                    del backend.reservations[reservation.id]


def _explain(instance: Any, reason: str | None, code: str | None) -> None:
    if reason:
        instance._reason = reason
        instance.state_reason = model.StateReason(reason, code or reason.split(":")[0])


def report(instance: Any, state: str, reason: str | None, code: str | None) -> None:
    """Takes over a state that the instance host reached; reports that come too late change nothing."""
    with LOCK:
        current = instance._state.name
        if state == "running" and current == "pending":
            instance._state = model.InstanceState("running", 16)
        elif state == "terminated" and current != "terminated":
            finish_termination(instance, reason, code)
        elif state == "stopped" and current in ("running", "stopping"):
            for nic in instance.nics.values():
                nic.stop()
            instance._state = model.InstanceState("stopped", 80)
            _explain(instance, reason, code)


def _without_interfaces(name: str, otherwise: Any) -> None:
    """A terminated instance has no interfaces, and so no addresses; moto would fail to describe it."""
    getter = getattr(model.Instance, name).fget
    setattr(model.Instance, name, property(lambda self: getter(self) if self.nics else otherwise))


def install() -> None:
    model.Instance.__init__ = _init
    model.Instance.terminate = _begin_termination
    model.Instance.stop = _begin_stop
    model.Instance.start = _begin_start
    for name in ("private_ip", "private_ip_address", "public_ip", "public_ip_address"):
        _without_interfaces(name, None)
    _without_interfaces("private_dns_name", "")
    model.Instance.dynamic_group_list = property(lambda self: list(self.nics[0]._group_set) if self.nics.get(0) else [])
