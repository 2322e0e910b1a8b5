#!/usr/bin/env python3
"""Reads both forms back and compares what they name: parameters and their defaults, resources and the names that they
get, conditions, policy files, outputs. It shares no table with write.py but how names are spelt.

    check.py
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import hcl2

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.forms.expressions import IN_SUB, snake  # noqa: E402
from infra.forms.write import FORMS, NO_DEFAULT  # noqa: E402
from infra.render import load, policies_of  # noqa: E402

POLICY_FILE = re.compile(r"policies/([\w-]+)\.json")
# Properties that name a thing; each must be said in both forms, letter by letter.
NAMES = re.compile(
    r"(Bucket|Role|User|Profile|Policy|ManagedPolicy|Function|LogGroup|Alarm|Topic|Trail|Group|Alias|Filter)Name|Name"
)
BUCKET_PARTS = {
    "PublicAccessBlockConfiguration": "access",
    "OwnershipControls": "ownership",
    "BucketEncryption": "encryption",
    "VersioningConfiguration": "versioning",
    "ObjectLockConfiguration": "lock",
    "LifecycleConfiguration": "lifecycle",
    "NotificationConfiguration": "notification",
}
IN_HCL = {
    "AWS::AccountId": "data.aws_caller_identity.here.account_id",
    "AWS::Region": "data.aws_region.here.region",
    "AWS::Partition": "data.aws_partition.here.partition",
    "AWS::URLSuffix": "data.aws_partition.here.dns_suffix",
    "AWS::StackName": "local.stack_name",
}


def read(directory: Path) -> dict[str, Any]:
    """A module as python-hcl2 has it, its files joined."""
    module: dict[str, list[Any]] = {}
    for path in sorted(directory.glob("*.tf")):
        with path.open() as file:
            for kind, blocks in hcl2.load(file).items():
                module.setdefault(kind, []).extend(blocks)
    return module


def named(module: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Blocks by their labels, `aws_vpc.vpc`."""
    found: dict[str, dict[str, Any]] = {}
    for block in module.get(kind, []):
        labels: list[str] = []
        while not block.get("__is_block__"):
            ((label, block),) = block.items()
            labels.append(label.strip('"'))
        found[".".join(labels)] = block
    return found


def differences(source: dict[str, Any], module: dict[str, Any]) -> list[str]:
    """Each as a sentence; none where both forms name the same."""
    return [
        *_parameters(source["Parameters"], named(module, "variable")),
        *_alike("output", {snake(name) for name in source["Outputs"]}, set(named(module, "output"))),
        *_resources(source, named(module, "resource")),
    ]


def _alike(what: str, wanted: set[str], found: set[str]) -> list[str]:
    missing = [f"{what} {name} is in the template and not in Terraform" for name in sorted(wanted - found)]
    return missing + [f"{what} {name} is in Terraform and not in the template" for name in sorted(found - wanted)]


def _parameters(declared: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    wrong = _alike("parameter", {snake(name) for name in declared}, set(variables))
    for name, parameter in declared.items():
        variable = variables.get(snake(name), {})
        default = variable.get("default")
        found = ",".join(map(_plain, default)) if isinstance(default, list) else _plain(default)
        wanted = None if name in NO_DEFAULT else parameter.get("Default")
        if variable and found != _plain(wanted):
            wrong.append(f"parameter {snake(name)}: the default is {wanted} in the template and {found} in Terraform")
        if (
            variable
            and "validation" not in variable
            and {"AllowedPattern", "AllowedValues", "MinValue", "MaxLength"} & set(parameter)
        ):
            wrong.append(f"parameter {snake(name)} is bounded in the template and not in Terraform")
    return wrong


def _resources(source: dict[str, Any], resources: dict[str, Any]) -> list[str]:
    """Terraform makes several of some; each belongs to one of the template's."""
    wrong, left = [], dict(resources)
    for logical, resource in source["Resources"].items():
        own = snake(logical)
        names = {own, *(f"{own}_{part}" for part in _parts(resource))}
        parts = {address: left.pop(address) for address in list(left) if address.partition(".")[2] in names}
        lacking = names - {address.partition(".")[2] for address in parts}
        wrong += [f"resource {name} of {logical} is in the template and not in Terraform" for name in sorted(lacking)]
        wrong += _resource(logical, resource, parts) if own not in lacking else []
    return wrong + [f"resource {address} is in Terraform and not in the template" for address in left]


def _parts(resource: dict[str, Any]) -> list[str]:
    """What Terraform makes beside the resource itself."""
    properties = resource.get("Properties", {})
    match resource["Type"]:
        case "AWS::S3::Bucket":
            return [part for name, part in BUCKET_PARTS.items() if name in properties]
        case "AWS::IAM::Role":
            managed = [f"managed_{index}" for index, _ in enumerate(properties.get("ManagedPolicyArns", []))]
            return [policy["PolicyName"] for policy in properties.get("Policies", [])] + managed
        case "AWS::IAM::ManagedPolicy":
            return [f"user_{index}" for index, _ in enumerate(properties["Users"])]
        case "AWS::Route53Resolver::FirewallRuleGroup":
            return [f"rule_{rule['Priority']}" for rule in properties["FirewallRules"]]
        case "AWS::Events::Rule":
            return [target["Id"] for target in properties["Targets"]]
    return []


def _resource(logical: str, resource: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    own = [block for address, block in parts.items() if address.endswith(f".{snake(logical)}")]
    wrong, text = [], str(parts)
    files = Counter(POLICY_FILE.findall(text))
    wanted = Counter(policies_of(resource).keys())
    if files != wanted:
        wrong.append(
            f"{logical} loads the policies {sorted(wanted)} in the template and {sorted(files.elements())} in Terraform"
        )
    for sid, condition in ((s, c) for only in policies_of(resource).values() for s, c in only.items()):
        if (
            f'\\"{sid}\\" || local.{snake(condition)}' not in text
            and f'"{sid}" || local.{snake(condition)}' not in text
        ):
            wrong.append(f"{logical}: the statement {sid} depends on {condition} in the template and not in Terraform")
    counted = str(own[0].get("count", ""))
    if bool(counted) != ("Condition" in resource) or snake(resource.get("Condition", "")) not in counted:
        wrong.append(
            f"{logical} depends on {resource.get('Condition', 'nothing')} in the template, on '{counted}' in Terraform"
        )
    for name in _names(resource.get("Properties", {})):
        if name not in text:
            wrong.append(f"{logical} is called {name} in the template and not in Terraform")
    return wrong


def _names(properties: dict[str, Any]) -> list[str]:
    """The names that a resource gives itself, as HCL writes them."""
    found = []
    for key, value in properties.items():
        if NAMES.fullmatch(key):
            match value:
                case str():
                    found.append(value)
                case {"Fn::Sub": str(text)} if not any("." in one for one in IN_SUB.findall(text)):
                    found.append(IN_SUB.sub(lambda m: "${" + IN_HCL.get(m[1], f"var.{snake(m[1])}") + "}", text))
    return found


def _plain(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).strip('"') if not isinstance(value, bool) else str(value).lower()


def main() -> int:
    wrong = [
        f"{source.name}: {difference}"
        for source, directory in FORMS.items()
        for difference in differences(load(source), read(directory))
    ]
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
