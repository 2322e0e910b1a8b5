"""A stack: a template, its parameters, and the resources that were made of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from testbed.aws.cloudformation import parameters, rules
from testbed.aws.cloudformation.errors import TemplateError
from testbed.aws.cloudformation.intrinsics import Scope
from testbed.aws.cloudformation.order import in_order
from testbed.aws.cloudformation.properties import Properties
from testbed.aws.cloudformation.resources import KINDS
from testbed.aws.cloudformation.resources.kind import Clients, Made

SECTIONS = {"AWSTemplateFormatVersion", "Description", "Parameters", "Conditions", "Rules", "Resources", "Outputs"}


@dataclass
class Stack:
    """What stands. `resources` has by logical name the type, the reference, the attributes and the properties."""

    name: str
    region: str
    account: str
    parameters: dict[str, str]
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Stack:
        return cls.of(json.loads(path.read_text()))

    @classmethod
    def of(cls, values: dict[str, Any]) -> Stack:
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})

    def facts(self) -> dict[str, Any]:
        return asdict(self)


class Deployment:
    """Brings a stack to a template."""

    def __init__(self, template: dict[str, Any], stack: Stack, clients: Clients) -> None:
        if extra := set(template) - SECTIONS:
            raise TemplateError(f"template section {', '.join(sorted(extra))} is not known to this interpreter")
        self._template, self._stack, self._clients = template, stack, clients
        zones = clients("ec2").describe_availability_zones()["AvailabilityZones"]
        self._scope = Scope(
            pseudo={
                "AWS::AccountId": stack.account,
                "AWS::Partition": "aws",
                "AWS::Region": stack.region,
                "AWS::StackName": stack.name,
                "AWS::URLSuffix": "amazonaws.com",
            },
            parameters=parameters.resolve(template.get("Parameters", {}), stack.parameters, self._image),
            conditions=template.get("Conditions", {}),
            zones=[zone["ZoneName"] for zone in zones],
        )
        rules.check(template.get("Rules", {}), self._scope)
        # What a condition leaves out is not there for anything else either.
        self._resources = self._wanted_of("Resources")
        self._outputs = self._wanted_of("Outputs")

    def create(self) -> None:
        """Makes every resource."""
        for name in in_order(self._resources):
            self._make(name)
        self._finish()

    def update(self) -> list[str]:
        """Makes what is new and changes what differs, in the order of their needs, and last removes what was replaced,
        as CloudFormation does; returns the logical names of what it made or changed."""
        if gone := set(self._stack.resources) - set(self._resources):
            raise TemplateError(f"an update here cannot remove {', '.join(sorted(gone))}: make a new run")
        changed: list[str] = []
        replaced: list[tuple[str, dict[str, Any]]] = []
        for name in in_order(self._resources):
            standing = self._stack.resources.get(name)
            if standing is None:
                self._make(name)
            else:
                self._know(name)
                if not (differing := self._differing(name, standing)):
                    continue
                if self._change(name, standing, differing):
                    replaced.append((name, standing))
            changed.append(name)
        for name, standing in replaced:
            self._remove(name, standing)
        self._finish()
        return changed

    def _make(self, name: str) -> None:
        kind, wanted = self._wanted(name)
        properties = Properties(wanted, f"{name} ({kind})")
        made = KINDS[kind].make(self._clients, properties)
        properties.finish()
        self._stack.resources[name] = {"type": kind, **asdict(made), "properties": wanted}
        self._know(name)

    def _differing(self, name: str, standing: dict[str, Any]) -> set[str]:
        """The properties that are to be others than they are."""
        kind, wanted = self._wanted(name)
        if kind != standing["type"]:
            raise TemplateError(f"{name} is a {standing['type']}: this interpreter cannot make it a {kind}")
        had = standing["properties"]
        return {key for key in {*wanted, *had} if _as_texts(wanted.get(key)) != _as_texts(had.get(key))}

    def _change(self, name: str, standing: dict[str, Any], differing: set[str]) -> bool:
        """Changes a resource in place or, where CloudFormation would, makes another; whether it did the latter."""
        kind, wanted = self._wanted(name)
        known, fixed = KINDS[kind], differing - KINDS[kind].changeable
        if known.update is not None and not fixed:
            made = Made(standing["reference"], standing["attributes"])
            known.update(self._clients, made, Properties(wanted, f"{name} ({kind})"))
            standing["properties"] = wanted
            return False
        if known.remove is None:
            raise TemplateError(f"{name} ({kind}): this interpreter cannot change {', '.join(sorted(fixed))}")
        self._make(name)
        return True

    def _remove(self, name: str, standing: dict[str, Any]) -> None:
        """What stood until another was made in its place."""
        made = Made(standing["reference"], standing["attributes"])
        remove = KINDS[standing["type"]].remove
        assert remove is not None, f"{name} was replaced, which takes a kind that can be removed"
        remove(self._clients, made, Properties(standing["properties"], f"{name} ({standing['type']})"))

    def _wanted(self, name: str) -> tuple[str, dict[str, Any]]:
        resource = self._resources[name]
        if resource["Type"] not in KINDS:
            raise TemplateError(f"{name}: resource type {resource['Type']} is not known to this interpreter")
        return resource["Type"], self._scope.evaluate(resource.get("Properties", {}))

    def _wanted_of(self, section: str) -> dict[str, Any]:
        """The entries of a section whose condition holds."""
        entries = self._template.get(section, {})
        return {n: e for n, e in entries.items() if "Condition" not in e or self._scope.condition(e["Condition"])}

    def _know(self, name: str) -> None:
        self._scope.references[name] = self._stack.resources[name]["reference"]
        self._scope.attributes[name] = self._stack.resources[name]["attributes"]

    def _finish(self) -> None:
        self._stack.outputs = {
            name: self._scope.evaluate(output["Value"]) for name, output in self._outputs.items()
        }
        self._check_rules()

    def _check_rules(self) -> None:
        """EventBridge invokes a function only if that lets it; the local one invokes it anyway."""
        resources = self._stack.resources.values()
        allowed = {
            entry["properties"]["SourceArn"]
            for entry in resources
            if entry["type"] == "AWS::Lambda::Permission"
            and entry["properties"]["Principal"] == "events.amazonaws.com"
        }
        for name, entry in self._stack.resources.items():
            if entry["type"] != "AWS::Events::Rule":
                continue
            functions = [t for t in entry["properties"]["Targets"] if ":lambda:" in t["Arn"]]
            if functions and entry["attributes"]["Arn"] not in allowed:
                raise TemplateError(f"{name}: no AWS::Lambda::Permission lets this rule invoke its function")

    def _image(self, parameter: str) -> str:
        """The image that an SSM parameter names; it must exist."""
        image = self._clients("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
        if not self._clients("ec2").describe_images(ImageIds=[image])["Images"]:
            raise TemplateError(f"{parameter} names the image {image}, which does not exist")
        return str(image)


def _as_texts(value: Any) -> Any:
    """A property as it is compared: CloudFormation takes "443" for 443, and "true" for true."""
    match value:
        case dict():
            return {key: _as_texts(inner) for key, inner in value.items()}
        case list():
            return [_as_texts(inner) for inner in value]
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            return value
