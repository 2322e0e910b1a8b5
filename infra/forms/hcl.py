"""HCL as text, laid out as `terraform fmt` lays it out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

INDENT = "  "
# Longer ones are broken into lines.
ONE_LINE = 100


@dataclass
class Block:
    """`kind "label" { ... }`. Attributes are expressions as text; they stand before inner blocks."""

    kind: str
    labels: tuple[str, ...] = ()
    attributes: dict[str, str | None] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    comment: str = ""

    def text(self) -> str:
        head = " ".join([self.kind, *(f'"{label}"' for label in self.labels)])
        body = [_attributes({name: value for name, value in self.attributes.items() if value is not None})]
        body += [block.text() for block in self.blocks]
        inner = "\n\n".join(part for part in body if part)
        comment = "".join(f"# {line}\n" for line in self.comment.splitlines())
        return f"{comment}{head} {{\n{_indented(inner)}\n}}" if inner else f"{comment}{head} {{}}"


def _attributes(attributes: dict[str, str]) -> str:
    """Names of neighbouring one-line attributes are padded to one width; what has more lines stands apart."""
    groups: list[list[tuple[str, str]]] = []
    for name, value in attributes.items():
        alone = "\n" in value
        if alone or not groups or "\n" in groups[-1][-1][1]:
            groups.append([])
        groups[-1].append((name, value))
    return "\n\n".join("\n".join(_padded(group)) for group in groups)


def _padded(pairs: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in pairs)
    return [f"{name:{width}} = {value}" for name, value in pairs]


def _indented(text: str) -> str:
    return "\n".join(INDENT + line if line else line for line in text.splitlines())


def quoted(text: str) -> str:
    """A literal: nothing in it is an expression."""
    return '"' + inside(text) + '"'


def inside(text: str) -> str:
    """Literal text as it stands between quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return escaped.replace("${", "$${").replace("%{", "%%{")


def listed(items: list[str]) -> str:
    line = f"[{', '.join(items)}]"
    if len(line) <= ONE_LINE and "\n" not in line:
        return line
    return "[\n" + "".join(_indented(item) + ",\n" for item in items) + "]"


def mapped(entries: dict[str, str]) -> str:
    """An object; names that are no identifiers are quoted."""
    named = [
        (key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) else quoted(key), text) for key, text in entries.items()
    ]
    line = "{ " + ", ".join(f"{key} = {text}" for key, text in named) + " }"
    if not named:
        return "{}"
    if len(line) <= ONE_LINE and "\n" not in line and len(named) <= 3:
        return line
    groups: list[list[tuple[str, str]]] = [[]]
    for key, text in named:
        if "\n" in text and groups[-1]:
            groups.append([])
        groups[-1].append((key, text))
        if "\n" in text:
            groups.append([])
    lines = [line for group in groups if group for line in _padded(group)]
    return "{\n" + _indented("\n".join(lines)) + "\n}"
