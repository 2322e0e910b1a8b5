"""CloudFormation's functions, and the conditions and parameters that they read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from testbed.aws.cloudformation.errors import TemplateError

IN_SUB = re.compile(r"\$\{([^!}][^}]*)\}")
# What a property takes to be left out; an object of its own, so that no value is it by chance.
NO_VALUE = object()


@dataclass
class Scope:
    """Everything that an expression may refer to."""

    pseudo: dict[str, str]
    parameters: dict[str, Any]
    conditions: dict[str, Any]
    zones: list[str]
    # Filled as resources are made.
    references: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)

    def evaluate(self, node: Any) -> Any:
        """The value of a template's expression."""
        if isinstance(node, list):
            values = [self.evaluate(item) for item in node]
            return [value for value in values if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            name, argument = next(iter(node.items()))
            if name in ("Ref", "Condition") and isinstance(argument, str) or name.startswith("Fn::"):
                return self._call(name, argument)
        values = {key: self.evaluate(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not NO_VALUE}

    def condition(self, name: str) -> bool:
        if name not in self.conditions:
            raise TemplateError(f"condition '{name}' is not in the template")
        return _boolean(self.evaluate(self.conditions[name]), f"condition '{name}'")

    def _call(self, name: str, argument: Any) -> Any:
        match name, argument:
            case "Ref", str(target):
                return self._ref(target)
            case "Condition", str(target):
                return self.condition(target)
            case "Fn::GetAtt", [str(target), str(attribute)]:
                return self._attribute(target, attribute)
            case "Fn::Sub", str(text):
                return IN_SUB.sub(lambda found: self._named(found[1]), text)
            case "Fn::If", [str(condition), then, otherwise]:
                return self.evaluate(then if self.condition(condition) else otherwise)
            case "Fn::Equals", [left, right]:
                return _text(self.evaluate(left)) == _text(self.evaluate(right))
            case "Fn::And", list(inner):
                return all([_boolean(self.evaluate(one), "an argument of Fn::And") for one in inner])
            case "Fn::Not", [inner]:
                return not _boolean(self.evaluate(inner), "the argument of Fn::Not")
            case "Fn::Or", list(inner):
                return any(_boolean(self.evaluate(one), "an argument of Fn::Or") for one in inner)
            case "Fn::Join", [str(separator), values]:
                return separator.join(_text(value) for value in self.evaluate(values))
            case "Fn::Select", [index, values]:
                return self.evaluate(values)[int(index)]
            case "Fn::GetAZs", "":
                return self.zones
            case _:
                raise TemplateError(f"{name} with {argument!r} is not a function that this interpreter knows")

    def _named(self, name: str) -> str:
        """What `${name}` in Fn::Sub stands for."""
        target, _, attribute = name.partition(".")
        return _text(self._attribute(target, attribute) if attribute else self._ref(target))

    def _ref(self, target: str) -> Any:
        if target == "AWS::NoValue":
            return NO_VALUE
        for values in (self.pseudo, self.parameters, self.references):
            if target in values:
                return values[target]
        raise TemplateError(f"'{target}' is neither a parameter nor a resource that was made")

    def _attribute(self, target: str, attribute: str) -> str:
        if target not in self.attributes:
            raise TemplateError(f"'{target}' is not a resource that was made")
        if attribute not in self.attributes[target]:
            known = ", ".join(sorted(self.attributes[target])) or "none"
            raise TemplateError(f"'{target}' has no attribute '{attribute}' (known here: {known})")
        return self.attributes[target][attribute]


def named_by(node: Any) -> Iterator[str]:
    """Every logical name that an expression refers to."""
    if isinstance(node, list):
        for item in node:
            yield from named_by(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        match key, value:
            case "Ref", str(target):
                yield target
            case "Fn::GetAtt", [str(target), _]:
                yield target
            case "Fn::Sub", str(text):
                yield from (found[1].partition(".")[0] for found in IN_SUB.finditer(text))
            case _:
                yield from named_by(value)


def _text(value: Any) -> str:
    """As CloudFormation writes scalars where it needs a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    raise TemplateError(f"{value!r} stands where a text must stand")


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise TemplateError(f"{where} gives {value!r}, not true or false")
    return value
