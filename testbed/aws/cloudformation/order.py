"""In which order resources are made: after what they name, and otherwise as the template lists them."""

from __future__ import annotations

from typing import Any

from testbed.aws.cloudformation.errors import TemplateError
from testbed.aws.cloudformation.intrinsics import named_by

RESOURCE_FIELDS = {"Type", "Properties", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Condition"}


def in_order(resources: dict[str, Any]) -> list[str]:
    """Logical names, each after those that it needs."""
    needs = {name: _needs(name, resource, set(resources)) for name, resource in resources.items()}
    ordered: list[str] = []
    while needs:
        ready = [name for name, others in needs.items() if others <= set(ordered)]
        if not ready:
            raise TemplateError(f"circular dependency between resources: {', '.join(sorted(needs))}")
        ordered += ready
        for name in ready:
            del needs[name]
    return ordered


def _needs(name: str, resource: dict[str, Any], known: set[str]) -> set[str]:
    if extra := set(resource) - RESOURCE_FIELDS:
        raise TemplateError(f"resource {name}: {', '.join(sorted(extra))} is not known to this interpreter")
    after = resource.get("DependsOn", [])
    after = {after} if isinstance(after, str) else set(after)
    if missing := after - known:
        raise TemplateError(f"resource {name} depends on {', '.join(sorted(missing))}, which is not in the template")
    return after | (set(named_by(resource.get("Properties", {}))) & known)
