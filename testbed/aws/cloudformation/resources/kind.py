"""What a resource type is to the interpreter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from testbed.aws.cloudformation.properties import Properties

Clients = Callable[[str], Any]
"""Gives the boto3 client of a service."""


@dataclass
class Made:
    """A resource that exists."""

    # What `Ref` gives.
    reference: str
    # What `Fn::GetAtt` gives; only attributes that the template uses need to be here.
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A resource type: how one is made, and what of it can be changed afterwards.

    `update` brings a standing resource to new properties; it is asked only when nothing but `changeable` differs.
    CloudFormation would replace the resource otherwise. This interpreter does so where `remove` is known, which takes
    the properties that the resource was made of, and refuses to elsewhere.
    """

    make: Callable[[Clients, Properties], Made]
    changeable: frozenset[str] = frozenset()
    update: Callable[[Clients, Made, Properties], None] | None = None
    remove: Callable[[Clients, Made, Properties], None] | None = None


def tag_specification(resource_type: str, properties: Properties) -> list[dict[str, Any]]:
    """The `Tags` property as EC2's calls take it."""
    tags = [{"Key": tag.text("Key"), "Value": tag.text("Value")} for tag in properties.objects("Tags", [])]
    return [{"ResourceType": resource_type, "Tags": tags}] if tags else []


def document(properties: Properties, name: str) -> str:
    """A policy document as the APIs take it; AWS checks what is in it, not we."""
    given = properties.raw(name)
    return given if isinstance(given, str) else json.dumps(given)
