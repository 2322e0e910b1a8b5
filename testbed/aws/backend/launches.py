"""RunInstances: what EC2 checks before it launches, the image's root volume, and the interface tags that moto drops."""

from __future__ import annotations

import base64
from typing import Any, Callable

from moto.ec2.responses import instances as responses

from ..layout import ROOT_DEVICE
from .errors import refuse
from .idempotency import idempotent

USER_DATA_LIMIT = 16 * 1024

# Of the image.
ROOT_GIB = 8

_original_mappings = responses.InstanceResponse._parse_block_device_mapping
_original_run = responses.InstanceResponse.run_instances
_original_terminate = responses.InstanceResponse.terminate_instances


def _check_user_data(response: Any) -> None:
    data = response._get_param("UserData")
    if not data:
        return
    try:
        size = len(base64.b64decode(str(data), validate=True))
    except ValueError:
        raise refuse("InvalidParameterValue", "Invalid BASE64 encoding of user data.") from None
    if size > USER_DATA_LIMIT:
        raise refuse("InvalidParameterValue", "User data is limited to 16384 bytes")


def _check_profile(response: Any) -> None:
    for kind in ("Name", "Arn"):
        value = response._get_param(f"IamInstanceProfile.{kind}")
        if not value:
            continue
        try:
            responses.filter_iam_instance_profiles(
                response.current_account,
                partition=response.partition,
                iam_instance_profile_arn=value if kind == "Arn" else None,
                iam_instance_profile_name=value if kind == "Name" else None,
            )
        except Exception:
            word = "ARN" if kind == "Arn" else "name"
            raise refuse(
                "InvalidParameterValue",
                f"Value ({value}) for parameter iamInstanceProfile.{kind.lower()} is invalid. "
                f"Invalid IAM Instance Profile {word}",
            ) from None


def _mappings(response: Any) -> list[dict[str, Any]]:
    """The image's root volume is always there. A mapping of its name changes it and needs no size, which moto asks for."""
    asked = response._get_param("BlockDeviceMappings", [])
    root: dict[str, Any] = next((m for m in asked if m.get("DeviceName") == ROOT_DEVICE), {})
    ebs = {"VolumeSize": ROOT_GIB, "DeleteOnTermination": True, **root.get("Ebs", {})}
    others = [mapping for mapping in asked if mapping is not root]
    response._get_param = _with(response._get_param, [{"DeviceName": ROOT_DEVICE, "Ebs": ebs}, *others])
    found: list[dict[str, Any]] = _original_mappings(response)
    return found


def _with(get: Callable[..., Any], mappings: list[dict[str, Any]]) -> Callable[..., Any]:
    return lambda name, *default: mappings if name == "BlockDeviceMappings" else get(name, *default)


def _run_instances(response: Any) -> Any:
    _check_user_data(response)
    _check_profile(response)
    answer = _original_run(response)
    tags = response._parse_tag_specification().get("network-interface", {})
    for instance in answer._result.instances:
        for interface in instance.nics.values():
            interface.add_tags(tags)
    return answer


def _terminate_instances(response: Any) -> Any:
    """moto says shutting-down for one that has long been terminated."""
    ids = response._get_param("InstanceIds", [])
    ended = {i.id for i in response.ec2_backend.all_instances() if i.id in ids and i._state.name == "terminated"}
    answer = _original_terminate(response)
    for entry in answer._result["TerminatingInstances"]:
        if entry["InstanceId"] in ended:
            entry["CurrentState"] = {"Code": 48, "Name": "terminated"}
    return answer


def install() -> None:
    responses.InstanceResponse._parse_block_device_mapping = _mappings
    responses.InstanceResponse.run_instances = idempotent("RunInstances", _run_instances)
    responses.InstanceResponse.terminate_instances = _terminate_instances
