"""A resource's properties as its translator reads them. What nobody has read is unknown in Terraform, and refused."""

from __future__ import annotations

from typing import Any

from infra.forms.expressions import NO_VALUE, FormError, Translator, snake
from infra.forms.hcl import Block

NOTHING = object()


class Properties:
    """One object of a resource's properties, still unevaluated."""

    def __init__(self, values: dict[str, Any], translator: Translator, where: str) -> None:
        if not isinstance(values, dict) or any(key.startswith("Fn::") for key in values):
            raise FormError(f"{where}: {values!r} is not an object that Terraform could have as a block")
        self._values, self._translator, self._where = values, translator, where
        self._read: set[str] = set()
        self._inner: list[Properties] = []

    def raw(self, name: str, default: Any = NOTHING) -> Any:
        self._read.add(name)
        value = self._values.get(name, default)
        if value is NOTHING:
            raise FormError(f"{self._where}: {name} is missing")
        return value

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        """The property as an expression; None where it is not set."""
        value = self.raw(name, None)
        return None if value is None else self._translator.expression(value)

    def texts(self, names: str) -> dict[str, str | None]:
        """`"CidrBlock VpcId:vpc"`: attributes by Terraform's name, which is snake case where no other is given."""
        found = {}
        for pair in names.split():
            name, _, other = pair.partition(":")
            found[other or snake(name)] = self.text(name)
        return found

    def tags(self) -> dict[str, str | None]:
        tags = {tag["Key"]: tag["Value"] for tag in self.raw("Tags", [])}
        return {"tags": self._translator.expression(tags)} if tags else {}

    def object(self, name: str) -> Properties:
        return self._within(self.raw(name), f"{self._where}.{name}")

    def objects(self, name: str) -> list[tuple[str | None, Properties]]:
        """The objects of a list, each with the condition that it stands behind."""
        found: list[tuple[str | None, Properties]] = []
        for index, item in enumerate(self.raw(name, [])):
            where = f"{self._where}.{name}[{index}]"
            for condition, value in branches(item):
                found.append((condition, self._within(value, where)))
        return found

    def optional(self, name: str) -> tuple[str | None, Properties] | None:
        """An object that may stand behind a condition, or not at all."""
        found = branches(self.raw(name)) if self.has(name) else []
        if len(found) > 1:
            raise FormError(f"{self._where}.{name}: two objects in one place")
        return (found[0][0], self._within(found[0][1], f"{self._where}.{name}")) if found else None

    def finish(self) -> None:
        if unknown := set(self._values) - self._read:
            raise FormError(
                f"{self._where}: {', '.join(sorted(unknown))} has no form in Terraform yet: teach infra/forms/"
            )
        for inner in self._inner:
            inner.finish()

    def _within(self, value: Any, where: str) -> Properties:
        inner = Properties(value, self._translator, where)
        self._inner.append(inner)
        return inner


def branches(value: Any) -> list[tuple[str | None, Any]]:
    """What stands in a place, with the condition of each, as Terraform writes it."""
    if isinstance(value, dict) and "Fn::If" in value:
        condition, then, otherwise = value["Fn::If"]
        name = f"local.{snake(condition)}"
        both = [(name, then), (f"!{name}", otherwise)]
        return [(condition, branch) for condition, branch in both if branch != NO_VALUE]
    return [(None, value)]


def block(kind: str, condition: str | None, attributes: dict[str, str | None], *inner: Block) -> Block:
    """A block within a resource; behind a condition it is a dynamic one."""
    if condition is None:
        return Block(kind, (), attributes, list(inner))
    content = Block("content", (), attributes, list(inner))
    return Block("dynamic", (kind,), {"for_each": f"{condition} ? [1] : []"}, [content])
