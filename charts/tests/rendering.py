"""Runs helm for the tests: one place that knows where the program is and how a refusal looks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/drawbridge"
CRD_CHART = ROOT / "charts/drawbridge-crds"
NAMESPACE = "drawbridge-system"
# A helm that was built without release flags takes itself for a client of 1.20 when no cluster is asked.
KUBERNETES = "1.34.4"

Manifest = dict[str, Any]


class Refused(Exception):
    """Helm's own words for why it did not render."""


def program(name: str) -> str:
    """A tool of the build, or the machine's own."""
    directory = os.environ.get("DRAWBRIDGE_BIN")
    found = shutil.which(name, path=directory) if directory else shutil.which(name)
    if not found:
        raise FileNotFoundError(f"no {name} in {directory or 'PATH'}: set DRAWBRIDGE_BIN to the directory that has it")
    return found


def helm(*arguments: str) -> str:
    """What helm printed; `Refused` when it failed."""
    result = subprocess.run([program("helm"), *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        raise Refused(result.stderr + result.stdout)
    return result.stdout


def render(values: dict[str, Any] | None = None, chart: Path = CHART, release: str = "drawbridge") -> list[Manifest]:
    """The objects that an install would make, hooks included."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values or {}, file)
        file.flush()
        text = helm("template", release, str(chart), "-n", NAMESPACE, "--kube-version", KUBERNETES, "-f", file.name)
    return [document for document in yaml.safe_load_all(text) if document]


def one(objects: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only object of that kind, or that kind and name."""
    found = [o for o in objects if o["kind"] == kind and (name is None or o["metadata"]["name"] == name)]
    if len(found) != 1:
        raise AssertionError(f"expected one {kind} {name or ''}, found {[o['metadata']['name'] for o in found]}")
    return found[0]


def flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a.b": 1}` for `{"a": {"b": 1}}`; empty maps, lists and label selectors stay whole."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        path = prefix + key
        if isinstance(value, dict) and value and key != "selector":
            flat.update(flattened(value, path + "."))
        else:
            flat[path] = value
    return flat
