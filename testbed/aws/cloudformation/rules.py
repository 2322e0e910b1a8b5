"""A template's rules: what its parameters must be together. CloudFormation checks them before it makes anything."""

from __future__ import annotations

from typing import Any

from testbed.aws.cloudformation.errors import TemplateError
from testbed.aws.cloudformation.intrinsics import Scope


def check(rules: dict[str, Any], scope: Scope) -> None:
    """Refuses parameters that a rule's assertion does not hold for."""
    for name, rule in rules.items():
        if extra := set(rule) - {"Assertions"}:
            raise TemplateError(f"rule {name}: {', '.join(sorted(extra))} is not known to this interpreter")
        for assertion in rule["Assertions"]:
            if scope.evaluate(assertion["Assert"]) is not True:
                raise TemplateError(f"rule {name} does not hold: {assertion['AssertDescription']}")
