"""Credentials of an instance profile's role, for the metadata service; reached over the private path only."""

from __future__ import annotations

import datetime
import time
from typing import Any

from ministack import app
from ministack.services import sts
from ministack.services.iam import _gen_secret, _gen_session_access_key, _gen_session_token

from .functions import trusts


def _timestamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def issue(instance: dict[str, Any], seconds: int) -> dict[str, str]:
    """A session for the instance's role, in the metadata service's words; it carries where it was delivered to."""
    account, name, now = instance["account"], instance["role"], time.time()
    role = app._get_module("iam")._roles.get_scoped(account, None, name)
    if role is None or not trusts(role, "ec2.amazonaws.com"):
        return {
            "Code": "AssumeRoleUnauthorizedAccess",
            "Message": f"EC2 cannot assume the role {name}.",
            "LastUpdated": _timestamp(now),
        }
    key, secret, token = _gen_session_access_key(), _gen_secret(), _gen_session_token()
    arn = f"arn:aws:sts::{account}:assumed-role/{name}/{instance['id']}"
    sts.register_session(
        key,
        {
            "Arn": arn,
            "UserId": f"{role['RoleId']}:{instance['id']}",
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": now + seconds,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
            "DrawbridgeInstance": {
                "aws:Ec2InstanceSourceVpc": instance["vpc"],
                "aws:Ec2InstanceSourcePrivateIPv4": instance["address"],
                "ec2:SourceInstanceARN": f"arn:aws:ec2:{instance['region']}:{account}:instance/{instance['id']}",
            },
        },
    )
    return {
        "Code": "Success",
        "LastUpdated": _timestamp(now),
        "Type": "AWS-HMAC",
        "AccessKeyId": key,
        "SecretAccessKey": secret,
        "Token": token,
        "Expiration": _timestamp(now + seconds),
    }
