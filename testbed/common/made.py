"""The list of what a run made on the host outside its directory, and how each kind is undone.

An entry is written before its thing is made, so that a boot killed at any moment leaves nothing unlisted; therefore
undoing a thing that is not there is success.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

from . import cgroup
from .shell import run, succeeds


def _remove_netns(name: str) -> None:
    if Path("/run/netns", name).exists():
        run("ip", "netns", "delete", name)


def _remove_link(name: str) -> None:
    # A link may vanish between the look and the command, when the namespace of its other end ends just now.
    if _link_exists(name) and not succeeds("ip", "link", "delete", name) and _link_exists(name):
        run("ip", "link", "delete", name)


def _link_exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


UNDO: dict[str, Callable[[str], None]] = {
    "netns": _remove_netns,
    "link": _remove_link,
    "cgroup": cgroup.remove,
    "cgroup-controller": cgroup.withdraw,
}


class Made:
    """The list of one part of a run, one JSON pair a line."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "made"

    def note(self, kind: str, name: str) -> None:
        """Notes what will be made next. Kinds are those of UNDO."""
        if kind not in UNDO:
            raise ValueError(f"no way to undo a {kind!r} is known; known are {sorted(UNDO)}")
        with open(self._path, "a") as file:
            file.write(json.dumps([kind, name]) + "\n")

    def entries(self) -> list[tuple[str, str]]:
        """What was noted, oldest first. A last line cut short by a kill names nothing that was made yet."""
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_text().splitlines():
            try:
                kind, name = json.loads(line)
            except ValueError:
                continue
            found.append((kind, name))
        return found

    def undo(self) -> list[str]:
        """Undoes everything, newest first. What cannot be undone keeps nothing else from it; errors are returned."""
        problems = []
        for kind, name in reversed(list(dict.fromkeys(self.entries()))):
            try:
                UNDO[kind](name)
            except Exception as error:  # whatever it is, the rest must still be undone
                problems.append(f"{kind} {name}: {error}")
        if not problems:
            self._path.unlink(missing_ok=True)
        return problems
