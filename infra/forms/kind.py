"""What a resource type is to the translation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.forms.expressions import Translator, snake
from infra.forms.hcl import Block
from infra.forms.properties import Properties


@dataclass(frozen=True)
class Resource:
    """One resource of a source, and what is written of it."""

    logical: str
    properties: Properties
    translator: Translator
    depends_on: tuple[str, ...] = ()
    # CloudFormation keeps it when the stack goes; Terraform refuses to destroy it.
    kept: bool = False

    def of(
        self, kind: str, attributes: dict[str, str | None], *blocks: Block, suffix: str = "", when: str | None = None
    ) -> Block:
        """`resource "kind" "name"`. `when` is a condition of its own beside the resource's."""
        logical = self.logical
        conditions = [text for text in (self.count_condition(), when) if text]
        count = {"count": f"{' && '.join(conditions)} ? 1 : 0"} if conditions else {}
        more = list(blocks)
        if not suffix and self.kept:
            more.append(Block("lifecycle", (), {"prevent_destroy": "true"}))
        if not suffix and self.depends_on:
            addresses = [self.translator.address(name) for name in self.depends_on]
            attributes = {**attributes, "depends_on": f"[{', '.join(addresses)}]"}
        name = snake(logical) + (f"_{suffix}" if suffix else "")  # as check.py expects it
        return Block("resource", (kind, name), {**count, **attributes}, more)

    def count_condition(self) -> str | None:
        condition = self.translator.source["Resources"][self.logical].get("Condition")
        return f"local.{snake(condition)}" if condition else None

    def document(self, properties: Properties, name: str) -> str:
        """A policy: a file of policies/, or a document that stands in the source."""
        value: Any = properties.raw(name)
        if isinstance(value, dict) and "file" in value:
            return self.translator.policy(value["file"], value.get("only_if", {}))
        if isinstance(value, str):
            return self.translator.policy(value, {})
        return f"jsonencode({self.translator.expression(value)})"


@dataclass(frozen=True)
class Kind:
    """A resource type: what Terraform calls it, what `Ref` and `GetAtt` give there, and what is written of one."""

    type: str
    write: Callable[[Resource, Properties], list[Block]]
    reference: str = "id"
    attributes: dict[str, str] = field(default_factory=dict)


def plain(type_: str, names: str, reference: str = "id", tags: bool = False, **attributes: str) -> Kind:
    """A type whose properties are Terraform's attributes under other names."""

    def write(resource: Resource, properties: Properties) -> list[Block]:
        found = properties.texts(names)
        return [resource.of(type_, {**found, **(properties.tags() if tags else {})})]

    return Kind(type_, write, reference, attributes)
