"""A resource's properties as its maker reads them. What nobody has read when it is done is unknown, and refused."""

from __future__ import annotations

from typing import Any

from testbed.aws.cloudformation.errors import TemplateError

_MISSING = object()


class Properties:
    """One object of a resource's properties, and the objects within it."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise TemplateError(f"{where}: {values!r} is not an object")
        self._values, self._where = values, where
        self._read: set[str] = set()
        self._inner: list[Properties] = []

    def raw(self, name: str, default: Any = _MISSING) -> Any:
        """A value as it stands. Whoever takes an object raw answers for all that is in it."""
        self._read.add(name)
        value = self._values.get(name, default)
        if value is _MISSING:
            raise TemplateError(f"{self._where}: {name} is missing")
        return value

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: Any = _MISSING) -> str:
        value = self.raw(name, default)
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise TemplateError(f"{self._where}: {name} is {value!r}, not a text")
        return str(value)

    def number(self, name: str, default: Any = _MISSING) -> int:
        value = self.raw(name, default)
        try:
            return int(value)
        except (TypeError, ValueError):
            raise TemplateError(f"{self._where}: {name} is {value!r}, not a number") from None

    def flag(self, name: str, default: Any = _MISSING) -> bool:
        value = self.raw(name, default)
        if value not in (True, False, "true", "false"):
            raise TemplateError(f"{self._where}: {name} is {value!r}, neither true nor false")
        return value in (True, "true")

    def texts(self, name: str, default: Any = _MISSING) -> list[str]:
        values = self.raw(name, default)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise TemplateError(f"{self._where}: {name} is {values!r}, not a list of texts")
        return values

    def object(self, name: str) -> Properties:
        return self._within(self.raw(name), f"{self._where}.{name}")

    def objects(self, name: str, default: Any = _MISSING) -> list[Properties]:
        values = self.raw(name, default)
        if not isinstance(values, list):
            raise TemplateError(f"{self._where}: {name} is {values!r}, not a list")
        return [self._within(value, f"{self._where}.{name}[{index}]") for index, value in enumerate(values)]

    def given(self, *names: str) -> dict[str, str]:
        """Those texts of `names` that are set."""
        return {name: self.text(name) for name in names if self.has(name)}

    def finish(self) -> None:
        """Fails if anything here, or within, was never read."""
        unknown = set(self._values) - self._read
        if unknown:
            raise TemplateError(f"{self._where}: {', '.join(sorted(unknown))} is not known to this interpreter")
        for inner in self._inner:
            inner.finish()

    def _within(self, values: Any, where: str) -> Properties:
        inner = Properties(values, where)
        self._inner.append(inner)
        return inner
