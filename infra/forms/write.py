#!/usr/bin/env python3
"""Writes infra/terraform/ from template.yaml, watch.yaml and the names of policies/.

write.py            write the files
write.py --check    fail if they are not what the sources give
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.forms import hcl  # noqa: E402
from infra.forms.expressions import IMAGE_IN_SSM, FormError, Translator, snake  # noqa: E402
from infra.forms.hcl import Block  # noqa: E402
from infra.forms.kind import Resource  # noqa: E402
from infra.forms.properties import Properties  # noqa: E402
from infra.forms.resources import KINDS, TYPES  # noqa: E402
from infra.render import SOURCE, WATCH_SOURCE, load  # noqa: E402

TERRAFORM = SOURCE.parent / "terraform"
# Source -> directory.
FORMS = {SOURCE: TERRAFORM / "stack", WATCH_SOURCE: TERRAFORM / "watch"}
HEAD = "# Written by infra/forms/write.py from infra/{source} and infra/policies/; change those.\n"
PROVIDER = "~> 6.0"
TERRAFORM_VERSION = ">= 1.9"
SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "PolicyValues",
    "Parameters",
    "Conditions",
    "Rules",
    "Resources",
    "Outputs",
}
RESOURCE_FIELDS = {"Type", "Condition", "Properties", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy"}
# CloudFormation's own calls are let through by their mark; Terraform's have none, so it has to name who applies.
NO_DEFAULT = {"DeployerArn"}
VARIABLE_TYPES = {"String": "string", "Number": "number", "CommaDelimitedList": "list(string)", IMAGE_IN_SSM: "string"}


def files(source: Path) -> dict[str, str]:
    """A form's files by name."""
    loaded = load(source)
    if unknown := set(loaded) - SECTIONS:
        raise FormError(f"{source.name}: the section {', '.join(sorted(unknown))} has no form in Terraform yet")
    translator = Translator(loaded, TYPES)
    rules = _rules(loaded, translator)
    head = HEAD.format(source=source.name)
    written = {
        "variables.tf": _text(head, [_variable(name, value, rules) for name, value in loaded["Parameters"].items()]),
        "main.tf": _text(head, _resources(loaded, translator)),
        "outputs.tf": _text(head, [_output(name, value, translator) for name, value in loaded["Outputs"].items()]),
    }
    return {**written, "versions.tf": _text(head, [*_settings(loaded, translator, "\n".join(written.values()))])}


def _text(head: str, blocks: list[Block]) -> str:
    return head + "\n" + "\n\n".join(block.text() for block in blocks) + "\n"


def _settings(loaded: dict[str, Any], translator: Translator, written: str) -> list[Block]:
    """Versions, the conditions as locals, and what Terraform has to look up that CloudFormation knows."""
    providers = Block(
        "required_providers", (), {"aws": hcl.mapped({"source": '"hashicorp/aws"', "version": f'"{PROVIDER}"'})}
    )
    versions = Block("terraform", (), {"required_version": f'"{TERRAFORM_VERSION}"'}, [providers])
    conditions = loaded.get("Conditions", {}).items()
    names: dict[str, str | None] = {snake(name): translator.condition(value) for name, value in conditions}
    if "local.stack_name" in written:
        names["stack_name"] = '"drawbridge-${var.cluster_name}"'
    found = [versions, Block("locals", (), names)]
    lookups = {
        "aws_partition": {},
        "aws_region": {},
        "aws_caller_identity": {},
        "aws_availability_zones": {"state": '"available"'},
    }
    for kind, attributes in lookups.items():
        if f"data.{kind}.here" in written:
            found.append(Block("data", (kind, "here"), dict(attributes)))
    for name, parameter in loaded["Parameters"].items():
        if parameter["Type"] == IMAGE_IN_SSM:
            found.append(Block("data", ("aws_ssm_parameter", snake(name)), {"name": f"var.{snake(name)}"}))
    return found


def _rules(loaded: dict[str, Any], translator: Translator) -> dict[str, list[Block]]:
    """The template's rules, each as a validation of the first parameter that it names."""
    found: dict[str, list[Block]] = {}
    for name, rule in loaded.get("Rules", {}).items():
        if unknown := set(rule) - {"Assertions"}:
            raise FormError(f"rule {name}: {', '.join(sorted(unknown))} has no form in Terraform yet")
        for assertion in rule["Assertions"]:
            condition = translator.condition(assertion["Assert"])
            about = next(
                n for n in sorted(loaded["Parameters"], key=_place(condition)) if f"var.{snake(n)}" in condition
            )
            said = {"condition": condition, "error_message": hcl.quoted(f"{name}: {assertion['AssertDescription']}.")}
            found.setdefault(about, []).append(Block("validation", (), dict(said)))
    return found


def _place(text: str) -> Callable[[str], int]:
    """Where a parameter stands in a text; what does not comes last."""
    return lambda name: (text.find(f"var.{snake(name)}") + 1) or len(text) + 1


def _variable(name: str, declared: dict[str, Any], rules: dict[str, list[Block]]) -> Block:
    listed = declared["Type"] == "CommaDelimitedList"
    attributes: dict[str, str | None] = {"type": VARIABLE_TYPES[declared["Type"]]}
    if "Description" in declared:
        attributes["description"] = hcl.quoted(declared["Description"])
    if "Default" in declared and name not in NO_DEFAULT:
        default = declared["Default"]
        split = [hcl.quoted(part.strip()) for part in str(default).split(",")]
        attributes["default"] = (
            hcl.listed(split) if listed else hcl.quoted(default) if isinstance(default, str) else str(default)
        )
    bounds = [*_validations(snake(name), declared, listed), *rules.get(name, [])]
    return Block("variable", (snake(name),), attributes, bounds)


def _validations(name: str, declared: dict[str, Any], listed: bool) -> list[Block]:
    """The bounds that CloudFormation holds a parameter to."""
    checks = []
    if pattern := declared.get("AllowedPattern"):
        matches = f"can(regex({hcl.quoted(pattern)}, {'one' if listed else f'var.{name}'}))"
        expected = declared.get("ConstraintDescription", f"text that matches {pattern}")
        checks.append((f"alltrue([for one in var.{name} : {matches}])" if listed else matches, expected))
    if allowed := declared.get("AllowedValues"):
        values = [hcl.quoted(value) if isinstance(value, str) else str(value) for value in allowed]
        checks.append((f"contains({hcl.listed(values)}, var.{name})", f"one of {', '.join(map(str, allowed))}"))
    for bound, sign, word in (("MinValue", ">=", "at least"), ("MaxValue", "<=", "at most")):
        if bound in declared:
            checks.append((f"var.{name} {sign} {declared[bound]}", f"{word} {declared[bound]}"))
    if "MaxLength" in declared:
        most = declared["MaxLength"]
        checks.append((f"length(var.{name}) <= {most}", f"at most {most} characters"))
    return [
        Block("validation", (), {"condition": check, "error_message": hcl.quoted(f"{name}: expected {expected}.")})
        for check, expected in checks
    ]


def _resources(loaded: dict[str, Any], translator: Translator) -> list[Block]:
    found = []
    for logical, resource in loaded["Resources"].items():
        if unknown := set(resource) - RESOURCE_FIELDS:
            raise FormError(f"{logical}: {', '.join(sorted(unknown))} has no form in Terraform yet")
        if resource["Type"] not in KINDS:
            raise FormError(f"{logical}: {resource['Type']} has no form in Terraform yet: teach infra/forms/")
        properties = Properties(resource.get("Properties", {}), translator, f"{logical} ({resource['Type']})")
        after = resource.get("DependsOn", [])
        depends = (after,) if isinstance(after, str) else tuple(after)
        kept = resource.get("DeletionPolicy") == "Retain"
        found += KINDS[resource["Type"]].write(Resource(logical, properties, translator, depends, kept), properties)
        properties.finish()
    return found


def _output(name: str, output: dict[str, Any], translator: Translator) -> Block:
    attributes = {"value": translator.expression(output["Value"])}
    if "Description" in output:
        attributes["description"] = hcl.quoted(output["Description"])
    return Block("output", (snake(name),), dict(attributes))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if a committed file differs")
    arguments = parser.parse_args()
    stale = []
    for source, directory in FORMS.items():
        for name, text in files(source).items():
            path = directory / name
            if not arguments.check:
                directory.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            elif not path.exists() or path.read_text() != text:
                stale.append(str(path.relative_to(TERRAFORM)))
    if stale:
        print(f"{', '.join(stale)}: not what the sources give; run infra/forms/write.py and commit it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FormError as error:
        sys.exit(f"write.py: {error}")
