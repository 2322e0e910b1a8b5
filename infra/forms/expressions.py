"""CloudFormation's expressions as Terraform's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from infra.forms import hcl
from infra.render import PLACEHOLDER, POLICIES

IN_SUB = re.compile(r"\$\{([^!}][^}]*)\}")
PSEUDO = {
    "AWS::Region": "data.aws_region.here.region",
    "AWS::AccountId": "data.aws_caller_identity.here.account_id",
    "AWS::Partition": "data.aws_partition.here.partition",
    "AWS::URLSuffix": "data.aws_partition.here.dns_suffix",
    "AWS::StackName": "local.stack_name",
}
NO_VALUE = {"Ref": "AWS::NoValue"}
IMAGE_IN_SSM = "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"


class FormError(Exception):
    """What cannot be said in Terraform, or differs between the forms; the message names the place."""


def snake(name: str) -> str:
    """`MaxSessionBytes` as Terraform writes names; `S3Port` is `s3_port`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@dataclass
class Translator:
    """The source that is translated, and how its resource types are called in Terraform."""

    source: dict[str, Any]
    # Type -> (Terraform's type, the attribute that `Ref` gives, attributes by `GetAtt` name).
    types: dict[str, tuple[str, str, dict[str, str]]]

    def expression(self, node: Any) -> str:
        """A value's expression."""
        match node:
            case bool():
                return str(node).lower()
            case int() | float():
                return str(node)
            case str():
                return hcl.quoted(node)
            case list():
                return hcl.listed([self.expression(item) for item in node])
            case {"Fn::Sub": str(text)}:
                return self._sub(text)
            case {"Fn::If": [str(condition), then, otherwise]}:
                return f"local.{snake(condition)} ? {self.expression(then)} : {self.expression(otherwise)}"
            case {"Fn::Join": [str(separator), values]}:
                return f"join({hcl.quoted(separator)}, {self.expression(values)})"
            case {"Fn::Select": [index, values]}:
                return f"{self.expression(values)}[{index}]"
            case {"Fn::GetAZs": ""}:
                return "data.aws_availability_zones.here.names"
            case {"Fn::GetAtt": [str(target), str(attribute)]}:
                return self._attribute(target, attribute)
            case {"Ref": str(target)}:
                return self._ref(target)
            case dict() if not any(key.startswith("Fn::") for key in node):
                return hcl.mapped({key: self.expression(value) for key, value in node.items()})
        raise FormError(f"{node!r} has no form in Terraform yet: teach infra/forms/expressions.py")

    def condition(self, node: Any) -> str:
        """A condition's expression."""
        match node:
            case {"Fn::Equals": [left, right]}:
                return " == ".join(self._comparable(left, right))
            case {"Fn::Not": [{"Fn::Equals": [left, right]}]}:
                return " != ".join(self._comparable(left, right))
            case {"Fn::Not": [inner]}:
                return f"!({self.condition(inner)})"
            case {"Fn::And": list(inner)}:
                return " && ".join(f"({self.condition(one)})" for one in inner)
            case {"Fn::Or": list(inner)}:
                return " || ".join(f"({self.condition(one)})" for one in inner)
            case {"Condition": str(name)}:
                return f"local.{snake(name)}"
        raise FormError(f"the condition {node!r} has no form in Terraform yet: teach infra/forms/expressions.py")

    def _comparable(self, *sides: Any) -> list[str]:
        """CloudFormation compares texts; for Terraform a number never equals one."""
        refs = [side["Ref"] for side in sides if isinstance(side, dict) and "Ref" in side]
        numbers = any(self.source["Parameters"].get(name, {}).get("Type") == "Number" for name in refs)
        plain = [int(side) if numbers and isinstance(side, str) and side.isdigit() else side for side in sides]
        return [self.expression(side) for side in plain]

    def address(self, logical: str) -> str:
        """`aws_vpc.vpc`."""
        return f"{self.types[self.source['Resources'][logical]['Type']][0]}.{snake(logical)}"

    def count(self, logical: str) -> str | None:
        condition = self.source["Resources"][logical].get("Condition")
        return f"local.{snake(condition)} ? 1 : 0" if condition else None

    def policy(self, file: str, only_if: dict[str, str]) -> str:
        """The same file that CloudFormation's form was made of; a list takes the place of a whole text."""
        text = (POLICIES / f"{file}.json").read_text()
        values, lists = {}, {}
        for name in dict.fromkeys(PLACEHOLDER.findall(text)):
            value = self.source["PolicyValues"][name]
            if self._is_list(value):
                values[name], lists[name] = hcl.quoted(f"@{name}@"), self.expression(value)
            else:
                values[name] = self._never_null(value)
        found = f'templatefile("${{path.module}}/../../policies/{file}.json", {hcl.mapped(values)})'
        for name, value in lists.items():
            found = f'replace({found}, "\\"@{name}@\\"", jsonencode({value}))'
        if not only_if:
            return found
        kept = [f's.Sid != "{sid}" || local.{snake(condition)}' for sid, condition in only_if.items()]
        wanted = f" {kept[0]}" if len(kept) == 1 else f"({') && ('.join(kept)})"
        statements = f"    for s in jsondecode({_deeper(found)}).Statement : s if{wanted}"
        return f'jsonencode({{\n  Version = "2012-10-17"\n  Statement = [\n{statements}\n  ]\n}})'

    def _never_null(self, value: Any) -> str:
        """A text: a template takes no null, though the statement that needs the value is left out where it is."""
        text = self.expression(value)
        return f'coalesce({text}, "none")' if text.startswith("one(") else text

    def _is_list(self, value: Any) -> bool:
        match value:
            case {"Ref": str(name)}:
                return bool(self.source["Parameters"].get(name, {}).get("Type") == "CommaDelimitedList")
        return isinstance(value, list)

    def _ref(self, target: str) -> str:
        if target == "AWS::NoValue":
            return "null"
        if target in PSEUDO:
            return PSEUDO[target]
        if target in self.source["Parameters"]:
            if self.source["Parameters"][target]["Type"] == IMAGE_IN_SSM:
                return f"nonsensitive(data.aws_ssm_parameter.{snake(target)}.value)"
            return f"var.{snake(target)}"
        return self._of(target, self.types[self._type(target)][1])

    def _attribute(self, target: str, attribute: str) -> str:
        known = self.types[self._type(target)][2]
        if attribute not in known:
            raise FormError(f"{target}.{attribute}: teach infra/forms/resources.py what Terraform calls it")
        return self._of(target, known[attribute])

    def _type(self, target: str) -> str:
        if target not in self.source["Resources"]:
            raise FormError(f"'{target}' is neither a parameter nor a resource")
        return str(self.source["Resources"][target]["Type"])

    def _of(self, target: str, attribute: str) -> str:
        if self.count(target):
            return f"one({self.address(target)}[*].{attribute})"
        return f"{self.address(target)}.{attribute}"

    def _sub(self, text: str) -> str:
        parts, end = [], 0
        for found in IN_SUB.finditer(text):
            target, _, attribute = found[1].partition(".")
            value = self._attribute(target, attribute) if attribute else self._ref(target)
            parts += [hcl.inside(text[end : found.start()]), f"${{{value}}}"]
            end = found.end()
        return '"' + "".join(parts) + hcl.inside(text[end:]) + '"'


def _deeper(text: str) -> str:
    return text.replace("\n", "\n    ")
