#!/usr/bin/env python3
"""Writes the templates that one deploys from their sources and `policies/*.json`: `drawbridge.template.json` from
`template.yaml`, `watch.template.json` from `watch.yaml`.

The policies stand in files of their own, as plain IAM documents with `${Name}` in them: one file a principal can be
read, tested statement by statement, and used by another tool than CloudFormation. `PolicyValues` in the template says
what a name stands for here.

    render.py            write the templates
    render.py --check    fail if they are not what the sources give
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "template.yaml"
POLICIES = HERE / "policies"
RENDERED = HERE / "drawbridge.template.json"
WATCH_SOURCE = HERE / "watch.yaml"
WATCH_RENDERED = HERE / "watch.template.json"

PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
# The short forms that the source may use. `!Ref` and `!Condition` become themselves, the others `Fn::<name>`.
FUNCTIONS = ("Sub", "GetAtt", "If", "Equals", "Not", "And", "Or", "Join", "Select", "GetAZs")
# CloudFormation's limit, in bytes, for a template that comes from a bucket (`aws cloudformation deploy --s3-bucket`); one
# that is sent along may have 51,200.
MAX_TEMPLATE = 1_000_000


class RenderError(Exception):
    """A source that cannot be rendered; the message names the place."""


class _PolicyUse(dict[str, Any]):
    """`!Policy create` or `!Policy {file: create, only_if: {Sid: Condition}}`, until the values are known."""


class _NamesUse(dict[str, Any]):
    """`!Names {VARIABLE: value}`: a function's variables, to which those of `_names` come."""


class _PolicyText(str):
    """`!PolicyText event-log`: the document as a text, where a property takes no object."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, `!Policy` and `!Names`."""


def _plain(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


def _policy_use(loader: yaml.SafeLoader, node: yaml.Node) -> _PolicyUse:
    value = _plain(loader, node)
    return _PolicyUse(value if isinstance(value, dict) else {"file": value})


def _get_att(loader: yaml.SafeLoader, node: yaml.Node) -> dict[str, Any]:
    value = _plain(loader, node)
    return {"Fn::GetAtt": value.split(".", 1) if isinstance(value, str) else value}


for _name in FUNCTIONS:
    _Loader.add_constructor(f"!{_name}", lambda loader, node, name=_name: {f"Fn::{name}": _plain(loader, node)})
for _name in ("Ref", "Condition"):
    _Loader.add_constructor(f"!{_name}", lambda loader, node, name=_name: {name: _plain(loader, node)})
_Loader.add_constructor("!GetAtt", _get_att)
_Loader.add_constructor("!Policy", _policy_use)
_Loader.add_constructor("!Names", lambda loader, node: _NamesUse(_plain(loader, node)))
_Loader.add_constructor("!PolicyText", lambda loader, node: _PolicyText(_plain(loader, node)))


def load(source: Path = SOURCE, policies: Path = POLICIES) -> dict[str, Any]:
    """A source as it is written, policies and all, but for `!Names`, which is spelled out."""
    loaded: dict[str, Any] = yaml.load(source.read_text(), Loader=_Loader)  # noqa: S506 - the loader above is a safe one
    named: dict[str, Any] = _with_names(loaded, _names(loaded, loaded["PolicyValues"], policies))
    return named


def render(policies: Path = POLICIES, source: Path = SOURCE) -> dict[str, Any]:
    """The template of `source`, with the policy documents of `policies`."""
    loaded = load(source, policies)
    values = loaded.pop("PolicyValues")
    template: dict[str, Any] = _fill(loaded, values, policies)
    return template


def policies_of(node: Any) -> dict[str, dict[str, str]]:
    """The policy files that a source uses, each with the statements that stand behind a condition."""
    if isinstance(node, _PolicyUse):
        return {node["file"]: node.get("only_if", {})}
    if isinstance(node, _PolicyText):
        return {str(node): {}}
    found: dict[str, dict[str, str]] = {}
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        for name, only_if in policies_of(value).items():
            found[name] = {**found.get(name, {}), **only_if}
    return found


def require_all_used(policies: Path = POLICIES) -> None:
    """A policy file that no template names would look like protection and be none."""
    used = {name for source in (SOURCE, WATCH_SOURCE) for name in policies_of(load(source))}
    unused = {path.stem for path in policies.glob("*.json")} - used
    if unused:
        raise RenderError(f"{policies}: {', '.join(sorted(unused))} is used in no template")


def _names(source: dict[str, Any], values: dict[str, Any], policies: Path) -> dict[str, Any]:
    """What the posture function knows of the stack: what each name of the policy files stands for, and which optional
    statements are left out here, as `file/Sid` by commas."""
    lists = {name for name, of in source["Parameters"].items() if "List" in of["Type"]}

    def one_text(value: Any) -> Any:
        return {"Fn::Join": [",", value]} if isinstance(value, dict) and value.get("Ref") in lists else value

    omitted = [
        {"Fn::If": [condition, "", f"{use['file']}/{sid}"]}
        for use in _uses(source)
        for sid, condition in use.get("only_if", {}).items()
    ]
    def if_it_is_there(value: Any) -> Any:
        """A resource behind a condition may be none; then its name is nothing."""
        of = value.get("Ref") or value.get("Fn::GetAtt", [None])[0] if isinstance(value, dict) else None
        condition = source["Resources"].get(of, {}).get("Condition")
        return {"Fn::If": [condition, value, ""]} if condition else value

    names = {f"DRAWBRIDGE_NAME_{name}": one_text(if_it_is_there(value)) for name, value in values.items()}
    compared = _compared_parameters(source, values, policies)
    told = {f"DRAWBRIDGE_PARAM_{name}": one_text({"Ref": name}) for name in compared}
    return {**names, **told, "DRAWBRIDGE_OMITTED": {"Fn::Join": [",", omitted]}}


# What the posture function compares with the template itself, but for policies and code.
COMPARED = {
    "AWS::EC2::NetworkAclEntry": (),
    "AWS::EC2::SecurityGroup": ("SecurityGroupEgress",),
    "AWS::Events::Rule": (),
    "AWS::IAM::Role": ("AssumeRolePolicyDocument", "RoleName"),
    "AWS::KMS::Key": ("KeyPolicy",),
    "AWS::Lambda::Function": ("FunctionName", "Role"),
    "AWS::Lambda::Permission": (),
    "AWS::S3::Bucket": (),
}


def _compared_parameters(source: dict[str, Any], values: dict[str, Any], policies: Path) -> list[str]:
    """The parameters that what is compared hangs on, itself or by a condition."""
    found: set[str] = set()
    looked_at: set[str] = set()

    def look(node: Any) -> None:
        if isinstance(node, _PolicyUse):
            look([values[name] for name in PLACEHOLDER.findall((policies / f"{node['file']}.json").read_text())])
        elif isinstance(node, list):
            for child in node:
                look(child)
        elif isinstance(node, dict):
            for key, value in node.items():
                match key, value:
                    case ("Ref", str(name)):
                        found.add(name)
                    case ("Fn::Sub", str(text)):
                        found.update(PLACEHOLDER.findall(text))
                    case ("Fn::If", [str(condition), *branches]):
                        look_at_condition(condition)
                        look(branches)
                    case ("Condition", str(condition)):
                        look_at_condition(condition)
                    case _:
                        look(value)

    def look_at_condition(name: str) -> None:
        if name not in looked_at and name in source.get("Conditions", {}):
            looked_at.add(name)
            look(source["Conditions"][name])

    for resource in source["Resources"].values():
        if resource["Type"] in COMPARED:
            only = COMPARED[resource["Type"]]
            properties = resource.get("Properties", {})
            look({key: value for key, value in properties.items() if not only or key in only})
            look({"Condition": resource["Condition"]} if "Condition" in resource else {})
    return sorted(found & set(source["Parameters"]))


def _uses(node: Any) -> Iterator[_PolicyUse]:
    if isinstance(node, _PolicyUse):
        yield node
    elif isinstance(node, (dict, list)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _uses(child)


def _with_names(node: Any, names: dict[str, Any]) -> Any:
    if isinstance(node, _NamesUse):
        return {**node, **names}
    if isinstance(node, dict) and not isinstance(node, _PolicyUse):
        return {key: _with_names(value, names) for key, value in node.items()}
    return [_with_names(value, names) for value in node] if isinstance(node, list) else node


def _fill(node: Any, values: dict[str, Any], policies: Path) -> Any:
    if isinstance(node, _PolicyUse):
        return _document(policies / f"{node['file']}.json", node.get("only_if", {}), values)
    if isinstance(node, _PolicyText):
        return _text_of(policies / f"{node}.json", values)
    if isinstance(node, dict):
        return {key: _fill(value, values, policies) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, values, policies) for value in node]
    return node


def _text_of(path: Path, values: dict[str, Any]) -> dict[str, str]:
    plain = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
    for name in PLACEHOLDER.findall(plain):
        if name not in values:
            raise RenderError(f"{path.name}: '${{{name}}}' is not in PolicyValues")
    return {"Fn::Sub": PLACEHOLDER.sub(lambda match: _inside_sub(values[match[1]], path.name), plain)}


def _document(path: Path, only_if: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    """One policy file, its placeholders as CloudFormation expressions, its optional statements behind conditions."""
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise RenderError(f"{path}: {error}") from error
    statements = document["Statement"]
    sids = [statement.get("Sid") for statement in statements]
    if None in sids or len(set(sids)) != len(sids):
        raise RenderError(f"{path.name}: every statement needs a Sid of its own")
    rendered = []
    for statement in statements:
        filled = _expressions(statement, values, path.name)
        condition = only_if.get(statement["Sid"])
        rendered.append({"Fn::If": [condition, filled, {"Ref": "AWS::NoValue"}]} if condition else filled)
    return {**document, "Statement": rendered}


def _expressions(node: Any, values: dict[str, Any], where: str) -> Any:
    if isinstance(node, dict):
        return {key: _expressions(value, values, where) for key, value in node.items()}
    if isinstance(node, list):
        return [_expressions(value, values, where) for value in node]
    if not isinstance(node, str) or not PLACEHOLDER.search(node):
        return node
    for name in PLACEHOLDER.findall(node):
        if name not in values:
            raise RenderError(f"{where}: '${{{name}}}' is not in PolicyValues")
    whole = PLACEHOLDER.fullmatch(node)
    if whole:  # the value as it is, which may be a list
        return values[whole[1]]
    return {"Fn::Sub": PLACEHOLDER.sub(lambda match: _inside_sub(values[match[1]], where), node)}


def _inside_sub(value: Any, where: str) -> str:
    """How a value is written within the text of `Fn::Sub`."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": str(text)}:
            return text
        case _:
            raise RenderError(f"{where}: {value} cannot stand within a longer text")


def text(template: dict[str, Any]) -> str:
    """The template as it is committed: a line for each parameter, condition, resource and output, since CloudFormation
    counts white space too."""
    sections = [f"{json.dumps(name)}: {_section(value)}" for name, value in template.items()]
    rendered = "{\n" + ",\n".join(sections) + "\n}\n"
    size = len(rendered.encode())
    if size > MAX_TEMPLATE:
        raise RenderError(f"a template of {size} bytes; CloudFormation takes {MAX_TEMPLATE}: shorten or divide it")
    return rendered


def _section(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    entries = [f" {json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in value.items()]
    return "{\n" + ",\n".join(entries) + "\n}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if a committed template differs")
    arguments = parser.parse_args()
    require_all_used()
    stale = []
    for source, target in ((SOURCE, RENDERED), (WATCH_SOURCE, WATCH_RENDERED)):
        rendered = text(render(source=source))
        if not arguments.check:
            target.write_text(rendered)
        elif not target.exists() or target.read_text() != rendered:
            stale.append(target.name)
    if stale:
        print(f"{', '.join(stale)}: not what the sources give; run infra/render.py and commit it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RenderError as error:
        sys.exit(f"render.py: {error}")
