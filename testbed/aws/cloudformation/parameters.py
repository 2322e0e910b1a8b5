"""A template's parameters: their types, defaults and bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from testbed.aws.cloudformation.errors import TemplateError

IMAGE_IN_SSM = "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
FIELDS = {
    *("Type", "Default", "Description", "ConstraintDescription"),
    *("AllowedPattern", "AllowedValues", "MinValue", "MaxValue", "MaxLength"),
}


def resolve(declared: dict[str, Any], given: dict[str, str], image_of: Callable[[str], str]) -> dict[str, Any]:
    """The value of every parameter. `image_of` reads an SSM parameter that names an image."""
    unknown = set(given) - set(declared)
    if unknown:
        raise TemplateError(f"the template has no parameter {', '.join(sorted(unknown))}")
    return {name: _value(name, declared[name], given.get(name), image_of) for name in declared}


def _value(name: str, declared: dict[str, Any], given: str | None, image_of: Callable[[str], str]) -> Any:
    if extra := set(declared) - FIELDS:
        raise TemplateError(f"parameter {name}: {', '.join(sorted(extra))} is not known to this interpreter")
    if given is None and "Default" not in declared:
        raise TemplateError(f"parameter {name} has no default: give --parameter {name}=...")
    text = str(declared["Default"] if given is None else given)
    values = [part.strip() for part in text.split(",")] if declared["Type"] == "CommaDelimitedList" else [text]
    for value in values:
        _check(name, declared, value)
    match declared["Type"]:
        case "String" | "Number":
            return text
        case "CommaDelimitedList":
            return values
        case type_ if type_ == IMAGE_IN_SSM:
            return image_of(text)
        case other:
            raise TemplateError(f"parameter {name}: type {other} is not known to this interpreter")


def _check(name: str, declared: dict[str, Any], value: str) -> None:
    def refuse(why: str) -> TemplateError:
        expected = declared.get("ConstraintDescription")
        return TemplateError(f"parameter {name}: '{value}' {why}" + (f"; expected {expected}" if expected else ""))

    pattern = declared.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        raise refuse(f"does not match {pattern}")
    allowed = declared.get("AllowedValues")
    if allowed and value not in map(str, allowed):
        raise refuse(f"is none of {allowed}")
    if len(value) > declared.get("MaxLength", len(value)):
        raise refuse(f"is longer than {declared['MaxLength']}")
    if declared["Type"] == "Number":
        if not re.fullmatch(r"-?\d+", value):
            raise refuse("is not a number")
        if int(value) < declared.get("MinValue", int(value)) or int(value) > declared.get("MaxValue", int(value)):
            raise refuse(f"is not within {declared.get('MinValue')} and {declared.get('MaxValue')}")
