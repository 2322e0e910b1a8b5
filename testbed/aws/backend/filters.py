"""Filters that moto does not know or gets wrong, and eventual consistency for a new instance.

A filter matches when any of the resource's values matches any of the filter's, `*` and `?` included.
"""

from __future__ import annotations

import copy
import fnmatch
import time
from datetime import datetime
from typing import Any, Callable

from moto.core.responses import ActionResult
from moto.ec2 import utils
from moto.ec2.exceptions import InvalidInstanceIdError
from moto.ec2.models import elastic_network_interfaces as interface_model
from moto.ec2.responses import instances as responses, tags as tag_responses

# For so long a new instance is unknown to Describe and CreateTags (control API), as EC2 may do.
hidden_seconds = 0.0


def _interfaces(value: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return lambda instance: [value(nic) for nic in instance.nics.values()]


def _groups(value: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return lambda instance: [value(group) for nic in instance.nics.values() for group in nic._group_set]


def _profile(instance: Any) -> list[str]:
    association = instance.ec2_backend.iam_instance_profile_associations.get(instance.id)
    return [association.iam_instance_profile.arn] if association else []


INSTANCE_FILTERS: dict[str, Callable[[Any], list[Any]]] = {
    "client-token": lambda instance: [instance.client_token],
    "iam-instance-profile.arn": _profile,
    "instance-state-code": lambda instance: [str(instance._state.code)],
    "group-id": _groups(lambda group: group.id),
    "group-name": _groups(lambda group: group.name),
    "instance.group-id": _groups(lambda group: group.id),
    "instance.group-name": _groups(lambda group: group.name),
    "network-interface.group-id": _groups(lambda group: group.id),
    "network-interface.group-name": _groups(lambda group: group.name),
    "network-interface.network-interface-id": _interfaces(lambda nic: nic.id),
    "network-interface.subnet-id": _interfaces(lambda nic: nic.subnet.id),
    "network-interface.vpc-id": _interfaces(lambda nic: nic.subnet.vpc_id),
}

INTERFACE_FILTERS: dict[str, Callable[[Any], Any]] = {
    "status": lambda nic: nic.status,
    "mac-address": lambda nic: nic.mac_address,
    "group-name": lambda nic: [group.name for group in nic._group_set],
    "attachment.status": lambda nic: "attached" if nic.attachment_id else None,
    "attachment.device-index": lambda nic: None if nic.device_index is None else str(nic.device_index),
    "attachment.delete-on-termination": lambda nic: str(bool(nic.delete_on_termination)).lower(),
    "association.public-ip": lambda nic: nic.public_ip,
}

_original_describe = responses.InstanceResponse.describe_instances
_original_create_tags = tag_responses.TagResponse.create_tags
_original_interface_value = interface_model.NetworkInterface.get_filter_value


def matches(value: Any, patterns: Any) -> bool:
    """Whether any value matches any pattern; a resource without the property matches none."""
    values = value if isinstance(value, (list, set, tuple, type({}.keys()), type({}.values()))) else [value]
    wanted = patterns if isinstance(patterns, list) else [patterns]
    return any(fnmatch.fnmatchcase(_text(v), str(p)) for v in values if v is not None for p in wanted)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return utils.format_timestamp(value) if isinstance(value, datetime) else str(value)


def _visible(instance: Any) -> bool:
    return time.time() - getattr(instance, "born", 0.0) >= hidden_seconds


def _refuse_hidden(response: Any, ids: list[str]) -> None:
    for instance in response.ec2_backend.all_instances() if hidden_seconds else []:
        if instance.id in ids and not _visible(instance):
            raise InvalidInstanceIdError([instance.id])


def _describe_instances(response: Any) -> Any:
    _refuse_hidden(response, response._get_param("InstanceIds", []))
    filters = response._filters_from_querystring()
    ours = {name: filters[name] for name in filters if name in INSTANCE_FILTERS}
    if not ours and not hidden_seconds:
        return _original_describe(response)
    response._filters_from_querystring = lambda: {n: v for n, v in filters.items() if n not in ours}
    result = _original_describe(response)._result
    reservations = []
    for reservation in result["Reservations"]:
        left = [
            instance
            for instance in reservation.instances
            if _visible(instance) and all(matches(INSTANCE_FILTERS[n](instance), v) for n, v in ours.items())
        ]
        if left:
            shown = copy.copy(reservation)
            shown.instances = left
            reservations.append(shown)
    return ActionResult({**result, "Reservations": reservations})


def _create_tags(response: Any) -> Any:
    _refuse_hidden(response, response._get_param("Resources", []) or response._get_param("ResourceIds", []))
    return _original_create_tags(response)


def _interface_value(self: Any, name: str, method: str | None = None) -> Any:
    known = INTERFACE_FILTERS.get(name)
    return known(self) if known else _original_interface_value(self, name, method)


def install() -> None:
    utils.is_filter_matching = lambda resource, name, patterns: matches(resource.get_filter_value(name), patterns)
    responses.InstanceResponse.describe_instances = _describe_instances
    tag_responses.TagResponse.create_tags = _create_tags
    interface_model.NetworkInterface.get_filter_value = _interface_value
