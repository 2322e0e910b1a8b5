"""RunInstances: what EC2 checks before it launches, and the interface tags that moto drops."""

from __future__ import annotations

import base64
from typing import Any

from moto.ec2.responses import instances as responses

from .errors import refuse
from .idempotency import idempotent

USER_DATA_LIMIT = 16 * 1024

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
    responses.InstanceResponse.run_instances = idempotent("RunInstances", _run_instances)
    responses.InstanceResponse.terminate_instances = _terminate_instances
